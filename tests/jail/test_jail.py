"""Scripts try to get out (ways.py): how each ends, that the log and the metric say so, and that nobody else notices. docs/isolation.md"""
import pathlib
import platform
import re
import subprocess
import sys
import threading

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from client import held, run_hunt  # noqa: E402
from faults.stack import FaultStack  # noqa: E402
from harness.huntd_stack import build_folder  # noqa: E402
from harness.process import children_of, wait_until  # noqa: E402
from jail.ways import ANSWERS, FORGED_FRAMES, IN_THE_VM, SYSTEM_CALLS, Way  # noqa: E402

RUNGS = ("process", "fork", "batch")
# Long enough for an honest hunt on a busy machine, short enough for a dozen that never end.
SETTINGS = {"worker.deadline_ms": 700, "worker.queue_deadline_ms": 20000, "worker.queue_target_ms": 20000, "http.request_deadline_ms": 40000}
HOSTILE = FORGED_FRAMES + SYSTEM_CALLS
HONEST = "return function(hunt)\n  hunt.award('gold')\n  return {before = hunt.held().gold or 0}\nend\n"


def jailed(folder: pathlib.Path, ways: list[Way], settings: dict) -> FaultStack:
    hunts = folder / "hunts"
    hunts.mkdir()
    for way in ways:
        (hunts / f"{way.name}.lua").write_text(way.source)
    (hunts / "gold.lua").write_text(HONEST)
    return FaultStack(folder, hunts=hunts, kafka=False, append_only=False, aggregator=False, settings={**SETTINGS, **settings})


@pytest.fixture(scope="module", params=RUNGS)
def rung(request, tmp_path_factory):
    """huntd with the hunt_worker that is shipped."""
    with jailed(tmp_path_factory.mktemp("jail"), IN_THE_VM, {"worker.isolation": request.param}) as stack:
        yield stack
        await_nothing_left(stack)


@pytest.fixture(scope="module", params=RUNGS)
def broken_rung(request, tmp_path_factory):
    """huntd with a worker whose scripts have broken out of the VM (hostile_api.c)."""
    with jailed(tmp_path_factory.mktemp("jail"), HOSTILE,
                {"worker.isolation": request.param, "worker.binary": str(build_folder() / "hostile_worker")}) as stack:
        yield stack
        await_nothing_left(stack)


def await_nothing_left(stack) -> None:
    wait_until(lambda: not stack.lost_processes(), 10, f"no zombies and orphans: {stack.lost_processes()}")


def is_batch(stack) -> bool:
    return stack.settings["worker.isolation"] == "batch"


def log_lines(stack) -> list[str]:
    return (stack.directory / "huntd.log").read_text(errors="replace").splitlines()


def failures(stack, way: Way) -> float:
    return stack.metric(f'huntd_script_failures_total{{hunt="{way.name}",line="{way.line}",reason="{way.ends}"')


def await_told(stack, way: Way, logged: int) -> None:
    """The log has so many lines a second for failed hunts; one that came too late for it fails again."""
    def told():
        lines = [line for line in log_lines(stack)[logged:] if "hunt failed" in line]
        return lines or (run_hunt(stack.http, way.name, "prisoner") and None)

    for line in wait_until(told, 10, f"the log to tell of {way.name}"):
        for word in (f"hunt={way.name}", f"reason={way.ends}", f"line={way.line}" if way.line else 'line=""'):
            assert word in line.split(), line


def try_way(stack, way: Way) -> None:
    cores, counted, logged = stack.core_pids(), failures(stack, way), len(log_lines(stack))
    answer = run_hunt(stack.http, way.name, "prisoner")
    if way.ends is None:
        assert answer.status == 200, answer
        assert answer.json["result"] == way.result
    else:
        assert (answer.status, answer.problem) == ANSWERS[way.ends], answer
        assert failures(stack, way) == counted + 1
        await_told(stack, way, logged)
    assert held(stack.http, way.name, "prisoner") == (way.held or {})
    if way.harms_the_next_in_a_batch and is_batch(stack):
        run_hunt(stack.http, "gold", "prisoner")
    # The next hunter, on the same core and on the other one.
    for hunter in ("prisoner", "other", "ada"):
        before = held(stack.http, "gold", hunter).get("gold", 0)
        answer = run_hunt(stack.http, "gold", hunter)
        assert answer.status == 200 and answer.json["result"] == {"before": before}, answer
        assert held(stack.http, "gold", hunter) == {"gold": before + 1}
        assert held(stack.http, way.name, hunter) == (way.held or {} if hunter == "prisoner" else {})
    assert stack.core_pids() == cores
    assert not [line for line in log_lines(stack)[logged:] if re.search(r"^level=error msg=forged|\x1b", line)]
    if way.told_once_more and is_batch(stack):
        wait_until(lambda: stack.metric(f'huntd_script_failures_total{{hunt="{way.name}",line="",reason="broken_frame"') >= 1, 10,
                   "the second outcome to be counted")


@pytest.mark.parametrize("way", IN_THE_VM, ids=lambda way: way.name)
def test_a_script_does_not_get_out_by(rung, way):
    try_way(rung, way)


@pytest.mark.parametrize("way", FORGED_FRAMES, ids=lambda way: way.name)
def test_a_script_that_left_the_vm_does_not_get_out_by_the_frame(broken_rung, way):
    try_way(broken_rung, way)


@pytest.mark.skipif(not SYSTEM_CALLS, reason=f"the system calls of ways.py are x86_64's, this is {platform.machine()}")
@pytest.mark.parametrize("way", SYSTEM_CALLS, ids=lambda way: way.name)
def test_a_script_that_left_the_vm_does_not_get_out_by_the(broken_rung, way):
    try_way(broken_rung, way)


def test_a_file_of_bytecode_is_no_hunt(tmp_path):
    stack = jailed(tmp_path, [], {})
    (stack.hunts / "compiled.lua").write_bytes(b"\x1bLJ\x02\x0a")
    stack.set()
    told = subprocess.run([str(build_folder() / "huntd"), "-c", str(stack.config), "-t"], capture_output=True, text=True)
    stack.kill()
    assert told.returncode != 0 and "compiled.lua:1: a script is text, not bytecode" in told.stdout + told.stderr, told


def test_what_a_live_worker_has(rung):
    """Read from outside, while a script loops."""
    thread = threading.Thread(target=run_hunt, args=(rung.http, "loop", "prisoner"))
    thread.start()

    def workers() -> list[int]:
        forked = [child for zygote in rung.of_name("hunt-zygote") for child in children_of(zygote)]
        return forked + rung.of_name("hunt_worker")

    pid = wait_until(lambda: next((pid for pid in workers() if cpu_ticks(pid) >= 5), 0), 20, "the worker that loops", poll_s=0)
    of = pathlib.Path(f"/proc/{pid}")
    status = dict(line.split(":\t", 1) for line in (of / "status").read_text().splitlines() if ":\t" in line)
    assert (of / "environ").read_bytes() == b""
    assert sorted(file.name for file in (of / "fd").iterdir()) == ["3", "4"]
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    limits = {match[1]: (match[2], match[3]) for match in
              re.finditer(r"^Max (.+?) {2,}(\S+) +(\S+)", (of / "limits").read_text(), re.M)}
    assert limits["processes"] == limits["file size"] == limits["core file size"] == ("0", "0")
    assert limits["open files"] == ("5", "5")
    assert limits["address space"][1] != "unlimited" and limits["cpu time"][0] != "unlimited"
    thread.join()


def cpu_ticks(pid: int) -> int:
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11])
    except (FileNotFoundError, ProcessLookupError):
        return 0
