-- SPDX-License-Identifier: Apache-2.0
-- The test of new-hunt: huntctl test new-hunt_test.lua

return function(test)
  test.case("each run finds one thing", function()
    local run = test.when()
    test.expect{ result = { found = run.awards[1] } }
  end)
end
