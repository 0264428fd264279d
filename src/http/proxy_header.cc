// SPDX-License-Identifier: Apache-2.0
#include "http/proxy_header.h"

#include <algorithm>
#include <cstdint>

#include "base/read_text.h"

namespace huntd {
namespace {

constexpr std::string_view v1_start = "PROXY ";
constexpr std::string_view v2_start("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr size_t v1_bytes_max = 107;  // with CR LF: section 2.1
constexpr size_t v2_fixed_bytes = 16;

// Of version 2: the fields of section 2.2.
constexpr uint8_t command_local = 0x20;
constexpr uint8_t command_proxy = 0x21;
constexpr uint8_t unspecified = 0x00;
constexpr uint8_t tcp_over_ipv4 = 0x11;
constexpr uint8_t tcp_over_ipv6 = 0x21;
constexpr uint8_t unix_stream = 0x31;
constexpr uint8_t type_crc32c = 0x03;
constexpr size_t tlv_fixed_bytes = 3;
constexpr size_t crc_bytes = 4;

uint8_t byte_at(std::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }

const uint8_t* octets(std::string_view bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

ParseStatus bad(ProxyHeader& header, const char* fault) {
  header.fault = fault;
  return ParseStatus::bad;
}

bool is_port(std::string_view text) {
  bool const padded = text.size() > 1 && text.front() == '0';
  return !padded && read_number<uint16_t>(text).has_value();
}

// An address in the notation of the family.
std::optional<IpAddress> address_of(std::string_view text, bool v6) {
  if ((text.find(':') != std::string_view::npos) != v6) return std::nullopt;
  return parse_ip(text);
}

// Section 2.1. REQUIRES: `bytes` starts as version 1 does, as far as it goes.
ParseStatus parse_v1(std::string_view bytes, ProxyHeader& header) {
  std::string_view const known = bytes.substr(0, v1_bytes_max);
  size_t const lf = known.find('\n');
  if (lf == std::string_view::npos) {
    if (bytes.size() < v1_bytes_max) return ParseStatus::need_more;
    return bad(header, "a header of version 1 has more than 107 bytes");
  }
  if (known[lf - 1] != '\r') return bad(header, "a header of version 1 does not end in CR LF");
  header.bytes = lf + 1;
  std::string_view rest = known.substr(v1_start.size(), lf - 1 - v1_start.size());
  if (rest == "UNKNOWN" || rest.starts_with("UNKNOWN ")) return ParseStatus::done;
  std::string_view const family = take_word(rest);
  if (family != "TCP4" && family != "TCP6")
    return bad(header, "the family is not TCP4, TCP6 or UNKNOWN");
  bool const v6 = family == "TCP6";
  bool const four_words = std::ranges::count(rest, ' ') == 3;
  header.client = address_of(take_word(rest), v6);
  bool const addresses = header.client && address_of(take_word(rest), v6);
  if (!four_words || !addresses) return bad(header, "an address is malformed");
  if (!is_port(take_word(rest)) || !is_port(rest)) return bad(header, "a port is malformed");
  return ParseStatus::done;
}

// CRC-32C (Castagnoli; RFC 3720 appendix B.4) of the header, in which the checksum is 0.
uint32_t crc32c(std::string_view bytes, size_t checksum_at) {
  uint32_t crc = ~0U;
  for (size_t i = 0; i < bytes.size(); ++i) {
    bool const is_checksum = i >= checksum_at && i < checksum_at + crc_bytes;
    crc ^= is_checksum ? 0 : byte_at(bytes, i);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0x82f63b78 & (0 - (crc & 1)));
  }
  return ~crc;
}

// Checks the TLVs (section 2.2.1) from `at` to the end of the header: their lengths and a checksum.
// The others are ignored.
ParseStatus check_tlvs(std::string_view bytes, size_t at, ProxyHeader& header) {
  while (at < bytes.size()) {
    if (bytes.size() - at < tlv_fixed_bytes) return bad(header, "a TLV is incomplete");
    size_t const length = byte_at(bytes, at + 1) * 256U + byte_at(bytes, at + 2);
    size_t const value = at + tlv_fixed_bytes;
    if (bytes.size() - value < length) return bad(header, "a TLV is longer than the header");
    if (byte_at(bytes, at) == type_crc32c) {
      uint32_t sent = 0;
      for (size_t i = 0; i < std::min(length, crc_bytes); ++i)
        sent = sent << 8 | byte_at(bytes, value + i);
      if (length != crc_bytes || sent != crc32c(bytes, value))
        return bad(header, "the checksum does not match");
    }
    at = value + length;
  }
  return ParseStatus::done;
}

// Reads the addresses of a header of version 2. `bytes` is the whole header.
ParseStatus read_addresses(std::string_view bytes, ProxyHeader& header) {
  size_t address_bytes = 0;
  switch (byte_at(bytes, 13)) {
    case unspecified:  // what follows is of a family that the proxy does not name
      return ParseStatus::done;
    case tcp_over_ipv4:
      address_bytes = 12;
      break;
    case tcp_over_ipv6:
      address_bytes = 36;
      break;
    case unix_stream:
      address_bytes = 216;
      break;
    default:
      return bad(header, "the family or the transport is unknown, or is not a stream");
  }
  if (bytes.size() - v2_fixed_bytes < address_bytes)
    return bad(header, "a header of version 2 is too short for its addresses");
  const uint8_t* const client = octets(bytes) + v2_fixed_bytes;
  if (byte_at(bytes, 13) == tcp_over_ipv4) header.client = ipv4_of(client);
  if (byte_at(bytes, 13) == tcp_over_ipv6) header.client = ipv6_of(client);
  return check_tlvs(bytes, v2_fixed_bytes + address_bytes, header);
}

// Section 2.2. REQUIRES: `bytes` starts as version 2 does, as far as it goes.
ParseStatus parse_v2(std::string_view bytes, ProxyHeader& header) {
  if (bytes.size() > v2_start.size()) {
    uint8_t const command = byte_at(bytes, 12);
    if (command != command_local && command != command_proxy)
      return bad(header, "the version is not 1 or 2, or the command is unknown");
  }
  if (bytes.size() < v2_fixed_bytes) return ParseStatus::need_more;
  size_t const length = byte_at(bytes, 14) * 256U + byte_at(bytes, 15);
  if (v2_fixed_bytes + length > proxy_header_bytes_max)
    return bad(header, "a header of version 2 has more than 4096 bytes");
  if (bytes.size() < v2_fixed_bytes + length) return ParseStatus::need_more;
  header.bytes = v2_fixed_bytes + length;
  header.local = byte_at(bytes, 12) == command_local;
  if (header.local) return ParseStatus::done;
  return read_addresses(bytes.substr(0, header.bytes), header);
}

}  // namespace

ParseStatus parse_proxy_header(std::string_view bytes, ProxyHeader& header) {
  header = {};
  auto const may_be = [&](std::string_view start) {
    return bytes.substr(0, start.size()) == start.substr(0, bytes.size());
  };
  bool const v1 = may_be(v1_start);
  if (!v1 && !may_be(v2_start)) return bad(header, "the connection does not begin with a header");
  if (bytes.size() < v1_start.size()) return ParseStatus::need_more;
  return v1 ? parse_v1(bytes, header) : parse_v2(bytes, header);
}

}  // namespace huntd
