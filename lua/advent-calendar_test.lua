-- SPDX-License-Identifier: Apache-2.0
-- The test of advent-calendar: huntctl test advent-calendar_test.lua

return function(test)
  test.case("each day has one door", function()
    test.given{ now = "2026-12-03T12:00Z" }
    test.when()
    test.expect{ result_has = { door = 3, days_left = test.config.doors - 3 }, held_has = { ["door-3"] = 1 } }
    test.when{ after = "2h" }
    test.expect{ rejected = "today's door is open; come back tomorrow" }
    test.when{ after = "1d" }
    test.expect{ result_has = { door = 4 } }
  end)

  test.case("a day begins at midnight in the zone, an hour before UTC", function()
    test.when{ now = "2026-12-05T22:59:59Z" }
    test.expect{ result_has = { door = 5 } }
    test.when{ now = "2026-12-05T23:00:00Z" }
    test.expect{ awards = { "door-6", test.config.special["door-6"] } }
  end)

  test.case("the other doors have sweets, as often as their weights say", function()
    test.when{ hunters = 10000, now = "2026-12-10T08:00Z" }
    test.expect{ runs_with = { gingerbread = { 4800, 5200 }, walnut = { 3300, 3700 }, ["candied-almond"] = { 1350, 1650 } } }
  end)

  test.case("after the last door there is none", function()
    test.when{ now = "2026-12-25T08:00Z" }
    test.expect{ awards = {}, result = { message = "there is no door today" } }
  end)
end
