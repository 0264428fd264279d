/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/modules.h"

#include <lauxlib.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "worker/error_help.h"
#include "worker/job.h"
#include "worker/setup.h"

/* Upvalues of require: what is loaded, by name; the names that are being loaded, in order. */
enum { loaded = lua_upvalueindex(1), loading = lua_upvalueindex(2) };

enum { name_bytes_max = WF_ID_BYTES_MAX };

/* Raises the error that modules need each other: the chain from the first `name` to the second. */
static int fail_cycle(lua_State* L, const char* name, int from, int count) {
  luaL_Buffer chain;
  luaL_buffinit(L, &chain);
  for (int i = from; i <= count; ++i) {
    lua_rawgeti(L, loading, i);
    luaL_addvalue(&chain);
    luaL_addstring(&chain, " -> ");
  }
  luaL_addstring(&chain, name);
  luaL_pushresult(&chain);
  return luaL_error(L, "require: modules need each other: %s; move what both need into a third one",
                    lua_tostring(L, -1));
}

static int fail_unknown(lua_State* L, const char* name, int modules, int count) {
  for (int i = 1; i <= count; ++i) {
    lua_rawgeti(L, modules, i);
    lua_rawgeti(L, -1, 1);
    const char* const other = lua_tostring(L, -1);
    if (nearly_equal(name, strlen(name), other))
      return luaL_error(L, "require: there is no lib/%s.lua; did you mean \"%s\"?", name, other);
    lua_pop(L, 2);
  }
  return luaL_error(L, "require: there is no lib/%s.lua", name);
}

/* Raises the error on top of the stack again. One of memory has to be one of memory again, which
 * only the allocator can raise: it has less than all these bytes.
 */
static int raise_again(lua_State* L, int error) {
  enum { bytes = INT_MAX - 4096, times = 4 };
  for (int i = 0; i < times && error == LUA_ERRMEM; ++i) lua_newuserdata(L, bytes);
  return lua_error(L);
}

/* Leaves the code of the module on top of the stack. Its entry is {name, offset, bytes}. */
static void load_code(lua_State* L, const char* name, int entry) {
  lua_rawgeti(L, entry, 2);
  lua_rawgeti(L, entry, 3);
  size_t const size = (size_t)lua_tonumber(L, -1);
  const char* const text = read_source((size_t)lua_tonumber(L, -2), size);
  lua_pop(L, 2);
  if (text == NULL) luaL_error(L, "require: the bundle cannot be read");
  if (size > 0 && text[0] == '\033') luaL_error(L, "require: lib/%s.lua is bytecode", name);
  char chunk_name[name_bytes_max + 10];
  snprintf(chunk_name, sizeof chunk_name, "@lib/%s.lua", name);
  int const error = luaL_loadbuffer(L, text, size, chunk_name);
  if (error != 0) raise_again(L, error);
}

/* Runs the code on top of the stack, and leaves what the module returns there. `depth`: how many
 * modules are being loaded.
 */
static void run_module(lua_State* L, const char* name, int depth) {
  lua_pushvalue(L, 1);
  lua_rawseti(L, loading, depth + 1);
  int const error = lua_pcall(L, 0, 1, 0);
  /* Also after an error, which the script may catch, and then load the module again. */
  lua_pushnil(L);
  lua_rawseti(L, loading, depth + 1);
  if (error != 0) raise_again(L, error);
  if (lua_isnil(L, -1))
    luaL_error(
        L, "require: lib/%s.lua returns nothing; write return and what is to be shared at its end",
        name);
}

static int lua_require(lua_State* L) {
  if (lua_gettop(L) != 1 || lua_type(L, 1) != LUA_TSTRING || lua_objlen(L, 1) > name_bytes_max)
    return luaL_error(L, "require: use require(\"NAME\") for lib/NAME.lua");
  lua_pushvalue(L, 1);
  lua_rawget(L, loaded);
  if (!lua_isnil(L, -1)) return 1;
  const char* const name = lua_tostring(L, 1);
  if (!in_setup(L))
    return luaL_error(
        L, "require: write require(\"%s\") at the top of the script, outside of the function",
        name);
  int const depth = (int)lua_objlen(L, loading);
  for (int i = 1; i <= depth; ++i) {
    lua_rawgeti(L, loading, i);
    if (lua_rawequal(L, 1, -1)) return fail_cycle(L, name, i, depth);
    lua_pop(L, 1);
  }
  push_setup_field(L, "modules");
  int const modules = lua_gettop(L);
  int const count = lua_istable(L, modules) ? (int)lua_objlen(L, modules) : 0;
  for (int i = 1; i <= count; ++i) {
    lua_rawgeti(L, modules, i);
    lua_rawgeti(L, -1, 1);
    int const found = lua_rawequal(L, 1, -1);
    lua_pop(L, 1);
    if (!found) {
      lua_pop(L, 1);
      continue;
    }
    load_code(L, name, lua_gettop(L));
    run_module(L, name, depth);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, loaded);
    return 1;
  }
  return fail_unknown(L, name, modules, count);
}

void open_require(lua_State* L) {
  lua_newtable(L);
  lua_newtable(L);
  lua_pushcclosure(L, lua_require, 2);
  lua_setglobal(L, "require");
}
