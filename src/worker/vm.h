/* SPDX-License-Identifier: Apache-2.0 */
/* The Lua state of a script. It is in the open arena (worker/arena.h), so it can be an image. */
#pragma once
#include "worker/core_link.h"

/* Makes a state that has what a script may use and nothing else, compiles the script, runs its
 * top-level code, and leaves the arena ready for run_script(), or to be copied as an image. Never
 * fails: run->outcome.status is WF_OK, or says with run->outcome.reason what is wrong.
 */
void prepare_script(struct run* run, const char* script, size_t size);

/* The script in the arena will yield the CPU again and again while it runs. Linux's scheduler (EEVDF)
 * lets a task of SCHED_IDLE go on until the next timer tick, up to 4 ms, if the one that wakes has
 * just run. REQUIRES: the state has not run yet, and is not used again.
 */
void yield_while_running(void);

/* Runs the script in the arena and fills in run->outcome. REQUIRES: the state has not run yet. */
void run_script(struct run* run);
