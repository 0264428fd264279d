-- SPDX-License-Identifier: Apache-2.0
-- Rejects.
return function(hunt)
  hunt.award("never")
  hunt.reject("not today")
end
