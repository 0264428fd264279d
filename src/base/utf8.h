// SPDX-License-Identifier: Apache-2.0
// UTF-8 validation (RFC 3629), and texts that are valid after it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace huntd {

// Returns the length of the valid sequence at the start of `text`, or 0 if it is invalid. REQUIRES:
// !text.empty().
inline size_t utf8_sequence_bytes(std::string_view text) {
  auto const at = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  uint8_t const lead = at(0);
  if (lead < 0x80) return 1;
  size_t const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((at(i) & 0xc0) != 0x80) return 0;
  // Reject overlong forms, surrogates, and code points above U+10FFFF.
  if (lead == 0xe0 && at(1) < 0xa0) return 0;
  if (lead == 0xed && at(1) > 0x9f) return 0;
  if (lead == 0xf0 && at(1) < 0x90) return 0;
  if (lead == 0xf4 && at(1) > 0x8f) return 0;
  return length;
}

// The first `bytes_max` bytes of a text or fewer: no character is cut in two. REQUIRES: `text` is
// UTF-8.
inline std::string_view cut_utf8(std::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  size_t end = bytes_max;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

// `text` with a question mark for each NUL and each byte that is not UTF-8: PostgreSQL rejects both
// in a text.
inline std::string storable_text(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    size_t const bytes = text.front() == '\0' ? 0 : utf8_sequence_bytes(text);
    if (bytes == 0)
      valid.push_back('?');
    else
      valid.append(text.substr(0, bytes));
    text.remove_prefix(bytes == 0 ? 1 : bytes);
  }
  return valid;
}

// The text of a script for a terminal, which gets nothing else than characters: control characters,
// but for tabs, and bytes that are not UTF-8 become question marks.
inline std::string printable(std::string_view text) {
  std::string clean;
  for (size_t at = 0; at < text.size();) {
    size_t const bytes = utf8_sequence_bytes(text.substr(at));
    bool const c0 = text[at] >= 0 && text[at] < ' ' && text[at] != '\t';
    bool const control = c0 || text[at] == '\x7f';
    // U+0080 to U+009F are controls too.
    bool const c1 = bytes == 2 && text[at] == '\xc2' && static_cast<uint8_t>(text[at + 1]) < 0xa0;
    if (bytes == 0 || control || c1)
      clean += '?';
    else
      clean += text.substr(at, bytes);
    at += std::max<size_t>(bytes, 1);
  }
  return clean;
}

}  // namespace huntd
