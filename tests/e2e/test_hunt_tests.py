# SPDX-License-Identifier: Apache-2.0
"""huntctl test: tests of hunts on real workers against a pretended ledger. One test starts huntd, which has to ignore them."""
import json
import pathlib
import re
import subprocess
import xml.etree.ElementTree

import pytest

from aggregator_pipeline import huntctl_program
from client import run_hunt
from conftest import PATIENT
from harness.huntd_stack import ROOT, write_config
from harness.terminal import run_in_terminal

LUA = ROOT / "lua"
CHEST = """local count = 0
return function(hunt)
  count = count + 1
  if hunt.held().key then hunt.reject("opened before") end
  hunt.award("key")
  hunt.log("opened by", hunt.hunter_id)
  return {count = count, now = hunt.now, input = hunt.input, id = hunt.id}
end
"""
TICKET = 'return function(hunt) return {won = hunt.award("ticket", {limit = 3})} end\n'
COIN = 'return function(hunt) if hunt.random(20) == 1 then hunt.award("coin") end end\n'


@pytest.fixture
def bench(tmp_path):
    """A function that writes a hunt and the body of the one case of its test; returns the folder. The config has the deadline of a
    busy machine."""
    folder = tmp_path / "hunts"
    folder.mkdir()
    write_config(tmp_path / "huntd.toml", {"hunts.dir": str(folder), **PATIENT})

    def write(hunt: str, body: str | None = None, name: str = "chest", script: str | None = None) -> pathlib.Path:
        (folder / f"{name}.lua").write_text(hunt)
        if body is not None:
            script = f'return function(test)\n  test.case("it works", function()\n{body}\n  end)\nend\n'
        if script is not None:
            (folder / f"{name}_test.lua").write_text(script)
        return folder
    return write


def run_tests(*words, config=None) -> subprocess.CompletedProcess:
    with_config = ["-c", str(config)] if config else []
    return subprocess.run([huntctl_program(), *with_config, "test", *map(str, words)], capture_output=True, text=True, timeout=300)


def report(folder, *words, code=0) -> dict:
    done = run_tests(*(words or [folder]), "--json", config=folder.parent / "huntd.toml")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def played(folder, command: str) -> dict:
    """What a `huntctl try` that was printed shows, typed into a shell."""
    done = subprocess.run(["/bin/sh", "-c", f"{huntctl_program()} -c {folder.parent}/huntd.toml {command} --json"], capture_output=True,
                          text=True, timeout=60)
    return json.loads(done.stdout)


def only_case(folder, code=0) -> dict:
    hunts = report(folder, code=code)["hunts"]
    assert len(hunts) == 1 and hunts[0]["error"] is None and len(hunts[0]["cases"]) == 1, hunts
    return hunts[0]["cases"][0]


def failure(folder) -> tuple:
    case = only_case(folder, code=1)
    assert not case["passed"]
    return case["line"], case["message"], case["expected"], case["came"]


@pytest.mark.parametrize("name", sorted(path.stem for path in LUA.glob("*.lua") if not path.stem.endswith("_test")))
def test_each_sample_hunt_has_a_test_that_passes(name, tmp_path):
    write_config(tmp_path / "huntd.toml", PATIENT)
    done = run_tests(LUA / f"{name}.lua", config=tmp_path / "huntd.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{name}\n  ok    ")


