/* SPDX-License-Identifier: Apache-2.0 */
/* Values of the core as Lua values. */
#pragma once
#include <lua.h>

#include "wire/worker_frame.h"

/* Pushes a value (wire/value.h); raises a Lua error if it is malformed. */
void push_value(lua_State* L, struct wf_text value);

/* JSON's null in Lua: a light userdata. */
void push_null(lua_State* L);
int is_null(lua_State* L, int index);
