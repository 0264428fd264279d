// SPDX-License-Identifier: Apache-2.0
// The self-test of a connection to Redis (decision 27).
#pragma once

namespace huntd::server::scripts {

// Executes every command of the ledger's scripts and of the ledger, on keys that no hunter and no
// supply has, and removes them.
//   KEYS   none: Redis would check them all before the script, and not name the one that is
//          forbidden
//   ARGV   a key each of: held, done, outbox, supply, supply_pending, supply_limit, supplies,
//          supplies_drawn; '1' if the secret of hunt.random() is in Redis
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
-- Before the other writes, as in a commit: a Redis without effects replication rejects writes after TIME.
local time = redis.pcall('TIME')
if time.err then failed[#failed + 1] = 'TIME: ' .. time.err end
-- PEXPIRE 0 deletes a key. If it fails, nothing more is written, because nothing could be removed.
for i = 1, 8 do try('PEXPIRE', ARGV[i], 0) end
if #failed > 0 then return failed end
local held, done, outbox, supply, pending, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local supplies, drawn = ARGV[7], ARGV[8]
try('GET', done)
try('PTTL', done)
try('HMGET', held, '#seq', '#gen')
try('HINCRBY', held, '#seq', 1)
try('HSET', held, '#gen', 'x')
try('HGET', held, '#gen')
try('HLEN', held)
try('HEXISTS', held, 'x')
try('HKEYS', held)
try('HSCAN', held, '0', 'COUNT', 10)
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
try('ZSCORE', pending, 'x')
try('ZRANGEBYSCORE', pending, '-inf', '+inf', 'LIMIT', 0, 1)
try('ZREM', pending, 'x')
try('HDEL', supply, 'x')
try('SISMEMBER', supplies, 'x')
try('SCARD', supplies)
try('SADD', supplies, 'x')
try('ZADD', drawn, 1, 'x')
try('ZSCORE', drawn, 'x')
try('ZRANGEBYSCORE', drawn, '-inf', '+inf', 'LIMIT', 0, 1)
try('ZREM', drawn, 'x')
-- Keys of other slots can only be asked about (Redis 7 and later).
if redis.acl_check_cmd then
  local commands = {
    {'HGETALL', 'hunts'}, {'SSCAN', 'supplies', '0'}, {'SISMEMBER', 'supplies', 'x'}, {'SREM', 'supplies', 'x'},
  }
  if ARGV[9] == '1' then
    commands[#commands + 1] = {'HGETALL', 'seed_secret'}
    commands[#commands + 1] = {'HSETNX', 'seed_secret', '1', 'x'}
  end
  for _, words in ipairs(commands) do
    if not redis.acl_check_cmd(unpack(words)) then
      failed[#failed + 1] = words[1] .. ' ' .. words[2] .. ': NOPERM'
    end
  end
end
for i = 1, 8 do redis.pcall('PEXPIRE', ARGV[i], 0) end
return failed
)lua";

}  // namespace huntd::server::scripts
