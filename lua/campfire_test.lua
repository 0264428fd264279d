-- SPDX-License-Identifier: Apache-2.0
-- The test of campfire: huntctl test campfire_test.lua

return function(test)
  test.case("seven days in a row give a feast", function()
    test.given{ now = "2026-12-01T18:00Z" }
    test.when()
    for day = 2, 7 do
      test.expect{ result_has = { streak = day - 1, feast = false } }
      test.when{ after = "1d" }
    end
    test.expect{ result = { streak = 7, new = true, feast = true }, held_has = { ember = 7, feast = 1 } }
  end)

  test.case("a second visit on one day gives nothing", function()
    test.given{ now = "2026-12-01T00:00Z" }
    test.when()
    test.expect{ awards = { "day-20788", "ember" } }
    test.when{ after = "23h" }
    test.expect{ awards = {}, result_has = { new = false, streak = 1 } }
  end)

  test.case("after a day without a visit the streak starts again", function()
    test.given{ now = "2026-12-10T12:00Z", held = { "day-20795", "day-20796" } } -- 8 and 9 December
    test.when()
    test.expect{ result_has = { streak = 3 } }
    test.when{ after = "2d" }
    test.expect{ result_has = { streak = 1 } }
  end)

  test.case("a clock that goes back gives nothing", function()
    test.given{ now = "2026-12-02T00:00:01Z" }
    test.when()
    test.expect{ held_has = { ember = 1 } }
    test.when{ now = "2026-12-01T23:59:59Z" }
    test.expect{ awards = {}, result_has = { new = false } }
  end)
end
