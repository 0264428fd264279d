-- SPDX-License-Identifier: Apache-2.0
-- Awards a unit of a supply of 5, and says what was left before and after; looks, rejects or fails if the input says so.
return function(hunt)
  local before = hunt.left("mug", { limit = 5 })
  if hunt.input == "look" then return before end
  local given = hunt.award("mug", { limit = 5 })
  local after = hunt.left("mug", { limit = 5 })
  if hunt.input == "reject" then hunt.reject(tostring(after)) end
  if hunt.input == "fail" then error(("before %d, %s, after %d"):format(before, tostring(given), after)) end
  return { before = before, given = given, after = after }
end
