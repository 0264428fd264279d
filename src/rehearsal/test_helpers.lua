-- SPDX-License-Identifier: Apache-2.0
-- The table `test` of a test script. src/rehearsal/hunt_test.cc puts this text behind the script, so
-- that its lines keep their numbers, and a hunt_worker runs both as one script: each job lists the
-- cases, or plays one of them. play() of such a job plays the tested hunt on another worker.

local play, null, list, log
local script_lines -- of the script
local cases = {} -- {name, body} in the order of the script
local running = false
local failure -- the first of this case: {what, expected, came, line}

-- The pretended request.
local hunter = "hunter"
local now = 1767268800000 -- 2026-01-01T12:00Z
local last -- what the last test.when returned
local last_is_many = false
local unseen = false -- no test.expect has looked at `last`, of which not all is ok
local expectations = 0

local function sorted_keys(from)
  local keys = {}
  for key in pairs(from) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function shortened(text)
  local bytes = 400
  if #text <= bytes then return text end
  while bytes > 0 and text:byte(bytes + 1) >= 0x80 and text:byte(bytes + 1) < 0xc0 do
    bytes = bytes - 1
  end
  return text:sub(1, bytes) .. "..."
end

-- A table that the result shows as [] if it is empty.
local function is_list(value)
  return getmetatable(value) == getmetatable(list())
end

