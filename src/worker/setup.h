/* SPDX-License-Identifier: Apache-2.0 */
/* What the job that compiles a hunt has beside the script (bundle/setup.h). It goes into the image.
 */
#pragma once
#include <lua.h>

#include "worker/core_link.h"

/* Reads the setup of the job, until end_setup(), and bounds the memory of the state if the hunt has
 * a bound of its own. REQUIRES: make_list_mark() was called.
 */
void begin_setup(lua_State* L, struct run* run);
void end_setup(lua_State* L);

/* Whether a hunt is being compiled. */
int in_setup(lua_State* L);
/* Pushes a field of the setup; nil if it has none. REQUIRES: in_setup(). */
void push_setup_field(lua_State* L, const char* name);

/* Pushes hunt.config: a table that a script cannot change by mistake, empty if there is none. */
void push_config(lua_State* L);
