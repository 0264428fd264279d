# SPDX-License-Identifier: Apache-2.0
"""SIGHUP swaps the scripts under load: each hunt runs one complete version, no request fails, a bad script changes nothing."""
import asyncio
import os
import re
import signal
from collections import Counter

import pytest

from client import AsyncConnection, run_hunt
from harness.process import wait_until

VERSION = "local first = {n}\nreturn function(hunt)\n  hunt.award('v' .. first)\n  return {{ first = first, second = {n} }}\nend\n"


@pytest.fixture
def stack(own_stack, tmp_path):
    hunts = tmp_path / "hunts"
    hunts.mkdir()
    write(hunts, 1)
    return own_stack(hunts=hunts, settings={"worker.deadline_ms": 5000, "worker.queue_deadline_ms": 20000,
                                            "http.request_deadline_ms": 40000}).start()


def write(hunts, number: int) -> None:
    (hunts / "version.lua").write_text(VERSION.format(n=number))


def version(stack) -> int:
    answer = run_hunt(stack.http, "version", "reader")
    assert answer.status == 200, answer
    return answer.json["result"]["first"]


def reload(stack) -> None:
    stack.huntd.signal(signal.SIGHUP)


def both_cores_run(stack, number: int) -> bool:
    hunters = [f"h{i}" for i in range(16)]
    return all(run_hunt(stack.http, "version", hunter).json["result"]["first"] == number for hunter in hunters)


def test_scripts_are_swapped_under_load_and_each_hunt_runs_one_whole_version(stack):
    seen: dict[str, set] = {}
    statuses = Counter()
    ended = False

    async def client(number: int):
        connection = AsyncConnection(stack.http)
        while not ended:
            answer = await connection.run_hunt("version", f"hunter-{number}")
            statuses[answer.status] += 1
            if answer.status != 200:
                continue
            result = answer.json["result"]
            assert result["first"] == result["second"]
            assert [item["loot_id"] for item in answer.json["loot"]] == [f"v{result['first']}"]
            seen.setdefault(answer.headers["hunt-bundle"], set()).add(result["first"])
        await connection.close()

    async def swap():
        nonlocal ended
        try:
            for number in range(1, 7):
                before = statuses[200]
                if number > 1:
                    write(stack.hunts, number)
                    reload(stack)
                while not any(number in versions for versions in seen.values()) or statuses[200] < before + 50:
                    await asyncio.sleep(0.01)
        finally:
            ended = True

    async def whole():
        await asyncio.wait_for(asyncio.gather(swap(), *[client(number) for number in range(12)]), 90)

    asyncio.run(whole())
    assert set(statuses) == {200}
    # Each bundle is one version, and each version has its own bundle.
    assert all(len(versions) == 1 for versions in seen.values())
    assert sorted(number for versions in seen.values() for number in versions) == [1, 2, 3, 4, 5, 6]


def test_the_same_scripts_have_the_same_name_again(stack):
    first = run_hunt(stack.http, "version", "a").headers["hunt-bundle"]
    write(stack.hunts, 2)
    reload(stack)
    wait_until(lambda: both_cores_run(stack, 2), 20, "version 2")
    write(stack.hunts, 1)
    reload(stack)
    wait_until(lambda: both_cores_run(stack, 1), 20, "version 1")
    assert run_hunt(stack.http, "version", "a").headers["hunt-bundle"] == first


@pytest.mark.parametrize("bad", ["return function(hunt) end end", "return 7", "error('at the top')", "while true do end"])
def test_a_reload_with_a_bad_script_keeps_the_old_scripts(stack, bad):
    before = run_hunt(stack.http, "version", "a").headers["hunt-bundle"]
    (stack.hunts / "worse.lua").write_text(bad)
    write(stack.hunts, 2)
    reload(stack)
    wait_until(lambda: "reload failed" in stack.huntd.log_text(), 20, "the failed reload in the log")
    assert "worse.lua" in stack.huntd.log_text()
    answer = run_hunt(stack.http, "version", "a")
    assert (answer.json["result"]["first"], answer.headers["hunt-bundle"]) == (1, before)


def test_a_file_that_is_no_hunt_by_name_or_type_stops_neither_a_reload_nor_a_start(stack):
    (stack.hunts / ".#version.lua").symlink_to("someone@somewhere.4711:1")  # Emacs
    (stack.hunts / "._version.lua").write_bytes(b"\0\5\x16\7")  # a Mac
    (stack.hunts / "Copy of version.lua").write_text("return function(hunt) end")
    (stack.hunts / "folder.lua").mkdir()
    os.mkfifo(stack.hunts / "pipe.lua")
    write(stack.hunts, 2)
    reload(stack)
    wait_until(lambda: both_cores_run(stack, 2), 20, "version 2")
    skipped = re.findall(r"a file of hunts.dir is skipped reason=\"\S*/hunts/(.*?):", stack.huntd.log_text())
    assert skipped == ["Copy of version.lua", "folder.lua", "pipe.lua"]
    stack.huntd.stop()
    stack.huntd.start()
    assert version(stack) == 2


def test_a_reload_with_a_bad_config_keeps_the_old_config(stack):
    stack.config.write_text(stack.config.read_text() + "\n[wroker]\ndeadline_ms = 1\n")
    write(stack.hunts, 2)
    reload(stack)
    wait_until(lambda: "reload failed" in stack.huntd.log_text(), 20, "the failed reload in the log")
    assert version(stack) == 1


def test_a_reload_changes_worker_limits_and_the_set_of_hunts(stack):
    (stack.hunts / "forever.lua").write_text("return function(hunt) while true do end end")
    stack.set(worker__deadline_ms=40)
    reload(stack)
    wait_until(lambda: run_hunt(stack.http, "forever", "a").status == 504, 20, "the new hunt and its deadline")
    (stack.hunts / "forever.lua").unlink()
    reload(stack)
    wait_until(lambda: all(run_hunt(stack.http, "forever", f"h{i}").status == 404 for i in range(16)), 20,
               "the hunt to be gone")
