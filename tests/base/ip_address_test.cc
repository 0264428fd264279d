// SPDX-License-Identifier: Apache-2.0
#include "base/ip_address.h"

#include <doctest/doctest.h>

#include <string>

namespace huntd {
namespace {

bool contains(const std::string& network, const std::string& address) {
  Result<Cidr> const cidr = parse_cidr(network);
  REQUIRE_MESSAGE(cidr, (cidr ? "" : cidr.error().message));
  std::optional<IpAddress> const ip = parse_ip(address);
  REQUIRE(ip);
  return cidr->contains(*ip);
}

std::string fault_of(const std::string& network) {
  Result<Cidr> const cidr = parse_cidr(network);
  REQUIRE_FALSE(cidr);
  return cidr.error().message;
}

TEST_CASE("an address is parsed in the notations of both families, and nothing else is") {
  for (const char* text : {"0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::1"}) {
    CAPTURE(text);
    std::optional<IpAddress> const address = parse_ip(text);
    REQUIRE(address);
    CHECK(ip_text(*address) == text);
  }
  CHECK(ip_text(*parse_ip("2001:DB8:0:0::1")) == "2001:db8::1");
  for (std::string const text :
       {"", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4/8",
        "1.2.3.4:80", "[::1]", "::1%lo", ":::", "1::2::3", "g::", "localhost", "unknown",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_ip(text));
  }
  CHECK_FALSE(parse_ip(std::string_view("1.2.3.4\0", 8)));
}

TEST_CASE("an IPv4 address in the form of IPv6 is the IPv4 address") {
  CHECK(parse_ip("::ffff:192.0.2.1") == parse_ip("192.0.2.1"));
  CHECK(parse_ip("192.0.2.1")->is_v4());
  CHECK_FALSE(parse_ip("::192.0.2.1")->is_v4());
  CHECK_FALSE(parse_ip("::1")->is_v4());
}

TEST_CASE("a network has the addresses of its family that begin with its bits") {
  CHECK(contains("10.0.0.0/8", "10.255.255.255"));
  CHECK_FALSE(contains("10.0.0.0/8", "11.0.0.0"));
  CHECK(contains("192.0.2.128/25", "192.0.2.255"));
  CHECK_FALSE(contains("192.0.2.128/25", "192.0.2.127"));
  CHECK(contains("192.0.2.1", "192.0.2.1"));
  CHECK_FALSE(contains("192.0.2.1", "192.0.2.0"));
  CHECK(contains("0.0.0.0/0", "255.255.255.255"));
  CHECK(contains("2001:db8::/32", "2001:db8:ffff::1"));
  CHECK_FALSE(contains("2001:db8::/32", "2001:db9::"));
  CHECK(contains("2001:db8::/33", "2001:db8:7fff::"));
  CHECK_FALSE(contains("2001:db8::/33", "2001:db8:8000::"));
  CHECK(contains("::/0", "2001:db8::1"));
  CHECK_FALSE(contains("::/0", "192.0.2.1"));
  CHECK_FALSE(contains("0.0.0.0/0", "::1"));
  CHECK(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
}

TEST_CASE("the error of a network says what to write") {
  CHECK(fault_of("") == "must be an IP address or ADDRESS/BITS, not \"\"");
  CHECK(fault_of("proxy/8") == "must be an IP address or ADDRESS/BITS, not \"proxy/8\"");
  CHECK(fault_of("10.1.0.0/8") ==
        "\"10.1.0.0/8\" has bits behind the first 8: write \"10.0.0.0/8\"");
  CHECK(fault_of("2001:db8::1/64") ==
        "\"2001:db8::1/64\" has bits behind the first 64: write \"2001:db8::/64\"");
  CHECK(fault_of("::ffff:10.0.0.0/104") ==
        "\"::ffff:10.0.0.0/104\" is an IPv4 address in the form of IPv6: write 10.0.0.0, and bits "
        "from 0 to 32");
  for (std::string const bits : {"33", "-1", "08", "", " 8", "8 ", "8/8", "x", "4294967304"}) {
    CAPTURE(bits);
    CHECK(fault_of("10.0.0.0/" + bits).starts_with("the bits of a network must be from 0 to 32, "));
  }
  CHECK(fault_of("::/129").starts_with("the bits of a network must be from 0 to 128, "));
}

}  // namespace
}  // namespace huntd
