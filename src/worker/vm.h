/* SPDX-License-Identifier: Apache-2.0 */
/* The Lua state of a script. It is in the open arena (worker/arena.h), so it can be an image. */
#pragma once
#include "worker/core_link.h"

/* Makes a state that has what a script may use and nothing else, compiles the script, runs its
 * top-level code, and leaves the arena ready for run_script(), or to be copied as an image. Never
 * fails: run->outcome.status is WF_OK, or says with run->outcome.reason what is wrong.
 */
void prepare_script(struct run* run, const char* script, size_t size);

/* Runs the script in the arena and fills in run->outcome. REQUIRES: the state has not run yet. */
void run_script(struct run* run);
