/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/hunt_api.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "wire/script_names.h"
#include "worker/dates.h"
#include "worker/json_out.h"
#include "worker/setup.h"
#include "worker/utf8.h"
#include "worker/value_in.h"

static struct run* run_of(lua_State* L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/* --- randomness: xoshiro256** by Blackman and Vigna, seeded through splitmix64 --- */

static uint64_t rotate(uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }

static uint64_t next_random(uint64_t s[4]) {
  uint64_t const result = rotate(s[1] * 5, 7) * 9;
  uint64_t const t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate(s[3], 45);
  return result;
}

/* splitmix64's output function. */
static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/* Each word of the state depends on both seeds; otherwise the first draws would depend on one. */
static void seed_random(struct run* run) {
  uint64_t x = run->job.seed[0];
  for (int i = 0; i < 4; ++i) {
    x += 0x9e3779b97f4a7c15u;
    run->random_state[i] = mix(mix(x) + run->job.seed[1]);
  }
}

/* hunt.random(): [0,1). hunt.random(n): 1..n. hunt.random(m, n): m..n. Like math.random. */
static int api_random(lua_State* L) {
  struct run* run = run_of(L);
  double const fraction = (double)(next_random(run->random_state) >> 11) * 0x1p-53;
  int const arguments = lua_gettop(L);
  if (arguments == 0) {
    lua_pushnumber(L, fraction);
    return 1;
  }
  /* lua_type(), not lua_isnumber(): a text that looks like a number is none. */
  if (arguments > 2 || lua_type(L, 1) != LUA_TNUMBER || lua_type(L, arguments) != LUA_TNUMBER)
    return luaL_error(L, "hunt.random: use hunt.random(), hunt.random(n) or hunt.random(m, n)");
  double const low = arguments == 1 ? 1 : floor(lua_tonumber(L, 1));
  double const high = floor(lua_tonumber(L, arguments));
  if (!(low <= high)) return luaL_error(L, "hunt.random: the interval is empty");
  if (!(high - low < 0x1p53)) return luaL_error(L, "hunt.random: the interval is too large");
  lua_pushnumber(L, low + floor(fraction * (high - low + 1)));
  return 1;
}

/* The weight of the line on top of the stack, which is number `i` of a list for hunt.pick(). */
static double weight_of(lua_State* L, int i) {
  if (!lua_istable(L, -1))
    luaL_error(L, "hunt.pick: line %d is not a table such as {loot_id = \"gold\", weight = 3}", i);
  lua_pushliteral(L, "weight");
  lua_rawget(L, -2);
  if (lua_isnil(L, -1)) luaL_error(L, "hunt.pick: line %d has no weight", i);
  double const weight = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
  lua_pop(L, 1);
  if (!(weight >= 0 && weight <= 0x1p53))
    luaL_error(L, "hunt.pick: the weight of line %d must be a number, 0 or more", i);
  return weight;
}

/* hunt.pick(list): one of its lines, each as often as its weight says. */
static int api_pick(lua_State* L) {
  struct run* run = run_of(L);
  if (lua_gettop(L) != 1 || !lua_istable(L, 1))
    return luaL_error(L, "hunt.pick: use hunt.pick{ {loot_id = \"gold\", weight = 3}, ... }");
  int const count = (int)lua_objlen(L, 1);
  if (count == 0) return luaL_error(L, "hunt.pick: the list has no line");
  double total = 0;
  for (int i = 1; i <= count; ++i) {
    lua_rawgeti(L, 1, i);
    total += weight_of(L, i);
    lua_pop(L, 1);
  }
  if (!(total > 0)) return luaL_error(L, "hunt.pick: all weights are 0");
  double left = (double)(next_random(run->random_state) >> 11) * 0x1p-53 * total;
  int picked = 0;
  for (int i = 1; i <= count && left >= 0; ++i) {
    lua_rawgeti(L, 1, i);
    double const weight = weight_of(L, i);
    lua_pop(L, 1);
    if (weight > 0) picked = i; /* also if rounding leaves a rest behind the last one */
    left -= weight;
  }
  lua_rawgeti(L, 1, picked);
  return 1;
}

/* --- the hunter's loot --- */

/* Asks the core, and pushes a new table loot_id -> count. */
static void push_new_held(lua_State* L) {
  unsigned char frame[WF_HEADER_BYTES];
  struct wf_writer writer = wf_begin(frame, sizeof frame, WF_ASK_HELD);
  struct wf_reader reply;
  ask(frame, wf_end(&writer), WF_REPLY_HELD, &reply);
  uint32_t const count = wf_get_u32(&reply);
  lua_createtable(L, 0, count <= WF_HELD_LOOT_MAX ? (int)count : 0);
  for (uint32_t i = 0; i < count && !reply.failed; ++i) {
    struct wf_text const loot_id = wf_get_id(&reply);
    uint64_t const held = wf_get_u64(&reply);
    if (reply.failed) break;
    lua_pushlstring(L, loot_id.data, loot_id.size);
    lua_pushnumber(L, (double)held);
    lua_rawset(L, -3);
  }
  if (!wf_all_read(&reply)) luaL_error(L, "hunt.held: malformed reply");
}

/* Pushes the table that the function keeps in its second upvalue; asks the core for it once. */
static void push_held(lua_State* L) {
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_rawgeti(L, -1, 1);
  if (!lua_isnil(L, -1)) return;
  lua_pop(L, 1);
  push_new_held(L);
  lua_pushvalue(L, -1);
  lua_rawseti(L, -3, 1);
}

/* hunt.held(): a table loot_id -> count, the same at each call. */
static int api_held(lua_State* L) {
  push_held(L);
  return 1;
}

/* hunt.state(): the table that the ledger keeps of this hunter in this hunt. What the script changes
 * in it is stored with its awards. Asks the core once; then returns the same table.
 */
static int api_state(lua_State* L) {
  struct run* run = run_of(L);
  if (!run->asked_state) {
    unsigned char frame[WF_HEADER_BYTES];
    struct wf_writer writer = wf_begin(frame, sizeof frame, WF_ASK_STATE);
    struct wf_reader reply;
    ask(frame, wf_end(&writer), WF_REPLY_STATE, &reply);
    struct wf_text const value = wf_get_text(&reply, WF_FRAME_BYTES_MAX);
    if (value.size == 0)
      lua_newtable(L);
    else
      push_value(L, value);
    if (!wf_all_read(&reply) || !lua_istable(L, -1))
      return luaL_error(L, "hunt.state: malformed reply");
    lua_rawseti(L, LUA_REGISTRYINDEX, ref_state);
    run->asked_state = 1;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, ref_state);
  return 1;
}

/* --- awards --- */

static int throw_reject(lua_State* L) {
  lua_pushliteral(L, "hunt.reject");
  return lua_error(L);
}

/* Raises an error if the argument at `index`, which `what` names, is not a text. Lua would convert
 * a number, and the text is not the key that the script has.
 */
static void require_text(lua_State* L, int index, const char* what) {
  int const type = lua_type(L, index);
  if (type == LUA_TSTRING) return;
  if (type == LUA_TNUMBER)
    luaL_error(L, "%s is a text, not the number %f", what, lua_tonumber(L, index));
  if (type <= LUA_TNIL) luaL_error(L, "%s is a text, not nil", what);
  luaL_error(L, "%s is a text, not %s", what,
             is_null(L, index) ? "hunt.null" : lua_pushfstring(L, "a %s", lua_typename(L, type)));
}

/* Reads the id at `index`, which stays on the stack; `what` begins the text of an error. */
static struct wf_text check_loot_id(lua_State* L, int index, const char* what) {
  require_text(L, index, what);
  size_t size = 0;
  struct wf_text loot_id;
  loot_id.data = lua_tolstring(L, index, &size);
  loot_id.size = size > WF_ID_BYTES_MAX ? WF_ID_BYTES_MAX + 1 : (uint32_t)size;
  if (!wf_is_id(loot_id)) luaL_error(L, "%s is a text, 1 to 64 of A-Z a-z 0-9 _ . -", what);
  return loot_id;
}

/* What the second argument of hunt.award and hunt.left says. */
struct award_options {
  int limited;
  uint64_t limit;
  uint32_t count;
};

/* Whether the number at `index` is whole and from `low` to `high`. */
static int is_whole(lua_State* L, int index, double low, double high) {
  lua_Number const number = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : low - 1;
  return number >= low && number <= high && number == floor(number);
}

/* Reads the options at `index`: the tables {limit = N} and {count = N} and nothing else, since a
 * misspelt limit would be an award without one. Both at once are not possible: a unit of a supply
 * is an award of its own.
 */
static struct award_options check_options(lua_State* L, int index, const char* function) {
  struct award_options options = {0, 0, 1};
  if (!lua_istable(L, index))
    luaL_error(L, "%s: options are a table, as in {limit = 100}", function);
  int counted = 0;
  int given = 0;
  /* lua_next() does not use metamethods: one could award during this award. */
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1), ++given) {
    const char* const name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    if (strcmp(name, award_option_names[AWARD_OPTION_limit]) == 0) {
      if (!is_whole(L, -1, 0, WF_SUPPLY_LIMIT_MAX))
        luaL_error(L, "%s: limit must be a whole number from 0 to %d", function,
                   WF_SUPPLY_LIMIT_MAX);
      options.limited = 1;
      options.limit = (uint64_t)lua_tonumber(L, -1);
    } else if (strcmp(name, award_option_names[AWARD_OPTION_count]) == 0) {
      if (!is_whole(L, -1, 1, WF_LOOT_UNITS_MAX))
        luaL_error(L, "%s: count must be a whole number from 1 to %d", function, WF_LOOT_UNITS_MAX);
      counted = 1;
      options.count = (uint32_t)lua_tonumber(L, -1);
    } else {
      luaL_error(L, "%s: the options are limit and count, as in {limit = 100}", function);
    }
  }
  if (given == 0) luaL_error(L, "%s: limit must be a whole number, as in {limit = 100}", function);
  if (options.limited && counted)
    luaL_error(L, "%s: either limit or count; call it once for each unit with a limit", function);
  return options;
}

