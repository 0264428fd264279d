-- SPDX-License-Identifier: Apache-2.0
-- The test of goblin-hoard: huntctl test goblin-hoard_test.lua

return function(test)
  test.case("each run finds one thing", function()
    local run = test.when()
    test.equal(#run.awards, 1, "the number of awards")
    test.expect{ result_has = { found = run.awards[1] } }
  end)

  -- The same seed draws the same things, so this passes always or never.
  test.case("the weights are per cent", function()
    test.given{ seed = "goblins" }
    test.when{ hunters = 1000 }
    test.expect{
      runs_with = {
        ["copper-coin"] = { 550, 650 },
        ["silver-ring"] = { 210, 290 },
        ["ruby-eye"] = { 90, 150 },
        ["goblin-crown"] = { 15, 50 },
      },
    }
  end)
end
