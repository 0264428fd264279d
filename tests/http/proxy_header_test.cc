// SPDX-License-Identifier: Apache-2.0
#include "http/proxy_header.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

namespace huntd {
namespace {

using namespace std::string_literals;

// The result of a header with something behind it, which must not matter, and of each of its parts,
// none of which is a header: "ADDRESS BYTES", "none BYTES" or "bad: REASON".
std::string read(const std::string& bytes) {
  ProxyHeader header;
  ParseStatus const status = parse_proxy_header(bytes, header);
  if (status == ParseStatus::bad) return "bad: "s + header.fault;
  if (status == ParseStatus::need_more) return "more";
  CHECK(header.bytes <= bytes.size());
  for (size_t part = 0; part < header.bytes; ++part) {
    ProxyHeader of_part;
    CAPTURE(part);
    CHECK(parse_proxy_header(std::string_view(bytes).substr(0, part), of_part) ==
          ParseStatus::need_more);
  }
  return (header.client ? ip_text(*header.client) : "none") + " " + std::to_string(header.bytes);
}

TEST_CASE("a header of version 1 names the client") {
  CHECK(read("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET / HTTP/1.1\r\n") ==
        "192.0.2.1 45");
  CHECK(read("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n") == "255.255.255.255 56");
  CHECK(read("PROXY TCP6 2001:db8::1 ::1 1 0\r\n") == "2001:db8::1 32");
  CHECK(read("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 0\r\n") == "192.0.2.1 37");
  CHECK(read("PROXY UNKNOWN\r\n") == "none 15");
  CHECK(read("PROXY UNKNOWN ffff:f...f:ffff what ever it says\r\nx") == "none 49");
}

TEST_CASE("a header of version 1 is strict") {
  for (std::string const line : {"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n",
                                 "PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n",
                                 "PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n",
                                 "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 \r\n",
                                 "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n",
                                 "PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n",
                                 "PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n",
                                 "PROXY TCP4 192.0.2.1 x 1 2\r\n",
                                 "PROXY TCP4 192.0.2.01 198.51.100.1 1 2\r\n",
                                 "PROXY TCP4 ::1 ::1 1 2\r\n",
                                 "PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
                                 "PROXY TCP4 192.0.2.1 198.51.100.1 -1 2\r\n",
                                 "PROXY TCP4\r\n",
                                 "PROXY TCP4 \r\n",
                                 "PROXY \r\n",
                                 "PROXY UDP4 192.0.2.1 192.0.2.1 1 2\r\n",
                                 "PROXY UNKNOWNS\r\n",
                                 "PROXY unknown\r\n",
                                 "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\r\n",
                                 "PROXY\tTCP4 192.0.2.1 198.51.100.1 1 2\r\n",
                                 "proxy TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
                                 "GET / HTTP/1.1\r\n",
                                 "\r\nGET / HTTP/1.1\r\n",
                                 "PROXX",
                                 "X",
                                 "PROXY UNKNOWN\n"}) {
    CAPTURE(line);
    CHECK(read(line).starts_with("bad: "));
  }
}

TEST_CASE("a header of version 1 ends within its bound") {
  std::string const start = "PROXY UNKNOWN ";
  CHECK(read(start + std::string(107 - start.size() - 2, 'x') + "\r\n") == "none 107");
  CHECK(read(start + std::string(106 - start.size(), 'x')) == "more");
  CHECK(read(start + std::string(107 - start.size(), 'x')) ==
        "bad: a header of version 1 has more than 107 bytes");
  CHECK(read(start + std::string(106 - start.size(), 'x') + "\r\n") ==
        "bad: a header of version 1 has more than 107 bytes");
}

// A header of version 2.
std::string v2(char command, char family, const std::string& rest) {
  std::string header = "\r\n\r\n\0\r\nQUIT\n"s + command + family;
  header += static_cast<char>(rest.size() >> 8);
  header += static_cast<char>(rest.size() & 0xff);
  return header + rest;
}

const std::string over_ipv4 = "\xc0\0\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb"s;
const std::string over_ipv6 = "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x01"s +
                              std::string(15, '\0') + "\x01\xdc\x04\x01\xbb"s;

TEST_CASE("a header of version 2 names the client") {
  CHECK(read(v2('\x21', '\x11', over_ipv4) + "GET") == "192.0.2.1 28");
  CHECK(read(v2('\x21', '\x21', over_ipv6)) == "2001:db8::1 52");
  CHECK(read(v2('\x21', '\x31', std::string(216, 'p'))) == "none 232");
  CHECK(read(v2('\x21', '\x00', "")) == "none 16");
  CHECK(read(v2('\x21', '\x00', "what ever it is")) == "none 31");
  CHECK(read(v2('\x20', '\x00', "")) == "none 16");
  CHECK(read(v2('\x20', '\x11', over_ipv4)) == "none 28");
  CHECK(read(v2('\x20', '\x77', "x")) == "none 17");
  CHECK(read(v2('\x21', '\x11', over_ipv4 + "\x04\x00\x02xx\xe0\0\0"s)) == "192.0.2.1 36");
}

TEST_CASE("a header of version 2 is strict") {
  for (const std::string& header :
       {v2('\x21', '\x11', over_ipv4.substr(1)), v2('\x21', '\x21', over_ipv6.substr(1)),
        v2('\x21', '\x31', std::string(215, 'p')), v2('\x21', '\x12', over_ipv4),
        v2('\x21', '\x22', over_ipv6), v2('\x21', '\x32', std::string(216, 'p')),
        v2('\x21', '\x10', over_ipv4), v2('\x21', '\x41', over_ipv4), v2('\x22', '\x11', over_ipv4),
        v2('\x11', '\x11', over_ipv4), v2('\x31', '\x11', over_ipv4),
        v2('\x21', '\x11', over_ipv4 + "\x04"s), v2('\x21', '\x11', over_ipv4 + "\x04\0"s),
        v2('\x21', '\x11', over_ipv4 + "\x04\0\x01"s),
        v2('\x21', '\x11', over_ipv4 + "\x04\0\0\x04\0\x03xx"s), "\r\n\r\n\0\r\nQUIT\r"s}) {
    CAPTURE(header);
    CHECK(read(header).starts_with("bad: "));
  }
}

TEST_CASE("a checksum in a header of version 2 has to match") {
  // CRC-32C of the header with four zeros in its place, computed with another implementation.
  std::string const right = over_ipv4 + "\x03\0\x04"s + "\x73\x7e\xe9\x19"s;
  CHECK(read(v2('\x21', '\x11', right)) == "192.0.2.1 35");
  std::string wrong = v2('\x21', '\x11', right);
  wrong[16] ^= 1;
  CHECK(read(wrong) == "bad: the checksum does not match");
  CHECK(read(v2('\x21', '\x11', over_ipv4 + "\x03\0\x03xxx"s)) ==
        "bad: the checksum does not match");
}

TEST_CASE("a header of version 2 has at most 4096 bytes") {
  auto const with_bytes = [](size_t bytes) {
    size_t const value = bytes - 28 - 3;
    return v2('\x21', '\x11',
              over_ipv4 + "\xe0"s + static_cast<char>(value >> 8) +
                  static_cast<char>(value & 0xff) + std::string(value, 'x'));
  };
  static_assert(proxy_header_bytes_max == 4096);
  CHECK(read(with_bytes(4096)) == "192.0.2.1 4096");
  // It is rejected before the bytes that it announces are here.
  CHECK(read(with_bytes(4097).substr(0, 16)) ==
        "bad: a header of version 2 has more than 4096 bytes");
}

}  // namespace
}  // namespace huntd