/* Asks the core for a unit. Returns 1 if it is reserved, 0 if none is left. */
static int reserve_unit(uint32_t position, struct wf_text loot_id, uint64_t limit) {
  unsigned char frame[WF_HEADER_BYTES + WF_ID_BYTES_MAX + 32];
  struct wf_writer writer = wf_begin(frame, sizeof frame, WF_ASK_SUPPLY);
  wf_put_u32(&writer, position);
  wf_put_text(&writer, loot_id.data, loot_id.size);
  wf_put_u64(&writer, limit);
  struct wf_reader reply;
  ask(frame, wf_end(&writer), WF_REPLY_SUPPLY, &reply);
  return wf_get_u8(&reply) == 1;
}

/* The next award of the run, with this loot_id; raises an error if it has no room for one. */
static struct wf_award* next_award(lua_State* L, struct run* run, const char* function) {
  if (run->outcome.award_count == WF_AWARDS_MAX)
    luaL_error(L, "%s: a run may award and take %d times", function, WF_AWARDS_MAX);
  return &run->outcome.awards[run->outcome.award_count];
}

static void add_award(struct run* run, struct wf_text loot_id, uint8_t flags, uint32_t units) {
  uint32_t const position = run->outcome.award_count++;
  struct wf_award* const award = &run->outcome.awards[position];
  memcpy(run->texts->loot_ids[position], loot_id.data, loot_id.size);
  award->loot_id.data = run->texts->loot_ids[position];
  award->loot_id.size = loot_id.size;
  award->flags = flags;
  award->units = units;
}

