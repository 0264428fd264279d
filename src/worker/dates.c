/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/dates.h"

#include <lauxlib.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "wire/zone_table.h"
#include "worker/core_link.h"
#include "worker/job.h"

enum { day_s = 86400, shown_bytes_max = 64 };

/* Of which the table knows the offsets: to before 2100. */
static const double end_s = 4102444800.0;

static LARGE struct zone_table_change changes[ZONE_CHANGES_MAX];

/* Finds the zone by its name. Returns 0 if there is none, or if the bundle cannot be read. */
static int find_zone(size_t table, const char* name, struct zone_table_entry* entry) {
  struct zone_table_head head;
  if (!read_bundle(&head, table, sizeof head)) return 0;
  uint32_t low = 0;
  uint32_t high = head.zones;
  while (low < high) {
    uint32_t const middle = low + (high - low) / 2;
    if (!read_bundle(entry, table + sizeof head + middle * sizeof *entry, sizeof *entry)) return 0;
    int const order = strncmp(name, entry->name, sizeof entry->name);
    if (order == 0) return entry->changes > 0 && entry->changes <= ZONE_CHANGES_MAX;
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return 0;
}

/* The offset of the zone at this time, in *offset_s. Returns 0 if there is no such zone. */
static int find_offset(size_t table, const char* name, uint32_t at_s, int32_t* offset_s) {
  struct zone_table_entry entry;
  if (!find_zone(table, name, &entry)) return 0;
  if (!read_bundle(changes, table + entry.offset, entry.changes * sizeof changes[0])) return 0;
  uint32_t at = 0;
  while (at + 1 < entry.changes && changes[at + 1].at_s <= at_s) ++at;
  *offset_s = changes[at].offset_s;
  return 1;
}

struct date {
  int year, month, day, year_day;
};

/* The date of a day since 1970, which may be the last one of 1969. */
static struct date date_of(int day_number) {
  /* Years of 400, 100, 4 and 1, from 1 March of the year 0, so that a leap day ends its year. */
  int const days = day_number + 719468;
  int const era = days / 146097;
  int const of_era = days % 146097;
  int const year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  int const from_march = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int const month_from_march = (5 * from_march + 2) / 153;
  struct date date;
  date.day = from_march - (153 * month_from_march + 2) / 5 + 1;
  date.month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  date.year = year_of_era + era * 400 + (date.month <= 2);
  int const leap = (date.year % 4 == 0 && date.year % 100 != 0) || date.year % 400 == 0;
  date.year_day = date.month > 2 ? from_march + 60 + leap : from_march - 305;
  return date;
}

static void set_number(lua_State* L, const char* name, int number) {
  lua_pushinteger(L, number);
  lua_setfield(L, -2, name);
}

static int push_date(lua_State* L, int64_t at_s, int32_t offset_s) {
  int64_t const local_s = at_s + offset_s;
  int64_t const day_number = (local_s + day_s) / day_s - 1; /* rounded down, also in 1969 */
  int const of_day = (int)(local_s - day_number * day_s);
  struct date const date = date_of((int)day_number);
  lua_createtable(L, 0, 11);
  set_number(L, "year", date.year);
  set_number(L, "month", date.month);
  set_number(L, "day", date.day);
  set_number(L, "hour", of_day / 3600);
  set_number(L, "minute", of_day / 60 % 60);
  set_number(L, "second", of_day % 60);
  set_number(L, "weekday", (int)((day_number + 10) % 7) + 1); /* 1 January 1970 was a Thursday */
  set_number(L, "year_day", date.year_day);
  set_number(L, "day_number", (int)day_number);
  set_number(L, "offset", offset_s);
  char text[32];
  snprintf(text, sizeof text, "%04d-%02d-%02d", date.year, date.month, date.day);
  lua_pushstring(L, text);
  lua_setfield(L, -2, "date");
  return 1;
}

int api_date(lua_State* L) {
  const struct run* run = lua_touserdata(L, lua_upvalueindex(1));
  if (lua_gettop(L) > 2)
    return luaL_error(L, "hunt.date: use hunt.date(zone) or hunt.date(zone, milliseconds)");
  lua_settop(L, 2);
  if (lua_isnil(L, 1)) {
    lua_pushvalue(L, lua_upvalueindex(3));
    lua_replace(L, 1);
  }
  if (lua_type(L, 1) != LUA_TSTRING)
    return luaL_error(
        L,
        "hunt.date: name the time zone, as in hunt.date(\"Europe/Berlin\"), or set zone "
        "in the .toml file of this hunt");
  if (!lua_isnil(L, 2) && lua_type(L, 2) != LUA_TNUMBER)
    return luaL_error(L, "hunt.date: the time is a number of milliseconds, as hunt.now");
  double const at_s =
      floor((lua_isnil(L, 2) ? (double)run->job.now_ms : lua_tonumber(L, 2)) / 1000);
  if (!(at_s >= 0 && at_s < end_s))
    return luaL_error(L, "hunt.date: the time must be from 1970 to 2099, in milliseconds");
  const char* const zone = lua_tostring(L, 1);
  int32_t offset_s = 0;
  size_t const table = (size_t)lua_tonumber(L, lua_upvalueindex(2));
  int const known = strcmp(zone, "UTC") == 0 ||
                    (table > 0 && find_offset(table, zone, (uint32_t)at_s, &offset_s));
  if (!known)
    return luaL_error(L, "hunt.date: there is no time zone \"%s\"; write it as in Europe/Berlin",
                      strlen(zone) > shown_bytes_max ? "..." : zone);
  return push_date(L, (int64_t)at_s, offset_s);
}
