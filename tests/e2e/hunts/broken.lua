-- SPDX-License-Identifier: Apache-2.0
-- Fails after its award.
return function(hunt)
  hunt.award("never")
  error("the script failed")
end
