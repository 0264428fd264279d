/* SPDX-License-Identifier: Apache-2.0 */
/* A table with the keys 1..n and no other is an array. Any other table is an object with sorted
 * keys, so that equal results are equal texts. An empty table is {}, unless it is marked as a list
 * (worker/value_in.h).
 */
#include "worker/json_out.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/utf8.h"
#include "worker/value_in.h"

enum { keys_max = 4096 };

struct out {
  char* at;
  char* end;
  size_t bound;      /* of the text */
  const char* error; /* null while there is none */
};

static void fail(struct out* out, const char* error) {
  if (out->error == NULL) out->error = error;
}

static void put(struct out* out, const char* bytes, size_t size) {
  if ((size_t)(out->end - out->at) < size) {
    fail(out, out->bound == WF_STATE_BYTES_MAX ? "is longer than 4096 bytes of JSON"
                                               : "is longer than 16384 bytes of JSON");
    return;
  }
  memcpy(out->at, bytes, size);
  out->at += size;
}

static void put_text(struct out* out, const char* text, size_t size) {
  put(out, "\"", 1);
  for (size_t i = 0; i < size && out->error == NULL;) {
    unsigned char const c = (unsigned char)text[i];
    if (c == '"' || c == '\\') {
      char const escape[2] = {'\\', (char)c};
      put(out, escape, 2);
      ++i;
    } else if (c < 0x20) {
      char escape[8];
      put(out, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", c));
      ++i;
    } else {
      size_t const length = utf8_length((const unsigned char*)text + i, size - i);
      if (length == 0) {
        fail(out, "holds text that is not valid UTF-8");
        return;
      }
      put(out, text + i, length);
      i += length;
    }
  }
  put(out, "\"", 1);
}

static void put_number(struct out* out, double number) {
  char text[40];
  int length;
  if (!isfinite(number)) {
    fail(out, "holds a number that JSON cannot express (infinite or not a number)");
    return;
  }
  if (number == floor(number) && fabs(number) < 0x1p53) {
    length = snprintf(text, sizeof text, "%.0f", number);
  } else {
    /* As few digits as give the same number again; 17 always do. */
    int digits = 15;
    do length = snprintf(text, sizeof text, "%.*g", digits, number);
    while (strtod(text, NULL) != number && ++digits <= 17);
  }
  put(out, text, (size_t)length);
}

static void put_value(lua_State* L, struct out* out, int depth);

struct key {
  const char* text;
  size_t size;
};

static int compare_keys(const void* a, const void* b) {
  const struct key* x = a;
  const struct key* y = b;
  size_t const both = x->size < y->size ? x->size : y->size;
  int const order = memcmp(x->text, y->text, both);
  return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

/* Writes the table on top of the stack. */
static void put_table(lua_State* L, struct out* out, int depth) {
  size_t const length = lua_objlen(L, -1);
  size_t count = 0;
  size_t indices = 0; /* keys from 1..length */
  int texts_only = 1;
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
    ++count;
    if (lua_type(L, -2) == LUA_TSTRING) continue;
    texts_only = 0;
    if (lua_type(L, -2) != LUA_TNUMBER) continue;
    lua_Number const key = lua_tonumber(L, -2);
    if (key >= 1 && key <= (lua_Number)length && key == floor(key)) ++indices;
  }
  int const marked = is_list(L, -1);
  if ((length > 0 || marked) && count == length && indices == length) {
    put(out, "[", 1);
    for (size_t i = 1; i <= length && out->error == NULL; ++i) {
      if (i > 1) put(out, ",", 1);
      lua_rawgeti(L, -1, (int)i);
      put_value(L, out, depth + 1);
      lua_pop(L, 1);
    }
    put(out, "]", 1);
    return;
  }
  if (marked) {
    fail(out, "holds a list with a hole or with a key that is not 1..n");
    return;
  }
  if (!texts_only) {
    fail(out, "holds a table that is neither a list (1..n) nor has only text keys");
    return;
  }
  if (count > keys_max) {
    fail(out, "holds a table with more than 4096 keys");
    return;
  }
  struct key* keys = lua_newuserdata(L, (count + 1) * sizeof *keys);
  size_t have = 0;
  for (lua_pushnil(L); lua_next(L, -3) != 0; lua_pop(L, 1)) {
    keys[have].text = lua_tolstring(L, -2, &keys[have].size);
    ++have;
  }
  qsort(keys, have, sizeof *keys, compare_keys);
  put(out, "{", 1);
  for (size_t i = 0; i < have && out->error == NULL; ++i) {
    if (i > 0) put(out, ",", 1);
    put_text(out, keys[i].text, keys[i].size);
    put(out, ":", 1);
    lua_pushlstring(L, keys[i].text, keys[i].size);
    lua_rawget(L, -3);
    put_value(L, out, depth + 1);
    lua_pop(L, 1);
  }
  put(out, "}", 1);
  lua_pop(L, 1); /* keys */
}

/* Writes the value on top of the stack, which is inside `depth` tables; it stays there. */
static void put_value(lua_State* L, struct out* out, int depth) {
  if (out->error != NULL) return;
  if ((depth == WF_JSON_DEPTH_MAX && lua_istable(L, -1)) || !lua_checkstack(L, 6)) {
    fail(out, "is nested more than 32 deep");
    return;
  }
  switch (lua_type(L, -1)) {
    case LUA_TNIL:
      put(out, "null", 4);
      break;
    case LUA_TBOOLEAN:
      if (lua_toboolean(L, -1))
        put(out, "true", 4);
      else
        put(out, "false", 5);
      break;
    case LUA_TNUMBER:
      put_number(out, lua_tonumber(L, -1));
      break;
    case LUA_TSTRING: {
      size_t size = 0;
      const char* text = lua_tolstring(L, -1, &size);
      put_text(out, text, size);
      break;
    }
    case LUA_TTABLE:
      put_table(L, out, depth);
      break;
    default:
      if (is_null(L, -1))
        put(out, "null", 4);
      else
        fail(out, "holds a value that JSON cannot express (a function, a thread)");
      break;
  }
}

int write_json(lua_State* L, int index, char* into, size_t size, const char** reason) {
  struct out out = {into, into + size, size, NULL};
  lua_pushvalue(L, index);
  put_value(L, &out, 0);
  lua_pop(L, 1);
  *reason = out.error;
  return out.error == NULL ? (int)(out.at - into) : -1;
}
