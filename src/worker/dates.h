/* SPDX-License-Identifier: Apache-2.0 */
/* hunt.date: the date and the time of day in a time zone, by the table of zones in the bundle
 * (wire/zone_table.h).
 */
#pragma once
#include <lua.h>

/* hunt.date([zone [, ms]]): a table. Upvalues: a light userdata (the run), the offset of the table
 * of zones in the bundle (a number; nil if it has none), the zone if none is named (or nil).
 */
int api_date(lua_State* L);
