-- SPDX-License-Identifier: Apache-2.0
-- Sends 16 GETs of the URL's path at once, and the next 16 after their responses; wrk counts each of them.
local depth = 16
local requests

function init()
  requests = string.rep(wrk.format("GET"), depth)
end

function request()
  return requests
end