/* hunt.award(loot_id [, {limit = N} or {count = N}]): true; or false, "gone" if all N of a limit
 * have been awarded.
 */
static int api_award(lua_State* L) {
  struct run* run = run_of(L);
  if (run->rejected) return throw_reject(L);
  if (lua_gettop(L) > 2)
    return luaL_error(L, "hunt.award: use hunt.award(loot_id) or hunt.award(loot_id, {limit = N})");
  struct wf_text const loot_id = check_loot_id(L, 1, "hunt.award: a loot_id");
  next_award(L, run, "hunt.award");
  struct award_options options = {0, 0, 1};
  if (!lua_isnoneornil(L, 2)) options = check_options(L, 2, "hunt.award");
  if (options.limited && !reserve_unit(run->outcome.award_count, loot_id, options.limit)) {
    lua_pushboolean(L, 0);
    lua_pushliteral(L, "gone");
    return 2;
  }
  add_award(run, loot_id, options.limited ? WF_AWARD_LIMITED : 0, options.count);
  lua_pushboolean(L, 1);
  return 1;
}

/* hunt.left(loot_id, {limit = N}): how many of the N units of a supply are neither given nor
 * reserved. Asks the core at each call: what this run has just reserved is counted.
 */
static int api_left(lua_State* L) {
  struct run* run = run_of(L);
  if (run->rejected) return throw_reject(L);
  static const char use[] = "hunt.left: use hunt.left(loot_id, {limit = N}), N as for hunt.award";
  if (lua_gettop(L) != 2) return luaL_error(L, use);
  struct wf_text const loot_id = check_loot_id(L, 1, "hunt.left: a loot_id");
  struct award_options const options = check_options(L, 2, "hunt.left");
  if (!options.limited) return luaL_error(L, use);
  if (run->asked_left == WF_LEFT_ASKED_MAX)
    return luaL_error(L, "hunt.left: a run may ask %d times", WF_LEFT_ASKED_MAX);
  ++run->asked_left;
  unsigned char frame[WF_HEADER_BYTES + WF_ID_BYTES_MAX + 32];
  struct wf_writer writer = wf_begin(frame, sizeof frame, WF_ASK_LEFT);
  wf_put_text(&writer, loot_id.data, loot_id.size);
  wf_put_u64(&writer, options.limit);
  struct wf_reader reply;
  ask(frame, wf_end(&writer), WF_REPLY_LEFT, &reply);
  uint64_t const left = wf_get_u64(&reply);
  if (!wf_all_read(&reply)) return luaL_error(L, "hunt.left: malformed reply");
  lua_pushnumber(L, (double)left);
  return 1;
}

