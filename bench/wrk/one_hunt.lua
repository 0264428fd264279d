-- SPDX-License-Identifier: Apache-2.0
-- One hunt, run by ten thousand hunters in turn. wrk -s bench/wrk/one_hunt.lua http://127.0.0.1:8080/
local count = 0
function request()
  count = count + 1
  return wrk.format("POST", "/v1/hunts/goblin-hoard/hunters/hunter-" .. count % 10000)
end
