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
//          {'voided'} | {'rejected', reason} (nothing was changed) |
//          {'torn', reason} (a write failed, and so did the undo of an earlier one)
inline constexpr const char* commit = R"lua(
local done = redis.pcall('GET', KEYS[2])
if type(done) == 'table' then return {'rejected', 'GET: ' .. done.err} end
if done then
  if string.sub(done, 1, 5) ~= 'void ' then return {'replayed', done} end
  if string.find(done, ARGV[3], 6, true) then return {'voided'} end
end
local count = (#ARGV - 5) / 3
local text = redis.pcall('HGET', KEYS[1], '#seq')
if type(text) == 'table' then return {'rejected', 'HGET: ' .. text.err} end
local seq = tonumber(text or '0')
if not seq or seq < 0 or seq + count > 9007199254740991 then return {'rejected', 'the #seq of ' .. KEYS[1] .. ' is out of range'} end
if ARGV[4] ~= '' and seq ~= tonumber(ARGV[4]) then return {'conflict'} end

-- Redis does not roll a script back, so each write is undone here if a later one fails. An undo needs only a
-- command that this script has just executed on the same key, and XDEL.
local failed
local function write(...)
  local result = redis.pcall(...)
  if type(result) == 'table' and result.err then
    failed = select(1, ...) .. ': ' .. result.err
    return nil
  end
  return result
end
local counted = {}
local function count_up(field, by)
  if not write('HINCRBY', KEYS[1], field, by) then return false end
  counted[#counted + 1] = {field, by}
  return true
end
local function store(record, ttl_ms)
  if ttl_ms == '0' then return write('SET', KEYS[2], record) end
  return write('SET', KEYS[2], record, 'PX', ttl_ms)
end
local stored = false
local reply = {'committed'}
local function run()
  if count > 0 and not count_up('#seq', count) then return end
  for i = 6, #ARGV, 3 do
    if not count_up(ARGV[i], 1) then return end
  end
  if not store(ARGV[2], ARGV[1]) then return end
  stored = true
  for i = 6, #ARGV, 3 do
    seq = seq + 1
    local seq_text = string.format('%.0f', seq)
    local id = write('XADD', KEYS[3], '*', 'k', ARGV[5], 'v', ARGV[i + 1] .. seq_text .. ARGV[i + 2])
    if not id then return end
    reply[#reply + 1] = id
    reply[#reply + 1] = seq_text
  end
end
run()
if not failed then return reply end

local reason, torn = failed, false
for i = 2, #reply, 2 do
  if not write('XDEL', KEYS[3], reply[i]) then torn = true end
end
-- A tombstone, as of resolve: this attempt must not commit any more, another one may.
if stored and not store('void ' .. ARGV[3] .. string.sub(done or '', 5), '120000') then torn = true end
for i = #counted, 1, -1 do
  local left = write('HINCRBY', KEYS[1], counted[i][1], -counted[i][2])
  if not left then torn = true end
  if left == 0 then redis.pcall('HDEL', KEYS[1], counted[i][1]) end
end
if torn then return {'torn', reason} end
return {'rejected', reason}
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
-- In this order: an entry of the sorted set without a unit is removed by stale_units, a unit without an entry would
-- stay reserved for ever.
redis.call('ZADD', KEYS[2], now_ms, ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], mine)
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
// gone, or a reply was lost. Also those of more than age_ms ahead: Redis' clock has gone back, and
// their age is not known.
//   KEYS   supply, supply_pending
//   ARGV   age_ms, count_max
//   reply  {event_id, owner, ...}
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

// The events that have been in an outbox for more than age_ms, and those of more than age_ms ahead:
// Redis' clock has gone back, and their age is not known.
//   KEYS   outbox
//   ARGV   age_ms, count_max
//   reply  as of XRANGE
inline constexpr const char* stale_events = R"lua(
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local age_ms, count_max = tonumber(ARGV[1]), tonumber(ARGV[2])
local found = {}
if now_ms > age_ms then
  found = redis.call('XRANGE', KEYS[1], '-', string.format('%.0f', now_ms - age_ms), 'COUNT', count_max)
end
if #found < count_max then
  local ahead = redis.call('XRANGE', KEYS[1], string.format('%.0f', now_ms + age_ms), '+', 'COUNT', count_max - #found)
  for _, entry in ipairs(ahead) do found[#found + 1] = entry end
end
return found
)lua";

// Executes every command of these scripts and of the ledger, on keys that no hunter and no supply
// has, and removes them.
//   KEYS   none: Redis would check them all before the script, and not name the one that is
//          forbidden
//   ARGV   a key each of: held, done, outbox, supply, supply_pending, supply_limit;
//          '1' if the secret of hunt.random() is in Redis
//   reply  'COMMAND KEY: error' of each command that failed
inline constexpr const char* probe = R"lua(
local failed = {}
local function try(...)
  local result = redis.pcall(...)
  if type(result) == 'table' and result.err then
    failed[#failed + 1] = select(1, ...) .. ' ' .. select(2, ...) .. ': ' .. result.err
  end
end
-- First a write that needs memory: Redis checks OOM, READONLY, MISCONF and NOREPLICAS only until a script has written.
try('SET', ARGV[2], 'x', 'PX', 1)
-- PEXPIRE 0 deletes a key. If it fails, nothing more is written, because nothing could be removed.
for i = 1, 6 do try('PEXPIRE', ARGV[i], 0) end
if #failed > 0 then return failed end
local held, done, outbox, supply, pending, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
try('GET', done)
try('PTTL', done)
try('HGET', held, '#seq')
try('HINCRBY', held, '#seq', 1)
try('HGETALL', held)
try('HDEL', held, '#seq')
try('XADD', outbox, '*', 'k', 'x')
try('XLEN', outbox)
try('XRANGE', outbox, '-', '+', 'COUNT', 1)
try('XDEL', outbox, '1-1')
try('GET', limit)
try('SET', limit, 'x', 'PX', 60000)
try('HGET', supply, 'x')
try('HLEN', supply)
try('ZADD', pending, 1, 'x')
try('HSET', supply, 'x', 'x')
try('ZRANGEBYSCORE', pending, '-inf', '+inf', 'LIMIT', 0, 1)
try('ZREM', pending, 'x')
try('HDEL', supply, 'x')
local time = redis.pcall('TIME')
if time.err then failed[#failed + 1] = 'TIME: ' .. time.err end
-- Keys of other slots can only be asked about (Redis 7 and later).
if redis.acl_check_cmd then
  local commands = {{'SADD', 'supplies', 'x'}, {'SMEMBERS', 'supplies'}}
  if ARGV[7] == '1' then
    commands[3] = {'HGETALL', 'seed_secret'}
    commands[4] = {'HSETNX', 'seed_secret', '1', 'x'}
  end
  for _, words in ipairs(commands) do
    if not redis.acl_check_cmd(unpack(words)) then
      failed[#failed + 1] = words[1] .. ' ' .. words[2] .. ': NOPERM'
    end
  end
end
for i = 1, 6 do redis.pcall('PEXPIRE', ARGV[i], 0) end
return failed
)lua";

}  // namespace huntd::server::scripts
