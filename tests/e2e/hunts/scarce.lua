-- SPDX-License-Identifier: Apache-2.0
-- A shared supply of 40; awards another loot when the supply is used up.
return function(hunt)
  local given, why = hunt.award("relic", { limit = 40 })
  if not given then
    hunt.award("pebble")
    return { why = why }
  end
  return { relic = true }
end
