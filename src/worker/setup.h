/* SPDX-License-Identifier: Apache-2.0 */
/* What the job that compiles a hunt has beside the script (bundle/setup.h). It goes into the image.
 */
#pragma once
#include <lua.h>

#include "worker/core_link.h"

/* Pushes hunt.config of the hunt that `run` compiles: a table that a script cannot change by
 * mistake, empty if the job has none. REQUIRES: make_list_mark() was called.
 */
void push_config(lua_State* L, struct run* run);
