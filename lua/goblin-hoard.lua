-- SPDX-License-Identifier: Apache-2.0
-- goblin-hoard: a weighted loot table.
--
-- Every run finds exactly one thing. The chance of a line is its weight divided by the sum of all
-- weights: here the sum is 100, so the weights are percentages. To change the odds, change the
-- numbers; to add a loot, add a line.

local hoard = {
  { loot_id = "copper-coin",  weight = 60, says = "A copper coin. The goblins left it for a reason." },
  { loot_id = "silver-ring",  weight = 25, says = "A silver ring, far too small for you." },
  { loot_id = "ruby-eye",     weight = 12, says = "The ruby eye of a stone idol!" },
  { loot_id = "goblin-crown", weight = 3,  says = "The crown of the goblin king!" },
}

local weight_sum = 0
for _, line in ipairs(hoard) do
  weight_sum = weight_sum + line.weight
end

return function(hunt)
  -- Draw a number from 1 to weight_sum, and subtract weights until nothing is left of it.
  local draw = hunt.random(weight_sum)
  for _, line in ipairs(hoard) do
    draw = draw - line.weight
    if draw <= 0 then
      hunt.award(line.loot_id)
      return { found = line.loot_id, says = line.says }
    end
  end
end
