/* What the parts of hunt_worker share: one run of one hunt, in one process that then ends. */
#pragma once
#include <lua.h>

#include "protocol/worker_frame.h"

/* Storage of what an outcome's texts point to. */
struct texts {
  char loot_ids[WF_AWARDS_MAX][WF_ID_BYTES_MAX];
  char result[WF_RESULT_BYTES_MAX];
  char reason[WF_REASON_BYTES_MAX];
  char log[WF_LOG_BYTES_MAX];
};

struct run {
  uint64_t random_state[4];
  int rejected; /* hunt.reject was called: no pcall undoes it */
  struct wf_job job;
  struct wf_outcome outcome;
  struct texts* texts;
};

/* CLOCK_MONOTONIC. */
uint64_t now_ns(void);

/* Copies as much of a text as fits as the outcome's reason. */
void set_reason(struct run* run, const char* text, size_t size);

/* Sends a frame to the core and waits for its answer of type `want`; the process ends where the
 * core is gone or breaks the rules. The reader is left at the answer's payload, in memory that the
 * next call reuses. */
void ask(const unsigned char* frame, size_t size, enum wf_type want, struct wf_reader* answer);

/* vm.c: makes a state in the open arena with what a script may use and nothing else, compiles the
 * script, runs its top level, and leaves the arena ready for run_script(), or to be copied as an
 * image. Never fails: what goes wrong is in run->outcome, whose status is WF_OK where nothing does.
 */
void prepare_script(struct run* run, const char* script, size_t size);
/* Runs the script that the arena holds, filling in run->outcome. Once: the state is used then. */
void run_script(struct run* run);

/* hunt_api.c: pushes the `hunt` table as it is before a run. Its functions work on `run`, which
 * must stand at the same address whenever the state is used. */
void push_hunt(lua_State* L, struct run* run);
/* Fills in what this run's job says; the table is on top of the stack. */
void begin_hunt(lua_State* L, struct run* run);

/* value_in.c: pushes the input (protocol/value.h); raises a Lua error where it is malformed. */
void push_value(lua_State* L, struct wf_text value);
/* The light userdata that stands for JSON's null. */
void push_null(lua_State* L);
int is_null(lua_State* L, int index);

/* json_out.c: writes the value at `index` as JSON into `into`: its length, or -1 with a message for
 * the artist. */
int write_json(lua_State* L, int index, char* into, size_t size, const char** why);
