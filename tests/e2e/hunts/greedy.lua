-- SPDX-License-Identifier: Apache-2.0
-- Takes more memory than it may.
return function(hunt)
  hunt.award("never")
  local text = string.rep("x", 1024 * 1024)
  local all = {}
  for i = 1, 1024 do
    all[i] = text .. i
  end
  return #all
end
