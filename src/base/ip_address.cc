// SPDX-License-Identifier: Apache-2.0
#include "base/ip_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/read_text.h"

namespace huntd {
namespace {

constexpr std::array<uint8_t, 12> v4_prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr unsigned v4_prefix_bits = 96;

// The address with all bits behind the first `bits` set to 0.
IpAddress masked(IpAddress address, unsigned bits) {
  for (unsigned i = 0; i < address.bytes.size(); ++i) {
    unsigned const kept = std::clamp<int>(static_cast<int>(bits) - static_cast<int>(8 * i), 0, 8);
    address.bytes[i] &= static_cast<uint8_t>(0xff00 >> kept);
  }
  return address;
}

// `text` as a number without leading zeros.
std::optional<unsigned> whole_number(std::string_view text) {
  bool const padded = text.size() > 1 && text.front() == '0';
  return padded ? std::nullopt : read_number<unsigned>(text);
}

}  // namespace

bool IpAddress::is_v4() const {
  return std::equal(v4_prefix.begin(), v4_prefix.end(), bytes.begin());
}

IpAddress ipv4_of(const uint8_t* four_bytes) {
  IpAddress address;
  std::copy(v4_prefix.begin(), v4_prefix.end(), address.bytes.begin());
  std::memcpy(address.bytes.data() + v4_prefix.size(), four_bytes, 4);
  return address;
}

IpAddress ipv6_of(const uint8_t* sixteen_bytes) {
  IpAddress address;
  std::memcpy(address.bytes.data(), sixteen_bytes, address.bytes.size());
  return address;
}

std::optional<IpAddress> parse_ip(std::string_view text) {
  char terminated[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof terminated || text.find('\0') != std::string_view::npos)
    return std::nullopt;
  *std::copy(text.begin(), text.end(), terminated) = '\0';
  uint8_t bytes[16];
  if (inet_pton(AF_INET, terminated, bytes) == 1) return ipv4_of(bytes);
  if (inet_pton(AF_INET6, terminated, bytes) == 1) return ipv6_of(bytes);
  return std::nullopt;
}

std::string ip_text(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN];
  bool const v4 = address.is_v4();
  const void* const bytes = address.bytes.data() + (v4 ? v4_prefix.size() : 0);
  CHECK(inet_ntop(v4 ? AF_INET : AF_INET6, bytes, text, sizeof text) != nullptr);
  return text;
}

bool Cidr::contains(const IpAddress& address) const {
  return address.is_v4() == v4 && masked(address, bits) == network;
}

Result<Cidr> parse_cidr(const std::string& text) {
  std::string_view const whole = text;
  size_t const slash = std::min(whole.find('/'), whole.size());
  std::optional<IpAddress> const address = parse_ip(whole.substr(0, slash));
  if (!address)
    return Error{fmt::format("must be an IP address or ADDRESS/BITS, not \"{}\"", text)};
  bool const v4 = address->is_v4();
  if (v4 && whole.find(':') != std::string_view::npos)
    return Error{
        fmt::format("\"{}\" is an IPv4 address in the form of IPv6: write {}, and bits from "
                    "0 to 32",
                    text, ip_text(*address))};
  unsigned const bits_max = v4 ? 32 : 128;
  std::optional<unsigned> const bits =
      slash == whole.size() ? bits_max : whole_number(whole.substr(slash + 1));
  if (!bits || *bits > bits_max)
    return Error{
        fmt::format("the bits of a network must be from 0 to {}, as in \"{}/{}\", not "
                    "\"{}\"",
                    bits_max, whole.substr(0, slash), bits_max, text)};
  unsigned const all_bits = v4 ? *bits + v4_prefix_bits : *bits;
  Cidr const cidr{masked(*address, all_bits), all_bits, v4};
  if (cidr.network != *address)
    return Error{fmt::format("\"{}\" has bits behind the first {}: write \"{}/{}\"", text, *bits,
                             ip_text(cidr.network), *bits)};
  return cidr;
}

}  // namespace huntd
