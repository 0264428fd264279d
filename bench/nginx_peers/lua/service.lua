-- SPDX-License-Identifier: Apache-2.0
-- A request from its path to its response, with huntd's own commit (src/core/ledger/, by EVALSHA) and huntd's keys
-- (docs/formats/redis.md). Shared by nginx's Lua module and the CGI program; `redis` is lua-resty-redis there and
-- redis_client.lua here, both with a method for each command.
local answers = require "answers"
local cjson = require "cjson"
local hunt = require "hunt"
local settings = require "settings"

local service = {}
local UNKEYED_TTL_MS, KEYED_TTL_MS = "120000", "86400000"
local ATTEMPTS_MAX = 2
local NO_GENERATION = ("0"):rep(16)

-- What the hunter holds, and the version that goes with it: generation and seq.
local function read_held(redis, request)
  local fields, why = redis:hgetall(request.held_key)
  if not fields then error(why) end
  local held, seq, generation = {}, "0", NO_GENERATION
  for i = 1, #fields, 2 do
    local field, value = fields[i], fields[i + 1]
    if field == "#seq" then seq = value
    elseif field == "#gen" then generation = value:match("^%x+")
    elseif field:sub(1, 1) ~= "#" then held[field] = tonumber(value) end
  end
  return held, generation .. " " .. seq
end

local function supply_keys(request, loot_id)
  local tag = "{" .. request.hunt_id .. ":" .. loot_id .. "}"
  return "supply:" .. tag, "supply_pending:" .. tag, "supply_limit:" .. tag
end

local function owner(request) return request.request_id .. " " .. request.hunter_id .. " " .. request.key end

-- The limited awards of a run are given for good, or go back.
local function end_reservations(redis, request, awards, given)
  for _, award in ipairs(awards) do
    if award.limited then
      local supply, pending = supply_keys(request, award.loot_id)
      if given then redis:evalsha(settings.sha.settle, 2, supply, pending, award.event_id, owner(request), "given")
      else redis:evalsha(settings.sha.release, 2, supply, pending, award.event_id, owner(request)) end
    end
  end
end

-- The script's run: the awards it asked for, and what hunt.run() gave.
local function run(redis, request, script)
  local awards = {}
  local host = { log = request.log }
  function host.held()
    local held
    held, request.version = read_held(redis, request)
    return held
  end
  function host.award(loot_id, limit)
    local award = { loot_id = loot_id, event_id = answers.event_id(request, #awards), limited = limit ~= nil }
    if limit then
      local supply, pending, limit_key = supply_keys(request, loot_id)
      local reserved, why = redis:evalsha(settings.sha.reserve, 3, supply, pending, limit_key, award.event_id, limit,
                                          owner(request), "1")
      if not reserved then error(why) end
      if reserved == 0 then return false, "gone" end
    end
    awards[#awards + 1] = award
    return true
  end
  return awards, hunt.run(script, request, host)
end

local function commit(redis, request, awards, body)
  local limited = false
  local words = {}
  for _, award in ipairs(awards) do
    limited = limited or award.limited
    words[#words + 1] = award.loot_id
    words[#words + 1], words[#words + 2] = answers.event_text(request, award, settings.bundle)
  end
  local ttl = limited and "0" or request.keyed and KEYED_TTL_MS or UNKEYED_TTL_MS
  local record = "v1 " .. answers.hex128(request.body or ""):sub(1, 16) .. " 200 " .. settings.bundle .. " " .. body
  return redis:evalsha(settings.sha.commit, 3, request.held_key, request.done_key, request.outbox_key, ttl, record,
                       request.request_id, request.version or "", request.hunter_id, settings.lineage,
                       request.request_id:sub(-4), NO_GENERATION, unpack(words))
end

-- request: hunt_id, hunter_id, request_id, key or nil, body or nil, now_ms, log. Returns status, body, content type.
function service.handle(redis, hunts, request)
  local script = hunts[request.hunt_id]
  if not script then return answers.problem("no-such-hunt", request.hunt_id) end
  if request.body then
    local ok, input = pcall(cjson.decode, request.body)
    if not ok then return answers.problem("invalid-json", input) end
    request.input = input
  end
  request.keyed = request.key ~= nil
  request.key = request.key or request.request_id
  local tag = "{b" .. answers.bucket_of(request.hunter_id) .. "}:"
  request.held_key = "held:" .. tag .. request.hunter_id .. ":" .. request.hunt_id
  request.done_key = "done:" .. tag .. request.hunter_id .. ":" .. request.hunt_id .. ":" .. request.key
  request.outbox_key = "outbox:" .. tag:sub(1, -2)
  request.seed = answers.hex128(request.hunter_id .. ":" .. request.hunt_id .. ":" .. request.key)

  for _ = 1, ATTEMPTS_MAX do
    local awards, result, kind, why = run(redis, request, script)
    if result == nil then
      end_reservations(redis, request, awards, false)
      return answers.problem(kind == "rejected" and "rejected" or "script-failed", why)
    end
    local body = answers.body(request, awards, result)
    if #awards == 0 and not request.keyed then return 200, body, "application/json" end
    local reply, failure = commit(redis, request, awards, body)
    if not reply then return answers.problem("redis-unavailable", failure) end
    if reply[1] == "committed" then
      end_reservations(redis, request, awards, true)
      return 200, body, "application/json"
    end
    if reply[1] == "replayed" then
      local status, answer = reply[2]:match("^v1 %x+ (%d+) %x+ (.*)$")
      return tonumber(status), (answer:gsub('"replayed":false}$', '"replayed":true}')), "application/json"
    end
    end_reservations(redis, request, awards, false)
    if reply[1] ~= "conflict" then return answers.problem("redis-unavailable", reply[2] or reply[1]) end
  end
  return answers.problem("conflict", "nothing was given; try again")
end

-- hunt_id and hunter_id of a path, or nil.
function service.read_path(path)
  local hunt_id, hunter_id = path:match("^/v1/hunts/([^/]+)/hunters/([^/]+)$")
  if hunt.is_id(hunt_id) and hunt.is_id(hunter_id) then return hunt_id, hunter_id end
end

return service
