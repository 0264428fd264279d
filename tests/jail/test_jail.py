# SPDX-License-Identifier: Apache-2.0
"""Scripts try to escape (escape_attempts.py): how each ends, the log line and the metric, and that other hunts are not affected
(docs/isolation.md)."""
import dataclasses
import os
import pathlib
import platform
import re
import signal
import subprocess
import threading

import pytest

from client import held, run_hunt
from faults.stack import FaultStack
from harness.huntd_stack import build_folder
from harness.process import children_of, wait_until
from jail.escape_attempts import RESPONSES, FORGED_FRAMES, IN_THE_VM, SYSTEM_CALLS, Attempt

MODES = ("process", "fork", "task", "batch")
# Long enough for a normal hunt on a busy machine, short enough for a dozen that never end.
SETTINGS = {"worker.deadline_ms": 2000, "worker.queue_deadline_ms": 20000, "worker.queue_target_ms": 20000, "http.request_deadline_ms": 40000}
HOSTILE = FORGED_FRAMES + SYSTEM_CALLS
HONEST = "return function(hunt)\n  hunt.award('gold')\n  return {before = hunt.held().gold or 0}\nend\n"


def jailed(folder: pathlib.Path, attempts: list[Attempt], settings: dict) -> FaultStack:
    hunts = folder / "hunts"
    hunts.mkdir()
    for attempt in attempts:
        (hunts / f"{attempt.name}.lua").write_text(attempt.source)
    (hunts / "gold.lua").write_text(HONEST)
    return FaultStack(folder, hunts=hunts, kafka=False, append_only=False, aggregator=False, settings={**SETTINGS, **settings})


@pytest.fixture(scope="module", params=MODES)
def mode(request, tmp_path_factory):
    """huntd with the installed hunt_worker."""
    with jailed(tmp_path_factory.mktemp("jail"), IN_THE_VM, {"worker.isolation": request.param}) as stack:
        yield stack
        await_nothing_left(stack)


@pytest.fixture(scope="module", params=MODES)
def broken_mode(request, tmp_path_factory):
    """huntd with a worker whose scripts have escaped the VM (hostile_api.c)."""
    with jailed(tmp_path_factory.mktemp("jail"), HOSTILE,
                {"worker.isolation": request.param, "worker.binary": str(build_folder() / "hostile_worker")}) as stack:
        yield stack
        await_nothing_left(stack)


def await_nothing_left(stack) -> None:
    wait_until(lambda: not stack.lost_processes(), 30, f"no zombies and orphans: {stack.lost_processes()}")


def mode_of(stack) -> str:
    return stack.settings["worker.isolation"]


def log_lines(stack) -> list[str]:
    return (stack.directory / "huntd.log").read_text(errors="replace").splitlines()


def in_mode(attempt: Attempt, mode: str) -> Attempt:
    """A task may make fewer calls."""
    if mode != "task" or not attempt.forbidden_in_a_task:
        return attempt
    return dataclasses.replace(attempt, ends="forbidden_call", result=None)


def failures(stack, attempt: Attempt) -> float:
    return stack.metric(f'huntd_script_failures_total{{hunt="{attempt.name}",line="{attempt.line}",reason="{attempt.ends}"')


def await_logged(stack, attempt: Attempt, logged: int) -> None:
    """The log has a limit of lines per second for failed hunts; if this one was suppressed, the hunt runs again."""
    def reported():
        lines = [line for line in log_lines(stack)[logged:] if "hunt failed" in line]
        return lines or (run_hunt(stack.http, attempt.name, "prisoner") and None)

    for line in wait_until(reported, 30, f"a log line of {attempt.name}"):
        for word in (f"hunt_id={attempt.name}", f"reason={attempt.ends}", f"line={attempt.line}" if attempt.line else 'line=""'):
            assert word in line.split(), line


