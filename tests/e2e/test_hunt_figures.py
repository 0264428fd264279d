# SPDX-License-Identifier: Apache-2.0
"""The figures per hunt: /hunts.json, /metrics and `huntctl top` name the hunts of the bundle, bounded, and all together are all hunts."""
import json
import os
import re
import shutil
import signal
import subprocess

from client import call, run_hunt
from conftest import HUNTS
from harness.huntd_stack import build_folder, http_get
from harness.process import wait_until

HUNTS_MAX = 100  # limits::hunts_counted_max
SERIES_PER_HUNT = 3 + 11 + 3  # outcomes, buckets, and +Inf, sum and count
MINIMAL = "return function(hunt) return 1 end\n"


def hunts_json(stack) -> dict:
    status, body = http_get(stack.admin, "/hunts.json")
    assert status == 200, body
    return json.loads(body)


def figures(stack) -> dict[str | None, dict]:
    """By hunt; the others under None."""
    return {entry["hunt"]: entry for entry in hunts_json(stack)["hunts"]}


def assert_all_add_up(stack) -> None:
    """REQUIRES: no hunt runs."""
    entries = hunts_json(stack)["hunts"]
    assert all(entry["runs"] == entry["ok"] + entry["failed"] + entry["refused"] for entry in entries)
    assert sum(entry["runs"] for entry in entries) == stack.metric("huntd_hunts_total")


def run_all(stack, names, times: int = 1) -> None:
    for name in names:
        for turn in range(times):
            assert run_hunt(stack.http, name, f"hunter-{turn}").status == 200


def minimal_hunts(folder, count: int) -> list[str]:
    folder.mkdir()
    names = [f"hunt-{number:03}" for number in range(count)]
    for name in names:
        (folder / f"{name}.lua").write_text(MINIMAL)
    return names


def test_each_hunt_has_its_outcomes_and_durations(own_stack):
    stack = own_stack().start()
    for number in range(6):
        assert run_hunt(stack.http, "gold", f"h{number}", key="once").status == 200
    assert run_hunt(stack.http, "gold", "h0", key="once").json["replayed"] is True
    for number in range(3):
        assert run_hunt(stack.http, "broken", f"h{number}").status == 500
    assert run_hunt(stack.http, "reject", "h0").status == 422
    assert run_hunt(stack.http, "gold", "h0", key="once", input={"another": "body"}).problem == "key-reused"
    assert call(stack.http, "GET", "/v1/hunts/slow/hunters/h0").status == 200  # does not run the hunt
    found = figures(stack)
    shown = {name: (entry["runs"], entry["ok"], entry["failed"], entry["refused"]) for name, entry in found.items()}
    assert shown == {"gold": (8, 7, 0, 1), "broken": (3, 0, 3, 0), "reject": (1, 0, 0, 1), None: (0, 0, 0, 0)}
    for name in ("gold", "broken", "reject"):
        assert 0 < found[name]["p50_ms"] <= found[name]["p99_ms"]
    assert [entry["hunt"] for entry in hunts_json(stack)["hunts"]] == ["gold", "broken", "reject", None]
    assert found[None]["other"] is True and hunts_json(stack)["hunts_max"] == HUNTS_MAX
    assert_all_add_up(stack)
    assert stack.metric('huntd_hunt_runs_total{hunt="gold",outcome="ok"}') == 7
    assert stack.metric("huntd_hunt_runs_total") == stack.metric("huntd_hunts_total")
    # A replay and a key that was used before need no worker, so they have no duration.
    assert stack.metric('huntd_hunt_duration_seconds_count{hunt="gold"}') == 6
    assert stack.metric('huntd_hunt_duration_seconds_bucket{hunt="gold",le="+Inf"}') == 6
    assert stack.metric('huntd_hunt_duration_seconds_sum{hunt="gold"}') > 0


def test_names_that_are_not_hunts_count_together(own_stack):
    stack = own_stack().start()
    for number in range(2 * HUNTS_MAX):
        assert run_hunt(stack.http, f"guess-{number}", "h").status == 404
    assert run_hunt(stack.http, "gold", "h").status == 200
    found = figures(stack)
    assert set(found) == {"gold", None} and found[None]["refused"] == 2 * HUNTS_MAX
    assert "guess" not in http_get(stack.admin, "/metrics")[1]
    assert_all_add_up(stack)


def test_a_reload_and_a_killed_core_keep_the_counts(own_stack, tmp_path):
    hunts = shutil.copytree(HUNTS, tmp_path / "hunts")
    stack = own_stack(hunts=hunts).start()
    run_all(stack, ["gold", "pair"], 8)
    (hunts / "pair.lua").unlink()
    (hunts / "added.lua").write_text(MINIMAL)
    stack.huntd.signal(signal.SIGHUP)
    # Each core in its turn: 16 hunters are on both.
    wait_until(lambda: all(run_hunt(stack.http, "added", f"hunter-{n}").status == 200 for n in range(16)), 30, "the new hunt on both cores")
    run_all(stack, ["gold"], 2)
    found = figures(stack)
    assert found["gold"]["ok"] == 10 and found["pair"]["ok"] == 8 and found["added"]["ok"] >= 16
    assert_all_add_up(stack)

    before = stack.core_pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not set(stack.core_pids()) & {0, -1, *before} and stack.huntd.ready(), 30, "both cores to be back")
    assert figures(stack)["gold"]["ok"] == 10
    run_all(stack, ["gold"], 8)
    assert figures(stack)["gold"]["ok"] == 18
    assert_all_add_up(stack)


def test_a_hot_hunt_takes_the_place_of_a_cold_one(own_stack, tmp_path):
    names = minimal_hunts(tmp_path / "hunts", HUNTS_MAX + 30)
    stack = own_stack(hunts=tmp_path / "hunts", cores=1).start()
    run_all(stack, names)
    found = figures(stack)
    assert set(found) == {*names[:HUNTS_MAX], None} and found[None]["runs"] == 30
    assert_all_add_up(stack)

    hot = names[-1]

    def named_after_more_runs() -> bool:
        run_all(stack, [hot], 10)
        return hot in figures(stack)

    wait_until(named_after_more_runs, 60, "the hot hunt to have figures of its own")
    other = stack.metric('huntd_hunt_runs_total{hunt="(other)"}')
    run_all(stack, [hot], 5)
    assert figures(stack)[hot]["runs"] >= 5 and len(figures(stack)) == HUNTS_MAX + 1
    assert stack.metric('huntd_hunt_runs_total{hunt="(other)"}') == other
    assert_all_add_up(stack)
    series = re.findall(r"^huntd_hunt_\w+{", http_get(stack.admin, "/metrics")[1], re.MULTILINE)
    assert len(series) == (HUNTS_MAX + 1) * SERIES_PER_HUNT


def test_top_shows_the_hottest_hunts(own_stack):
    stack = own_stack().start()
    command = [str(build_folder() / "huntctl"), "-c", str(stack.config), "top", "--delay", "0.3", "--count", "100"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    shown = []
    try:
        # Each line of a block is followed by a hunt, so that the next interval has some.
        for line in running.stdout:
            shown.append(line)
            if "hottest hunts" in "".join(shown) and line.startswith("gold "):
                break
            assert run_hunt(stack.http, "gold", "ann").status == 200
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=30)
    assert re.match(r"gold +\d+\.\d +0\.0 +0\.0 +\S", shown[-1]), "".join(shown)
