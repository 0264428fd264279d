-- SPDX-License-Identifier: Apache-2.0
-- sunken-chest: a chest that each hunter opens once.
--
-- hunt.held() is what this hunter already holds from this hunt, as loot_id -> count. The script gives
-- the key of the chest together with the treasure, so a hunter who holds the key has opened the
-- chest before. (Two requests of one hunter cannot both open it: they run one after the other.)

local treasure = { "pearl", "pearl", "pearl", "captains-log" }

return function(hunt)
  if hunt.held()["chest-key"] then
    hunt.reject("you have opened this chest before")
  end

  -- All or nothing: the awards are given together after the script has returned.
  hunt.award("chest-key")
  for _, loot_id in ipairs(treasure) do
    hunt.award(loot_id)
  end
  return { opened = true, pearls = 3 }
end
