-- SPDX-License-Identifier: Apache-2.0
-- The test of golden-ticket: huntctl test golden-ticket_test.lua

return function(test)
  test.case("a hunter gets one ticket", function()
    test.when()
    test.expect{ awards = { "golden-ticket" }, result_has = { won = true } }
    test.when()
    test.expect{ awards = {}, result_has = { won = false } }
  end)

  test.case("who comes too late gets chocolate, once", function()
    test.given{ gone = "golden-ticket" }
    test.when()
    test.expect{ awards = { "chocolate-bar" }, result_has = { won = false, why = "gone" } }
    test.when()
    test.expect{ awards = {} }
  end)

  test.case("the last ticket goes to the first who comes", function()
    test.given{ left = { ["golden-ticket"] = 1 } }
    test.when{ hunter = "ann" }
    test.expect{ result_has = { won = true } }
    test.when{ hunter = "ben" }
    test.expect{ result_has = { won = false } }
  end)

  test.case("a hundred tickets for a thousand hunters", function()
    test.when{ hunters = 1000 }
    test.expect{ units = { ["golden-ticket"] = 100, ["chocolate-bar"] = 900 } }
  end)
end
