/* SPDX-License-Identifier: Apache-2.0 */
/* The names of the `hunt` API that a script sees, and of what is removed from Lua. hunt_worker
 * registers and removes by these lists, and src/check/ checks scripts by them, so they cannot
 * differ. C, since the worker is C.
 */
#pragma once

/* Functions: worker/hunt_api.c has an api_NAME for each. */
#define HUNT_FUNCTIONS(X) \
  X(award) X(date) X(held) X(left) X(list) X(log) X(pick) X(random) X(reject) X(state) X(take)

/* Values. */
#define HUNT_VALUES(X) X(config) X(hunter_id) X(id) X(input) X(now) X(null)

/* Keys of the second argument of hunt.award. */
#define AWARD_OPTIONS(X) X(count) X(limit)

/* Global functions of Lua that a script does not have: they load code, reach files, or stop the
 * collector.
 */
#define REMOVED_GLOBALS(X) \
  X(collectgarbage)        \
  X(dofile)                \
  X(gcinfo)                \
  X(getfenv)               \
  X(load)                  \
  X(loadfile)              \
  X(loadstring)            \
  X(module)                \
  X(newproxy)              \
  X(print)                 \
  X(setfenv)

#define SCRIPT_NAME_TEXT(name) #name,

#define HUNT_VALUE_INDEX(name) HUNT_VALUE_##name,
enum hunt_value { HUNT_VALUES(HUNT_VALUE_INDEX) HUNT_VALUE_COUNT };
static const char* const hunt_value_names[] = {HUNT_VALUES(SCRIPT_NAME_TEXT)};

#define AWARD_OPTION_INDEX(name) AWARD_OPTION_##name,
enum award_option { AWARD_OPTIONS(AWARD_OPTION_INDEX) AWARD_OPTION_COUNT };
static const char* const award_option_names[] = {AWARD_OPTIONS(SCRIPT_NAME_TEXT)};

static const char* const removed_global_names[] = {REMOVED_GLOBALS(SCRIPT_NAME_TEXT)};
