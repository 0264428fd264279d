-- SPDX-License-Identifier: Apache-2.0
-- The old engine's way: a coroutine a request; each award is one EVALSHA over a bounded pool and then one INSERT, both awaited
-- before the script goes on. Nothing ties the two together, nor a run's awards to each other.
local answers = require "answers"
local cjson = require "cjson"
local connect_postgres = require "postgres_client"
local hunt = require "hunt"
local nginx_request = require "nginx_request"
local redis_client = require "nginx.redis"  -- lua-resty-redis
local settings = require "settings"

local hunts = nginx_request.load_hunts()
local IDLE_MS = 60000
local UNAVAILABLE = {}  -- thrown out of a run

-- One command on a connection of the pool; throws if none is free in time.
local function redis(command, ...)
  local connection = redis_client:new()
  connection:set_timeout(settings.redis_timeout_ms)
  local up, why = connection:connect("127.0.0.1", settings.redis_port, settings.redis_pool)
  if not up then error({ UNAVAILABLE, "redis-unavailable", why }) end
  local reply, failure = connection[command](connection, ...)
  if not reply then
    connection:close()
    error({ UNAVAILABLE, "redis-unavailable", failure })
  end
  connection:set_keepalive(IDLE_MS)
  return reply
end

local function insert(request, award, seq)
  local postgres, why = connect_postgres(settings.postgres)
  if not postgres then error({ UNAVAILABLE, "postgres-unavailable", why }) end
  -- Ids hold [A-Za-z0-9_.-] only: nothing to escape.
  local done, failure = postgres:query(
    ("INSERT INTO loot_event VALUES ('%s', '%s', '%s', '%s', %d, to_timestamp(%.3f))"):format(
      award.event_id, request.hunter_id, request.hunt_id, award.loot_id, seq, request.now_ms / 1000))
  if not done then
    postgres:close()
    error({ UNAVAILABLE, "postgres-unavailable", failure })
  end
  postgres:release(IDLE_MS)
end

local function handle(request)
  local script = hunts[request.hunt_id]
  if not script then return answers.problem("no-such-hunt", request.hunt_id) end
  if request.body then
    local ok, input = pcall(cjson.decode, request.body)
    if not ok then return answers.problem("invalid-json", input) end
    request.input = input
  end
  request.key = request.key or request.request_id
  request.seed = answers.hex128(request.hunter_id .. ":" .. request.hunt_id .. ":" .. request.key)
  local held_key = "veltrix:" .. request.hunter_id .. ":" .. request.hunt_id

  local awards, away = {}, nil
  -- Runs a step of an award; what it can't do ends the script's run too.
  local function step(what, ...)
    local ok, value = pcall(what, ...)
    if ok then return value end
    if type(value) == "table" and value[1] == UNAVAILABLE then away = value end
    error(value)
  end
  local host = { log = request.log }
  function host.held()
    local fields, held = step(redis, "hgetall", held_key), {}
    for i = 1, #fields, 2 do
      if fields[i] ~= "#seq" then held[fields[i]] = tonumber(fields[i + 1]) end
    end
    return held
  end
  function host.award(loot_id, limit)
    if limit then
      local supply = "veltrix_supply:" .. request.hunt_id .. ":" .. loot_id
      if step(redis, "incr", supply) > limit then return false, "gone" end
    end
    local award = { loot_id = loot_id, event_id = answers.event_id(request, #awards) }
    local seq = step(redis, "evalsha", settings.sha.give_loot, 1, held_key, loot_id)
    step(insert, request, award, seq)
    awards[#awards + 1] = award
    return true
  end

  local result, kind, why = hunt.run(script, request, host)
  if away then return answers.problem(away[2], away[3]) end
  if result == nil then return answers.problem(kind == "rejected" and "rejected" or "script-failed", why) end
  return 200, answers.body(request, awards, result), "application/json"
end

return function()
  local request = nginx_request.read()
  if request then nginx_request.answer(handle(request)) else nginx_request.answer(answers.problem("no-such-route", ngx.var.uri)) end
end
