-- SPDX-License-Identifier: Apache-2.0
-- One run of a hunt: the `hunt` table of docs/scripts.md, in a VM that lives on from one run to the next, as programs for
-- nginx's Lua module do it. What it does not do is what huntd has processes for: end a run at a deadline, bound its memory.
local bit = require "bit"
local cjson = require "cjson"

local hunt = {}
local AWARDS_MAX = 32
local REJECTED = {}  -- thrown by hunt.reject

-- The globals that a script may use.
local function environment()
  local env = {}
  for _, name in ipairs { "assert", "error", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget", "rawset", "select",
                          "setmetatable", "getmetatable", "tonumber", "tostring", "type", "unpack", "xpcall" } do
    env[name] = _G[name]
  end
  env.string, env.table, env.bit, env.coroutine, env.math = string, table, bit, coroutine, {}
  for name, value in pairs(math) do env.math[name] = value end
  env.math.random, env.math.randomseed = nil, nil
  env._G = env
  return env
end

-- Compiles a hunt's file; what it returns is called once a run.
function hunt.load(path)
  local chunk = assert(loadfile(path))
  return setfenv(chunk, environment())()
end

-- xorshift128 (Marsaglia), seeded with 32 hex digits.
local function random_source(seed)
  local function word(from) return bit.tobit(tonumber(seed:sub(from, from + 7), 16)) end
  local x, y, z, w = word(1), word(9), word(17), word(25)
  local function draw()
    local t = bit.bxor(x, bit.lshift(x, 11))
    x, y, z = y, z, w
    w = bit.bxor(w, bit.rshift(w, 19), t, bit.rshift(t, 8))
    return w
  end
  return function(m, n)
    local high, low = bit.rshift(draw(), 5), bit.rshift(draw(), 6)
    local fraction = (high * 67108864 + low) / 9007199254740992
    if not m then return fraction end
    if type(m) ~= "number" or n ~= nil and type(n) ~= "number" then
      error("hunt.random: use hunt.random(), hunt.random(n) or hunt.random(m, n)", 2)
    end
    if not n then m, n = 1, m end
    m, n = math.floor(m), math.floor(n)
    if m > n then error("hunt.random: the interval is empty", 2) end
    return m + math.floor(fraction * (n - m + 1))
  end
end

local function is_id(text) return type(text) == "string" and #text > 0 and #text <= 64 and not text:find("[^%w_.-]") end
hunt.is_id = is_id

-- The limit of {limit = N}; nil without options.
local function limit_of(options)
  if options == nil then return nil end
  if type(options) ~= "table" then error("hunt.award: options are a table, as in {limit = 100}", 3) end
  for name in pairs(options) do
    if name ~= "limit" then error("hunt.award: the one option is limit, as in {limit = 100}", 3) end
  end
  local limit = rawget(options, "limit")
  if type(limit) ~= "number" or limit < 0 or limit ~= math.floor(limit) or limit > 1e9 then
    error("hunt.award: limit must be a whole number from 0 to 1000000000", 3)
  end
  return limit
end

-- Runs `script`. request: hunt_id, hunter_id, now_ms, seed, input. host: held() gives what the hunter holds;
-- award(loot_id, limit) gives true or false, "gone"; log(text). Returns the result; or nil, "rejected" or "failed", why.
function hunt.run(script, request, host)
  local held, reason, awarded
  awarded = 0
  local api = { id = request.hunt_id, hunter_id = request.hunter_id, now = request.now_ms, input = request.input,
                null = cjson.null, random = random_source(request.seed) }
  function api.held()
    held = held or host.held()
    return held
  end
  function api.award(loot_id, options, ...)
    if reason then error(REJECTED) end
    if select("#", ...) > 0 then error("hunt.award: use hunt.award(loot_id) or hunt.award(loot_id, {limit = N})", 2) end
    if not is_id(loot_id) then error("hunt.award: a loot_id is a text, 1 to 64 of A-Z a-z 0-9 _ . -", 2) end
    if awarded == AWARDS_MAX then error("hunt.award: a run may award 32 times", 2) end
    local given, why = host.award(loot_id, limit_of(options))
    if given then awarded = awarded + 1 end
    return given, why
  end
  function api.reject(text)
    if text ~= nil and type(text) ~= "string" then error("hunt.reject: the reason is a text", 2) end
    reason = reason or text or "rejected"
    error(REJECTED)
  end
  -- An empty list is [] only with a cjson that has array_mt.
  function api.list(list)
    return setmetatable(list or {}, cjson.array_mt)
  end
  function api.log(...)
    local words = { ... }
    for i = 1, select("#", ...) do words[i] = tostring(words[i]) end
    host.log(table.concat(words, "\t"))
  end
  local ok, result = pcall(script, api)
  if reason then return nil, "rejected", reason end
  if not ok then return nil, "failed", tostring(result) end
  if result == nil then result = cjson.null end
  return result
end

return hunt
