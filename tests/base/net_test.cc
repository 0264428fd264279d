// SPDX-License-Identifier: Apache-2.0
#include "base/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <thread>
#undef CHECK
#include <doctest/doctest.h>

using namespace huntd;

namespace {

uint16_t port_of(const UniqueFd& listener) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  REQUIRE(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return ntohs(address.sin_port);
}

}  // namespace

TEST_CASE("a numeric address resolves to itself") {
  for (const char* host : {"192.0.2.7", "::1", "2001:db8::7"}) {
    CHECK(is_numeric(host));
    CHECK(*resolve(host) == std::vector<std::string>{host});
  }
  for (const char* host : {"", "localhost", "192.0.2.7.example", "::1::"})
    CHECK_FALSE(is_numeric(host));
}

TEST_CASE("a name resolves to its addresses, each once") {
  Result<std::vector<std::string>> const found = resolve("localhost");
  REQUIRE(found);
  REQUIRE_FALSE(found->empty());
  for (const std::string& each : *found) {
    CHECK(is_numeric(each));
    CHECK(std::count(found->begin(), found->end(), each) == 1);
  }
}

TEST_CASE("a numeric address becomes a socket address") {
  sockaddr_storage address{};
  CHECK(numeric_address("127.0.0.1", 258, address) == sizeof(sockaddr_in));
  CHECK(reinterpret_cast<sockaddr_in&>(address).sin_port == htons(258));
  CHECK(numeric_address("::1", 1, address) == sizeof(sockaddr_in6));
  CHECK(address.ss_family == AF_INET6);
  CHECK(numeric_address("localhost", 1, address) == 0);
}

TEST_CASE("a bound socket names its address and the port that it was given") {
  Result<UniqueFd> const v4 = listen_tcp("127.0.0.1", 0, 8);
  REQUIRE(v4);
  CHECK(bound_address(v4->get()) == "127.0.0.1:" + std::to_string(port_of(*v4)));
}

TEST_CASE("a numeric address that this host does not have is an error") {
  Result<ListenEach> const listening = listen_tcp_each("203.0.113.77", 0, 8, false);
  REQUIRE_FALSE(listening);
  CHECK(listening.error().message.starts_with("cannot listen on 203.0.113.77:0: Cannot assign"));
}

TEST_CASE("IPv4 and IPv6 can listen on one port if the IPv6 socket is for IPv6 only") {
  Result<ListenEach> const six = listen_tcp_each("::", 0, 8, true);
  if (!six) return;  // a host without IPv6
  sockaddr_in6 address{};
  socklen_t size = sizeof address;
  REQUIRE(getsockname(six->sockets[0].get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  Result<ListenEach> const four = listen_tcp_each("0.0.0.0", ntohs(address.sin6_port), 8, true);
  REQUIRE_MESSAGE(four, (four ? "" : four.error().message));
  CHECK(bound_address(six->sockets[0].get()).starts_with("[::]:"));
}

TEST_CASE("a name without an address is an error that names it") {
  Result<std::vector<std::string>> const found = resolve("no-such-host.invalid");
  REQUIRE_FALSE(found);
  CHECK(found.error().message.starts_with("cannot resolve no-such-host.invalid: "));
}

TEST_CASE("an address in use is an error that says what to do") {
  Result<UniqueFd> const first = listen_tcp("127.0.0.1", 0, 8);
  REQUIRE(first);
  uint16_t const port = port_of(*first);
  Result<UniqueFd> const second = listen_tcp("127.0.0.1", port, 8);
  REQUIRE_FALSE(second);
  CHECK(second.error().message ==
        "cannot listen on 127.0.0.1:" + std::to_string(port) +
            ": Address already in use; stop that process or use another port");
}

TEST_CASE("an address that is given back in time can be listened on") {
  Result<UniqueFd> first = listen_tcp("127.0.0.1", 0, 8);
  REQUIRE(first);
  uint16_t const port = port_of(*first);
  std::thread gives_back([&first] {
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    first->reset();
  });
  Result<UniqueFd> second = listen_tcp("127.0.0.1", port, 8);
  gives_back.join();
  REQUIRE(second);
  CHECK(port_of(*second) == port);
}
