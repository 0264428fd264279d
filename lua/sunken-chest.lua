-- sunken-chest: a chest that each hunter opens once.
--
-- hunt.held() is what this hunter already holds from this hunt, as loot_id -> count. The key of the
-- chest is given together with the treasure, so whoever holds the key has been here before. (Two
-- requests at the same moment can't both open it: a hunter's requests run one after the other.)

local treasure = { "pearl", "pearl", "pearl", "captains-log" }

return function(hunt)
  if hunt.held()["chest-key"] then
    hunt.reject("you have opened this chest before")
  end

  -- All of it or none: a hunt's awards are given together when the script has returned.
  hunt.award("chest-key")
  for _, loot_id in ipairs(treasure) do
    hunt.award(loot_id)
  end
  return { opened = true, pearls = 3 }
end
