/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/value_in.h"

#include <lauxlib.h>

#include "wire/value.h"

static char null_address;

void push_null(lua_State* L) { lua_pushlightuserdata(L, &null_address); }
int is_null(lua_State* L, int index) {
  return lua_islightuserdata(L, index) && lua_touserdata(L, index) == &null_address;
}

/* Keys of the registry; their addresses are the same in every process of this program. */
static char list_mark_key;
static char fixed_list_mark_key;

static void make_mark(lua_State* L, char* key) {
  lua_pushlightuserdata(L, key);
  lua_newtable(L);
  lua_rawset(L, LUA_REGISTRYINDEX);
}

static void push_mark(lua_State* L, char* key) {
  lua_pushlightuserdata(L, key);
  lua_rawget(L, LUA_REGISTRYINDEX);
}

void make_list_mark(lua_State* L) {
  make_mark(L, &list_mark_key);
  make_mark(L, &fixed_list_mark_key);
}

void mark_list(lua_State* L) {
  push_mark(L, &list_mark_key);
  lua_setmetatable(L, -2);
}

void push_fixed_list_mark(lua_State* L) { push_mark(L, &fixed_list_mark_key); }

void mark_fixed_list(lua_State* L) {
  push_fixed_list_mark(L);
  lua_setmetatable(L, -2);
}

int is_list(lua_State* L, int index) {
  if (!lua_getmetatable(L, index)) return 0;
  push_mark(L, &list_mark_key);
  push_fixed_list_mark(L);
  int const is_mark = lua_rawequal(L, -3, -2) || lua_rawequal(L, -3, -1);
  lua_pop(L, 3);
  return is_mark;
}

static void push_part(lua_State* L, struct wf_reader* reader, int depth) {
  if (depth > WF_JSON_DEPTH_MAX) luaL_error(L, "hunt.input is nested too deep");
  luaL_checkstack(L, 4, "hunt.input");
  switch (wf_get_u8(reader)) {
    case VALUE_NULL:
      push_null(L);
      break;
    case VALUE_FALSE:
      lua_pushboolean(L, 0);
      break;
    case VALUE_TRUE:
      lua_pushboolean(L, 1);
      break;
    case VALUE_NUMBER: {
      double number;
      wf_get(reader, &number, sizeof number);
      lua_pushnumber(L, number);
      break;
    }
    case VALUE_TEXT: {
      struct wf_text const text = wf_get_text(reader, WF_FRAME_BYTES_MAX);
      lua_pushlstring(L, text.data, text.size);
      break;
    }
    case VALUE_ARRAY: {
      uint32_t const count = wf_get_u32(reader);
      lua_newtable(L);
      mark_list(L);
      for (uint32_t i = 1; i <= count && !reader->failed; ++i) {
        push_part(L, reader, depth + 1);
        lua_rawseti(L, -2, (int)i);
      }
      break;
    }
    case VALUE_OBJECT: {
      uint32_t const count = wf_get_u32(reader);
      lua_newtable(L);
      for (uint32_t i = 0; i < count && !reader->failed; ++i) {
        struct wf_text const key = wf_get_text(reader, WF_FRAME_BYTES_MAX);
        lua_pushlstring(L, key.data, key.size);
        push_part(L, reader, depth + 1);
        lua_rawset(L, -3);
      }
      break;
    }
    default:
      reader->failed = 1;
      lua_pushnil(L);
      break;
  }
}

void push_value(lua_State* L, struct wf_text value) {
  struct wf_reader reader;
  reader.at = (const unsigned char*)value.data;
  reader.end = reader.at + value.size;
  reader.failed = 0;
  push_part(L, &reader, 0);
  if (!wf_all_read(&reader)) luaL_error(L, "hunt.input is malformed");
}
