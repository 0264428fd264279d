// SPDX-License-Identifier: Apache-2.0
#include "base/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
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
  CHECK(*resolve("192.0.2.7") == "192.0.2.7");
  CHECK(*resolve("::1") == "::1");
}

TEST_CASE("a name without an address is an error that names it") {
  Result<std::string> const found = resolve("no-such-host.invalid");
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
