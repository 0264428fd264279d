// SPDX-License-Identifier: Apache-2.0
#include "auth/base64url.h"

#include <cstdint>

namespace huntd {
namespace {

constexpr unsigned bits_per_character = 6;
constexpr unsigned bits_per_byte = 8;

// The six bits that a character stands for; -1 if it stands for none.
int bits_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '-') return 62;
  return c == '_' ? 63 : -1;
}

}  // namespace

std::optional<std::string> read_base64url(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() * bits_per_character / bits_per_byte);
  uint32_t kept = 0;  // the last `count` bits wait for those of the next byte
  unsigned count = 0;
  for (char const c : text) {
    int const bits = bits_of(c);
    if (bits < 0) return std::nullopt;
    kept = (kept << bits_per_character) | static_cast<uint32_t>(bits);
    count += bits_per_character;
    if (count < bits_per_byte) continue;
    count -= bits_per_byte;
    bytes.push_back(static_cast<char>(kept >> count));
    kept &= (1U << count) - 1;
  }
  // What is left of the last character must be zeros, and not a whole character.
  if (count >= bits_per_character || kept != 0) return std::nullopt;
  return bytes;
}

}  // namespace huntd
