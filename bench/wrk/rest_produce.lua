-- SPDX-License-Identifier: Apache-2.0
-- One loot event a call, of ten thousand hunters in turn. wrk -s bench/wrk/rest_produce.lua http://127.0.0.1:8080/
wrk.headers["Content-Type"] = "application/vnd.kafka.json.v2+json"
local count = 0
function request()
  count = count + 1
  local hunter = "hunter-" .. count % 10000
  return wrk.format("POST", "/topics/loot_events", nil, string.format(
    '{"records":[{"key":"%s","value":{"event_id":"%032x","hunter_id":"%s","hunt_id":"rest","loot_id":"coin","seq":%d,'
    .. '"timestamp":%d,"bundle":"0123456789abcdef0123456789abcdef"}}]}',
    hunter, count, hunter, math.floor(count / 10000) + 1, 1764000000000 + count))
end
