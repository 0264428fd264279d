/* SPDX-License-Identifier: Apache-2.0 */
/* What a script may use, and nothing else. The VM is not the security boundary (the process is): it
 * keeps honest mistakes from looking like attacks.
 */
#include "worker/vm.h"

#include <lauxlib.h>
#include <lualib.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "wire/script_names.h"
#include "worker/arena.h"
#include "worker/clock.h"
#include "worker/error_help.h"
#include "worker/hunt_api.h"
#include "worker/json_out.h"
#include "worker/modules.h"
#include "worker/setup.h"
#include "worker/value_in.h"

static void open_library(lua_State* L, const char* name, lua_CFunction open) {
  lua_pushcfunction(L, open);
  lua_pushstring(L, name);
  lua_call(L, 1, 0);
}

static int open_libraries(lua_State* L) {
  open_library(L, "", luaopen_base);
  open_library(L, LUA_TABLIBNAME, luaopen_table);
  open_library(L, LUA_STRLIBNAME, luaopen_string);
  open_library(L, LUA_MATHLIBNAME, luaopen_math);
  open_library(L, LUA_BITLIBNAME, luaopen_bit);
  size_t const removed_count = sizeof removed_global_names / sizeof removed_global_names[0];
  for (size_t i = 0; i < removed_count; ++i) {
    lua_pushnil(L);
    lua_setglobal(L, removed_global_names[i]);
  }
  lua_getglobal(L, LUA_STRLIBNAME);
  lua_pushnil(L);
  lua_setfield(L, -2, "dump");
  /* hunt.random is the only source of randomness, so that a run can be repeated. */
  lua_getglobal(L, LUA_MATHLIBNAME);
  lua_pushnil(L);
  lua_setfield(L, -2, "random");
  lua_pushnil(L);
  lua_setfield(L, -2, "randomseed");
  lua_settop(L, 0);
  return 0;
}

/* Indices in the registry: the script's function, the hunt table, the handler of uncaught errors.
 */
enum { ref_script = 1, ref_hunt, ref_handler /* then ref_state */ };

/* A collection touches every object, so it copies every page of the image. The first one therefore
 * waits until the state has grown by this much; LuaJIT's default of 200 applies from then on.
 */
enum { first_collection_percent = 1000, collection_percent = 200 };

/* Writes "HUNT_ID.lua", NUL-terminated, and returns its length. */
static size_t file_name(const struct run* run, char into[WF_ID_BYTES_MAX + 8]) {
  size_t const id_size = run->job.hunt_id.size;
  memcpy(into, run->job.hunt_id.data, id_size);
  memcpy(into + id_size, ".lua", 5);
  return id_size + 4;
}

/* Returns the part of `text` behind the file name that it begins with; null if it begins with
 * another. Lua shortens a long name to "..." and its end.
 */
static const char* after_file_name(const char* text, const char* file, size_t file_size) {
  if (strncmp(text, file, file_size) == 0 && text[file_size] == ':') return text + file_size;
  if (strncmp(text, "...", 3) != 0) return NULL;
  const char* const colon = strstr(text, ".lua:");
  if (colon == NULL) return NULL;
  size_t const kept = (size_t)(colon + 4 - (text + 3));
  if (kept > file_size || memcmp(text + 3, file + file_size - kept, kept) != 0) return NULL;
  return colon + 4;
}

enum { place_bytes = WF_ID_BYTES_MAX + 32 };

/* Writes "FILE:LINE" of the code that runs now: of the script, or of a module of it. Without a line
 * if neither is on the stack (a call in `return f()` replaces its caller there).
 */
static void current_place(lua_State* L, const char* file, char into[place_bytes]) {
  lua_Debug frame;
  for (int level = 0; lua_getstack(L, level, &frame) != 0; ++level) {
    if (lua_getinfo(L, "Sl", &frame) == 0 || frame.currentline <= 0) continue;
    const char* const chunk = frame.source[0] == '@' ? frame.source + 1 : file;
    snprintf(into, place_bytes, "%s:%d", chunk, frame.currentline);
    return;
  }
  snprintf(into, place_bytes, "%s", file);
}

