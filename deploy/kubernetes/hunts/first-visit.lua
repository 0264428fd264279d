-- SPDX-License-Identifier: Apache-2.0
-- A hunt to begin with: one medal for each hunter.
return function(hunt)
  if hunt.held()["medal"] then hunt.reject("you have been here before") end
  hunt.award("medal")
  return { welcome = hunt.hunter_id }
end
