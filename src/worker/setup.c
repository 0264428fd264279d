/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/setup.h"

#include <lauxlib.h>

#include "worker/arena.h"
#include "worker/value_in.h"

/* Of the metatable of tables in hunt.config that are read-only. */
static int on_new_key(lua_State* L) {
  int const named = lua_type(L, 2) == LUA_TSTRING || lua_type(L, 2) == LUA_TNUMBER;
  lua_pushvalue(L, 2); /* lua_tostring() would change the key */
  return luaL_error(L, "hunt.config is read-only: %s is not set; use a local variable",
                    named ? lua_tostring(L, -1) : luaL_typename(L, 2));
}

/* Gives the metatable at `mark` the handler. The metatable itself is hidden from the script. */
static void protect(lua_State* L, int mark) {
  lua_pushcfunction(L, on_new_key);
  lua_setfield(L, mark, "__newindex");
  lua_pushboolean(L, 0);
  lua_setfield(L, mark, "__metatable");
}

/* Marks the table on top of the stack, and all tables in it. A list keeps being one. */
static void freeze(lua_State* L, int mark_of_table) {
  luaL_checkstack(L, 4, "hunt.config");
  int const table = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1))
    if (lua_istable(L, -1)) freeze(L, mark_of_table);
  if (is_list(L, table)) {
    mark_fixed_list(L);
    return;
  }
  lua_pushvalue(L, mark_of_table);
  lua_setmetatable(L, table);
}

/* A key of the registry, while a hunt is compiled. */
static char setup_key;

int in_setup(lua_State* L) {
  lua_pushlightuserdata(L, &setup_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
  int const found = lua_istable(L, -1);
  lua_pop(L, 1);
  return found;
}

void push_setup_field(lua_State* L, const char* name) {
  lua_pushlightuserdata(L, &setup_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
}

void begin_setup(lua_State* L, struct run* run) {
  lua_pushlightuserdata(L, &setup_key);
  if ((run->job.flags & WF_JOB_CHECK) != 0 && run->job.input.size > 0)
    push_value(L, run->job.input);
  else
    lua_newtable(L);
  lua_rawset(L, LUA_REGISTRYINDEX);
  push_setup_field(L, "memory");
  arena_begin()->bound = (size_t)lua_tonumber(L, -1);
  lua_pop(L, 1);
}

void end_setup(lua_State* L) {
  lua_pushlightuserdata(L, &setup_key);
  lua_pushnil(L);
  lua_rawset(L, LUA_REGISTRYINDEX);
}

void push_config(lua_State* L) {
  lua_newtable(L);
  int const mark = lua_gettop(L);
  protect(L, mark);
  push_fixed_list_mark(L);
  protect(L, lua_gettop(L));
  lua_pop(L, 1);
  push_setup_field(L, "config");
  if (!lua_istable(L, -1)) {
    lua_pop(L, 1);
    lua_newtable(L);
  }
  freeze(L, mark);
  lua_remove(L, mark);
}
