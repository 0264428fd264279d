/* SPDX-License-Identifier: Apache-2.0 */
/* require("NAME"): the shared code in lib/NAME.lua. It runs once, when a hunt is compiled; what it
 * returns is in the image of the hunt.
 */
#pragma once
#include <lua.h>

/* Sets the global function require. REQUIRES: begin_setup() was called. */
void open_require(lua_State* L);
