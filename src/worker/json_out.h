/* SPDX-License-Identifier: Apache-2.0 */
/* Lua values as JSON. */
#pragma once
#include <lua.h>

/* Writes the value at `index` into `into`, not NUL-terminated. Returns the length, or -1 with
 * *reason set for the script author: "the result" goes before it.
 */
int write_json(lua_State* L, int index, char* into, size_t size, const char** reason);
