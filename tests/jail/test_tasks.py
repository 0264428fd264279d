# SPDX-License-Identifier: Apache-2.0
"""worker.isolation = "task": what a script that has taken its task over could leave for the next one, or find of the holder
(docs/decisions/0046-a-task-per-hunt.md)."""
import os
import pathlib
import platform
import re
import signal
import threading
import time

import pytest

from client import held, run_hunt
from faults.stack import FaultStack
from harness.huntd_stack import build_folder
from harness.process import children_of, is_running, wait_until
from jail.escape_attempts import ASK_HELD, FIRST, frame, lua_string

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason=f"tasks are written for x86_64, this is {platform.machine()}")

SETTINGS = {"worker.isolation": "task", "worker.max_live": 1, "worker.idle_ms": 600_000, "worker.deadline_ms": 4000,
            "worker.queue_deadline_ms": 20_000, "worker.queue_target_ms": 20_000, "http.request_deadline_ms": 40_000}
CLEAN = 8  # WF_CLEAN
SCRIPTS = {
    "gold": "return function(hunt) hunt.award('gold') return {before = hunt.held().gold or 0} end",
    "mark": f"return function(hunt) hunt.mark({lua_string(FIRST)}, unpack(hunt.input)) end",
    "marks": "return function(hunt) return {count = hunt.marks(unpack(hunt.input))} end",
    "find": "return function(hunt) return {count = hunt.find(unpack(hunt.input))} end",
    "asks-and-leaves": f"return function(hunt) hunt.send({lua_string(frame(ASK_HELD))}) hunt.send({lua_string(FIRST)}) hunt.syscall(231, 0) end",
    "says-clean": "return function(hunt) hunt.send(" + lua_string(FIRST) + ") hunt.send(" + lua_string(frame(CLEAN, bytes(12))) +
                  ") while true do end end",
    "stays": "return function(hunt) hunt.send(" + lua_string(FIRST) + ") while true do end end",
    "loop": "return function(hunt) while true do end end",
    "crash": "return function(hunt) local function f() return (('x'):gsub('x', f)) end return f() end",
    "call": "return function(hunt) return {hunt.syscall(unpack(hunt.input))} end",
    "spoil": "return function(hunt) hunt.spoil() return {n = 1} end",
    "registers": "return function(hunt) return {hunt.registers()} end",
    "grown": "return function(hunt) local t = {} for i = 1, 20000 do t[i] = {i} end return {n = #t} end",
}


def stack_in(folder: pathlib.Path, settings: dict) -> FaultStack:
    """huntd with one core, whose one holder runs scripts that have escaped the VM (hostile_api.c)."""
    hunts = folder / "hunts"
    hunts.mkdir()
    for name, source in SCRIPTS.items():
        (hunts / f"{name}.lua").write_text(source + "\n")
    return FaultStack(folder, hunts=hunts, kafka=False, append_only=False, aggregator=False, cores=1,
                      settings={**SETTINGS, "worker.binary": str(build_folder() / "hostile_worker"), **settings})


def end(stack: FaultStack) -> None:
    wait_until(lambda: not stack.lost_processes(), 30, f"no zombies and orphans: {stack.lost_processes()}")
    stack.kill()


@pytest.fixture
def tasks(tmp_path):
    made = []

    def start(**settings) -> FaultStack:
        made.append(stack_in(tmp_path, settings))
        return made[-1].start()

    yield start
    for stack in made:
        end(stack)


@pytest.fixture(scope="module")
def one_stack(tmp_path_factory):
    stack = stack_in(tmp_path_factory.mktemp("tasks"), {}).start()
    yield stack
    end(stack)


def holder_of(stack) -> int:
    """The only holder; its task has the same name and is its child."""
    def found():
        [spawner] = stack.of_name("huntd-spawner")
        holders = [pid for pid in children_of(spawner) if pathlib.Path(f"/proc/{pid}/comm").read_text() == "hunt-holder\n"]
        return holders[0] if len(holders) == 1 else 0
    return wait_until(found, 20, "a holder")


