# SPDX-License-Identifier: Apache-2.0
"""huntctl errors: the errors of scripts on a live host, each with the command that repeats an example exactly."""
import json
import re
import select
import shlex
import signal
import subprocess

import pytest

from aggregator_pipeline import huntctl_program
from client import run_hunt
from harness.huntd_stack import http_get
from harness.process import wait_until
from huntctl_runs import run

# The text of the error has all that a run depends on.
LUCKY = """
return function(hunt)
  local cup = hunt.award("cup", {limit = 1})
  if hunt.input.first then hunt.award("iron") hunt.award("iron") return "ok" end
  local iron = hunt.held().iron
  error("drew " .. hunt.random(1, 1000000) .. " at " .. hunt.now .. ", iron " .. iron .. ", cup " .. tostring(cup)
    .. ", " .. hunt.input.word)
end
"""
KEEPS = """
return function(hunt)
  local state = hunt.state()
  state.visits = (state.visits or 0) + 1
  if hunt.input == "large" then state.text = ("x"):rep(4000) end
  if state.visits > 2 then error("visit " .. state.visits .. " of " .. tostring(state.name)) end
  state.name = "it's \\"ada\\""
end
"""
SCARCE = """
return function(hunt)
  local before = hunt.left("cup", {limit = 3})
  local cup = hunt.award("cup", {limit = 3})
  if hunt.input == "fail" then error(("before %d, %s, after %d"):format(before, tostring(cup), hunt.left("cup", {limit = 3}))) end
end
"""
LAST = """
return function(hunt)
  local cup = function() return tostring(hunt.award("cup", {limit = 2})) end
  if hunt.input == "one" then return cup() end
  error(("left %d, %s, %s"):format(hunt.left("cup", {limit = 2}), cup(), cup()))
end
"""
SIMPLE = "return function(hunt)\n  hunt.awrd('x')\nend"
WORD = "it's \"quoted\" $HOME; ä"


TALKS = "return function(hunt) hunt.log('hello ' .. hunt.hunter_id) if hunt.hunter_id == 'bob' then error('no bobs') end end"


@pytest.fixture
def hunts(tmp_path):
    folder = tmp_path / "hunts"
    folder.mkdir()
    (folder / "lucky.lua").write_text(LUCKY)
    (folder / "simple.lua").write_text(SIMPLE)
    (folder / "keeps.lua").write_text(KEEPS)
    (folder / "scarce.lua").write_text(SCARCE)
    (folder / "last.lua").write_text(LAST)
    (folder / "talks.lua").write_text(TALKS)
    return folder


@pytest.fixture
def stack(own_stack, hunts):
    made = own_stack(hunts=hunts, settings={"worker.deadline_ms": 5000, "worker.queue_deadline_ms": 10_000})
    made.start()
    return made


