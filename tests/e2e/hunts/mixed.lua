-- SPDX-License-Identifier: Apache-2.0
-- Gives one of three things, drawn by chance, and sometimes two.
return function(hunt)
  hunt.award("coin-" .. hunt.random(3))
  if hunt.random(4) == 1 then
    hunt.award("gem")
  end
end