def test_the_test_in_the_documentation_passes(bench):
    text = (ROOT / "docs" / "scripts.md").read_text()
    blocks = re.findall(r"^```lua\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    folder = bench(blocks[0], name="lucky-dip", script=next(block for block in blocks if "test.case" in block))
    done = run_tests(folder / "lucky-dip.lua", config=folder.parent / "huntd.toml")
    assert done.returncode == 0 and done.stdout + done.stderr in text, done.stdout + done.stderr


@pytest.mark.parametrize("name, old, new", [
    ("sunken-chest", "if hunt.held()", "if not hunt.held()"), ("campfire", "% feast_every_days == 0", "% 6 == 0"),
    ("campfire", "if newest > today", "if newest < 0"), ("goblin-hoard", "weight = 3,", "weight = 9,"),
    ("golden-ticket", "local tickets = 100", "local tickets = 101"), ("seven-runes", "and not held[grand_prize]", ""),
    ("sphinx", "== right", "~= right"), ("smithy", '{ "wood", 1 }', '{ "wood", 2 }'), ("smithy", "if not taken", "if not needed"),
])
def test_a_sample_hunt_that_is_broken_fails_its_test(bench, name, old, new):
    text = (LUA / f"{name}.lua").read_text()
    assert text.count(old) == 1
    folder = bench(text.replace(old, new), name=name, script=(LUA / f"{name}_test.lua").read_text())
    assert report(folder, code=1)["failed"] > 0


@pytest.mark.parametrize("body", [
    'test.when() test.expect{awards = "key", result_has = {count = 1, id = "chest"}, log = "opened by\\thunter"}',
    'test.when() test.expect{awards = {key = 1}, log_has = "by\\thun", held = "key", replayed = false}',
    'test.given{held = {"key"}} test.when() test.expect{rejected = "opened before", awards = {}}',
    'test.given{held = "key"} test.when() test.expect{rejected = true, ended = "rejected"}',
    'test.when() test.expect{} test.when() test.expect{rejected = true}',  # the ledger carries on
    'test.when{hunter = "ann"} test.when{hunter = "ben"} test.expect{awards = "key", log = {"opened by\\tben"}}',
    'test.when{now = 1500} test.expect{result_has = {now = 1500}}',
    'test.given{now = "2026-12-24T18:00+01:00"} test.when{after = "90s"} test.expect{result_has = {now = 1798131690000}}',
    'test.given{now = 0} test.when{hunter = "a", after = "1d"} test.when{hunter = "b", after = 5} test.equal(test.now(), 86400005)'
    ' test.expect{result_has = {now = 86400005}}',
    'test.when{input = {a = {1, "x"}, b = test.null, c = test.list()}}'
    ' test.expect{result_has = {input = {a = {1, "x"}, b = test.null, c = test.list()}}}',
    'local run = test.when() test.equal(run.awards[1], "key") test.equal(run.ended, "ok") test.equal(run.reason, nil)',
    'local first = test.when{key = "k"} test.when{key = "k"} test.expect{replayed = true, result = first.result, held = {key = 1}}',
    'test.when{key = "k"} test.when{key = "k", input = 1} test.expect{ended = "key-reused"}',
    'test.when{hunters = 10} test.expect{runs_with = {key = 10}, ok = 10, units = {key = {10, 10}, gold = 0}}',
    'test.when{runs = 10} test.expect{runs_with = {key = 1}, rejected = 9}',
    'test.equal({a = {1, {b = 2}}}, {a = {1, {b = 2}}}) test.log("a", 1)',
    'test.equal(next(test.held()), nil) test.when() test.equal(test.held().key, 1) test.expect()',
])
def test_what_a_case_can_say(bench, body):
    assert only_case(bench(CHEST, body))["passed"]


SMITH = """return function(hunt)
  local state = hunt.state()
  state.visits = (state.visits or 0) + 1
  if hunt.take("iron", 3) then hunt.award("sword") else hunt.award("iron", {count = 2}) end
  if hunt.input then hunt.reject("no") end
  return state.visits
end
"""


@pytest.mark.parametrize("body, came", [
    ('test.when() test.expect{awards = {iron = 2}, taken = {}, state = {visits = 1}, held = {iron = 2}}', None),
    ('test.given{held = {iron = 4}, state = {visits = 8}} test.when() test.expect{awards = "sword", taken = {iron = 3}, result = 9}', None),
    ('test.when() test.when{input = 1} test.expect{rejected = true} test.when() test.expect{state = {visits = 2}}', None),
    ('test.given{state = {visits = 5}} test.when{hunters = 9, runs = 3} test.expect{units = {iron = 36, sword = 9}}', None),
    ('local run = test.when() test.equal(run.given, {iron = 2}) test.equal(run.taken, {}) test.expect()', None),
    ('test.given{held = {iron = 4}} test.when() test.expect{taken = {iron = 4}}', "iron x 3"),
    ('test.when() test.expect{state = {visits = 2}}', "1"),
    ('test.given{state = {5, 6}} test.when() test.expect()',
     "script-error: chest.lua: the table of hunt.state() holds a list with a hole or with a key that is not 1..n"),
    ('test.given{state = {}} test.when() test.expect{state = {visits = 1}}', None),
    ('test.given{state = 7} test.when() test.expect()', "state is a table"),
])
def test_a_case_looks_at_what_is_taken_and_kept(bench, body, came):
    folder = bench(SMITH, body)
    if came is None:
        assert only_case(folder)["passed"]
    else:
        assert came in failure(folder)


@pytest.mark.parametrize("body", [
    'test.given{held = "key"} test.when{hunters = 3} test.expect{rejected = 3} test.equal(test.held("hunter-3").key, 1)',
    'test.given{held = "key"} test.given{hunter = "hunter-2", held = {}} test.given{hunter = "hunter"}'
    ' test.when{hunters = 3} test.expect{units = {key = 1}, rejected = 2} test.equal(test.held("hunter-2").key, 1)',
    'test.given{hunter = "ann", held = "key"} test.when{hunter = "ben", hunters = 2} test.expect{units = {key = 2}}'
    ' test.when{hunter = "ann", hunters = 2} test.expect{rejected = 2}',
    # each hunter goes on with what it has, and not with what it was given again
    'test.given{held = {gold = 5}} test.when{hunters = 2} test.expect{ok = 2} test.given{held = {}} test.when{hunters = 2}'
    ' test.expect{rejected = 2} test.equal(test.held("hunter-1").gold, 5)',
])
def test_what_a_hunter_holds_is_held_by_each_of_many(bench, body):
    assert only_case(bench(CHEST, body))["passed"]


@pytest.mark.parametrize("returned, expected, differs", [
    ("hunt.list()", "test.list()", None), ("{}", "{}", None), ("hunt.list{1}", "{1}", None), ("hunt.list{1}", "test.list{1}", None),
    ("{}", "test.list()", ("result.found", "test.list()", "{}")), ("hunt.list()", "{}", ("result.found", "{}", "test.list()")),
])
def test_an_empty_list_is_not_an_empty_object(bench, returned, expected, differs):
    folder = bench(f"return function(hunt) return {{found = {returned}}} end\n", f"test.when()\ntest.expect{{result = {{found = {expected}}}}}")
    if differs:
        assert failure(folder)[1:] == differs
    else:
        assert only_case(folder)["passed"]
    folder = bench(f"return function(hunt) return {{found = {returned}}} end\n", f"test.when()\ntest.expect{{result_has = {{found = {expected}}}}}")
    assert only_case(folder, code=1 if differs else 0)["passed"] is not bool(differs)


def test_lists_of_a_run_are_equal_to_plain_tables(bench):
    body = 'local run = test.when() test.expect{awards = {}, log = {}} test.equal(run.awards, {}) test.equal(run.log, {})'
    assert only_case(bench("return function() end\n", body))["passed"]


@pytest.mark.parametrize("body", [
    'test.when{runs = 4} test.expect{units = {ticket = 3}}',
    'test.given{gone = "ticket"} test.when() test.expect{awards = {}, result = {won = false}}',
    'test.given{left = {ticket = 1}} test.when{hunters = 2} test.expect{units = {ticket = 1}}',
    'test.given{left = {ticket = 1, other = 2}, seed = 7} test.when{hunters = 2} test.expect{units = {ticket = 1}}',
    'for i = 1, 3 do test.when{hunter = "h" .. i} test.expect{result = {won = true}} end'
    ' test.when{hunter = "late"} test.expect{result = {won = false}, held = {}}',
])
def test_a_supply_runs_out(bench, body):
    assert only_case(bench(TICKET, body))["passed"]


def test_of_a_thousand_runs_some_are_lucky_and_the_seed_repeats_them(bench):
    folder = bench(COIN, 'local runs = test.when{runs = 1000} test.log(runs.runs_with.coin) test.expect{runs_with = {coin = {25, 80}}}')
    first = only_case(folder)
    assert first["passed"] and first["runs"] == 1000 and only_case(folder)["log"] == first["log"]
    body = 'local logs = {} for _, seed in ipairs{"a", "b", "c"} do test.given{seed = seed}' \
           ' logs[#logs + 1] = test.when{runs = 1000}.runs_with.coin end test.expect() test.log(unpack(logs))'
    body_of_any_name = 'test.when{runs = 1000} test.expect() test.log(test.when{runs = 1000}.runs_with.coin)'
    bench(COIN, body_of_any_name, name="other")
    named = report(bench(COIN, body_of_any_name))["hunts"]
    assert len({hunt["cases"][0]["log"] for hunt in named}) == 1 and len(named) == 2, "a copy draws as the hunt"
    (folder / "other.lua").unlink()
    (folder / "other_test.lua").unlink()
    counts = only_case(bench(COIN, body))["log"].split()
    assert len(counts) == 3 and len(set(counts)) > 1, "other seeds draw otherwise"


@pytest.mark.parametrize("body, line, message, expected, came", [
    ('\ntest.when()\ntest.expect{awards = {"key", "gold"}}', 5, "awards", "gold, key", "key"),
    ('test.when()\ntest.expect{awards = {}}', 4, "awards", "nothing", "key"),
    ('test.when()\ntest.expect{result_has = {count = 2}}', 4, "result.count", "2", "1"),
    ('test.when()\ntest.expect{result = {count = 1}}', 4, "result.id", "nil", '"chest"'),
    ('test.when()\ntest.expect{log = {"opened"}}', 4, "log[1]", '"opened"', '"opened by\\9hunter"'),
    ('test.when()\ntest.expect{rejected = true}', 4, "the run", "rejected", "ok"),
    ('test.given{held = "key"} test.when()\ntest.expect{awards = "key"}', 4, "the run", "ok", "rejected: opened before"),
    ('test.given{held = "key"} test.when()\ntest.expect{rejected = "no"}', 4, "the reason", '"no"', '"opened before"'),
    ('test.when()\ntest.expect{error = true}', 4, "the run", "script-error", "ok"),
    ('test.when()\ntest.expect{held_has = {key = 2}}', 4, "held.key", "2", "1"),
    ('test.when{hunters = 10}\ntest.expect{runs_with = {key = {11, 12}}}', 4, "of 10 runs, those with key", "11 to 12", "10"),
    ('test.when{runs = 10}\ntest.expect{runs_with = {key = 1}}', 4, "runs that were rejected", "0", "9"),
    ('test.equal(1, 2, "one")', 3, "one", "2", "1"),
    ('local function check()\n  test.equal("a", "b")\nend\ncheck()', 4, "the value", '"b"', '"a"'),
    ('pcall(function()\n  test.equal(1, 2)\nend)\ntest.equal(1, 1)', 4, "the value", "2", "1"),
    ('test.given{held = "key"}\ntest.when()\ntest.when()', 5, "the last run, which no test.expect looks at", "ok",
     "rejected: opened before"),
    ('test.equal(1, 1) test.given{held = "key"}\ntest.when()', None, "the last run, which no test.expect looks at", "ok",
     "rejected: opened before"),
    ('test.equal(1, 1)\ntest.when{runs = 10}\ntest.when()', 5, "the last runs, which no test.expect looks at", "ok",
     "of 10 runs, 9 rejected"),
    ('test.when()', None, "this case expects nothing: it needs a test.expect", None, None),
    ('local x\ntest.equal(x.y, 1)', 4, "attempt to index local 'x' (a nil value)", None, None),
    ('error("stop")', 3, "stop", None, None),
    ('error({})', None, "the test raised a table as its error", None, None),
    ('test.expect()', 3, "there is no test.when before this test.expect", None, None),
    ('test.wen()', 3, "test.wen does not exist; there are case, config, equal, expect, given, held, list, log, now, null, when", None, None),
    ('test.given{hled = {}}', 3, "test.given has no option hled; it has gone, held, hunter, left, now, seed, state", None, None),
    ('test.when() test.expect{award = "key"}', 3, "test.expect has no option award; it has awards, ended, error, held, held_has, log, "
     "log_has, rejected, replayed, result, result_has, state, taken", None, None),
    ('test.when("ann")', 3, "test.when takes a table, as in test.when{...}", None, '"ann"'),
    ('test.given{now = "yesterday"}', 3, '"yesterday" is not a time such as 2026-12-24T18:00+01:00', None, None),
    ('test.when{after = "1 day"}', 3, "after is a time such as 30s, 15m, 12h or 1d, or a number of milliseconds", None, '"1 day"'),
    ('test.given{held = {["a b"] = 1}}', 3, '"a b" is not a loot_id: 1 to 64 of A-Z a-z 0-9 _ . -', None, None),
    ('test.when{hunter = "a:b"}', 3, "a hunter is 1 to 64 of A-Z a-z 0-9 _ . -", None, None),
    ('test.given{left = {"ticket"}}', 3, "left is counts, as in {pearl = 2}", None, '{"ticket"}'),
    ('test.given{left = {ticket = 1}, gone = {"cup", "ticket"}}', 3, "ticket is in left and in gone: name it in one of them", None, None),
    ('test.given{left = "ticket"}', 3, "left is a table", None, '"ticket"'),
    ('test.given{left = {ticket = 0.5}}', 3, "the count of ticket is a whole number from 0 on", None, None),
    ('test.given{seed = {}}', 3, "seed is a string", None, "{}"), ('test.given{seed = true}', 3, "seed is a string", None, "true"),
    ('test.given{held = true}', 3, "held is a table of loot_ids", None, "true"),
    ('test.given{held = {key = -1}}', 3, "held: the count of key is a number from 0 on", None, "-1"),
    ('test.when{runs = 0.5}', 3, "runs is a whole number from 1 on", None, None),
    ('test.when{runs = 2e6}', 3, "a case has at most 1000000 runs", None, None),
    ('test.when{input = function() end}', 3, "what a test asks for holds a value that JSON cannot express (a function, a thread)", None,
     None),
    ('test.case("inner", function() end)', 3, "a test.case cannot be in another one", None, None),
])
def test_a_failure_has_its_line_what_was_expected_and_what_came(bench, body, line, message, expected, came):
    assert failure(bench(CHEST, body)) == (line, message, expected, came)


@pytest.mark.parametrize("hunt, end, words", [
    ("local x = nil + 1", "script-error", "chest.lua:2"), ("while true do end", "deadline-passed", "worker.deadline_ms"),
    ('local text = "x" while true do text = text .. text end', "out-of-memory", "worker.memory_bytes"),
    ('for i = 1, 40 do hunt.award("a" .. i) end', "script-error", "a run may award and take 32 times"),
])
def test_a_run_that_fails_ends_the_case_unless_it_is_expected(bench, hunt, end, words):
    hunt = f"return function(hunt)\n  {hunt}\nend\n"
    line, message, _, came = failure(bench(hunt, "test.when()\ntest.expect()"))
    assert (line, message) == (4, "the run") and came.startswith(end) and words in came
    assert only_case(bench(hunt, f'test.when() test.expect{{ended = "{end}"}} test.when() test.expect{{ended = "{end}"}}'))["passed"]
    line, message, _, came = failure(bench(hunt, "test.when{runs = 2}\ntest.expect{ok = 0}"))
    assert message == "runs that failed" and came.startswith(f"2, the first one: {end}")
    for body in ('test.when{runs = 2} test.equal(1, 1)', f'test.when{{runs = 2}} test.when() test.expect{{ended = "{end}"}}'):
        line, message, _, came = failure(bench(hunt, body))
        assert message == "the last runs, which no test.expect looks at" and came.startswith(f"of 2 runs, 2 failed, the first one: {end}")


def test_a_hunt_that_asks_without_end_has_a_deadline_too(bench):
    hunt = 'return function(hunt) repeat local won = hunt.award("t", {limit = 1}) until won end\n'
    _, message, _, came = failure(bench(hunt, 'test.given{gone = "t"} test.when() test.expect()'))
    assert message == "the run" and came.startswith("deadline-passed"), came


@pytest.mark.parametrize("body, words", [
    ("while true do end", "the test: it ran longer than 10000 ms"), ("while true do test.held() end", "it ran longer than 10000 ms"), ('local t = "x" while true do t = t .. t end', "not enough memory"),
])
def test_a_test_that_never_ends_costs_only_its_case(bench, body, words):
    script = f"""return function(test)
  test.case("bad", function() {body} end)
  test.case("good", function() test.when() test.expect() end)
end
"""
    bad, good = report(bench(CHEST, script=script), code=1)["hunts"][0]["cases"]
    assert not bad["passed"] and words in bad["message"] and good["passed"]


def test_a_test_script_has_the_sandbox_of_a_hunt(bench):
    names = "io os debug package load loadstring dofile print collectgarbage newproxy ffi jit"
    body = f'for name in ("{names}"):gmatch("%a+") do test.equal(_G[name], nil, name) end test.equal(hunt, nil)'
    assert only_case(bench(CHEST, body))["passed"]


def test_a_hunt_cannot_play(bench):
    hunt = "return function(hunt) return {play = type(hunt.play)} end\n"
    assert only_case(bench(hunt, 'test.when() test.expect{result = {play = "nil"}}'))["passed"]


def test_cases_do_not_depend_on_each_other(bench):
    script = """local n = 0
return function(test)
  for i = 1, 3 do
    test.case("case " .. i, function()
      n = n + 1
      test.equal(n, 1)
      test.when()
      test.expect{awards = "key"}
    end)
  end
end
"""
    cases = report(bench(CHEST, script=script))["hunts"][0]["cases"]
    assert [case["name"] for case in cases] == ["case 1", "case 2", "case 3"] and all(case["passed"] for case in cases)


def test_the_text_shows_the_line_and_how_to_play_the_run_again(bench):
    folder = bench(CHEST, 'test.given{held = {gold = 2}}\ntest.when{input = {a = "it\'s"}}\ntest.expect{awards = "crown"}')
    done = run_tests(folder / "chest.lua", config=folder.parent / "huntd.toml")
    assert done.returncode == 1 and done.stderr == "huntctl: 1 hunt, 1 case: 0 passed, 1 failed\n"
    lines = done.stdout.splitlines()
    assert lines[:5] == ["chest", "  FAIL  it works", f"        {folder}/chest_test.lua:5: awards",
                         '            test.expect{awards = "crown"}', "        expected  crown"]
    assert lines[5:7] == ["        came      key", '        last run  ok; awards key; result {"count":1,"id":"chest","input":'
                          '{"a":"it\'s"},"now":1767268800000}']
    assert lines[7] == "        its log   opened by\thunter"
    again = lines[8].split("again     huntctl ")[1]
    assert played(folder, again)["result"] == {"count": 1, "id": "chest", "input": {"a": "it's"}, "now": 1767268800000}


def test_a_run_that_takes_the_last_unit_and_asks_for_one_more_is_played_again(bench):
    hunt = """return function(hunt)
  local cup = function() return (hunt.award("cup", {limit = 2})) end
  return {left = hunt.left("cup", {limit = 2}), first = cup(), second = cup()}
end"""
    folder = bench(hunt, "test.given{left = {cup = 1}}\ntest.when()\ntest.expect{awards = {}}")
    shown = run_tests(folder / "chest.lua", config=folder.parent / "huntd.toml").stdout
    again = shown.split("again     huntctl ")[1].splitlines()[0]
    assert again.endswith(" --left cup=1")
    assert played(folder, again)["result"] == {"left": 1, "first": True, "second": False}


def test_a_terminal_gets_colours(bench):
    folder = bench(CHEST, "test.when() test.expect()")
    code, seen = run_in_terminal([huntctl_program(), "-c", str(folder.parent / "huntd.toml"), "test", str(folder)])
    assert code == 0 and b"\x1b[32mok  \x1b[0m  it works" in seen


@pytest.mark.parametrize("file, text, words", [
    ("chest.lua", "return function(hunt)\n  if hunt.now = 3 then end\nend\n", 'chest.lua:2:15: error: "=" sets a value'),
    ("chest_test.lua", "return function(test)\n  test.case(\nend\n", "chest_test.lua:2"),
    ("chest_test.lua", "local x = 1\n", "chest_test.lua:1:1: error: this file does not return a function"),
])
def test_a_script_that_does_not_compile_is_explained(bench, file, text, words):
    folder = bench(CHEST, "test.when() test.expect()")
    (folder / file).write_text(text)
    found = report(folder, code=1)
    assert words in found["hunts"][0]["error"] and found["failed"] == 1
    tap = run_tests(folder, "--tap").stdout
    assert "1..1\nnot ok 1 - chest: the test can be played\n" in tap


@pytest.mark.parametrize("begin, line", [("\ufeff", 3), ("#!/usr/bin/lua\n", 4), ("\ufeff# a test\n", 4)])
def test_a_byte_order_mark_or_a_first_line_for_the_shell_is_skipped(bench, begin, line):
    script = begin + 'return function(test)\n  test.case("it works", function()\n    test.equal(1, 2)\n  end)\nend\n'
    assert failure(bench(CHEST, script=script)) == (line, "the value", "2", "1")


@pytest.mark.parametrize("make, words", [
    (lambda good: good + "--" + "x" * (256 * 1024 - len(good) - 2), "a_test.lua: a test has at most"),
    (lambda good: good + "--" + "x" * (256 * 1024), "a_test.lua"),
    (lambda good: good.replace("test.equal(1, 1)", "local x = " + "(" * 192 + "1" + ")" * 192), "chunk has too many syntax levels"),
    (lambda good: "local t = {} for i = 1, 160000 do t[i] = 'text ' .. i end\n" + good, "has more than 8388608 bytes"),
])
def test_a_test_that_cannot_be_played_is_a_failure_beside_the_others(bench, tmp_path, make, words):
    good = 'return function(test)\n  test.case("it works", function() test.equal(1, 1) end)\nend\n'
    bench(CHEST, script=good, name="b")
    folder = bench(CHEST, script=make(good), name="a")
    found = report(folder, code=1)
    bad, other = found["hunts"]
    assert words in bad["error"] and bad["cases"] == [] and other["cases"][0]["passed"], bad
    assert (found["passed"], found["failed"]) == (1, 1)
    run_tests(folder, "--junit", tmp_path / "report.xml")
    assert words in xml.etree.ElementTree.parse(tmp_path / "report.xml").getroot().find(".//failure").text


@pytest.mark.parametrize("script, message", [
    ("return function(test) end", "the test has no test.case"), ("return function(test) test.wen() end", "test.wen does not exist"),
    ("return function(test)\n  test.when()\nend", "test.when is for the function of a test.case"),
    ("return function(test) test.case(1) end", "use test.case("), ("return function(test) test.case('x') end", "use test.case("),
])
def test_a_script_without_cases_fails(bench, script, message):
    case = only_case(bench(CHEST, script=script), code=1)
    assert case["name"] == "" and message in case["message"]


def test_tap_has_a_line_per_case_and_what_failed(bench):
    script = """return function(test)
  test.case("first # one", function() test.when() test.expect() end)
  test.case("second", function()
    test.when()
    test.expect{awards = "gold"}
  end)
end
"""
    done = run_tests(bench(CHEST, script=script), "--tap")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[:4] == ["TAP version 14", "1..2", r"ok 1 - chest: first \# one", "not ok 2 - chest: second"]
    assert lines[4] == "  ---" and lines[-1] == "  ..." and '  expected: "gold"' in lines and '  actual: "key"' in lines and "  line: 5" in lines


def test_junit_is_xml_with_each_case(bench, tmp_path):
    script = """return function(test)
  test.case("less < more", function() test.when() test.expect() test.log("seen") end)
  test.case("second", function() test.when() test.expect{awards = "gold"} end)
end
"""
    file = tmp_path / "report.xml"
    assert run_tests(bench(CHEST, script=script), "--junit", file).returncode == 1
    root = xml.etree.ElementTree.parse(file).getroot()
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "2", "1")
    first, second = root.findall("./testsuite/testcase")
    assert first.get("name") == "less < more" and first.find("system-out").text == "seen\n" and float(first.get("time")) > 0
    assert second.get("classname") == "chest" and second.find("failure").get("message") == "awards"
    assert "expected  gold" in second.find("failure").text
    bench(CHEST, 'test.log("a\\255]]>\\239\\191\\191\\27") test.equal(1, 2, "\\1")')
    assert run_tests(tmp_path / "hunts", "--junit", file).returncode == 1
    case = xml.etree.ElementTree.parse(file).getroot().find("./testsuite/testcase")
    assert case.find("system-out").text == "a\ufffd]]>\ufffd\ufffd\n" and "\ufffd" in case.find("failure").get("message")
    assert run_tests(bench(CHEST, script=script), "--junit", tmp_path / "no" / "x.xml").stderr.startswith("huntctl: cannot write")


