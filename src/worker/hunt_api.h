/* SPDX-License-Identifier: Apache-2.0 */
/* The `hunt` table that a script is called with (docs/scripts.md). */
#pragma once
#include <lua.h>

#include "worker/core_link.h"

/* Index in the registry: the table of hunt.state(), if run->asked_state. */
enum { ref_state = 4 };

/* Pushes the table as it is before a run; it becomes part of the image. Its functions use `run`,
 * which must be at the same address in every process that uses the state.
 */
void push_hunt(lua_State* L, struct run* run);

/* Sets the fields that depend on the job, in the table on top of the stack. */
void begin_hunt(lua_State* L, struct run* run);