def errors(stack, *words) -> dict:
    done = run(stack.config, "errors", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def repeat(command: str) -> str:
    """The error of a `huntctl try` as it was printed, typed into a shell."""
    assert command.startswith("huntctl ")
    program = shlex.quote(str(huntctl_program()))
    done = subprocess.run(["sh", "-c", program + command.removeprefix("huntctl")], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done
    return done.stderr


def test_an_example_is_repeated_exactly(stack):
    assert run_hunt(stack.http, "lucky", "ada", input={"first": True}).status == 200
    failed = run_hunt(stack.http, "lucky", "ada", input={"word": WORD}, key="a-key-of-ada")
    assert failed.status == 500, failed
    message = failed.json["detail"]
    assert ", iron 2, cup false, " + WORD in message
    found = errors(stack)["errors"]
    assert [(each["hunt"], each["line"], each["reason"], each["count"]) for each in found] == [("lucky", 6, "script_error", 1)]
    assert found[0]["message"] == message
    assert found[0]["example"]["hunter_id"] == "ada"
    assert found[0]["example"]["request_id"] == failed.headers["x-request-id"]
    stack.redis.stop()  # the repeat needs no store, and so no secret of the ledger
    assert message in repeat(found[0]["repeat"])


def test_a_run_that_fails_by_its_state_is_repeated(stack):
    assert [run_hunt(stack.http, "keeps", "ada").status for _ in range(3)] == [200, 200, 500]
    [found] = errors(stack)["errors"]
    assert json.loads(found["example"]["state"]) == {"visits": 2, "name": "it's \"ada\""}
    assert 'visit 3 of it\'s "ada"' in repeat(found["repeat"])


def test_a_run_that_fails_by_what_is_left_is_repeated(stack):
    for hunter in ("ada", "bob"):
        assert run_hunt(stack.http, "scarce", hunter).status == 200
    assert run_hunt(stack.http, "scarce", "eve", input="fail").status == 500
    [found] = errors(stack, "scarce")["errors"]
    assert found["message"] == "scarce.lua:5: before 1, true, after 0" and found["example"]["left"] == {"cup": 1}
    assert repeat(found["repeat"]) == f"huntctl: scarce: script-error: {found['message']}\n"


def test_a_run_that_takes_the_last_unit_and_asks_for_one_more_is_repeated(stack):
    assert run_hunt(stack.http, "last", "ada", input="one").status == 200
    assert run_hunt(stack.http, "last", "eve").status == 500
    [found] = errors(stack, "last")["errors"]
    assert found["message"] == "last.lua:5: left 1, true, false"
    assert (found["example"]["gone"], found["example"]["left"]) == (["cup"], {"cup": 1})
    assert " --left cup=1" in found["repeat"] and "--gone" not in found["repeat"]
    for command in (found["repeat"], found["repeat"] + " --gone cup"):  # as an older huntctl printed it
        assert repeat(command) == f"huntctl: last: script-error: {found['message']}\n"


def test_a_state_without_room_is_named(stack):
    assert [run_hunt(stack.http, "keeps", "ada", input="large").status for _ in range(2)] == [200, 200]
    assert run_hunt(stack.http, "keeps", "ada", input="y" * 9000).status == 500
    [found] = errors(stack)["errors"]
    assert found["example"]["lacks"] == ["input"] and json.loads(found["example"]["state"])["visits"] == 2
    assert "visit 3 of" in repeat(found["repeat"])


def test_the_text_has_the_command_and_the_count(stack):
    for hunter in ("ada", "bob", "cy"):
        assert run_hunt(stack.http, "simple", hunter).status == 500
    shown = run(stack.config, "errors").stdout
    assert "simple.lua:2: attempt to call field 'awrd' (a nil value); if this is a field of hunt, it is hunt.award\n" in shown
    assert "script_error; 3 times, first " in shown
    command = next(line.strip() for line in shown.splitlines() if line.strip().startswith("huntctl "))
    assert "it is hunt.award" in repeat(command)
    assert run(stack.config, "errors", "lucky").stdout == "no script has failed since huntd started\n"


def test_texts_of_scripts_do_not_reach_the_terminal_as_commands(stack, hunts):
    (hunts / "evil.lua").write_text('return function(hunt) hunt.log("a\\27[2J\\194\\155b") '
                                    'error("seen\\27]0;x\\7\\127\\194\\1552J " .. hunt.input.word) end\n')
    assert run(stack.config, "reload").returncode == 0
    with subprocess.Popen([str(huntctl_program()), "-c", str(stack.config), "tail", "evil", "--count", "2"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            assert run_hunt(stack.http, "evil", "ada", input={"word": "\x9b2J\x7f"}).status == 500
        followed = process.stdout.read()
    shown = run(stack.config, "errors", "evil").stdout
    for text in (followed, shown):
        assert "ada" in text and not re.search("[\0-\x09\x0b-\x1f\x7f-\x9f]", text), text
    command = next(line.strip() for line in shown.splitlines() if line.strip().startswith("huntctl "))
    assert "2J" in repeat(command)


def test_neither_the_secret_nor_a_key_is_shown(stack):
    assert run_hunt(stack.http, "simple", "ada", key="key-of-ada").status == 500
    with stack.redis.client() as redis:
        secrets = [word for word in redis.call("HGETALL", "seed_secret") if len(word) > 8]
    assert secrets
    for page in ("/errors.json", "/lines.json"):
        body = http_get(stack.admin, page)[1]
        assert "ada" in body and "key-of-ada" not in body
        assert not [secret for secret in secrets if secret in body]


def test_an_error_of_a_bundle_that_is_not_live_says_so(stack, hunts):
    assert run_hunt(stack.http, "simple", "ada").status == 500
    assert "which is not live" not in run(stack.config, "errors").stdout
    (hunts / "simple.lua").write_text(SIMPLE + "\n")
    assert run(stack.config, "reload").returncode == 0
    assert "which is not live: its script may differ" in run(stack.config, "errors").stdout


def test_an_admin_port_that_other_hosts_reach_shows_neither_hunters_nor_loot(own_stack, hunts):
    (hunts / "odds.lua").write_text('local odds = {{loot_id = "code-1", weight = 1}, {loot_id = "code-2", weight = 1}}\n'
                                    "return function(hunt) hunt.award(hunt.pick(odds).loot_id) end\n")
    stack = own_stack(hunts=hunts)
    port = stack.admin.rsplit(":", 1)[1]
    stack.settings["admin.listen"] = f"0.0.0.0:{port}"
    stack.start()
    assert run_hunt(stack.http, "odds", "hunter-zoe").status == 200
    assert run_hunt(stack.http, "simple", "hunter-zoe").status == 500
    for path in ("/errors.json", "/lines.json", "/loot.json", "/hunts.json", "/status.json", "/latency.json", "/bundles.json", "/metrics"):
        body = http_get(stack.admin, path)[1]
        assert "zoe" not in body and "code-" not in body, path
    assert json.loads(http_get(stack.admin, "/loot.json")[1]) == {"loot": [], "no_room": 0, "tables": [], "shown": False}
    found = errors(stack)
    assert found["errors"][0]["count"] == 1 and found["examples"] is False
    assert "no examples: other hosts can reach the admin port" in run(stack.config, "errors").stdout


def test_a_core_that_was_killed_has_its_errors_still(stack):
    for hunter in [f"h{i}" for i in range(20)]:
        assert run_hunt(stack.http, "simple", hunter).status == 500
    before = stack.core_pids()
    subprocess.run(["kill", "-KILL", *map(str, before)], check=True)
    wait_until(lambda: stack.huntd.ready() and not set(before) & set(stack.core_pids()), 60, "the cores to be back")
    assert errors(stack)["errors"][0]["count"] == 20


def follow(stack, *words) -> list[dict]:
    """The lines of `huntctl tail talks`, while ada and bob play."""
    with subprocess.Popen([str(huntctl_program()), "-c", str(stack.config), "tail", "talks", "--json", "--for", "60", *words], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            assert run_hunt(stack.http, "simple", "cy").status == 500  # another hunt
            assert run_hunt(stack.http, "talks", "ada").status == 200
            assert run_hunt(stack.http, "talks", "bob").status == 500
        out, error = process.communicate()
    assert process.returncode == 0, error
    return [json.loads(line) for line in out.splitlines()]


def test_tail_follows_the_lines_and_the_errors_of_one_hunt(stack):
    lines = follow(stack, "--count", "12")
    assert len(lines) == 12 and {line["hunt_id"] for line in lines} == {"talks"}
    assert {(line["kind"], line["hunter_id"], line["text"]) for line in lines} == {
        ("log", "ada", "hello ada"), ("log", "bob", "hello bob"), ("error", "bob", "talks.lua:1: no bobs")}
    assert all(len(line["request_id"]) == 32 for line in lines)


def test_tail_ends_after_its_time_and_needs_no_lines(stack):
    done = run(stack.config, "tail", "never-played", "--for", "0.5", "--json")
    assert done.returncode == 0 and json.loads(done.stdout) == {"hunt": "never-played", "lines": 0}


def test_tail_goes_on_over_a_restart_of_huntd(stack):
    with subprocess.Popen([str(huntctl_program()), "-c", str(stack.config), "tail", "talks", "--for", "60"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        try:
            while not select.select([process.stdout], [], [], 0)[0]:
                assert run_hunt(stack.http, "talks", "ada").status == 200
            assert " ada " in process.stdout.readline()
            stack.huntd.restart()
            while "FAILED talks.lua:1: no bobs" not in (line := process.stdout.readline()):
                assert line, "the lines of a failed run came"
                assert run_hunt(stack.http, "talks", "bob").status == 500
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_tail_of_an_admin_port_that_other_hosts_reach_is_an_error(own_stack, hunts):
    stack = own_stack(hunts=hunts)
    stack.settings["admin.listen"] = f"0.0.0.0:{stack.admin.rsplit(':', 1)[1]}"
    stack.start()
    done = run(stack.config, "tail", "talks", "--for", "0.5")
    assert done.returncode == 1 and "other hosts can reach its admin port" in done.stderr
