-- SPDX-License-Identifier: Apache-2.0
-- Gives two things at once.
return function(hunt)
  hunt.award("sword")
  hunt.award("shield")
end
