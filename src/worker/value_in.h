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

/* The mark of tables that are arrays, empty ones too: hunt.input's arrays and hunt.list{}. It is a
 * metatable without fields, so that a marked table works as any other. To be made once per state.
 */
void make_list_mark(lua_State* L);
/* Marks the table on top of the stack. */
void mark_list(lua_State* L);
/* The same for a list that the script must not change, as those of hunt.config. The metatable of
 * such lists may get fields.
 */
void mark_fixed_list(lua_State* L);
void push_fixed_list_mark(lua_State* L);
/* Whether the table is one or the other. */
int is_list(lua_State* L, int index);
