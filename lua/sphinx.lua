-- SPDX-License-Identifier: Apache-2.0
-- sphinx: a riddle that reads the hunter's answer.
--
-- The request's JSON body is hunt.input. Without a body, the sphinx asks; with {"answer": "..."} she
-- checks the answer. A wrong answer is rejected: the caller gets status 422 and the reason, and
-- nothing is awarded. Input may have any type, so check it before you use it.

local riddles = {
  { asks = "What has a bed but never sleeps, and a mouth but never eats?", answers = { "river" } },
  { asks = "The more you take, the more you leave behind. What are they?", answers = { "footsteps", "steps" } },
  { asks = "I speak without a mouth and hear without ears. What am I?", answers = { "echo" } },
}

local day_ms = 24 * 60 * 60 * 1000

-- "  The River! " and "river" are the same answer.
local function simplified(text)
  local plain = text:lower():gsub("[^a-z ]", ""):gsub("^%s+", ""):gsub("%s+$", "")
  return (plain:gsub("^an? ", ""):gsub("^the ", ""))
end

return function(hunt)
  -- A new riddle every day, the same for everyone.
  local riddle = riddles[math.floor(hunt.now / day_ms) % #riddles + 1]
  local input = hunt.input
  if input == nil then
    return { riddle = riddle.asks }
  end
  if type(input) ~= "table" or type(input.answer) ~= "string" then
    hunt.reject('the sphinx expects {"answer": "..."}')
  end

  local answer = simplified(input.answer)
  for _, right in ipairs(riddle.answers) do
    if answer == right then
      hunt.award("sphinx-feather")
      return { says = "You may pass." }
    end
  end
  hunt.log("wrong answer", answer)
  hunt.reject("the sphinx shakes her head")
end
