// SPDX-License-Identifier: Apache-2.0
// The Lua scripts that Redis executes for the ledger. Each is atomic and uses the keys of one hash
// slot (docs/formats/redis.md).
#pragma once

namespace huntd::server::scripts {

// The commit of one request: awards its loot, stores its response and queues its events, all or
// nothing. A request whose response is stored already is replayed.
//   KEYS   held, done, outbox
//   ARGV   ttl_ms (0: none), record, request_id, expected_seq ('' any), hunter_id,
//          then per award: loot_id, head and tail of the event
//   reply  {'committed', then per award: outbox id, seq} | {'replayed', record} | {'conflict'} |
//          {'voided'}
inline constexpr const char* commit = R"lua(
local done = redis.call('GET', KEYS[2])
if done then
  if string.sub(done, 1, 5) ~= 'void ' then return {'replayed', done} end
  if done == 'void ' .. ARGV[3] then return {'voided'} end
end
local seq = tonumber(redis.call('HGET', KEYS[1], '#seq') or '0')
if ARGV[4] ~= '' and seq ~= tonumber(ARGV[4]) then return {'conflict'} end
local reply = {'committed'}
for i = 6, #ARGV, 3 do
  seq = seq + 1
  redis.call('HINCRBY', KEYS[1], ARGV[i], 1)
  local event = ARGV[i + 1] .. string.format('%.0f', seq) .. ARGV[i + 2]
  reply[#reply + 1] = redis.call('XADD', KEYS[3], '*', 'k', ARGV[5], 'v', event)
  reply[#reply + 1] = string.format('%.0f', seq)
end
if #reply > 1 then redis.call('HSET', KEYS[1], '#seq', string.format('%.0f', seq)) end
if ARGV[1] == '0' then
  redis.call('SET', KEYS[2], ARGV[2])
else
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[1])
end
return reply
)lua";

// Reserves one unit of a supply for an event, if one is left. For the same event again it changes
// nothing.
//   KEYS   supply, supply_pending, supply_limit
//   ARGV   event_id, limit, owner ("request_id hunter_id key")
//   reply  1 reserved, 0 gone
inline constexpr const char* reserve = R"lua(
-- Only for display (huntctl supplies): the limit of the request decides.
if redis.call('GET', KEYS[3]) ~= ARGV[2] then redis.call('SET', KEYS[3], ARGV[2]) end
local state = redis.call('HGET', KEYS[1], ARGV[1])
-- Settled before by a request with the same key; its record, if not expired, has the response.
if state == 'given' then return 0 end
local mine = 'pending ' .. ARGV[3]
-- Another attempt of this request may still commit: only the sweep may release its unit.
if state and state ~= mine then mine = 'retaken ' .. ARGV[3] end
if not state and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
local now = redis.call('TIME')
local now_ms = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
redis.call('HSET', KEYS[1], ARGV[1], mine)
redis.call('ZADD', KEYS[2], now_ms, ARGV[1])
return 1
)lua";

// The unit was awarded, and is never released.
//   KEYS   supply, supply_pending
//   ARGV   event_id
inline constexpr const char* settle = R"lua(
redis.call('HSET', KEYS[1], ARGV[1], 'given')
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
)lua";

// Returns the unit to the supply, unless another attempt has reserved it for the same event since,
// or it was taken over ('retaken') and the caller is not the sweep.
//   KEYS   supply, supply_pending
//   ARGV   event_id, owner, '1' for the sweep
//   reply  1 released, 0 not
inline constexpr const char* release = R"lua(
local state = redis.call('HGET', KEYS[1], ARGV[1])
if state ~= 'pending ' .. ARGV[2] and not (ARGV[3] == '1' and state == 'retaken ' .. ARGV[2]) then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
)lua";

// The units that were reserved more than age_ms ago and neither settled nor released: their core is
// gone, or a reply was lost.
//   KEYS   supply, supply_pending
//   ARGV   age_ms, count_max
//   reply  {event_id, owner, ...}
inline constexpr const char* stale_units = R"lua(
local now = redis.call('TIME')
local before = now[1] * 1000 + math.floor(now[2] / 1000) - tonumber(ARGV[1])
local found = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', before), 'LIMIT', 0, ARGV[2])
local reply = {}
for _, event_id in ipairs(found) do
  local state = redis.call('HGET', KEYS[1], event_id)
  if state and state ~= 'given' then
    reply[#reply + 1] = event_id
    reply[#reply + 1] = string.sub(state, 9)
  else
    redis.call('ZREM', KEYS[2], event_id)
  end
end
return reply
)lua";

// Whether this event was committed. If it was not, its request is voided, so that a commit still
// under way can't award it later.
//   KEYS   done
//   ARGV   event_id, request_id, ttl_ms
//   reply  1 committed, 0 voided
inline constexpr const char* resolve = R"lua(
local done = redis.call('GET', KEYS[1])
if done and string.sub(done, 1, 5) ~= 'void ' then
  if string.find(done, ARGV[1], 1, true) then
    if redis.call('PTTL', KEYS[1]) == -1 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
    return 1
  end
  return 0
end
redis.call('SET', KEYS[1], 'void ' .. ARGV[2], 'PX', ARGV[3])
return 0
)lua";

// The events that have been in an outbox for more than age_ms.
//   KEYS   outbox
//   ARGV   age_ms, count_max
//   reply  as of XRANGE
inline constexpr const char* stale_events = R"lua(
local now = redis.call('TIME')
local before = now[1] * 1000 + math.floor(now[2] / 1000) - tonumber(ARGV[1])
if before <= 0 then return {} end
return redis.call('XRANGE', KEYS[1], '-', string.format('%.0f', before), 'COUNT', ARGV[2])
)lua";

}  // namespace huntd::server::scripts
