-- SPDX-License-Identifier: Apache-2.0
-- The test of smithy: huntctl test smithy_test.lua

return function(test)
  test.case("a visit finds iron and wood", function()
    test.when()
    test.expect{ held_has = { iron = { 1, 2 }, wood = 1 } }
  end)

  test.case("a sword costs three iron and one wood", function()
    test.given{ held = { iron = 4, wood = 1 } }
    test.when{ input = { make = "sword" } }
    test.expect{ awards = { "sword" }, taken = { iron = 3, wood = 1 }, held = { iron = 1, sword = 1 } }
  end)

  test.case("who has too little keeps it", function()
    test.given{ held = { iron = 3 } }
    test.when{ input = { make = "sword" } }
    test.expect{ rejected = "a sword needs 1 wood, and you have 0", held = { iron = 3 } }
  end)

  test.case("the same iron is not spent twice", function()
    test.given{ held = { iron = 5, wood = 5 } }
    test.when{ input = { make = "sword" } }
    test.expect{ held = { iron = 2, wood = 4, sword = 1 } }
    test.when{ input = { make = "sword" } }
    test.expect{ rejected = "a sword needs 3 iron, and you have 2", held = { iron = 2, wood = 4, sword = 1 } }
  end)

  test.case("a repeat with the key takes nothing more", function()
    test.given{ held = { iron = 6, wood = 2 } }
    test.when{ input = { make = "sword" }, key = "once" }
    test.expect{ replayed = false }
    test.when{ input = { make = "sword" }, key = "once" }
    test.expect{ replayed = true, taken = { iron = 3, wood = 1 }, held = { iron = 3, wood = 1, sword = 1 } }
  end)

  test.case("what has no recipe is rejected", function()
    test.when{ input = { make = "crown" } }
    test.expect{ rejected = "there is no recipe for that" }
  end)

  test.case("iron comes in ones and twos", function()
    test.when{ hunters = 1000 }
    test.expect{ units = { iron = { 1450, 1550 }, wood = 1000 } }
  end)
end
