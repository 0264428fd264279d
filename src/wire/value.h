/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON value as the worker gets it: the core has checked the text and written it down again so
 * that reading needs no parser (docs/formats/worker-frames.md). A value is a tag and what belongs
 * to it; numbers are little-endian.
 */
#pragma once

enum value_tag {
  VALUE_NULL = 0,
  VALUE_FALSE = 1,
  VALUE_TRUE = 2,
  VALUE_NUMBER = 3, /* f64 */
  VALUE_TEXT = 4,   /* u32 size, bytes (UTF-8) */
  VALUE_ARRAY = 5,  /* u32 n, n values */
  VALUE_OBJECT = 6, /* u32 n, n times (u32 size, bytes, value) */
};
