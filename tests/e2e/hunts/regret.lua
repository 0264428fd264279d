-- SPDX-License-Identifier: Apache-2.0
-- Awards a unit of a supply of 3, then rejects, fails or loops if the input says so.
return function(hunt)
  local given, why = hunt.award("cup", { limit = 3 })
  local wish = hunt.input and hunt.input.wish
  if wish == "reject" then hunt.reject("changed my mind") end
  if wish == "fail" then error("the script failed") end
  if wish == "loop" then while true do end end
  return { cup = given, why = why }
end
