// SPDX-License-Identifier: Apache-2.0
// The Lua scripts of the supplies. Redis executes each as one step; each uses the keys of one hash
// slot (docs/formats/redis.md). Units, owners and the order of the steps:
// docs/decisions/0010-limited-supplies.md.
#pragma once

namespace huntd::server::scripts {

// Notes that a hunt draws on a supply, if the hunt has not drawn on too many others.
//   KEYS   supplies of the hunt
//   ARGV   loot_id, supplies_max
//   reply  1 noted, also before; 0 the hunt has drawn on supplies_max others
inline constexpr const char* enlist = R"lua(
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then return 1 end
if redis.call('SCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('SADD', KEYS[1], ARGV[1])
return 1
)lua";

// Reserves one unit of a supply for an event, if one is left. For the same event again it changes
// nothing.
//   KEYS   supply, supply_pending, supply_limit
//   ARGV   event_id, limit, owner ("request_id hunter_id key"), '1' if the supply has just been
//          enlisted
//   reply  1 reserved, 0 gone, 2 enlist the supply first: it is new, or was purged
inline constexpr const char* reserve = R"lua(
local mine = 'pending ' .. ARGV[3]
local state = redis.call('HGET', KEYS[1], ARGV[1])
if state == mine then return 1 end
-- The unit was given already, so this attempt has ended. Or it is another attempt's, which an event_id never is.
if state then return 0 end
local taken = redis.call('HLEN', KEYS[1])
if taken == 0 and ARGV[4] ~= '1' then return 2 end
-- Units given that have no field: it is itself a field of the hash.
local before = redis.call('HGET', KEYS[1], '#before')
if before then taken = taken - 1 + tonumber(before) end
-- Only for display (huntctl supplies): the limit of the request decides.
if redis.call('GET', KEYS[3]) ~= ARGV[2] then redis.call('SET', KEYS[3], ARGV[2]) end
if taken >= tonumber(ARGV[2]) then return 0 end
local now = redis.call('TIME')
local now_ms = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
-- In this order: an entry of the sorted set without a unit is removed by stale_units, a unit without an entry would
-- stay reserved for ever.
redis.call('ZADD', KEYS[2], now_ms, ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], mine)
return 1
)lua";

// How many units of a supply are given or reserved.
//   KEYS   supply
//   reply  the number
inline constexpr const char* taken_units = R"lua(
local taken = redis.call('HLEN', KEYS[1])
local before = redis.call('HGET', KEYS[1], '#before')
if before then taken = taken - 1 + tonumber(before) end
return taken
)lua";

// Takes a unit that was awarded one step further: 'settling' while the request's record may still
// have no TTL, then 'given'. Never creates a unit and never takes one back.
//   KEYS   supply, supply_pending
//   ARGV   event_id, owner, 'settling' or 'given'
//   reply  1 the unit is there, or further already; 0 the owner has no such unit
inline constexpr const char* settle = R"lua(
local state = redis.call('HGET', KEYS[1], ARGV[1])
if state ~= 'given' then
  local settling = 'settling ' .. ARGV[2]
  if state ~= settling and state ~= 'pending ' .. ARGV[2] and state ~= 'retaken ' .. ARGV[2] then return 0 end
  if ARGV[3] == 'settling' then
    if state ~= settling then redis.call('HSET', KEYS[1], ARGV[1], settling) end
    return 1
  end
  redis.call('HSET', KEYS[1], ARGV[1], 'given')
end
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
)lua";

// A record without a TTL may expire from now on.
//   KEYS   done
//   ARGV   ttl_ms
//   reply  1
inline constexpr const char* expire_record = R"lua(
if redis.call('PTTL', KEYS[1]) == -1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1
)lua";

// Returns a unit to the supply, if it is reserved for this owner and was not awarded.
//   KEYS   supply, supply_pending
//   ARGV   event_id, owner
//   reply  1 released, 0 not
inline constexpr const char* release = R"lua(
local state = redis.call('HGET', KEYS[1], ARGV[1])
if state ~= 'pending ' .. ARGV[2] and state ~= 'retaken ' .. ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
)lua";

// The units that were reserved more than age_ms ago and are neither given nor released: their core
// is gone, or a reply was lost. Also those of more than age_ms ahead: Redis' clock has gone back,
// and their age is not known.
//   KEYS   supply, supply_pending
//   ARGV   age_ms, count_max
//   reply  {1 if the supply has units that are reserved, else 0; then per stale unit: event_id,
//          state}
inline constexpr const char* stale_units = R"lua(
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local age_ms, count_max = tonumber(ARGV[1]), tonumber(ARGV[2])
local found = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now_ms - age_ms), 'LIMIT', 0, count_max)
if #found < count_max then
  local ahead = redis.call('ZRANGEBYSCORE', KEYS[2], string.format('%.0f', now_ms + age_ms), '+inf',
                           'LIMIT', 0, count_max - #found)
  for _, event_id in ipairs(ahead) do found[#found + 1] = event_id end
end
local reply = {0}
for _, event_id in ipairs(found) do
  local state = redis.call('HGET', KEYS[1], event_id)
  if state and state ~= 'given' then
    reply[#reply + 1] = event_id
    reply[#reply + 1] = state
  else
    redis.call('ZREM', KEYS[2], event_id)
  end
end
if #redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '+inf', 'LIMIT', 0, 1) > 0 then reply[1] = 1 end
return reply
)lua";

// Whether this event was committed. If it was not, its attempt is listed in a tombstone, so that a
// commit still under way can't award it later. The record or the tombstone is then kept for ttl_ms
// or more: a unit of the same request in another supply may have to be resolved too.
//   KEYS   done
//   ARGV   event_id, request_id, ttl_ms, attempts_max
//   reply  1 committed, 0 not, and this attempt never commits
inline constexpr const char* resolve = R"lua(
local done = redis.call('GET', KEYS[1])
if done and string.sub(done, 1, 5) ~= 'void ' then
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
  if string.find(done, ARGV[1], 1, true) then return 1 end
  return 0
end
local attempts = {}
for attempt in string.gmatch(string.sub(done or '', 6), '[^ ]+') do
  if attempt ~= ARGV[2] then attempts[#attempts + 1] = attempt end
end
attempts[#attempts + 1] = ARGV[2]
local first = math.max(1, #attempts - tonumber(ARGV[4]) + 1)
redis.call('SET', KEYS[1], 'void ' .. table.concat(attempts, ' ', first), 'PX', ARGV[3])
return 0
)lua";

// The supplies of a shard that may have units that are reserved, longest ago first.
//   KEYS   supplies_drawn
//   ARGV   time of the latest reservation, at most (ms); skip; count_max
//   reply  {"hunt_id:loot_id", its time, ...}
inline constexpr const char* drawn_supplies = R"lua(
local names = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', ARGV[2], ARGV[3])
local reply = {}
for _, name in ipairs(names) do
  reply[#reply + 1] = name
  reply[#reply + 1] = redis.call('ZSCORE', KEYS[1], name)
end
return reply
)lua";

// Removes a supply from its shard, if it has not been drawn on since.
//   KEYS   supplies_drawn
//   ARGV   "hunt_id:loot_id", its time as drawn_supplies returned it
//   reply  1 removed, 0 not
inline constexpr const char* remove_drawn = R"lua(
if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
)lua";

}  // namespace huntd::server::scripts
