-- SPDX-License-Identifier: Apache-2.0
-- Gives one gold, always.
return function(hunt)
  local before = hunt.held().gold or 0
  hunt.award("gold")
  return { before = before }
end
