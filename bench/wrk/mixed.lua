-- SPDX-License-Identifier: Apache-2.0
-- A day's mix: hunts of several shapes, one read in four, and one request in eight repeated with its Idempotency-Key.
local hunts = { "goblin-hoard", "sunken-chest", "campfire", "seven-runes", "golden-ticket" }
local count = 0
local last_path, last_key

local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("run", os.time() .. "-" .. threads)  -- so that no two threads, and no two runs, share a key
end
function request()
  count = count + 1
  if count % 8 == 0 and last_key then
    return wrk.format("POST", last_path, { ["Idempotency-Key"] = last_key })
  end
  local path = "/v1/hunts/" .. hunts[count % #hunts + 1] .. "/hunters/hunter-" .. (count * 7919) % 10000
  if count % 4 == 0 then
    return wrk.format("GET", path)
  end
  last_path, last_key = path, run .. "-" .. count
  return wrk.format("POST", path, { ["Idempotency-Key"] = last_key })
end
