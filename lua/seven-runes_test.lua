-- SPDX-License-Identifier: Apache-2.0
-- The test of seven-runes: huntctl test seven-runes_test.lua

local all = { "rune-ash", "rune-birch", "rune-elk", "rune-hail", "rune-lake", "rune-sun", "rune-thorn" }

return function(test)
  test.case("a run finds one rune", function()
    local run = test.when()
    test.expect{ awards = { run.result.found }, result_has = { new = true, runes_missing = 6, crowned = false } }
  end)

  test.case("the last rune of the set gives the crown, once", function()
    -- Who holds all runes gets the crown with the next one, whichever that is.
    test.given{ held = all }
    test.when()
    test.expect{ held_has = { ["rune-crown"] = 1 }, result_has = { new = false, runes_missing = 0, crowned = true } }
    test.when{ runs = 20 }
    test.expect{ units = { ["rune-crown"] = 0 } }
  end)

  test.case("each rune is as likely as the others", function()
    test.when{ hunters = 1400 }
    local wanted = {}
    for _, rune in ipairs(all) do
      wanted[rune] = { 150, 250 }
    end
    test.expect{ runs_with = wanted }
  end)
end