local function show(value, depth)
  depth = depth or 0
  if value == null then return "test.null" end
  if type(value) == "string" then
    return '"' .. value:gsub('[%c"\\]', function(c)
      if c == "\n" then return "\\n" end
      return c:match("%c") and ("\\%d"):format(c:byte()) or "\\" .. c
    end) .. '"'
  end
  if type(value) ~= "table" then return tostring(value) end
  if next(value) == nil then return is_list(value) and "test.list()" or "{}" end
  if depth == 4 then return "{...}" end
  local parts = {}
  for _, key in ipairs(sorted_keys(value)) do
    local text = show(value[key], depth + 1)
    if type(key) == "string" then
      text = (key:match("^[%a_][%w_]*$") and key or '["' .. key .. '"]') .. " = " .. text
    elseif key > #value then
      text = "[" .. tostring(key) .. "] = " .. text
    end
    parts[#parts + 1] = text
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

-- The innermost line of the script that is being executed: those of this text come behind it.
local function current_line()
  for level = 1, 100 do
    local _, where = pcall(error, "", level)
    local line = tonumber(where:match(":(%d+): $"))
    if line and line <= script_lines then return line end
  end
end

-- Ends the case. `expected` and `came` may be nil.
local function fail(what, expected, came)
  failure = failure or {
    what = shortened(what),
    expected = expected and shortened(expected),
    came = came and shortened(came),
    line = current_line(),
  }
  error("a test that failed", 0)
end

local function check_options(name, options, known)
  if options == nil then return {} end
  if type(options) ~= "table" then
    fail(name .. " takes a table, as in " .. name .. "{...}", nil, show(options))
  end
  for key in pairs(options) do
    if not known[key] then
      fail(("%s has no option %s; it has %s"):format(name, tostring(key),
        table.concat(sorted_keys(known), ", ")))
    end
  end
  return options
end

local function check_type(name, value, wanted)
  if value ~= nil and type(value) ~= wanted then
    fail(("%s is a %s"):format(name, wanted), nil, show(value))
  end
  return value
end

-- What huntctl replies to a request.
local function ask(request)
  local ok, reply = pcall(play, request)
  if not ok then fail(reply) end
  if reply.problem then fail(reply.problem) end
  return reply
end

local function ms_of(name, time)
  if type(time) == "number" then return time end
  check_type(name, time, "string")
  return ask({ time = time }).ms
end

local unit_ms = { s = 1000, m = 60 * 1000, h = 3600 * 1000, d = 24 * 3600 * 1000 }

local function span_of(time)
  if type(time) == "number" then return time end
  local count, unit = tostring(time):match("^(%d+%.?%d*)([smhd])$")
  if not count then
    fail("after is a time such as 30s, 15m, 12h or 1d, or a number of milliseconds", nil, show(time))
  end
  return math.floor(tonumber(count) * unit_ms[unit])
end

-- loot_id -> count, of {"pearl", "pearl"} or of {pearl = 2}.
local function counts_of(name, loot)
  if type(loot) == "string" then loot = { loot } end
  if type(loot) ~= "table" then fail(name .. " is a table of loot_ids", nil, show(loot)) end
  local counts = {}
  for key, value in pairs(loot) do
    if type(key) == "number" and type(value) == "string" then
      counts[value] = (counts[value] or 0) + 1
    elseif type(key) == "string" and type(value) == "number" then
      if not (value >= 0) then fail(("%s: the count of %s is a number from 0 on"):format(name, key), nil, show(value)) end
      if value > 0 then counts[key] = (counts[key] or 0) + value end
    else
      fail(name .. ' is a list, as in {"pearl", "pearl"}, or counts, as in {pearl = 2}', nil, show(loot))
    end
  end
  return counts
end

local function text_of(counts)
  local parts = {}
  for _, loot_id in ipairs(sorted_keys(counts)) do
    local count = counts[loot_id]
    parts[#parts + 1] = count == 1 and loot_id or loot_id .. " x " .. tostring(count)
  end
  return #parts == 0 and "nothing" or table.concat(parts, ", ")
end

-- The first place at which two values differ: its path and both values; nothing if they are equal.
-- As JSON, an empty list and an empty object differ.
local function difference(came, expected, path, as_json)
  if type(came) ~= "table" or type(expected) ~= "table" then
    if came ~= expected then return path, came, expected end
    return nil
  end
  if as_json and next(came) == nil and next(expected) == nil then
    if is_list(came) ~= is_list(expected) then return path, came, expected end
    return nil
  end
  local keys = {}
  for key in pairs(came) do keys[key] = true end
  for key in pairs(expected) do keys[key] = true end
  for _, key in ipairs(sorted_keys(keys)) do
    local where = type(key) == "string" and path .. "." .. key or path .. "[" .. tostring(key) .. "]"
    local found, a, b = difference(came[key], expected[key], where, as_json)
    if found then return found, a, b end
  end
  return nil
end

local function expect_equal(what, came, expected, as_json)
  local path, a, b = difference(came, expected, what, as_json)
  if path then fail(path, show(b), show(a)) end
end

local function expect_counts(what, came, expected)
  local wanted = text_of(counts_of(what, expected))
  if text_of(came) ~= wanted then fail(what, wanted, text_of(came)) end
end

local function range_text(range)
  if type(range) == "number" then return tostring(range) end
  return ("%s to %s"):format(tostring(range[1]), tostring(range[2]))
end

local function expect_count(what, came, range)
  if type(range) == "number" then range = { range, range } end
  if type(range) ~= "table" or type(range[1]) ~= "number" or type(range[2]) ~= "number" then
    fail(what .. " is a number, or {LEAST, MOST}", nil, show(range))
  end
  if came < range[1] or came > range[2] then
    fail(what, range_text(range[1] == range[2] and range[1] or range), tostring(came))
  end
end

-- How a run ended, in one line.
local function end_text(run)
  if run.reason then return run.ended .. ": " .. run.reason end
  return run.ended
end

local expect_one = {}

function expect_one.awards(run, wanted)
  expect_counts("awards", run.given, wanted)
end
function expect_one.state(run, wanted)
  check_type("state", wanted, "table")
  expect_equal("state", run.state, wanted)
end
function expect_one.taken(run, wanted) expect_counts("taken", run.taken, wanted) end
function expect_one.result(run, wanted) expect_equal("result", run.result, wanted, true) end
function expect_one.result_has(run, wanted)
  check_type("result_has", wanted, "table")
  if type(run.result) ~= "table" then fail("result", show(wanted), show(run.result)) end
  for _, key in ipairs(sorted_keys(wanted)) do
    expect_equal("result." .. tostring(key), run.result[key], wanted[key], true)
  end
end
function expect_one.log(run, wanted)
  if type(wanted) == "string" then wanted = { wanted } end
  expect_equal("log", run.log, wanted)
end
function expect_one.log_has(run, wanted)
  check_type("log_has", wanted, "string")
  for _, line in ipairs(run.log) do
    if line:find(wanted, 1, true) then return end
  end
  fail("a line of the log with", show(wanted), show(run.log))
end
function expect_one.rejected(run, wanted)
  if run.ended ~= "rejected" then fail("the run", "rejected", end_text(run)) end
  if wanted ~= true then expect_equal("the reason", run.reason, wanted) end
end
function expect_one.error(run, wanted)
  if run.ended ~= "script-error" then fail("the run", "script-error", end_text(run)) end
  if wanted == true then return end
  check_type("error", wanted, "string")
  if not run.reason:find(wanted, 1, true) then fail("an error with", show(wanted), show(run.reason)) end
end
function expect_one.ended(run, wanted)
  if run.ended ~= wanted then fail("the run", show(wanted), end_text(run)) end
end
function expect_one.held(run, wanted)
  expect_counts("held", ask({ held_by = run.hunter }).held, wanted)
end
function expect_one.held_has(run, wanted)
  local held = ask({ held_by = run.hunter }).held
  check_type("held_has", wanted, "table")
  for _, loot_id in ipairs(sorted_keys(wanted)) do
    expect_count("held." .. tostring(loot_id), held[loot_id] or 0, wanted[loot_id])
  end
end
function expect_one.replayed(run, wanted) expect_equal("replayed", run.replayed, wanted) end

local expect_many = {}

function expect_many.ok(runs, wanted) expect_count("runs that ended with ok", runs.ends.ok or 0, wanted) end
function expect_many.rejected(runs, wanted)
  expect_count("runs that were rejected", runs.ends.rejected or 0, wanted)
end
function expect_many.failed(runs, wanted) expect_count("runs that failed", runs.failed, wanted) end
function expect_many.runs_with(runs, wanted)
  check_type("runs_with", wanted, "table")
  for _, loot_id in ipairs(sorted_keys(wanted)) do
    local what = ("of %d runs, those with %s"):format(runs.runs, tostring(loot_id))
    expect_count(what, runs.runs_with[loot_id] or 0, wanted[loot_id])
  end
end
function expect_many.units(runs, wanted)
  check_type("units", wanted, "table")
  for _, loot_id in ipairs(sorted_keys(wanted)) do
    expect_count("units of " .. tostring(loot_id), runs.units[loot_id] or 0, wanted[loot_id])
  end
end

local says_how_it_ends = { rejected = true, error = true, ended = true }

local function expect_ok(options)
  for key in pairs(says_how_it_ends) do
    if options[key] ~= nil then return end
  end
  if last.ended ~= "ok" then fail("the run", "ok", end_text(last)) end
end

local function expect_none_failed(options)
  if options.failed == nil and last.failed > 0 then
    fail("runs that failed", "0", ("%d, the first one: %s"):format(last.failed, last.first_failure))
  end
  local rejected = last.ends.rejected or 0
  if options.rejected == nil and options.ok == nil and rejected > 0 then
    fail("runs that were rejected", "0", tostring(rejected))
  end
end

-- How many runs ended, if not all were ok.
local function ends_text(runs)
  local parts = {}
  if runs.failed > 0 then parts[1] = ("%d failed, the first one: %s"):format(runs.failed, runs.first_failure) end
  local rejected = runs.ends.rejected or 0
  if rejected > 0 then table.insert(parts, 1, rejected .. " rejected") end
  return ("of %d runs, %s"):format(runs.runs, table.concat(parts, ", "))
end

-- Ends the case if nothing has looked at runs that did not end well.
local function look_at_last()
  if not unseen then return end
  unseen = false
  if last_is_many then fail("the last runs, which no test.expect looks at", "ok", ends_text(last)) end
  fail("the last run, which no test.expect looks at", "ok", end_text(last))
end

local function of_a_case(name)
  if not running then fail("test." .. name .. " is for the function of a test.case") end
end

local test = {}

function test.case(name, body)
  if running then fail("a test.case cannot be in another one") end
  if type(name) ~= "string" or name == "" or type(body) ~= "function" then
    fail('use test.case("what is tested", function() ... end)')
  end
  cases[#cases + 1] = { name = name, body = body }
end

local given_options = { hunter = true, now = true, held = true, left = true, gone = true, seed = true, state = true }

function test.given(options)
  of_a_case("given")
  options = check_options("test.given", options, given_options)
  hunter = check_type("hunter", options.hunter, "string") or hunter
  if options.now ~= nil then now = ms_of("now", options.now) end
  local change = { hunter = hunter }
  if options.held ~= nil then change.held = counts_of("held", options.held) end
  change.state = check_type("state", options.state, "table")
  local left = {}
  for loot_id, count in pairs(check_type("left", options.left, "table") or {}) do
    if type(loot_id) ~= "string" or type(count) ~= "number" then
      fail("left is counts, as in {pearl = 2}", nil, show(options.left))
    end
    left[loot_id] = count
  end
  if options.gone ~= nil then
    for loot_id in pairs(counts_of("gone", options.gone)) do
      if left[loot_id] then fail(loot_id .. " is in left and in gone: name it in one of them") end
      left[loot_id] = 0
    end
  end
  if next(left) ~= nil then change.left = left end
  if type(options.seed) == "number" then
    change.seed = tostring(options.seed)
  else
    change.seed = check_type("seed", options.seed, "string")
  end
  ask({ given = change })
end

local when_options = {
  hunter = true, now = true, after = true, input = true, key = true, runs = true, hunters = true,
}

function test.when(options)
  of_a_case("when")
  look_at_last()
  options = check_options("test.when", options, when_options)
  hunter = check_type("hunter", options.hunter, "string") or hunter
  if options.now ~= nil then now = ms_of("now", options.now) end
  if options.after ~= nil then now = now + span_of(options.after) end
  check_type("key", options.key, "string")
  check_type("runs", options.runs, "number")
  check_type("hunters", options.hunters, "number")
  last_is_many = options.runs ~= nil or options.hunters ~= nil
  if last_is_many and options.key then fail("a key is for one run: without runs and hunters") end
  last = ask({
    play = {
      hunter = hunter, now = now, key = options.key, input = options.input,
      runs = options.runs, hunters = options.hunters,
    },
  })
  if last_is_many then
    unseen = last.failed > 0 or (last.ends.rejected or 0) > 0
    return last
  end
  last.hunter = hunter
  if last.reason == null then last.reason = nil end
  unseen = last.ended ~= "ok"
  return last
end

function test.expect(options)
  of_a_case("expect")
  if last == nil then fail("there is no test.when before this test.expect") end
  local checks = last_is_many and expect_many or expect_one
  options = check_options(last_is_many and "test.expect after many runs" or "test.expect", options, checks)
  unseen = false
  expectations = expectations + 1;
  (last_is_many and expect_none_failed or expect_ok)(options)
  for _, key in ipairs(sorted_keys(options)) do
    checks[key](last, options[key])
  end
end

function test.equal(came, expected, what)
  of_a_case("equal")
  expectations = expectations + 1
  local path, a, b = difference(came, expected, type(what) == "string" and what or "the value")
  if path then fail(path, show(b), show(a)) end
end

function test.held(of_hunter)
  of_a_case("held")
  return ask({ held_by = check_type("the hunter", of_hunter, "string") or hunter }).held
end

function test.now()
  return now
end

function test.list(...)
  return list(...)
end

function test.log(...)
  return log(...)
end

-- What ended a case, if not fail().
local function failure_of(thrown)
  if type(thrown) ~= "string" then return { what = "the test raised a " .. type(thrown) .. " as its error" } end
  local line, text = thrown:match("^[^\n]-%.lua:(%d+): (.*)$")
  return { what = shortened(text or thrown), line = tonumber(line) }
end

local function run_case(body)
  running = true
  local ok, thrown = pcall(body)
  if ok and not failure then ok, thrown = pcall(look_at_last) end
  if not failure and not ok then failure = failure_of(thrown) end
  if not failure and expectations == 0 then failure = { what = "this case expects nothing: it needs a test.expect" } end
  return { failed = failure }
end

local function run_test_job(hunt, script, lines)
  script_lines = lines
  play, null, list, log = hunt.play, hunt.null, hunt.list, hunt.log
  test.null = null
  test.config = hunt.config
  setmetatable(test, {
    __index = function(_, name)
      fail(("test.%s does not exist; there are %s"):format(tostring(name),
        table.concat(sorted_keys(test), ", ")))
    end,
  })
  local ok, thrown = pcall(script, test)
  if not ok or failure then
    return { failed = failure or failure_of(thrown) }
  end
  local case = hunt.input.case
  if case then return run_case(cases[case].body) end
  local names = list({})
  for i, one in ipairs(cases) do names[i] = one.name end
  return { cases = names }
end
