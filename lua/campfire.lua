-- SPDX-License-Identifier: Apache-2.0
-- campfire: come back every day.
--
-- Each day (UTC) gives one ember and a mark of that day, "day-20416". The script uses the marks to
-- remember, so a player can look at them; hunt.state() would be another way. The streak is the number of marked days
-- in a row up to today; every seventh day of a streak also gives a feast.
--
-- hunt.now may go back: hosts have clocks of their own, and a clock can be set. So a day before the
-- newest mark gives nothing; else each day that the clock passes twice would give an ember.
--
-- A hunter holds at most 1,024 different loots in one hunt, so the marks last almost three years.
-- For a new season, purge the hunt (huntctl hunt purge) or copy this file to a new name.

local day_ms = 24 * 60 * 60 * 1000
local feast_every_days = 7

local function mark_of(day)
  return "day-" .. day
end

local function newest_day(held)
  local newest = -1
  for loot_id in pairs(held) do
    local day = loot_id:match("^day%-(%d+)$")
    if day then
      newest = math.max(newest, tonumber(day))
    end
  end
  return newest
end

return function(hunt)
  -- hunt.now is in milliseconds since 1 January 1970, UTC.
  local today = math.floor(hunt.now / day_ms)
  local held = hunt.held()

  local newest = newest_day(held)
  if newest > today then
    return { new = false, says = "The fire still burns. Come back on day " .. newest + 1 .. "." }
  end

  local streak = 0 -- days in a row up to yesterday
  while held[mark_of(today - 1 - streak)] do
    streak = streak + 1
  end
  streak = streak + 1 -- and today

  if held[mark_of(today)] then
    return { streak = streak, new = false, says = "The fire still burns. Come back tomorrow." }
  end

  hunt.award(mark_of(today))
  hunt.award("ember")
  local feast = streak % feast_every_days == 0
  if feast then
    hunt.award("feast")
  end
  return { streak = streak, new = true, feast = feast }
end
