-- golden-ticket: a supply that all hunters share, and that runs out.
--
-- hunt.award(loot_id, {limit = N}) takes one of the N there are in the whole world. It says true, and
-- the ticket is this hunter's once the script has returned; or it says false, "gone": all N are given
-- or held for runs that have not ended yet. Never more than N are given, whatever crashes. The limit
-- may be raised later: only the number that was given counts.

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

  -- A consolation for everyone who came too late, once.
  if not held["chocolate-bar"] then
    hunt.award("chocolate-bar")
  end
  return { won = false, why = why, says = "All golden tickets are gone. Have some chocolate." }
end
