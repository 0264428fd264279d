-- SPDX-License-Identifier: Apache-2.0
-- The responses of docs/http-api.md, and the texts in them.
local bit = require "bit"
local cjson = require "cjson"

local answers = {}

-- FNV-1a, 32 bits, from a basis of one's own.
local function fnv(text, basis)
  local hash = basis
  for i = 1, #text do
    hash = bit.bxor(hash, text:byte(i))
    hash = bit.tobit(hash + bit.lshift(hash, 1) + bit.lshift(hash, 4) + bit.lshift(hash, 7) + bit.lshift(hash, 8) +
                     bit.lshift(hash, 24))
  end
  return hash
end

-- 1,024 buckets as huntd has them, by another hash: who holds what is spread over the same number of outboxes.
function answers.bucket_of(hunter_id) return fnv(hunter_id, 0x811c9dc5) % 1024 end

-- 32 hex digits of a text. nginx's Lua module has MD5 in C; a CGI program makes do.
answers.hex128 = ngx and ngx.md5 or function(text)
  return bit.tohex(fnv(text, 1)) .. bit.tohex(fnv(text, 2)) .. bit.tohex(fnv(text, 3)) .. bit.tohex(fnv(text, 4))
end

function answers.event_id(request, position)
  return answers.hex128(request.hunter_id .. ":" .. request.hunt_id .. ":" .. position .. ":" .. request.request_id)
end

-- Its two parts around seq and generation.
function answers.event_text(request, award, bundle)
  return ('{"event_id":"%s","hunter_id":"%s","hunt_id":"%s","loot_id":"%s","seq":'):format(
           award.event_id, request.hunter_id, request.hunt_id, award.loot_id),
         ('","timestamp":%d,"bundle":"%s"%s}'):format(request.now_ms, bundle, award.limited and ',"supply":true' or "")
end

function answers.body(request, awards, result)
  local loot = {}
  for i, award in ipairs(awards) do loot[i] = ('{"loot_id":"%s","event_id":"%s"}'):format(award.loot_id, award.event_id) end
  return ('{"request_id":"%s","hunt_id":"%s","hunter_id":"%s","loot":[%s],"result":%s,"replayed":false}'):format(
           request.request_id, request.hunt_id, request.hunter_id, table.concat(loot, ","), cjson.encode(result))
end

local statuses = { ["no-such-hunt"] = 404, ["no-such-route"] = 404, ["invalid-json"] = 400, ["rejected"] = 422,
                   ["script-failed"] = 500, ["conflict"] = 503, ["redis-unavailable"] = 503, ["postgres-unavailable"] = 503 }

-- status, body, content type
function answers.problem(word, detail)
  local status = statuses[word]
  return status, cjson.encode { type = "urn:huntd:problem:" .. word, title = word, status = status, detail = detail },
         "application/problem+json"
end

return answers
