-- SPDX-License-Identifier: Apache-2.0
-- The test of sphinx: huntctl test sphinx_test.lua

return function(test)
  test.case("without a body the sphinx asks", function()
    test.given{ now = "2026-12-03T12:00Z" }
    test.when()
    test.expect{ awards = {}, result = { riddle = "What has a bed but never sleeps, and a mouth but never eats?" } }
  end)

  test.case("each day has its riddle", function()
    test.given{ now = "2026-12-03T12:00Z" }
    for _, answer in ipairs{ "river", " The Footsteps! ", "an echo" } do
      test.when{ input = { answer = answer } }
      test.expect{ awards = { "sphinx-feather" }, result = { says = "You may pass." } }
      test.when{ after = "1d" }
      test.expect{}
    end
  end)

  test.case("a wrong answer is rejected, and is in the log", function()
    test.given{ now = "2026-12-03T12:00Z" }
    test.when{ input = { answer = "A map" } }
    test.expect{ rejected = "the sphinx shakes her head", log = "wrong answer\tmap" }
  end)

  test.case("a body of another form is rejected", function()
    for _, input in ipairs{ {}, { answer = 1 }, { answer = test.null }, "river", 7, test.list(), test.null } do
      test.when{ input = input }
      test.expect{ rejected = 'the sphinx expects {"answer": "..."}' }
    end
  end)
end
