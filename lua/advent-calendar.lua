-- SPDX-License-Identifier: Apache-2.0
-- advent-calendar: one door each day, by the clocks of one time zone.
--
-- What is behind the doors, from when to when the calendar hangs on the wall and in which time zone
-- a day begins is in advent-calendar.toml: next year only that file changes. huntd rejects requests
-- before the first and after the last day, so the script does not look at the year.
--
-- The hunter holds "door-7" for a door that is open. The second visit of a day gives nothing, and a
-- missed door stays shut.

return function(hunt)
  local config = hunt.config
  local today = hunt.date()
  local door = "door-" .. today.day
  if today.day > config.doors then
    return { message = "there is no door today" }
  end
  if hunt.held()[door] then
    hunt.reject("today's door is open; come back tomorrow")
  end

  local found = config.special[door] or hunt.pick(config.sweets).loot_id
  hunt.award(door)
  hunt.award(found)
  return { door = today.day, found = found, days_left = config.doors - today.day }
end
