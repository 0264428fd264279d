-- SPDX-License-Identifier: Apache-2.0
-- Returns what it was sent and who it was run for; gives nothing.
return function(hunt)
  return { input = hunt.input, hunt = hunt.id, hunter = hunt.hunter_id, now = hunt.now }
end
