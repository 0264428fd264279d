/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 (RFC 3629). */
#pragma once
#include <stddef.h>

/* The length of the valid sequence at `text`; 0 if there is none. REQUIRES: size > 0. */
static inline size_t utf8_length(const unsigned char* text, size_t size) {
  unsigned char const lead = text[0];
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  size_t const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (size < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((text[i] & 0xc0) != 0x80) return 0;
  if ((lead == 0xe0 && text[1] < 0xa0) || (lead == 0xed && text[1] > 0x9f) ||
      (lead == 0xf0 && text[1] < 0x90) || (lead == 0xf4 && text[1] > 0x8f))
    return 0;
  return length;
}

/* How much of a text fits into `max` bytes without a part of a character at its end. Bytes that are
 * not UTF-8 are cut at `max`.
 */
static inline size_t utf8_cut(const char* text, size_t size, size_t max) {
  if (size <= max) return size;
  for (size_t back = 1; back <= 3 && back <= max; ++back) {
    size_t const at = max - back;
    size_t const length = utf8_length((const unsigned char*)text + at, size - at);
    if (length > 0) return length > back ? at : max;
  }
  return max;
}