def writable(pid: int) -> list[int]:
    """First and last addresses of all that a process may write, one after the other."""
    lines = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    pairs = [re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line) for line in lines]
    return [int(address, 16) for pair in pairs if pair for address in pair.groups()]


def hunt_is_well(stack) -> None:
    before = held(stack.http, "gold", "ada").get("gold", 0)
    answer = run_hunt(stack.http, "gold", "ada")
    assert answer.status == 200 and answer.json["result"] == {"before": before}, answer


def test_a_task_that_wrote_to_all_of_its_memory_leaves_nothing(tasks):
    stack = tasks()
    hunt_is_well(stack)
    holder = holder_of(stack)
    ranges = writable(holder)
    assert sum(ranges[1::2]) - sum(ranges[::2]) > 32 * 1024 * 1024 and len(ranges) >= 6, ranges
    for turn in range(5):
        answer = run_hunt(stack.http, "mark", f"prisoner{turn}", input=ranges)
        assert answer.status == 200 and answer.json["result"] == {"n": 1}, answer
        seen = run_hunt(stack.http, "marks", "other", input=ranges)
        assert seen.status == 200 and seen.json["result"] == {"count": 0}, seen
        hunt_is_well(stack)
        assert writable(holder) == ranges
    assert holder_of(stack) == holder  # all of it in one


@pytest.mark.parametrize("isolation", ["task", "batch"])
def test_registers_of_a_task_are_not_those_of_the_task_before(tasks, isolation):
    """In a batch they are, which shows that the probe sees them."""
    stack = tasks(**{"worker.isolation": isolation})
    clean = run_hunt(stack.http, "registers", "ada").json["result"]
    for turn in range(3):
        answer = run_hunt(stack.http, "spoil", f"prisoner{turn}")
        assert answer.status == 200 and answer.json["result"] == {"n": 1}, answer
        seen = run_hunt(stack.http, "registers", "other").json["result"]
        if isolation == "task":
            assert seen == clean and clean[3] == 0
        else:
            assert all(now != before for now, before in zip(seen[:2], clean[:2])), seen
            assert seen[2] in (0, 0x12345000) and seen[3] > 0, seen
    assert stack.metric("huntd_workers_started_total") == 1


def test_no_key_is_in_the_memory_of_a_task(tasks):
    stack = tasks()
    hunt_is_well(stack)
    holder = holder_of(stack)
    # The holder sleeps in clone(2); proc_pid_syscall(5) shows the six arguments, of which the last is the gate's key.
    number, *arguments = wait_until(lambda: pathlib.Path(f"/proc/{holder}/syscall").read_text().split(), 5, "the holder's call")
    assert number == "56", number
    key = int(arguments[5], 16)
    assert key > 1 << 32
    inverted = ~key & (1 << 64) - 1
    found = run_hunt(stack.http, "find", "ada", input=[inverted >> 32, inverted & 0xFFFFFFFF, *writable(holder)])
    assert found.status == 200 and found.json["result"] == {"count": 0}, found
    assert holder_of(stack) == holder


def test_a_reply_that_a_task_did_not_read_is_not_the_next_ones_job(tasks):
    stack = tasks()
    hunt_is_well(stack)
    for turn in range(3):
        answer = run_hunt(stack.http, "asks-and-leaves", f"prisoner{turn}")
        assert answer.status == 200, answer
        hunt_is_well(stack)


def test_a_script_cannot_say_that_it_is_clean(tasks):
    """The frame has a key that it does not know: it counts as one that a worker must not send."""
    stack = tasks()
    hunt_is_well(stack)
    holder = holder_of(stack)
    answer = run_hunt(stack.http, "says-clean", "prisoner")
    assert answer.status == 200 and answer.json["result"] == {"n": 1}, answer
    hunt_is_well(stack)
    assert not is_running(holder)


