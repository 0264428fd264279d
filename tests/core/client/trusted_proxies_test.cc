// SPDX-License-Identifier: Apache-2.0
#include "core/client/trusted_proxies.h"

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>

#include <initializer_list>
#include <string>

namespace huntd::server {
namespace {

Peer at(const std::string& address) { return {Peer::Kind::ip, *parse_ip(address)}; }

const Peer over_unix{Peer::Kind::unix_socket};
const TrustedProxies proxies({"10.0.0.0/8", "2001:db8:1::/48", "unix:"});

// Whom a request with these headers of X-Forwarded-For came from.
std::string client(std::initializer_list<std::string_view> lists,
                   const Peer& peer = at("10.0.0.1")) {
  RequestHead head;
  head.headers[head.header_count++] = {"Host", "203.0.113.9"};
  for (std::string_view list : lists) head.headers[head.header_count++] = {"x-Forwarded-FOR", list};
  head.headers[head.header_count++] = {"X-Forwarded-Form", "203.0.113.8"};
  Peer const found = proxies.client_of(head, peer);
  if (found.kind == Peer::Kind::unix_socket) return "unix";
  return ip_text(found.address);
}

TEST_CASE("a peer is trusted by its network, or because it connects to a unix socket") {
  CHECK(proxies.any());
  CHECK(proxies.trusts(at("10.1.2.3")));
  CHECK(proxies.trusts(at("2001:db8:1::7")));
  CHECK(proxies.trusts(over_unix));
  CHECK_FALSE(proxies.trusts(at("11.1.2.3")));
  CHECK_FALSE(proxies.trusts(Peer()));
  CHECK_FALSE(TrustedProxies({"10.0.0.0/8"}).trusts(over_unix));
  CHECK_FALSE(TrustedProxies().any());
  CHECK_FALSE(TrustedProxies().trusts(at("10.1.2.3")));
}

TEST_CASE("the client is the last address that is not a trusted proxy's") {
  CHECK(client({"192.0.2.1"}) == "192.0.2.1");
  CHECK(client({"198.51.100.7, 192.0.2.1"}) == "192.0.2.1");
  CHECK(client({"198.51.100.7, 192.0.2.1 ,10.0.0.9,\t10.0.0.8"}) == "192.0.2.1");
  CHECK(client({"198.51.100.7", "192.0.2.1", "10.0.0.9"}) == "192.0.2.1");
  CHECK(client({"192.0.2.1"}, over_unix) == "192.0.2.1");
  CHECK(client({"2001:db8::5, 2001:db8:1::2"}) == "2001:db8::5");
}

TEST_CASE("without another one, the client is the first proxy that is known") {
  CHECK(client({}) == "10.0.0.1");
  CHECK(client({""}) == "10.0.0.1");
  CHECK(client({" , ,"}) == "10.0.0.1");
  CHECK(client({}, over_unix) == "unix");
  CHECK(client({"10.0.0.7, 10.0.0.8"}) == "10.0.0.7");
}

TEST_CASE("what is left of an element that is not an address is not trusted") {
  for (std::string_view element :
       {"unknown", "_hidden", "1.2.3", "1.2.3.4.5", "\"192.0.2.9\"", "for=192.0.2.9", "[::1",
        "192.0.2.9:", "192.0.2.9:1234567", "192.0.2.9:8x", "[::1]8", "[192.0.2.9"}) {
    CAPTURE(element);
    CHECK(client({std::string("192.0.2.1, ") + std::string(element) + ", 10.0.0.9"}) == "10.0.0.9");
    CHECK(client({"192.0.2.1", element}) == "10.0.0.1");
  }
}

TEST_CASE("an address may have a port, as some proxies write it") {
  CHECK(client({"192.0.2.1:4711"}) == "192.0.2.1");
  CHECK(client({"[2001:db8::5]:4711"}) == "2001:db8::5");
  CHECK(client({"[2001:db8::5]"}) == "2001:db8::5");
}

}  // namespace
}  // namespace huntd::server
