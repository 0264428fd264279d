---@meta hunt
-- SPDX-License-Identifier: Apache-2.0
-- Written by huntctl editor. What scripts use, for the Lua language server.

---@class HuntAwardOptions
---@field count? integer # how many the hunter gets
---@field limit? integer # how many units all hunters share

---@class Hunt
---@field config table # [config] of NAME.toml; read-only
---@field hunter_id string # the hunter who plays
---@field id string # the name of the hunt
---@field input any # the body of the request; nil if it has none
---@field now integer # milliseconds since 1 January 1970, UTC
---@field null userdata # the null of JSON
local Hunt = {}

---Awards a loot, after the function has returned. With a limit: one of N units. With a count: so many.
---@param loot_id string 1 to 64 of A-Z a-z 0-9 _ . -
---@param options? HuntAwardOptions
---@return boolean awarded
---@return "gone"? why no unit is left
function Hunt.award(loot_id, options) end

---The date and the time of day in a time zone.
---@param zone? string such as "Europe/Berlin"; without it zone of NAME.toml
---@param ms? number milliseconds since 1970; without it hunt.now
---@return HuntDate
function Hunt.date(zone, ms) end

---What the hunter held of this hunt before this run: loot_id -> count.
---@return table<string, integer?>
function Hunt.held() end

---How many units of a supply are neither given nor reserved.
---@param loot_id string
---@param options {limit: integer} as for hunt.award
---@return integer
function Hunt.left(loot_id, options) end

---Marks a table as a list, which is an array in the result even if it is empty.
---@generic T
---@param t? T[]
---@return T[]
function Hunt.list(t) end

---Writes one line into the log of huntd.
---@param ... any
function Hunt.log(...) end

---One line of a list, each as often as its weight says.
---@generic T: {weight: number}
---@param list T[]
---@return T
function Hunt.pick(list) end

---Without arguments from 0 up to 1, else a whole number from 1 to m, or from m to n.
---@param m? number
---@param n? number
---@return number
function Hunt.random(m, n) end

---Ends the run: nothing is awarded, and the caller gets the reason.
---@param reason? string
function Hunt.reject(reason) end

---A table that the ledger keeps of this hunter in this hunt; changes are stored with the awards.
---@return table
function Hunt.state() end

---Takes n of a loot that the hunter held before this run, together with the awards.
---@param loot_id string
---@param n? integer 1 if it is left out
---@return boolean taken
---@return integer? held how much the hunter has, if that is less
function Hunt.take(loot_id, n) end

---@class HuntDate
---@field year integer
---@field month integer
---@field day integer
---@field hour integer
---@field minute integer
---@field second integer
---@field weekday integer # 1 is Monday, 7 is Sunday
---@field year_day integer # 1 to 366
---@field day_number integer # days since 1 January 1970
---@field date string # as in "2026-12-24"
---@field offset integer # seconds east of UTC

---@class HuntRun
---@field ended string # "ok", "rejected", "script-error", ...
---@field awards string[]
---@field given table<string, integer>
---@field taken table<string, integer>
---@field result any
---@field reason? string
---@field log string[]
---@field replayed boolean

---@class HuntTest
---@field null userdata # the null of JSON
---@field config table # [config] of the hunt's NAME.toml
local HuntTest = {}

---@param name string what is tested
---@param body fun()
function HuntTest.case(name, body) end

---What is so before the next run.
---@param options {hunter?: string, now?: integer|string, held?: table|string, left?: table<string, integer>, gone?: table|string, seed?: string|integer}
function HuntTest.given(options) end

---The hunter plays the hunt.
---@param options? {hunter?: string, now?: integer|string, after?: integer|string, input?: any, key?: string, runs?: integer, hunters?: integer}
---@return HuntRun
function HuntTest.when(options) end

---What has to come of the last test.when.
---@param options? {awards?: table|string, taken?: table|string, result?: any, result_has?: table, log?: string[]|string, log_has?: string, rejected?: string|true, error?: string|true, ended?: string, held?: table|string, held_has?: table, replayed?: boolean, runs_with?: table, units?: table, ok?: integer|integer[], failed?: integer|integer[]}
function HuntTest.expect(options) end

---@param came any
---@param expected any
---@param what? string
function HuntTest.equal(came, expected, what) end

---@param hunter? string
---@return table<string, integer>
function HuntTest.held(hunter) end

---@return integer
function HuntTest.now() end

---@param t? table
---@return table
function HuntTest.list(t) end

---@param ... any
function HuntTest.log(...) end