/* What this run has taken of a loot so far. */
static double taken_so_far(const struct run* run, struct wf_text loot_id) {
  double taken = 0;
  for (uint32_t i = 0; i < run->outcome.award_count; ++i) {
    const struct wf_award* const award = &run->outcome.awards[i];
    int const same = award->loot_id.size == loot_id.size &&
                     memcmp(award->loot_id.data, loot_id.data, loot_id.size) == 0;
    if (same && (award->flags & WF_AWARD_TAKE) != 0) taken += award->units;
  }
  return taken;
}

/* hunt.take(loot_id [, n]): takes n (1) of what the hunter held before this run: true. If that is
 * less: false, and how much it is. The ledger looks again when it commits the run. The table that
 * it reads is not that of hunt.held(), which the script may have changed.
 */
static int api_take(lua_State* L) {
  struct run* run = run_of(L);
  if (run->rejected) return throw_reject(L);
  if (lua_gettop(L) > 2) return luaL_error(L, "hunt.take: use hunt.take(loot_id, n)");
  struct wf_text const loot_id = check_loot_id(L, 1, "hunt.take: a loot_id");
  if (lua_isnoneornil(L, 2)) {
    lua_settop(L, 1);
    lua_pushnumber(L, 1);
  }
  if (!is_whole(L, 2, 1, WF_LOOT_UNITS_MAX))
    return luaL_error(L, "hunt.take: how many is a whole number from 1 to %d", WF_LOOT_UNITS_MAX);
  double const wanted = lua_tonumber(L, 2);
  next_award(L, run, "hunt.take");
  push_held(L);
  lua_pushvalue(L, 1);
  lua_rawget(L, -2);
  double const left = lua_tonumber(L, -1) - taken_so_far(run, loot_id);
  if (left < wanted) {
    lua_pushboolean(L, 0);
    lua_pushnumber(L, left);
    return 2;
  }
  add_award(run, loot_id, WF_AWARD_TAKE, (uint32_t)wanted);
  lua_pushboolean(L, 1);
  return 1;
}

/* hunt.reject(reason): ends the run without an award. */
static int api_reject(lua_State* L) {
  struct run* run = run_of(L);
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_pushliteral(L, "rejected");
  }
  require_text(L, 1, "hunt.reject: the reason");
  size_t size = 0;
  const char* const reason = lua_tolstring(L, 1, &size);
  if (!run->rejected) {
    run->rejected = 1;
    set_reason(run, reason, size);
  }
  return throw_reject(L);
}

/* hunt.list([t]): marks a table (a new one, if there is none) as an array: the result shows it as
 * [] even if it is empty. Returns the table.
 */
