// SPDX-License-Identifier: Apache-2.0
// Numeric IP addresses and networks, as in PROXY headers, X-Forwarded-For and the config file.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace huntd {

// An IPv4 or IPv6 address, without a zone. An IPv4 address a.b.c.d is kept as ::ffff:a.b.c.d (RFC
// 4291 section 2.5.5.2), so that a client has one form on the sockets of both families.
struct IpAddress {
  std::array<uint8_t, 16> bytes{};
  bool is_v4() const;
  bool operator==(const IpAddress&) const = default;
};

// Of four or sixteen bytes in network order.
IpAddress ipv4_of(const uint8_t* four_bytes);
IpAddress ipv6_of(const uint8_t* sixteen_bytes);

// Parses "a.b.c.d", without leading zeros, or an IPv6 address (RFC 4291 section 2.2) without
// brackets. Nothing if `text` is anything else, such as a name.
std::optional<IpAddress> parse_ip(std::string_view text);
// The reverse of parse_ip(), in the form of RFC 5952.
std::string ip_text(const IpAddress& address);

// A network: the addresses of one family whose first bits are the same.
struct Cidr {
  IpAddress network;
  unsigned bits = 128;  // the first of IpAddress::bytes that count
  bool v4 = false;      // it has IPv4 addresses only; else IPv6 addresses only
  bool contains(const IpAddress& address) const;
};

// Parses "ADDRESS/BITS", or an address alone, which is a network of one. The bits of the address
// behind the first BITS must be 0. The error says what to write.
Result<Cidr> parse_cidr(const std::string& text);

}  // namespace huntd
