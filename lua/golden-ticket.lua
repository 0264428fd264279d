-- SPDX-License-Identifier: Apache-2.0
-- golden-ticket: a supply that all hunters share and that runs out.
--
-- hunt.award(loot_id, {limit = N}) takes one of N units. If it returns true, the hunter gets the
-- ticket after the script has returned. If it returns false, "gone", all N are given, or reserved for
-- runs that have not ended. Never more than N are given, even after a crash. You may raise the limit
-- later: only the number of given units counts.

local tickets = 100

return function(hunt)
  local held = hunt.held()
  if held["golden-ticket"] then
    return { won = false, says = "One golden ticket each. Yours is safe." }
  end

  local won, why = hunt.award("golden-ticket", { limit = tickets })
  if won then
    return { won = true, says = "You hold a golden ticket!" }
  end

  -- A consolation for each hunter who comes too late, once.
  if not held["chocolate-bar"] then
    hunt.award("chocolate-bar")
  end
  return { won = false, why = why, says = "All golden tickets are gone. Have some chocolate." }
end