/* Sets the reason, "hunt.lua:12: ...", from the error value on top of the stack. `running`: the code
 * that raised it is still on the call stack. Allocates nothing: the error may be the lack of memory.
 */
static void explain(lua_State* L, struct run* run, int running) {
  char file[WF_ID_BYTES_MAX + 8];
  char text[WF_REASON_BYTES_MAX + 5]; /* longer than the reason: set_reason() cuts it */
  char place[place_bytes];
  size_t const file_size = file_name(run, file);
  snprintf(place, sizeof place, "%s", file);
  if (running) current_place(L, file, place);
  if (lua_type(L, -1) != LUA_TSTRING) {
    snprintf(text, sizeof text, "%s: the script raised a %s as its error; use error(\"text\")",
             place, luaL_typename(L, -1));
  } else {
    const char* const thrown = lua_tostring(L, -1);
    const char* const after = after_file_name(thrown, file, file_size);
    char help[80];
    error_help(thrown, help, sizeof help);
    if (after != NULL)
      snprintf(text, sizeof text, "%s%s%s", file, after, help);
    else if (strncmp(thrown, "lib/", 4) == 0 && strstr(thrown, ".lua:") != NULL)
      snprintf(text, sizeof text, "%s%s", thrown, help);
    else
      snprintf(text, sizeof text, "%s: %s%s", place, thrown, help);
  }
  set_reason(run, text, strlen(text));
}

/* Runs for an error that the script does not catch, before the stack is unwound. */
static int on_error(lua_State* L) {
  struct run* run = lua_touserdata(L, lua_upvalueindex(1));
  if (!run->rejected) explain(L, run, 1);
  return 1;
}

/* Fills in the outcome for an error of lua_pcall() or lua_cpcall(). */
static void fail(lua_State* L, struct run* run, int error) {
  if (error == LUA_ERRMEM) {
    run->outcome.status = WF_OUT_OF_MEMORY;
    char file[WF_ID_BYTES_MAX + 8];
    char text[WF_REASON_BYTES_MAX];
    file_name(run, file);
    const char* const bound =
        arena_begin()->bound > 0 ? "memory_bytes of its .toml file" : "worker.memory_bytes";
    snprintf(text, sizeof text, "%s: the script needs more memory than %s", file, bound);
    set_reason(run, text, strlen(text));
    return;
  }
  run->outcome.status = WF_SCRIPT_ERROR;
  if (run->outcome.reason.size == 0) explain(L, run, 0);
}

/* Fills in the outcome for an error in the script that we found, not Lua. */
static void fail_with(struct run* run, const char* where, const char* what) {
  char file[WF_ID_BYTES_MAX + 8];
  char text[WF_REASON_BYTES_MAX];
  file_name(run, file);
  snprintf(text, sizeof text, "%s%s: %s", file, where, what);
  run->outcome.status = WF_SCRIPT_ERROR;
  set_reason(run, text, strlen(text));
}

/* Writes the file name as Lua takes it: "@HUNT_ID.lua". */
static void chunk_name_of(const struct run* run, char chunk_name[WF_ID_BYTES_MAX + 9]) {
  chunk_name[0] = '@';
  file_name(run, chunk_name + 1);
}

struct source {
  struct run* run;
  const char* text;
  size_t size;
};

