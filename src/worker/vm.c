/* The Lua state: what a script may use, and nothing else. The VM is no wall (the process is); it
 * only keeps honest mistakes from looking like attacks, and runs one script from one text.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>

#include "worker/arena.h"
#include "worker/worker.h"

/* Taken out of the base library: what loads code, reaches files, or stops the collector. */
static const char* const removed[] = {"collectgarbage", "dofile",   "gcinfo",     "getfenv",
                                      "load",           "loadfile", "loadstring", "module",
                                      "newproxy",       "print",    "require",    "setfenv"};

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
  for (size_t i = 0; i < sizeof removed / sizeof removed[0]; ++i) {
    lua_pushnil(L);
    lua_setglobal(L, removed[i]);
  }
  lua_getglobal(L, LUA_STRLIBNAME);
  lua_pushnil(L);
  lua_setfield(L, -2, "dump");
  /* hunt.random is the one source of chance, so that a run can be repeated. */
  lua_getglobal(L, LUA_MATHLIBNAME);
  lua_pushnil(L);
  lua_setfield(L, -2, "random");
  lua_pushnil(L);
  lua_setfield(L, -2, "randomseed");
  lua_settop(L, 0);
  return 0;
}

/* Where the registry keeps what a run needs: the script's function, the hunt table, the handler of
 * uncaught errors. */
enum { slot_script = 1, slot_hunt, slot_handler };

/* A collection touches every object, and so costs a short run a copy of every page of the image:
 * the first waits until the state has grown this much (percent). LuaJIT's usual 200 holds after. */
enum { first_collection_percent = 1000, collection_percent = 200 };

/* "hunt.lua", from the job. */
static size_t file_name(const struct run* run, char into[WF_ID_BYTES_MAX + 8]) {
  size_t const id_size = run->job.hunt_id.size;
  memcpy(into, run->job.hunt_id.data, id_size);
  memcpy(into + id_size, ".lua", 5);
  return id_size + 4;
}

/* Lua shortens a long file name to "..." and its end: what comes after the name in `text`, or null
 * where `text` does not begin with it. */
static const char* after_file_name(const char* text, const char* file, size_t file_size) {
  if (strncmp(text, file, file_size) == 0 && text[file_size] == ':') return text + file_size;
  if (strncmp(text, "...", 3) != 0) return NULL;
  const char* const colon = strstr(text, ".lua:");
  if (colon == NULL) return NULL;
  size_t const kept = (size_t)(colon + 4 - (text + 3));
  if (kept > file_size || memcmp(text + 3, file + file_size - kept, kept) != 0) return NULL;
  return colon + 4;
}

/* The line that the script is in, 0 where no function of it is on the stack (a call in
 * `return f()` takes its caller's place there). */
static int current_line(lua_State* L) {
  lua_Debug frame;
  for (int level = 0; lua_getstack(L, level, &frame) != 0; ++level)
    if (lua_getinfo(L, "l", &frame) != 0 && frame.currentline > 0) return frame.currentline;
  return 0;
}

/* Sets the reason from what was thrown, the value on top of the stack: "hunt.lua:12: ...".
 * Allocates nothing, since memory may be what is missing. */
static void explain(lua_State* L, struct run* run, int line) {
  char file[WF_ID_BYTES_MAX + 8];
  char text[WF_REASON_BYTES_MAX + 1];
  size_t const file_size = file_name(run, file);
  char where[16] = "";
  if (line > 0) snprintf(where, sizeof where, ":%d", line);
  if (lua_type(L, -1) != LUA_TSTRING) {
    snprintf(text, sizeof text,
             "%s%s: the script threw a %s as its error; error(\"text\") says more", file, where,
             luaL_typename(L, -1));
  } else {
    const char* const thrown = lua_tostring(L, -1);
    const char* const after = after_file_name(thrown, file, file_size);
    if (after != NULL)
      snprintf(text, sizeof text, "%s%s", file, after);
    else
      snprintf(text, sizeof text, "%s%s: %s", file, where, thrown);
  }
  set_reason(run, text, strlen(text));
}

/* Runs where an error is thrown that nothing catches, while the stack is still there. */
static int on_error(lua_State* L) {
  struct run* run = lua_touserdata(L, lua_upvalueindex(1));
  if (!run->rejected) explain(L, run, current_line(L));
  return 1;
}

/* What lua_pcall() and its kin said, told to the core. */
static void fail(lua_State* L, struct run* run, int error) {
  if (error == LUA_ERRMEM) {
    run->outcome.status = WF_OUT_OF_MEMORY;
    char file[WF_ID_BYTES_MAX + 8];
    char text[WF_REASON_BYTES_MAX];
    file_name(run, file);
    snprintf(text, sizeof text, "%s: the script needs more memory than worker.memory_bytes", file);
    set_reason(run, text, strlen(text));
    return;
  }
  run->outcome.status = WF_SCRIPT_ERROR;
  if (run->outcome.reason.size == 0) explain(L, run, 0);
}

/* The script's fault, found by us and not by Lua. */
static void fail_with(struct run* run, const char* where, const char* what) {
  char file[WF_ID_BYTES_MAX + 8];
  char text[WF_REASON_BYTES_MAX];
  file_name(run, file);
  snprintf(text, sizeof text, "%s%s: %s", file, where, what);
  run->outcome.status = WF_SCRIPT_ERROR;
  set_reason(run, text, strlen(text));
}

/* Takes the file's name into `chunk_name` as Lua wants it: "@hunt.lua". */
static void chunk_name_of(const struct run* run, char chunk_name[WF_ID_BYTES_MAX + 9]) {
  chunk_name[0] = '@';
  file_name(run, chunk_name + 1);
}

struct source {
  struct run* run;
  const char* text;
  size_t size;
};

/* In protected mode, so that no error anywhere (memory above all) can end the process. */
static int prepare(lua_State* L) {
  struct source* source = lua_touserdata(L, 1);
  struct run* run = source->run;
  /* Text only: bytecode begins with ESC and is refused by its first byte. */
  if (source->size > 0 && source->text[0] == '\033') {
    fail_with(run, ":1", "a script is text, not bytecode");
    return 0;
  }
  open_libraries(L);
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
  lua_rawseti(L, LUA_REGISTRYINDEX, slot_script);
  push_hunt(L, run);
  lua_rawseti(L, LUA_REGISTRYINDEX, slot_hunt);
  lua_rawseti(L, LUA_REGISTRYINDEX, slot_handler);
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

static int protected_run(lua_State* L) {
  struct run* run = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, slot_handler);
  int const handler = lua_gettop(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, slot_script);
  lua_rawgeti(L, LUA_REGISTRYINDEX, slot_hunt);
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
  const char* why = "";
  int const length =
      write_json(L, lua_gettop(L), run->texts->result, sizeof run->texts->result, &why);
  if (length < 0) {
    char what[128];
    snprintf(what, sizeof what, "the result %s", why);
    fail_with(run, "", what);
    return 0;
  }
  run->outcome.status = WF_OK;
  run->outcome.result.data = run->texts->result;
  run->outcome.result.size = (uint32_t)length;
  return 0;
}

void run_script(struct run* run) {
  lua_State* const L = arena_begin()->root;
  int const error = lua_cpcall(L, protected_run, run);
  if (error != 0) fail(L, run, error);
  /* No outcome but OK gives loot. */
  if (run->outcome.status != WF_OK) run->outcome.award_count = 0;
}
