-- SPDX-License-Identifier: Apache-2.0
-- Works for some milliseconds between reading what is held and giving one gold.
return function(hunt)
  local before = hunt.held().gold or 0
  local sum = 0
  for i = 1, 3000000 do
    sum = sum + i % 7
  end
  hunt.award("gold")
  return { before = before, sum = sum }
end
