// SPDX-License-Identifier: Apache-2.0
// Ids that clients and scripts choose: hunt_id, hunter_id, loot_id, and the idempotency key.
#pragma once
#include <string_view>

#include "base/limits.h"

namespace huntd {

// True for [A-Za-z0-9_.-]. Without colons and braces, a Redis key built from ids can be parsed in
// one way only.
constexpr bool is_id_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-';
}

// True if `text` matches [A-Za-z0-9_.-]{1,64}.
constexpr bool is_id(std::string_view text) {
  if (text.empty() || text.size() > limits::id_bytes_max) return false;
  for (char c : text)
    if (!is_id_char(c)) return false;
  return true;
}

// True for an id that is safe as a segment of a path: proxies resolve "." and ".." away (RFC 3986
// section 5.2.4). What comes in is checked with this; what is stored may have any is_id().
constexpr bool is_path_id(std::string_view text) {
  return is_id(text) && text != "." && text != "..";
}

// True if `text` consists of visible ASCII characters (0x21 to 0x7e).
constexpr bool is_visible_ascii(std::string_view text) {
  for (char c : text)
    if (c < 0x21 || c > 0x7e) return false;
  return true;
}

// True for an Idempotency-Key: 1 to 128 visible ASCII characters.
constexpr bool is_idempotency_key(std::string_view text) {
  return !text.empty() && text.size() <= limits::idempotency_key_bytes_max &&
         is_visible_ascii(text);
}

}  // namespace huntd
