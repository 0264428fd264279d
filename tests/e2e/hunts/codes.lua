-- SPDX-License-Identifier: Apache-2.0
-- Awards code-N, of which there is one; N is the input's n.
return function(hunt)
  local given, why = hunt.award("code-" .. hunt.input.n, { limit = 1 })
  return { given = given, why = why }
end
