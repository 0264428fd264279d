// SPDX-License-Identifier: Apache-2.0
// Classes of bytes in a request, and comparisons of names. Private to the files of the parser.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace huntd::http {

// The classes of a byte, as bits.
// tchar, RFC 9110 section 5.6.2
inline constexpr uint8_t token_bit = 1;
// field-content with space, tab and obs-text, RFC 9110 section 5.5
inline constexpr uint8_t value_bit = 2;
// a request target: RFC 3986 without the fragment
inline constexpr uint8_t target_bit = 4;
// reg-name without its percent escapes, RFC 3986 section 3.2.2
inline constexpr uint8_t host_bit = 8;
inline constexpr uint8_t hex_bit = 16;

struct ByteClasses {
  uint8_t bits[256] = {};
  constexpr ByteClasses() {
    constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
    constexpr std::string_view not_in_target = "\"#<>\\^`{|}";
    constexpr std::string_view host_marks = "-._~!$&'()*+,;=";
    for (int c = 0; c < 256; ++c) {
      bool const digit = c >= '0' && c <= '9';
      bool const letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      auto const in = [c](std::string_view set) {
        return c < 128 && set.find(static_cast<char>(c)) != std::string_view::npos;
      };
      if (digit || letter || in(marks)) bits[c] |= token_bit;
      if (c == '\t' || (c >= 0x20 && c != 0x7f)) bits[c] |= value_bit;
      if (c > 0x20 && c < 0x7f && !in(not_in_target)) bits[c] |= target_bit;
      if (digit || letter || in(host_marks)) bits[c] |= host_bit;
      if (digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) bits[c] |= hex_bit;
    }
  }
};
inline constexpr ByteClasses byte_classes;

inline bool is(uint8_t bit, char c) {
  return (byte_classes.bits[static_cast<uint8_t>(c)] & bit) != 0;
}

// The number of bytes of the class at the front of `text`.
inline size_t span(uint8_t bit, std::string_view text) {
  size_t length = 0;
  while (length < text.size() && is(bit, text[length])) ++length;
  return length;
}

// span(value_bit, text), eight bytes at a time: values are the largest part of a head.
inline size_t value_span(std::string_view text) {
  constexpr uint64_t ones = 0x0101010101010101;
  constexpr uint64_t highs = 0x8080808080808080;
  size_t length = 0;
  for (;;) {
    while (text.size() - length >= 8) {
      uint64_t bytes = 0;
      std::memcpy(&bytes, text.data() + length, 8);
      uint64_t const del = bytes ^ (0x7f * ones);
      uint64_t const found = (((bytes - 0x20 * ones) & ~bytes) | ((del - ones) & ~del)) & highs;
      if (found != 0) break;
      length += 8;
    }
    // These eight bytes have a tab or the end of the value, or fewer than eight are left.
    size_t const stop = text.size() - length > 8 ? length + 8 : text.size();
    while (length < stop && is(value_bit, text[length])) ++length;
    if (length < stop || stop == text.size()) return length;
  }
}

inline bool is_token(std::string_view text) {
  return !text.empty() && span(token_bit, text) == text.size();
}

inline char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// Compares without case. REQUIRES: `name` is in lower case.
inline bool same_name(std::string_view text, std::string_view name) {
  if (text.size() != name.size()) return false;
  for (size_t i = 0; i < text.size(); ++i)
    if (lower(text[i]) != name[i]) return false;
  return true;
}

// `text` without the spaces and tabs around it.
inline std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace huntd::http
