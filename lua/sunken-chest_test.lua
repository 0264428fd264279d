-- SPDX-License-Identifier: Apache-2.0
-- The test of sunken-chest: huntctl test sunken-chest_test.lua

return function(test)
  test.case("a hunter opens the chest once", function()
    test.when()
    test.expect{
      awards = { "chest-key", "pearl", "pearl", "pearl", "captains-log" },
      result = { opened = true, pearls = 3 },
    }

    test.when() -- the same hunter again, who now holds the key
    test.expect{ rejected = "you have opened this chest before", held = { "chest-key", pearl = 3, "captains-log" } }
  end)

  test.case("each hunter has a chest", function()
    test.when{ hunter = "ann" }
    test.expect{ held_has = { pearl = 3 } }
    test.when{ hunter = "ben" }
    test.expect{ held_has = { pearl = 3 } }
  end)

  test.case("a retry with the same key gets the same response", function()
    test.when{ key = "first" }
    test.expect{ replayed = false }
    test.when{ key = "first" }
    test.expect{ replayed = true, result = { opened = true, pearls = 3 }, held_has = { pearl = 3 } }
  end)
end
