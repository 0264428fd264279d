/* SPDX-License-Identifier: Apache-2.0 */
/* What to do about an error of a script, in words for people who do not write programs. */
#pragma once
#include <stddef.h>

/* Writes what to do about the error that Lua describes by `message`, as "; write hunt.held()",
 * NUL-terminated and cut to `size`; "" if nothing is known about it. Allocates nothing.
 */
void error_help(const char* message, char* into, size_t size);

/* Whether one letter more, less or another, or two letters swapped, make `a` into `b`. */
int nearly_equal(const char* a, size_t a_size, const char* b);
