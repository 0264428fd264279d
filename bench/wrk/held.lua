-- SPDX-License-Identifier: Apache-2.0
-- What hunters hold, read live from Redis.
local count = 0
function request()
  count = count + 1
  return wrk.format("GET", "/v1/hunts/goblin-hoard/hunters/hunter-" .. count % 10000)
end
