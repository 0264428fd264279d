-- SPDX-License-Identifier: Apache-2.0
-- Never ends.
return function(hunt)
  hunt.award("never")
  while true do end
end
