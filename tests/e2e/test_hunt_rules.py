# SPDX-License-Identifier: Apache-2.0
"""When a hunt runs, for whom, how often and with how much: NAME.toml (decision 63)."""
import asyncio
import contextlib
import json
import signal
import threading
import time
from datetime import datetime, timedelta, timezone

import pytest

from client import AsyncConnection, run_hunt
from conftest import PATIENT
from harness.huntd_stack import write_config
from harness.process import wait_until
from huntctl_runs import run
from test_isolation import workers_of

GOLD = 'return function(hunt) hunt.award("gold") end\n'
FOREVER = "return function() while true do end end\n"


def at(**ahead) -> str:
    """A time from now, as TOML writes it."""
    return (datetime.now(timezone.utc) + timedelta(**ahead)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def serve(own_stack, tmp_path):
    """A function that starts huntd with hunts: each is its script and its settings."""
    folder = tmp_path / "hunts"
    folder.mkdir()

    def start(cores: int = 1, settings: dict | None = None, **hunts: tuple[str, str]):
        for name, (script, rules) in hunts.items():
            (folder / f"{name}.lua").write_text(script)
            if rules:
                (folder / f"{name}.toml").write_text(rules)
        return own_stack(hunts=folder, cores=cores, settings={**PATIENT, **(settings or {})}).start()
    return start


def outcomes(stack, outcome: str) -> float:
    return stack.metric(f'huntd_hunts_total{{outcome="{outcome}"}}')


@pytest.mark.parametrize("rules, status, problem, outcome", [
    ("enabled = false", 409, "hunt-disabled", "disabled"),
    (f"ends = {at(hours=-1)}", 409, "hunt-ended", "ended"),
    (f"starts = {at(days=30)}", 409, "hunt-not-started", "not_started"),
    ("percent = 0", 403, "not-selected", "not_selected"),
])
def test_a_hunt_that_is_not_open_rejects_and_counts(serve, rules, status, problem, outcome):
    stack = serve(chest=(GOLD, rules), free=(GOLD, ""))
    for key in (None, "first"):
        answer = run_hunt(stack.http, "chest", "ada", key=key)
        assert (answer.status, answer.problem) == (status, problem)
        assert answer.json["detail"].startswith("nothing was awarded: ")
    assert outcomes(stack, outcome) == 2
    assert run_hunt(stack.http, "free", "ada").status == 200
    assert ("retry-after" in answer.headers) == (outcome == "not_started")
    if outcome == "not_started":
        assert 29 * 86400 < int(answer.headers["retry-after"]) <= 30 * 86400


def test_a_hunt_opens_at_its_time_and_a_tester_needs_no_wait(serve):
    stack = serve(chest=(GOLD, f'starts = {at(seconds=4)}\npercent = 0\ntesters = ["ann"]\n'))
    assert run_hunt(stack.http, "chest", "ann").status == 200
    early = run_hunt(stack.http, "chest", "ben")
    assert early.problem == "hunt-not-started" and 1 <= int(early.headers["retry-after"]) <= 5
    time.sleep(int(early.headers["retry-after"]))
    assert run_hunt(stack.http, "chest", "ben").problem == "not-selected"


def test_a_stored_response_is_returned_when_the_hunt_is_over(serve, tmp_path):
    stack = serve(chest=(GOLD, f"ends = {at(hours=1)}"))
    first = run_hunt(stack.http, "chest", "ada", key="k")
    (tmp_path / "hunts" / "chest.toml").write_text("enabled = false\n")
    stack.huntd.signal(signal.SIGHUP)
    wait_until(lambda: run_hunt(stack.http, "chest", "ben").status == 409, 30, "the hunt is disabled")
    again = run_hunt(stack.http, "chest", "ada", key="k")
    assert again.status == 200 and again.json["replayed"] and again.json["loot"] == first.json["loot"]


@pytest.mark.parametrize("cores", [1, 2])
def test_a_part_of_the_hunters_is_the_same_on_every_core(serve, cores):
    stack = serve(cores=cores, chest=(GOLD, "percent = 25"))
    selected = [run_hunt(stack.http, "chest", f"h{i}").status == 200 for i in range(120)]
    assert [run_hunt(stack.http, "chest", f"h{i}").status == 200 for i in range(120)] == selected
    assert 12 <= sum(selected) <= 50


def test_a_hunter_has_so_many_runs_of_a_hunt_and_replays_are_none(serve):
    stack = serve(chest=(GOLD, "per_hour = 2\nper_day = 100"), gold=(GOLD, ""))
    assert run_hunt(stack.http, "chest", "ada", key="a").status == 200
    assert run_hunt(stack.http, "chest", "ada", key="a").json["replayed"]
    assert run_hunt(stack.http, "chest", "ada").status == 200
    limited = run_hunt(stack.http, "chest", "ada", key="b")
    assert (limited.status, limited.problem) == (429, "hunter-limit")
    assert limited.json["detail"] == "nothing was awarded: the hunter has used up per_hour of this hunt"
    assert 3500 < int(limited.headers["retry-after"]) <= 3601
    assert run_hunt(stack.http, "chest", "ada", key="a").json["replayed"]
    assert run_hunt(stack.http, "chest", "ben").status == 200
    assert run_hunt(stack.http, "gold", "ada").status == 200
    assert outcomes(stack, "hunter_limit") == 1


@pytest.mark.parametrize("isolation", ["process", "fork", "task", "batch"])
def test_a_hunt_has_its_own_deadline_and_memory(serve, isolation):
    eat = 'return function() local t = {} for i = 1, 1e6 do t[i] = {i} end end\n'
    stack = serve(settings={"worker.isolation": isolation, "worker.deadline_ms": 3000}, loop=(FOREVER, "deadline_ms = 40"),
                  long=(FOREVER.replace("true", "hunt == nil"), "deadline_ms = 9000"), eats=(eat, "memory_bytes = 2_000_000"),
                  gold=(GOLD, ""))
    begin = time.monotonic()
    late = run_hunt(stack.http, "loop", "ada")
    assert (late.status, late.json["detail"]) == (504, "the deadline of a hunt is 40 ms")
    assert time.monotonic() - begin < 2.5
    full = run_hunt(stack.http, "eats", "ada")
    assert (full.status, full.json["detail"]) == (500, "a script may use 2000000 bytes"), full.json
    for hunter in ("ada", "ben"):
        assert run_hunt(stack.http, "gold", hunter).status == 200
        assert run_hunt(stack.http, "eats", hunter).status == 500


def policies_of_the_workers(stack) -> set[int]:
    """Of the scheduler: 0 as any other process, 5 SCHED_IDLE."""
    found = set()
    for pid in workers_of(stack):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii") as file:
            found.add(int(file.read().rsplit(")", 1)[1].split()[38]))
    return found


def test_a_hunt_that_loops_runs_behind_others_until_its_script_is_another_one(serve):
    stack = serve(settings={"worker.deadline_ms": 3000}, loop=(FOREVER, "deadline_ms = 500"))

    def policies_of_a_run() -> set[int]:
        found = set()
        thread = threading.Thread(target=lambda: run_hunt(stack.http, "loop", "ada"))
        thread.start()
        while thread.is_alive():
            found |= policies_of_the_workers(stack)
        return found
    for _ in range(4):
        assert run_hunt(stack.http, "loop", "ada").status == 504
    assert 5 in policies_of_a_run()
    (stack.hunts / "loop.lua").write_text("-- another one\n" + FOREVER)
    assert run(stack.config, "reload").returncode == 0
    assert policies_of_a_run() == {0}


def test_a_hunt_has_so_many_runs_at_the_same_time(serve):
    stack = serve(loop=(FOREVER, "in_flight_max = 2\ndeadline_ms = 1000"), gold=(GOLD, ""))

    async def together():
        connections = [AsyncConnection(stack.http) for _ in range(6)]
        answers = await asyncio.gather(*[connection.run_hunt("loop", f"h{i}") for i, connection in enumerate(connections)])
        for connection in connections:
            await connection.close()
        return answers
    answers = asyncio.run(together())
    assert sorted(answer.status for answer in answers) == [503] * 4 + [504] * 2
    busy = [answer for answer in answers if answer.status == 503]
    assert {answer.problem for answer in busy} == {"hunt-busy"} and {answer.headers["retry-after"] for answer in busy} == {"1"}
    assert outcomes(stack, "busy") == 4 and outcomes(stack, "deadline") == 2
    assert run_hunt(stack.http, "loop", "ada").status == 504  # both are over


def test_times_need_an_offset_or_a_zone_and_mistakes_have_their_line(tmp_path):
    write_config(tmp_path / "huntd.toml", {"hunts.dir": str(tmp_path), **PATIENT})
    (tmp_path / "chest.lua").write_text(GOLD)
    (tmp_path / "chest.toml").write_text("starts = 2026-12-01T08:00:00\npercent = 101\nper_hour = 0\ntesters = ['a b']\nenabled = 1\n"
                                         "deadlin_ms = 3\nends = 'soon'\n")
    done = run(tmp_path / "huntd.toml", "check", "--json")
    found = {finding["line"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert sorted(found) == [1, 2, 3, 4, 5, 6, 7]
    assert found[1]["message"] == "starts does not say in which time zone"
    assert found[1]["help"] == 'write starts = 2026-12-01T08:00:00+01:00, or name the zone, as in zone = "Europe/Berlin"'
    assert found[6]["help"] == "did you mean deadline_ms?" and found[7]["message"] == "ends is not a time"
    (tmp_path / "chest.toml").write_text('zone = "Europe/Berln"\nstarts = 2026-12-01T08:00:00\n')
    done = run(tmp_path / "huntd.toml", "check")
    assert 'chest.toml:1:1: error: there is no time zone "Europe/Berln"' in done.stdout and "did you mean Europe/Berlin?" in done.stdout


def test_try_says_that_huntd_would_reject(tmp_path):
    write_config(tmp_path / "huntd.toml", PATIENT)
    (tmp_path / "chest.lua").write_text(GOLD)
    (tmp_path / "chest.toml").write_text('zone = "Europe/Berlin"\nstarts = 2026-12-01\nends = 2026-12-25\ndeadline_ms = 20\n')

    def opening(now: str) -> str:
        done = run(tmp_path / "huntd.toml", "try", str(tmp_path / "chest.lua"), "--now", now, "--json")
        assert done.returncode == 0 and json.loads(done.stdout)["deadline_ms"] == 20
        return json.loads(done.stdout)["opening"]
    assert opening("2026-11-30T22:59:59Z") == "hunt-not-started"
    assert opening("2026-11-30T23:00:00Z") == "open"
    assert opening("2026-12-24T22:59:59Z") == "open"
    assert opening("2026-12-24T23:00:00Z") == "hunt-ended"