def test_a_folder_is_all_its_tests_and_names_the_hunts_without_one(bench):
    bench(TICKET, "test.when() test.expect()", name="b")
    folder = bench(CHEST, "test.when() test.expect()", name="a")
    bench(COIN, name="c")
    found = report(folder)
    assert [hunt["hunt_id"] for hunt in found["hunts"]] == ["a", "b"] and found["untested"] == [f"{folder}/c.lua"]
    config = folder.parent / "huntd.toml"
    assert run_tests(config=config).stdout == f"a\n  ok    it works\nb\n  ok    it works\nno test: {folder}/c.lua\n"
    twice = report(folder, folder, "b", folder / "b.lua", folder / "b_test.lua", folder / ".." / "hunts" / "b.lua")
    assert [hunt["hunt_id"] for hunt in twice["hunts"]] == ["a", "b"] and twice["untested"] == [f"{folder}/c.lua"]
    for word in ("b", folder / "b.lua", folder / "b_test.lua"):
        assert [hunt["hunt_id"] for hunt in report(folder, word)["hunts"]] == ["b"]


@pytest.mark.parametrize("word, error", [
    ("c.lua", "c.lua has no test: write c_test.lua"), ("no.lua", "no.lua does not exist"), ("no_test.lua", "no.lua does not exist"),
    ("empty", "empty has no test: write NAME_test.lua beside NAME.lua"),
])
def test_wrong_usage_says_what_is_wrong(bench, word, error):
    folder = bench(COIN, name="c")
    (folder / "empty").mkdir()
    done = run_tests(folder / word)
    assert done.returncode == 2 and error in done.stderr, done.stderr