def try_attempt(stack, attempt: Attempt) -> None:
    attempt = in_mode(attempt, mode_of(stack))
    cores, counted, logged = stack.core_pids(), failures(stack, attempt), len(log_lines(stack))
    answer = run_hunt(stack.http, attempt.name, "prisoner")
    if attempt.ends is None:
        assert answer.status == 200, answer
        assert answer.json["result"] == attempt.result
    else:
        assert (answer.status, answer.problem) == RESPONSES[attempt.ends], answer
        assert failures(stack, attempt) == counted + 1
        await_logged(stack, attempt, logged)
    assert held(stack.http, attempt.name, "prisoner") == (attempt.held or {})
    if attempt.harms_the_next_in_a_batch and mode_of(stack) == "batch":
        run_hunt(stack.http, "gold", "prisoner")
    # The next hunter, on the same core and on the other one.
    for hunter in ("prisoner", "other", "ada"):
        before = held(stack.http, "gold", hunter).get("gold", 0)
        answer = run_hunt(stack.http, "gold", hunter)
        assert answer.status == 200 and answer.json["result"] == {"before": before}, answer
        assert held(stack.http, "gold", hunter) == {"gold": before + 1}
        assert held(stack.http, attempt.name, hunter) == (attempt.held or {} if hunter == "prisoner" else {})
    assert stack.core_pids() == cores
    assert not [line for line in log_lines(stack)[logged:] if re.search(r"^level=error msg=forged|\x1b", line)]
    if attempt.sends_after_outcome and mode_of(stack) in ("batch", "task"):
        wait_until(lambda: stack.metric(f'huntd_script_failures_total{{hunt="{attempt.name}",line="",reason="broken_frame"') >= 1, 30,
                   "the second outcome to be counted")


@pytest.mark.parametrize("attempt", IN_THE_VM, ids=lambda attempt: attempt.name)
def test_a_script_does_not_escape_by(mode, attempt):
    try_attempt(mode, attempt)


@pytest.mark.parametrize("attempt", FORGED_FRAMES, ids=lambda attempt: attempt.name)
def test_a_script_outside_the_vm_does_not_escape_by_the_frame(broken_mode, attempt):
    try_attempt(broken_mode, attempt)


@pytest.mark.skipif(not SYSTEM_CALLS, reason=f"the system calls of escape_attempts.py are x86_64's, this is {platform.machine()}")
@pytest.mark.parametrize("attempt", SYSTEM_CALLS, ids=lambda attempt: attempt.name)
def test_a_script_outside_the_vm_does_not_escape_by_the(broken_mode, attempt):
    try_attempt(broken_mode, attempt)


def test_a_file_of_bytecode_is_rejected(tmp_path):
    stack = jailed(tmp_path, [], {})
    (stack.hunts / "compiled.lua").write_bytes(b"\x1bLJ\x02\x0a")
    stack.set()
    reported = subprocess.run([str(build_folder() / "huntd"), "-c", str(stack.config), "-t"], capture_output=True, text=True)
    stack.kill()
    assert reported.returncode != 0 and "compiled.lua:1: a script is text, not bytecode" in reported.stdout + reported.stderr, reported


@pytest.mark.parametrize("isolation", MODES)
def test_a_live_workers_privileges(tmp_path, isolation):
    """Read from outside, while a script loops."""
    looping = [attempt for attempt in IN_THE_VM if attempt.name == "loop"]
    with jailed(tmp_path, looping, {"worker.isolation": isolation, "worker.deadline_ms": 10_000}) as stack:
        thread = threading.Thread(target=run_hunt, args=(stack.http, "loop", "prisoner"))
        thread.start()

        def workers() -> list[int]:
            started = [child for name in ("hunt-zygote", "hunt-holder") for pid in stack.of_name(name) for child in children_of(pid)]
            return started + stack.of_name("hunt_worker")

        pid = wait_until(lambda: next((pid for pid in workers() if cpu_ticks(pid) >= 5), 0), 20, "the worker that loops")
        assert_jailed(pathlib.Path(f"/proc/{pid}"), isolation)
        os.kill(pid, signal.SIGKILL)  # instead of waiting for the deadline
        thread.join()


def assert_jailed(of: pathlib.Path, isolation: str) -> None:
    """`of`: the folder of a worker in /proc."""
    status = dict(line.split(":\t", 1) for line in (of / "status").read_text().splitlines() if ":\t" in line)
    assert (of / "environ").read_bytes() == b""
    assert sorted(file.name for file in (of / "fd").iterdir()) == ["3", "4"]
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    limits = {match[1]: (match[2], match[3]) for match in
              re.finditer(r"^Max (.+?) {2,}(\S+) +(\S+)", (of / "limits").read_text(), re.M)}
    assert limits["file size"] == limits["core file size"] == ("0", "0")
    # A holder starts tasks; they cannot pass the gate of its filter.
    assert limits["processes"] == ("0", "0") or isolation == "task"
    assert limits["open files"] == ("5", "5")
    assert limits["address space"][1] != "unlimited" and limits["cpu time"][0] != "unlimited"


def cpu_ticks(pid: int) -> int:
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11])
    except (FileNotFoundError, ProcessLookupError):
        return 0
