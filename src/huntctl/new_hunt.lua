-- SPDX-License-Identifier: Apache-2.0
-- new-hunt: what it is about, in one line.

local things = { "shell", "feather", "button" }

return function(hunt)
  local found = things[hunt.random(#things)]
  hunt.award(found)
  return { found = found }
end
