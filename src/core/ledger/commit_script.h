// SPDX-License-Identifier: Apache-2.0
// The Lua scripts of commits and of the outbox. Redis executes each as one step; each uses the keys
// of one hash slot (docs/formats/redis.md).
#pragma once
#include <string_view>

#include "base/limits.h"

namespace huntd::server::scripts {

// The commit of one request: awards its loot, stores its response and queues its events, all or
// nothing. A request whose response is stored already is replayed.
//
// The first commit with an award begins a generation (decision 29): if the hash has none (it is
// new, was deleted or restored, or an older huntd wrote it), if its generation was started on another
// lineage, or if it is of a purged season (not above the floor).
//   KEYS   held, done, outbox
//   ARGV   ttl_ms (0: none), record, request_id, expected ('' any, else "GENERATION SEQ"),
//          hunter_id, lineage (16 hex digits), random (4 hex digits), floor (16 hex digits),
//          then per award: loot_id, head and tail of the event.
//          Only if an award is of several units, or takes units: '+' before the first award, and the
//          units behind the tail of each, below 0 for a take.
//          Only if the script has asked for the state: in place of '+', '@', the version that it
//          read ('-' none), and the new value of the field ('' as it is, '-' none)
//   reply  {'committed', generation, then per award: outbox id, seq} | {'replayed', record} |
//          {'conflict'} | {'voided'} | {'full', loot_id} (the hash has no room for this loot) |
//          {'short', loot_id} (the hunter holds less of it than is taken) |
//          {'rejected', reason} (nothing was changed) |
//          {'torn', reason} (a write failed, and so did the undo of an earlier one)
inline constexpr const char* commit = R"lua(
local call, held, done_key, outbox = redis.pcall, KEYS[1], KEYS[2], KEYS[3]
local done = call('GET', done_key)
if done then
  if type(done) == 'table' then return {'rejected', 'GET: ' .. done.err} end
  if string.sub(done, 1, 5) ~= 'void ' then return {'replayed', done} end
  if string.find(done, ARGV[3], 6, true) then return {'voided'} end
end
local zeros, first, last, step = '0000000000000000', 9, #ARGV, 3
local keeps = ARGV[9] == '@'
local units = keeps or ARGV[9] == '+'
if units then first, step = keeps and 12 or 10, 4 end
local count = (last - first + 1) / step
local old = call('HMGET', held, '#seq', '#gen')
if old.err then return {'rejected', 'HMGET: ' .. old.err} end
local seq_text, gen, lineage = old[1] or '0', zeros, nil
local seq = not string.find(seq_text, '%D') and tonumber(seq_text)
if not seq or seq + count > 9007199254740991 then return {'rejected', 'the #seq of ' .. held .. ' is out of range'} end
if old[2] then
  -- "GENERATION LINEAGE", each of 16 hex digits in lower case. (A pattern for all of it costs a tenth of a commit.)
  local text = old[2]
  gen, lineage = string.sub(text, 1, 16), string.sub(text, 18)
  if #text ~= 33 or string.byte(text, 17) ~= 32 or string.byte(text) > 55 or string.lower(text) ~= text
      or string.find(gen, '%X') or (lineage ~= ARGV[6] and string.find(lineage, '%X')) then
    return {'rejected', 'the #gen of ' .. held .. ' is malformed'}
  end
end
if ARGV[4] ~= '' and ARGV[4] ~= gen .. ' ' .. seq_text then return {'conflict'} end

local kept
if keeps then
  kept = call('HGET', held, '#state')
  if type(kept) == 'table' then return {'rejected', 'HGET: ' .. kept.err} end
  if ARGV[10] ~= (kept and string.match(kept, '^[^ ]*') or '-') then return {'conflict'} end
end

-- What the units add to the fields #added and #taken (redis.md), and whether the hunter has what is taken: all that the
-- run takes, without what it gives.
local added_units, taken_units = 0, 0
if units then
  local wanted, ids = {}, {}
  for i = first, last, step do
    local by = tonumber(ARGV[i + 3])
    if by > 0 then
      added_units = added_units + by - 1
    else
      taken_units = taken_units + 1 - by
      if not wanted[ARGV[i]] then ids[#ids + 1] = ARGV[i] end
      wanted[ARGV[i]] = (wanted[ARGV[i]] or 0) - by
    end
  end
  for _, id in ipairs(ids) do
    local has = call('HGET', held, id)
    if type(has) == 'table' then return {'rejected', 'HGET: ' .. has.err} end
    if (tonumber(has or '0') or 0) < wanted[id] then return {'short', id} end
  end
end

-- Room for the loot. Only a hash with about 1024 fields is counted exactly.
local size = 0
if count > 0 then
  size = call('HLEN', held)
  if type(size) == 'table' then return {'rejected', 'HLEN: ' .. size.err} end
end
if size + count > 1024 then
  local asked, added = {}, {}
  for i = first, last, step do
    if not asked[ARGV[i]] then
      asked[ARGV[i]] = true
      local exists = call('HEXISTS', held, ARGV[i])
      if type(exists) == 'table' then return {'rejected', 'HEXISTS: ' .. exists.err} end
      if exists == 0 then added[#added + 1] = ARGV[i] end
    end
  end
  -- At most 64 fields are not loot.
  local room = size + #added > 1024 + 64 and 0 or 1024
  if #added > 0 and size + #added > 1024 and room > 0 then
    local fields = call('HKEYS', held)
    if fields.err then return {'rejected', 'HKEYS: ' .. fields.err} end
    for _, field in ipairs(fields) do
      if string.byte(field) ~= 35 then room = room - 1 end
    end
  end
  if #added > room then return {'full', added[math.max(room, 0) + 1]} end
end

-- A generation is a number of 64 bits, more than Lua's numbers hold exactly: it is compared in halves of 32 bits. Texts
-- would be compared in the order of the server's locale.
local fresh = count > 0 and (lineage ~= ARGV[6] or gen == zeros)
if count > 0 and not fresh and ARGV[8] ~= zeros then
  local high, floor_high = tonumber(string.sub(gen, 1, 8), 16), tonumber(string.sub(ARGV[8], 1, 8), 16)
  local low, floor_low = tonumber(string.sub(gen, 9), 16), tonumber(string.sub(ARGV[8], 9), 16)
  fresh = high < floor_high or (high == floor_high and low <= floor_low)
end
-- What a new generation changes, prepared before the first write: fields with their new and their former values.
-- Its functions are made here, not above: each would cost every commit.
local changed, dropped
if fresh then
  local function halves(text)
    return tonumber(string.sub(text, 1, 8), 16), tonumber(string.sub(text, 9), 16)
  end
  local function above(a, b)
    local a_high, a_low = halves(a)
    local b_high, b_low = halves(b)
    return a_high > b_high or (a_high == b_high and a_low > b_low)
  end
  -- A greater generation than this one. It has random digits as well: of a history that Redis has lost, the next number
  -- may have been a generation too.
  local function next_of(text)
    local ms = tonumber(string.sub(text, 1, 12), 16) + 1
    return string.format('%06x%06x', math.floor(ms / 16777216), ms % 16777216) .. ARGV[7]
  end
  local time = call('TIME')
  if time.err then return {'rejected', 'TIME: ' .. time.err} end
  local fields = size > 0 and call('HKEYS', held) or {}
  if fields.err then return {'rejected', 'HKEYS: ' .. fields.err} end
  local was, earlier = '#was:' .. gen, {}
  for _, field in ipairs(fields) do
    local other = string.match(field, '^#was:([0-7][0-9a-f]+)$')
    if other and #other == 16 and field ~= was then earlier[#earlier + 1] = other end
  end
  table.sort(earlier, function(a, b) return above(b, a) end)
  local ms = math.max(time[1] * 1000 + math.floor(time[2] / 1000), 0)
  local started = string.format('%06x%06x', math.floor(ms / 16777216), ms % 16777216) .. ARGV[7]
  for _, lower in ipairs({gen, ARGV[8], earlier[#earlier]}) do
    if not above(started, lower) then started = next_of(lower) end
  end
  if #started ~= 16 or halves(started) > 2147483647 then
    return {'rejected', 'the #gen of ' .. held .. ' would be out of range'}
  end
  changed = {{'#gen', started .. ' ' .. ARGV[6], old[2]}}
  dropped = {}
  if seq > 0 then
    local former = call('HMGET', held, '#before', was)
    if former.err then return {'rejected', 'HMGET: ' .. former.err} end
    local before = string.find(former[1] or '0', '^%d+$') and tonumber(former[1] or '0')
    if not before or before + seq > 9007199254740991 then
      return {'rejected', 'the #before of ' .. held .. ' is out of range'}
    end
    local reached = math.max(seq, tonumber(former[2] or '0') or 0)
    changed[2] = {'#seq', '0', old[1]}
    changed[3] = {'#before', string.format('%.0f', before + seq), former[1]}
    changed[4] = {was, string.format('%.0f', reached), former[2]}
    for i = 1, #earlier - 14 do
      local field = '#was:' .. earlier[i]
      local value = call('HGET', held, field)
      if type(value) == 'table' then return {'rejected', 'HGET: ' .. value.err} end
      dropped[i] = {field, value}
    end
  end
  gen, seq = started, 0
end

-- Redis does not roll a script back, so each write is undone below if a later one fails. An undo needs only a
-- command that this script has just executed on the same key, and XDEL.
local failed, renewed, removed, counted, stored = nil, false, 0, 0, false
local summed, written = units and {}, false
local sets, clears = keeps and ARGV[11] ~= '' and ARGV[11] ~= '-', keeps and ARGV[11] == '-'
local reply = {'committed', gen}
repeat
  if changed or sets then
    -- Without effect. Redis rejects a write for want of memory only if the script has written nothing before, and never
    -- an HDEL: so the first write is one that needs memory.
    local result = call('SET', done_key, '', done and 'NX' or 'XX')
    if type(result) == 'table' and result.err then failed = 'SET: ' .. result.err break end
  end
  if changed then
    local words = {}
    for _, change in ipairs(changed) do
      words[#words + 1] = change[1]
      words[#words + 1] = change[2]
    end
    -- Without effect: it shows that an undo could remove a field.
    local result = call('HDEL', held, '#')
    if type(result) == 'table' then failed = 'HDEL: ' .. result.err break end
    result = call('HSET', held, unpack(words))
    if type(result) == 'table' then failed = 'HSET: ' .. result.err break end
    renewed = true
    for _, entry in ipairs(dropped) do
      result = call('HDEL', held, entry[1])
      if type(result) == 'table' then failed = 'HDEL: ' .. result.err break end
      removed = removed + 1
    end
    if failed then break end
  end
  if count > 0 then
    local result = call('HINCRBY', held, '#seq', count)
    if type(result) == 'table' then failed = 'HINCRBY: ' .. result.err break end
    counted = 1
  end
  for i = first, last, step do
    local result = call('HINCRBY', held, ARGV[i], units and ARGV[i + 3] or 1)
    if type(result) == 'table' then failed = 'HINCRBY: ' .. result.err break end
    counted = counted + 1
    -- HINCRBY makes the field again if this is undone.
    if result == 0 then
      result = call('HDEL', held, ARGV[i])
      if type(result) == 'table' then failed = 'HDEL: ' .. result.err break end
    end
  end
  if units and not failed then
    for _, sum in ipairs({{'#added', added_units}, {'#taken', taken_units}}) do
      if sum[2] > 0 then
        local result = call('HINCRBY', held, sum[1], sum[2])
        if type(result) == 'table' then failed = 'HINCRBY: ' .. result.err break end
        summed[#summed + 1] = sum
      end
    end
  end
  if failed then break end
  local result
  if sets then
    -- As above: it shows that an undo could remove the field.
    result = call('HDEL', held, '#')
    if type(result) == 'table' then failed = 'HDEL: ' .. result.err break end
    result = call('HSET', held, '#state', ARGV[11])
    if type(result) == 'table' then failed = 'HSET: ' .. result.err break end
    written = true
  end
  if ARGV[1] == '0' then
    result = call('SET', done_key, ARGV[2])
  else
    result = call('SET', done_key, ARGV[2], 'PX', ARGV[1])
  end
  if result.err then failed = 'SET: ' .. result.err break end
  stored = true
  for i = first, last, step do
    seq = seq + 1
    seq_text = string.format('%.0f', seq)
    local id = call('XADD', outbox, '*', 'k', ARGV[5], 'v', ARGV[i + 1] .. seq_text .. ',"gen":"' .. gen .. ARGV[i + 2])
    if type(id) == 'table' then failed = 'XADD: ' .. id.err break end
    reply[#reply + 1] = id
    reply[#reply + 1] = seq_text
  end
  if failed then break end
  -- The last write: to undo it would need HSET, which may not have been executed.
  if clears then
    result = call('HDEL', held, '#state')
    if type(result) == 'table' then failed = 'HDEL: ' .. result.err break end
  end
until true
if not failed then return reply end

local torn = false
local function undo(...)
  local result = call(...)
  if type(result) == 'table' and result.err then torn = true end
  return result
end
for i = 3, #reply, 2 do undo('XDEL', outbox, reply[i]) end
-- A tombstone, as of resolve: this attempt must not commit any more, another one may. It is kept for 7 days.
if stored then
  local attempts = string.sub(done or 'void', 5) .. ' ' .. ARGV[3]
  local _, listed = string.gsub(attempts, ' ', ' ')
  for _ = 65, listed do attempts = string.gsub(attempts, '^ [^ ]*', '') end
  undo('SET', done_key, 'void' .. attempts, 'PX', '604800000')
end
if written then
  if kept then undo('HSET', held, '#state', kept) else undo('HDEL', held, '#state') end
end
for _, sum in ipairs(summed or {}) do
  if undo('HINCRBY', held, sum[1], -sum[2]) == 0 then call('HDEL', held, sum[1]) end
end
for i = counted, 1, -1 do
  local field, by = '#seq', count
  if i > 1 then
    local at = first + step * (i - 2)
    field, by = ARGV[at], units and tonumber(ARGV[at + 3]) or 1
  end
  local left = undo('HINCRBY', held, field, -by)
  if left == 0 and not (i == 1 and old[1]) then call('HDEL', held, field) end
end
for i = 1, removed do undo('HSET', held, dropped[i][1], dropped[i][2]) end
for i = 1, renewed and #changed or 0 do
  local field, former = changed[i][1], changed[i][3]
  if former then undo('HSET', held, field, former) else undo('HDEL', held, field) end
end
if torn then return {'torn', failed} end
return {'rejected', failed}
)lua";

// The arguments of `commit` that say that units follow, and a state; no id is one of them.
inline constexpr std::string_view commit_of_units = "+";
inline constexpr std::string_view commit_of_state = "@";

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

// The numbers in the text of `commit`.
static_assert(limits::held_loot_max == 1024 && limits::held_was_max == 15);
static_assert(limits::tombstone_ttl_ms == 604'800'000 && limits::tombstone_attempts_max == 64);

}  // namespace huntd::server::scripts
