-- SPDX-License-Identifier: Apache-2.0
-- seven-runes: collect the set, win the grand prize.
--
-- Every run finds one random rune, so a hunter finds some runes twice. The run that completes the
-- set also gives the crown, once.

local runes = {
  "rune-ash", "rune-birch", "rune-elk", "rune-hail", "rune-lake", "rune-sun", "rune-thorn",
}
local grand_prize = "rune-crown"

return function(hunt)
  local held = hunt.held()
  local found = runes[hunt.random(#runes)]
  hunt.award(found)

  -- held is what the hunter held before this run: add the rune of this run.
  local missing = {}
  for _, rune in ipairs(runes) do
    if rune ~= found and not held[rune] then
      missing[#missing + 1] = rune
    end
  end

  local crowned = #missing == 0 and not held[grand_prize]
  if crowned then
    hunt.award(grand_prize)
  end
  return { found = found, new = not held[found], runes_missing = #missing, crowned = crowned }
end