def test_a_task_that_outlives_its_outcome_holds_only_its_own_holder_up(tasks):
    stack = tasks(**{"worker.max_live": 2, "worker.deadline_ms": 8000})
    hunt_is_well(stack)
    started = time.monotonic()
    assert run_hunt(stack.http, "stays", "prisoner").status == 200
    hunt_is_well(stack)  # in another holder, before the first one's deadline
    assert stack.metric("huntd_workers_killed_total") == 0 or time.monotonic() - started > 8
    wait_until(lambda: stack.metric("huntd_workers_killed_total") == 1, 30, "the deadline of the task that stays")
    hunt_is_well(stack)


@pytest.mark.parametrize("hunt, status", [("loop", 504), ("crash", 500), ("grown", 200)])
def test_the_next_hunt_is_well_after_one_that(tasks, hunt, status):
    stack = tasks(**{"worker.deadline_ms": 1000})
    for turn in range(2):
        assert run_hunt(stack.http, hunt, f"prisoner{turn}").status == status
        hunt_is_well(stack)


# Calls of x86_64 that other workers may make, and what they would leave behind.
LEFT_BEHIND = {"mmap": [9, 0, 4096, 3, 34, -1, 0], "munmap": [11, 0x10000, 4096], "mprotect": [10, 0x10000, 4096, 1], "brk": [12, 0],
               "madvise": [28, 0x10000, 4096, 4], "set_tid_address": [218, 0x10000], "set_robust_list": [273, 0x10000, 24],
               "rseq": [334, 0x10000, 32, 0, 0], "arch_prctl": [158, 0x1002, 0], "close_range": [436, 100, 200, 0], "lseek": [8, 4, 0, 0],
               "pread64": [17, 4, 0x10000, 1, 0], "prctl-name": [157, 15, 0x10000], "prctl-filter": [157, 22, 2, 0x10000],
               "prctl-dumpable": [157, 4, 0]}


@pytest.mark.parametrize("call", LEFT_BEHIND)
def test_a_task_cannot_make_the_call(one_stack, call):
    answer = run_hunt(one_stack.http, "call", "prisoner", input=LEFT_BEHIND[call])
    assert answer.status == 500 and answer.problem == "worker-died" and "forbidden system call" in answer.json["detail"], answer
    hunt_is_well(one_stack)


@pytest.mark.parametrize("whom", ["holder", "task"])
def test_a_kill_in_mid_hunt_ends_that_hunt_alone(tasks, whom):
    stack = tasks(**{"worker.deadline_ms": 10_000})
    hunt_is_well(stack)
    holder = holder_of(stack)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(run_hunt(stack.http, "loop", "prisoner")))
    thread.start()
    [task] = children_of(holder)
    wait_until(lambda: cpu_ticks(task) >= 5, 20, "the task that loops")
    os.kill(holder if whom == "holder" else task, signal.SIGKILL)
    thread.join()
    assert answers[0].status == 500 and answers[0].problem == "worker-died", answers
    wait_until(lambda: not is_running(task) and not is_running(holder), 20, "the end of both")
    hunt_is_well(stack)


def test_a_waiting_task_that_is_killed_costs_its_holder(tasks):
    stack = tasks()
    hunt_is_well(stack)
    holder = holder_of(stack)
    [task] = wait_until(lambda: children_of(holder), 20, "the waiting task")
    os.kill(task, signal.SIGKILL)
    wait_until(lambda: not is_running(holder), 20, "the end of the holder")
    hunt_is_well(stack)


def test_a_stopped_holder_is_replaced_at_the_deadline(tasks):
    stack = tasks(**{"worker.deadline_ms": 1000})
    hunt_is_well(stack)
    holder = holder_of(stack)
    [task] = children_of(holder)
    os.kill(task, signal.SIGSTOP)
    assert run_hunt(stack.http, "gold", "ada").status == 504
    wait_until(lambda: not is_running(task) and not is_running(holder), 20, "the end of both")
    hunt_is_well(stack)


def cpu_ticks(pid: int) -> int:
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11])
    except (FileNotFoundError, ProcessLookupError):
        return 0
