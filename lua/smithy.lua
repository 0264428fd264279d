-- SPDX-License-Identifier: Apache-2.0
-- smithy: make a sword of what you have found.
--
-- A hunter finds iron and wood, and pays with them: {"make": "sword"} takes three iron and one wood
-- and gives a sword. hunt.take looks at what the hunter held before this run, and the ledger looks
-- again when it commits the run: two requests at once cannot spend the same iron. Either all of a
-- recipe is taken and the thing is given, or nothing happens.

local recipes = {
  sword = { { "iron", 3 }, { "wood", 1 } },
  shield = { { "iron", 2 }, { "wood", 4 } },
}

local function find(hunt)
  local iron = hunt.random(2)
  hunt.award("iron", { count = iron })
  hunt.award("wood")
  return { found = { iron = iron, wood = 1 } }
end

local function make(hunt, thing)
  local recipe = recipes[thing]
  if not recipe then
    hunt.reject("there is no recipe for that")
  end
  for _, part in ipairs(recipe) do
    local loot_id, needed = part[1], part[2]
    local taken, held = hunt.take(loot_id, needed)
    if not taken then
      hunt.reject(("a %s needs %d %s, and you have %d"):format(thing, needed, loot_id, held))
    end
  end
  hunt.award(thing)
  return { made = thing }
end

return function(hunt)
  local input = hunt.input
  if type(input) == "table" and type(input.make) == "string" then
    return make(hunt, input.make)
  end
  return find(hunt)
end