def test_a_test_without_its_hunt_is_an_error(bench):
    folder = bench(CHEST, "test.when() test.expect()")
    (folder / "chest.lua").rename(folder / "crate.lua")
    done = run_tests(folder)
    assert done.returncode == 2 and "chest_test.lua is the test of chest.lua, which does not exist" in done.stderr


def test_huntctl_check_knows_that_a_test_is_no_hunt(bench):
    folder = bench(CHEST, "test.when()\ntest.expect{}\nlocal x = totl + 1")
    done = subprocess.run([huntctl_program(), "check", str(folder), "--json"], capture_output=True, text=True, timeout=60)
    found = json.loads(done.stdout)
    assert found["files"] == 2
    assert [(finding["line"], finding["code"]) for finding in found["findings"]] == [(5, "unknown-name")], found


def test_huntd_does_not_play_tests(own_stack, tmp_path):
    hunts = tmp_path / "hunts"
    hunts.mkdir()
    for name, text in (("chest", CHEST), ("chest_test", "return function(test) end\n"), ("lost_test", "return function(test) end\n")):
        (hunts / f"{name}.lua").write_text(text)
    stack = own_stack(hunts=hunts).start()
    assert run_hunt(stack.http, "chest", "ann").status == 200
    for name in ("chest_test", "lost_test"):
        assert run_hunt(stack.http, name, "ann").status == 404
    log = stack.huntd.log_text()
    assert "lost_test.lua: is the test of lost.lua, which is not here" in log and "chest_test" not in log