/* In protected mode, so that no error (above all, of memory) can end the process. */
static int prepare(lua_State* L) {
  struct source* source = lua_touserdata(L, 1);
  struct run* run = source->run;
  /* Bytecode begins with ESC. */
  if (source->size > 0 && source->text[0] == '\033') {
    fail_with(run, ":1", "a script is text, not bytecode");
    return 0;
  }
  open_libraries(L);
  make_list_mark(L);
  begin_setup(L, run);
  open_require(L);
  lua_pushlightuserdata(L, run);
  lua_pushcclosure(L, on_error, 1);
  int const handler = lua_gettop(L);
  char chunk_name[WF_ID_BYTES_MAX + 9];
  chunk_name_of(run, chunk_name);
  int error = luaL_loadbuffer(L, source->text, source->size, chunk_name);
  if (error == 0) error = lua_pcall(L, 0, 1, handler);
  if (error != 0) {
    fail(L, run, error);
    return 0;
  }
  if (!lua_isfunction(L, -1)) {
    fail_with(run, ":1", "the script must return a function: return function(hunt) ... end");
    return 0;
  }
  lua_rawseti(L, LUA_REGISTRYINDEX, ref_script);
  push_hunt(L, run);
  lua_rawseti(L, LUA_REGISTRYINDEX, ref_hunt);
  lua_rawseti(L, LUA_REGISTRYINDEX, ref_handler);
  end_setup(L);
  run->outcome.status = WF_OK;
  return 0;
}

void prepare_script(struct run* run, const char* script, size_t size) {
  struct source source = {run, script, size};
  run->outcome.status = WF_OUT_OF_MEMORY;
  lua_State* const L = lua_newstate(arena_alloc, NULL);
  int const error = L == NULL ? LUA_ERRMEM : lua_cpcall(L, prepare, &source);
  if (error != 0) fail(L, run, error);
  if (run->outcome.status != WF_OK) return;
  lua_gc(L, LUA_GCSETPAUSE, first_collection_percent);
  lua_gc(L, LUA_GCCOLLECT, 0);
  lua_gc(L, LUA_GCSETPAUSE, collection_percent);
  arena_begin()->root = L;
}

/* Writes the value on top of the stack, which `what` names, as JSON into a text of the outcome.
 * Returns 0, with the failure in the outcome, if it has no JSON.
 */
static int write_value(lua_State* L, struct run* run, const char* what, char* into, size_t size,
                       struct wf_text* text) {
  const char* reason = "";
  int const length = write_json(L, lua_gettop(L), into, size, &reason);
  if (length < 0) {
    char failure[128];
    snprintf(failure, sizeof failure, "%s %s", what, reason);
    fail_with(run, "", failure);
    return 0;
  }
  text->data = into;
  text->size = (uint32_t)length;
  return 1;
}

static int protected_run(lua_State* L) {
  struct run* run = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, ref_handler);
  int const handler = lua_gettop(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, ref_script);
  lua_rawgeti(L, LUA_REGISTRYINDEX, ref_hunt);
  begin_hunt(L, run);
  run->outcome.vm_ready_at_ns = now_ns();
  int const error = lua_pcall(L, 1, 1, handler);
  run->outcome.script_done_at_ns = now_ns();
  if (run->rejected) {
    run->outcome.status = WF_REJECTED;
    return 0;
  }
  if (error != 0) {
    fail(L, run, error);
    return 0;
  }
  struct texts* const texts = run->texts;
  struct wf_outcome* const outcome = &run->outcome;
  if (!write_value(L, run, "the result", texts->result, sizeof texts->result, &outcome->result))
    return 0;
  if (run->asked_state) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, ref_state);
    if (!write_value(L, run, "the table of hunt.state()", texts->state, sizeof texts->state,
                     &outcome->state))
      return 0;
  }
  run->outcome.status = WF_OK;
  return 0;
}

/* About 50 us of a loop. */
enum { instructions_per_yield = 10000 };

static void let_others_run(lua_State* L, lua_Debug* where) {
  (void)L;
  (void)where;
  sched_yield();
}

void yield_while_running(void) {
  lua_sethook(arena_begin()->root, let_others_run, LUA_MASKCOUNT, instructions_per_yield);
}

void run_script(struct run* run) {
  lua_State* const L = arena_begin()->root;
  int const error = lua_cpcall(L, protected_run, run);
  if (error != 0) fail(L, run, error);
  /* Only WF_OK awards loot. */
  if (run->outcome.status == WF_OK) return;
  run->outcome.award_count = 0;
  run->outcome.result.size = 0;
  run->outcome.state.data = NULL;
}
