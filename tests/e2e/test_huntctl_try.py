# SPDX-License-Identifier: Apache-2.0
"""huntctl try: a hunt on a real worker against a pretended ledger, and a run of a live ledger repeated."""
import json
import pathlib
import subprocess

import pytest

from aggregator_pipeline import huntctl_program
from client import held, run_hunt
from conftest import PATIENT
from harness.huntd_stack import write_config

DICE = """
return function(hunt)
  local draws = {}
  for i = 1, 8 do draws[i] = hunt.random(1, 1000000) end
  hunt.award("die")
  return {draws = draws, now = hunt.now, iron = hunt.held().iron, input = hunt.input}
end
"""


@pytest.fixture
def script(tmp_path):
    """A function that writes a script; returns its path. The config beside it has the deadline of a busy machine."""
    write_config(tmp_path / "huntd.toml", PATIENT)

    def write(name: str, text: str):
        path = tmp_path / f"{name}.lua"
        path.write_text(text)
        return path
    return write


def try_hunt(path, *words):
    """huntctl without Redis or anything else."""
    config = pathlib.Path(path).with_name("huntd.toml")
    with_config = ["-c", str(config)] if config.exists() else []
    return subprocess.run([huntctl_program(), *with_config, "try", str(path), *map(str, words)], capture_output=True, text=True,
                          timeout=120)


def report(*words, code: int = 0) -> dict:
    done = try_hunt(*words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_what_is_taken_and_the_state_are_shown(script):
    path = script("smith", """return function(hunt)
      local state = hunt.state()
      state.swords = (state.swords or 0) + 1
      hunt.award("gold", {count = 5})
      return {hunt.take("iron", 3)}
    end""")
    run = report(path, "ann", "--held", "iron=3", "--state", '{"swords": 6}')
    assert run["loot"] == [{"loot_id": "gold", "limited": False, "count": 5}] and run["taken"] == [{"loot_id": "iron", "count": 3}]
    assert run["state"] == {"swords": 7} and run["result"] == [True]
    assert "award    gold x 5\ntake     iron x 3\nstate    {" in try_hunt(path, "ann", "--held", "iron=3").stdout
    poor = report(path, "ann", "--held", "iron=2")
    assert poor["result"] == [False, 2] and "taken" not in poor
    for bad in ("7", "{", '{"a": "' + "x" * 4096 + '"}'):
        assert "--state" in try_hunt(path, "ann", "--state", bad).stderr


@pytest.mark.parametrize("before, after", [("[]", ["pearl"]), ("{}", ["pearl"]), ('["a", "b"]', ["a", "b", "pearl"])])
def test_a_state_can_be_a_list(script, before, after):
    path = script("list", "return function(hunt) local state = hunt.state() state[#state + 1] = 'pearl' end")
    assert report(path, "ann", "--state", before)["state"] == after


def test_a_script_runs_without_a_ledger(script):
    path = script("dice", DICE)
    run = report(path, "ann", "--held", "iron=3,wood=1", "--now", "2026-12-24T18:00+01:00", "--input", '{"a": [1, 2]}')
    assert (run["hunt_id"], run["hunter_id"], run["end"]) == ("dice", "ann", "ok")
    assert run["loot"] == [{"loot_id": "die", "limited": False}]
    assert run["result"]["now"] == run["now_ms"] == 1798131600000
    assert run["result"]["iron"] == 3 and run["result"]["input"] == {"a": [1, 2]}
    assert len(set(run["result"]["draws"])) > 1
    text = try_hunt(path, "ann").stdout
    assert text.startswith("dice for ann: ok\naward    die\nresult   {")


def test_a_seed_repeats_the_draws_and_another_run_has_others(script):
    path = script("dice", DICE)
    first = report(path, "ann")
    again = report(path, "ann", "--seed", first["seed"])
    assert again["result"]["draws"] == first["result"]["draws"] and again["seed"] == first["seed"]
    assert report(path, "ann")["result"]["draws"] != first["result"]["draws"]


def test_a_supply_that_is_gone_is_pretended(script):
    path = script("scarce", 'return function(hunt) return {got = hunt.award("crown", {limit = 1})} end')
    assert report(path)["loot"] == [{"loot_id": "crown", "limited": True}]
    gone = report(path, "--gone", "crown")
    assert gone["loot"] == [] and gone["result"] == {"got": False}
    assert report(path, "--gone", "crown,cup", "--left", "crown=1")["result"] == {"got": True}


@pytest.mark.parametrize("body, end, code, words", [
    ('hunt.reject("closed today")', "rejected", 4, "closed today"),
    ("local x = nil + 1", "script-error", 1, "bad.lua:1"),
    ('hunt.awrd("gold")', "script-error", 1, "attempt to call field 'awrd' (a nil value); if this is a field of hunt, it is hunt.award"),
    ("while true do end", "deadline-passed", 1, "worker.deadline_ms"),
    ('local text = "x" while true do text = text .. text end', "out-of-memory", 1, ""),
])
def test_each_other_end_has_its_reason_and_exit_code(script, body, end, code, words):
    run = report(script("bad", f"return function(hunt) {body} end"), code=code)
    assert run["end"] == end and run["loot"] == []
    assert words in run["reason"]


@pytest.mark.parametrize("words, code, error", [
    (("no/such.lua",), 2, "cannot read no/such.lua"),
    (("SCRIPT", "a:b"), 2, "not a valid hunter_id"),
    (("SCRIPT", "--held", "iron=x"), 2, "is not LOOT_ID=COUNT"),
    (("SCRIPT", "--input", "{"), 2, "--input: "),
    (("SCRIPT", "--now", "yesterday"), 2, "--now takes"),
    (("SCRIPT", "--seed", "12"), 2, "--seed takes"),
])
def test_wrong_usage_says_what_is_wrong(script, words, code, error):
    path = str(script("dice", DICE))
    done = try_hunt(*[path if word == "SCRIPT" else word for word in words])
    assert done.returncode == code and error in done.stderr, done.stderr


def test_a_script_that_does_not_compile_names_file_and_line(script):
    done = try_hunt(script("bad", "return function(hunt)\n  if x then\nend\n"))
    assert done.returncode == 1 and "bad.lua:" in done.stderr


def test_a_run_of_the_live_ledger_is_repeated_by_its_key(own_stack, tmp_path):
    hunts = tmp_path / "hunts"
    hunts.mkdir()
    (hunts / "dice.lua").write_text(DICE)
    stack = own_stack(hunts=hunts).start()
    live = run_hunt(stack.http, "dice", "ann", key="k-1")
    anonymous = run_hunt(stack.http, "dice", "ann")
    for key, answer in (("k-1", live), (anonymous.json["request_id"], anonymous)):
        repeated = report_of(stack, "dice", "ann", "--key", key)
        assert repeated["result"]["draws"] == answer.json["result"]["draws"]
    assert held(stack.http, "dice", "ann") == {"die": 2}, "nothing was awarded by the repetition"
    # Another secret draws otherwise, and the former one still repeats the run.
    with stack.redis.client() as redis:
        redis.call("HSET", "seed_secret", "2", "s" * 64)
    assert report_of(stack, "dice", "ann", "--key", "k-1")["result"]["draws"] != live.json["result"]["draws"]
    assert report_of(stack, "dice", "ann", "--key", "k-1", "--secret", "1")["result"]["draws"] == live.json["result"]["draws"]


def report_of(stack, *words) -> dict:
    done = subprocess.run([huntctl_program(), "-c", str(stack.config), "try", *words, "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)