static int api_list(lua_State* L) {
  if (lua_isnone(L, 1)) lua_newtable(L);
  if (lua_gettop(L) != 1 || !lua_istable(L, 1))
    return luaL_error(L, "hunt.list: use hunt.list() or hunt.list{...}");
  mark_list(L);
  return 1;
}

/* hunt.log(...): one line, the values separated by tabs. Text above the bound is dropped. */
static int api_log(lua_State* L) {
  struct run* run = run_of(L);
  int const count = lua_gettop(L);
  struct wf_text* log = &run->outcome.log;
  log->data = run->texts->log;
  lua_getglobal(L, "tostring");
  for (int i = 1; i <= count; ++i) {
    lua_pushvalue(L, -1);
    lua_pushvalue(L, i);
    lua_call(L, 1, 1);
    size_t size = 0;
    const char* text = lua_tolstring(L, -1, &size);
    size_t const room = sizeof run->texts->log - log->size;
    if (text == NULL || room < 2) break;
    size = utf8_cut(text, size, room - 1);
    for (size_t c = 0; c < size; ++c)
      run->texts->log[log->size++] = text[c] == '\n' ? ' ' : text[c];
    run->texts->log[log->size++] = i == count ? '\n' : '\t';
    lua_pop(L, 1);
  }
  return 0;
}

/* hunt.play(request), of a test script: what huntctl replies to the request, a table. */
static int api_play(lua_State* L) {
  struct run* run = run_of(L);
  lua_settop(L, 1);
  const char* reason = "";
  int const length = write_json(L, 1, run->texts->result, sizeof run->texts->result, &reason);
  if (length < 0) return luaL_error(L, "what a test asks for %s", reason);
  struct wf_writer writer = wf_begin(reply_frame, sizeof reply_frame, WF_ASK_PLAY);
  wf_put_text(&writer, run->texts->result, (size_t)length);
  struct wf_reader reply;
  ask(reply_frame, wf_end(&writer), WF_REPLY_PLAY, &reply);
  push_value(L, wf_get_text(&reply, WF_FRAME_BYTES_MAX));
  return 1;
}

/* Takes the value on top of the stack; the hunt table is below it. */
static void set_value(lua_State* L, enum hunt_value value) {
  lua_setfield(L, -2, hunt_value_names[value]);
}

#define API_FUNCTION(name) {#name, api_##name},

void push_hunt(lua_State* L, struct run* run) {
  lua_createtable(L, 0, 16);
  lua_pushlstring(L, run->job.hunt_id.data, run->job.hunt_id.size);
  set_value(L, HUNT_VALUE_id);
  push_null(L);
  set_value(L, HUNT_VALUE_null);
  push_config(L);
  set_value(L, HUNT_VALUE_config);
  static const luaL_Reg functions[] = {HUNT_FUNCTIONS(API_FUNCTION){NULL, NULL}};
  for (const luaL_Reg* function = functions; function->name != NULL; ++function) {
    int upvalues = 1;
    lua_pushlightuserdata(L, run);
    if (function->func == api_held || function->func == api_take) {
      lua_createtable(L, 1, 0);
      upvalues = 2;
    }
    if (function->func == api_date) {
      push_setup_field(L, "zones");
      push_setup_field(L, "zone");
      upvalues = 3;
    }
    lua_pushcclosure(L, function->func, upvalues);
    lua_setfield(L, -2, function->name);
  }
  /* In the image, so that a run does not have to grow the table. */
  lua_pushboolean(L, 0);
  set_value(L, HUNT_VALUE_hunter_id);
  lua_pushnumber(L, 0);
  set_value(L, HUNT_VALUE_now);
}

void begin_hunt(lua_State* L, struct run* run) {
  seed_random(run);
  lua_pushlstring(L, run->job.hunter_id.data, run->job.hunter_id.size);
  set_value(L, HUNT_VALUE_hunter_id);
  lua_pushnumber(L, (double)run->job.now_ms);
  set_value(L, HUNT_VALUE_now);
  if ((run->job.flags & WF_JOB_TEST) != 0) {
    lua_pushlightuserdata(L, run);
    lua_pushcclosure(L, api_play, 1);
    lua_setfield(L, -2, "play");
  }
  if (run->job.input.size == 0) return;
  push_value(L, run->job.input);
  set_value(L, HUNT_VALUE_input);
}
