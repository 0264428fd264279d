// SPDX-License-Identifier: Apache-2.0
// UTF-8 validation (RFC 3629).
#pragma once
#include <cstddef>
#include <cstdint>
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

}  // namespace huntd
