# SPDX-License-Identifier: Apache-2.0
"""What scripts and workers may do: texts and lists stay what they are, a forked worker sees its own job only, and a host that
cannot start workers says so."""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from client import RawConnection, held, run_hunt
from faults.stack import stop_for
from harness.huntd_stack import build_folder, http_get
from harness.pids_group import NoControlGroup, pids_group
from harness.process import children_of, find_program, wait_until
from test_isolation import name_of, workers_of, zygotes_of


SCRIPTS = {
    "once": """return function(hunt)
  if hunt.held()[7] then return "held" end
  hunt.award(7)
end""",
    "echo": """return function(hunt) return hunt.input end""",
    "found": """return function(hunt) return {found = hunt.list{}, kinds = {}} end""",
    "no": """return function(hunt) hunt.reject(hunt.input.text:rep(hunt.input.times)) end""",
    "oops": """return function(hunt) error(hunt.input.text:rep(hunt.input.times)) end""",
    "gold": """return function(hunt) hunt.award("gold") end""",
    "asks-late": """return function(hunt)
  local sum = 0
  for i = 1, 60000000 do sum = sum + i % 7 end
  local before = hunt.held().gold or 0
  hunt.award("gold")
  return {before = before}
end""",
    "slow": """return function(hunt)
  local sum = 0
  for i = 1, 60000000 do sum = sum + i % 7 end
  hunt.award("gold")
end""",
    "forever": """return function(hunt) while true do end end""",
}


@pytest.fixture(scope="module")
def hunts(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("hunts")
    for name, source in SCRIPTS.items():
        (folder / f"{name}.lua").write_text(source + "\n")
    return folder


@pytest.fixture(scope="module")
def stack(hunts, tmp_path_factory):
    from conftest import PATIENT
    from harness.huntd_stack import HuntdStack
    with HuntdStack(tmp_path_factory.mktemp("stack"), hunts=hunts, cores=2, aggregator=False,
                    settings={**PATIENT, "worker.isolation": "batch", "worker.hunts_per_worker": 1000}) as stack:
        yield stack


# --- values ------------------------------------------------------------------------------------------------------------

def test_a_number_as_loot_id_is_an_error_and_not_given_every_time(stack):
    answers = [run_hunt(stack.http, "once", "ann") for _ in range(2)]
    assert [answer.status for answer in answers] == [500, 500]
    assert answers[0].json["detail"] == "once.lua:3: hunt.award: a loot_id is a text, not the number 7"
    assert held(stack.http, "once", "ann") == {}


@pytest.mark.parametrize("body", [[], {}, {"bag": []}, [[], {}], {"a": [{"b": []}]}, {"1": "x"}])
def test_what_came_in_as_an_array_goes_out_as_one(stack, body):
    assert run_hunt(stack.http, "echo", "ann", input=body).json["result"] == body


def test_a_script_can_return_an_empty_list(stack):
    assert run_hunt(stack.http, "found", "ann").json["result"] == {"found": [], "kinds": {}}


@pytest.mark.parametrize("hunt", ["no", "oops"])
@pytest.mark.parametrize("text", ["€", "é", "💎"])
def test_a_long_text_to_the_caller_is_cut_between_two_characters(stack, hunt, text):
    for lead in ("", "x", "xx"):
        detail = run_hunt(stack.http, hunt, "ann", input={"text": lead + text, "times": 512}).json["detail"]
        assert "\ufffd" not in detail and len(detail.encode()) > 500, detail[-5:]


# --- what a forked worker can see --------------------------------------------------------------------------------------

def memory_of(pid: int) -> bytes:
    """Every mapping of a process that has a page in memory; nothing if the process is gone."""
    parts, span = [], None
    with contextlib.suppress(OSError), open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
            if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) r\S+ ", line):
                span = (int(found[1], 16), int(found[2], 16))
            elif re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                span = None
            elif span and line.startswith("Rss:") and line.split()[1] != "0":
                with contextlib.suppress(OSError):  # [vvar]
                    memory.seek(span[0])
                    parts.append(memory.read(span[1] - span[0]))
    return b"".join(parts)


def markers_of(stack, expected: int) -> list[set[str]]:
    """What each of so many workers in mid-hunt has in its memory of the markers that clients sent."""
    def running():
        memories = [memory_of(pid) for pid in workers_of(stack)]
        seen = [{found.decode() for found in re.findall(rb"marker-[a-z0-9]+-end", memory)} for memory in memories]
        seen = [markers for markers in seen if markers]  # an idle worker has none
        return seen if len(seen) >= expected else None
    return wait_until(running, 20, f"{expected} workers in mid-hunt")


@pytest.fixture(scope="module", params=["process", "fork", "fork, warm"])
def watched(request, hunts, tmp_path_factory):
    from conftest import PATIENT
    from harness.huntd_stack import HuntdStack
    isolation, _, warm = request.param.partition(", ")
    with HuntdStack(tmp_path_factory.mktemp("stack"), hunts=hunts, cores=1, aggregator=False,
                    settings={**PATIENT, "worker.deadline_ms": 9000, "worker.isolation": isolation,
                              "worker.warm": 1 if warm else 0}) as stack:
        yield stack


class Running:
    """Hunts that run until their deadline; gone from the stack at the end."""

    def __init__(self, stack, markers: list[str], *, at_once: bool = False, hunters: list[str] | None = None):
        self.stack = stack
        self.connections = [RawConnection(stack.http, timeout_s=30) for _ in markers]
        for connection in self.connections:  # accepted, so that the requests are read in one tick
            connection.send("GET /v1/hunts/gold/hunters/x HTTP/1.1\r\nHost: t\r\n\r\n")
            connection.answer()
        [core] = stack.core_pids()
        if at_once:
            os.kill(core, signal.SIGSTOP)
        for number, (connection, marker) in enumerate(zip(self.connections, markers)):
            body = json.dumps({"secret": marker})
            hunter = hunters[number] if hunters else f"h{number}"
            connection.send(f"POST /v1/hunts/forever/hunters/{hunter} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
                            f"Content-Length: {len(body)}\r\n\r\n{body}")
        os.kill(core, signal.SIGCONT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in workers_of(self.stack):  # instead of waiting for the deadline
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for connection in self.connections:
            connection.answer()
            connection.close()


def idle_workers(stack) -> int:
    return int(stack.settings["worker.warm"])


def await_idle(stack) -> None:
    wait_until(lambda: len(workers_of(stack)) == idle_workers(stack), 20, "no worker but the idle ones")


def test_a_worker_sees_nothing_of_an_earlier_hunters_job(watched):
    await_idle(watched)
    for number in range(20):
        run_hunt(watched.http, "echo", f"early-{number}", input={"padding": "p" * 9000, "secret": f"marker-early{number}-end"})
    await_idle(watched)
    with Running(watched, ["marker-mine-end"]):
        assert markers_of(watched, 1) == [{"marker-mine-end"}]


def test_a_worker_sees_no_job_that_was_started_in_the_same_tick(watched):
    await_idle(watched)
    markers = [f"marker-tick{number}-end" for number in range(8)]
    with Running(watched, markers, at_once=True):
        seen = markers_of(watched, 8)
    assert sorted(seen, key=str) == sorted(({marker} for marker in markers), key=str)


def test_a_worker_sees_no_earlier_hunters_name(watched):
    """Each job frame has the hunter_id and the seed of hunt.random: those of an earlier tick are gone too."""
    await_idle(watched)
    with Running(watched, ["x", "x", "x"], at_once=True, hunters=[f"marker-name{n}-end" for n in range(3)]):
        markers_of(watched, 3)
    await_idle(watched)
    with Running(watched, ["marker-short-end"]):
        assert markers_of(watched, 1) == [{"marker-short-end"}]


# --- workers that can't be started -------------------------------------------------------------------------------------

@contextlib.contextmanager
def limited_pids(pids: list[int]):
    try:
        with pids_group(pids) as group:
            yield group
    except NoControlGroup as reason:
        pytest.skip(str(reason))


def launchers_of(stack) -> list[int]:
    """Spawners, then zygotes."""
    spawners = [pid for core in stack.core_pids() for pid in children_of(core) if name_of(pid) == "huntd-spawner"]
    return spawners + zygotes_of(stack)


def stay_stopped(seconds: float, response) -> None:
    assert not response.done(), "the hunt was over before its core was stopped"
    time.sleep(seconds)


@pytest.mark.parametrize("hunt", ["asks-late", "slow"])
@pytest.mark.parametrize("isolation", ["process", "batch", "task"])
def test_a_worker_is_not_killed_because_its_core_was_stopped(own_stack, hunts, isolation, hunt):
    """A debugger or a stalled hypervisor stops the core for longer than a hunt's deadline. The worker meanwhile asks what is held and
    waits, or has sent its outcome."""
    stack = own_stack(hunts=hunts, cores=1, settings={"worker.isolation": isolation, "worker.deadline_ms": 1500}).start()
    with ThreadPoolExecutor() as pool:
        wait_until(lambda: stack.metric("huntd_workers_live") == 0, 20, "no worker")
        response = pool.submit(run_hunt, stack.http, hunt, "ann")
        wait_until(lambda: stack.metric("huntd_workers_live") == 1, 20, "a worker", poll_s=0.001)
        stop_for(stack.core_pids()[0], 3, lambda seconds: stay_stopped(seconds, response))
        assert response.result().status == 200, response.result()
    assert held(stack.http, hunt, "ann") == {"gold": 1}
    assert stack.metric("huntd_workers_killed_total") == 0


@pytest.mark.parametrize("key", [None, "k1"])
@pytest.mark.parametrize("hunt", ["asks-late", "slow"])
def test_a_core_that_was_stopped_beyond_a_requests_deadline_blames_itself(own_stack, hunts, hunt, key):
    stack = own_stack(hunts=hunts, cores=1, settings={"worker.deadline_ms": 1500, "worker.queue_deadline_ms": 500, "worker.queue_target_ms": 500,
                                                      "http.request_deadline_ms": 2500}).start()
    with ThreadPoolExecutor() as pool:
        response = pool.submit(run_hunt, stack.http, hunt, "ann", key=key)
        wait_until(lambda: stack.metric("huntd_workers_live") == 1, 20, "a worker", poll_s=0.001)
        stop_for(stack.core_pids()[0], 4, lambda seconds: stay_stopped(seconds, response))
        assert response.result().problem == "overloaded", response.result()
    assert held(stack.http, hunt, "ann") == {}
    wait_until(lambda: stack.metric("huntd_workers_live") == 0, 20, "its worker to end")


def cpu_s(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def cost_of(stack, pids: list[int]) -> tuple[float, int]:
    """The CPUs that `pids` use and the lines that huntd logs, in two seconds."""
    used, lines, since = cpu_s(pids), stack.huntd.log_text().count("\n"), time.monotonic()
    time.sleep(2)
    return (cpu_s(pids) - used) / (time.monotonic() - since), stack.huntd.log_text().count("\n") - lines


def ready(stack) -> tuple[int, str]:
    return http_get(stack.admin, "/readyz")


def not_ready_for_want_of_workers(stack) -> bool:
    status, text = ready(stack)
    return status == 503 and "worker" in text


@pytest.mark.parametrize("isolation", ["process", "fork", "fork, no zygote", "batch"])
def test_a_host_without_room_for_a_process_backs_off_and_is_not_ready(own_stack, hunts, isolation):
    isolation, _, no_zygote = isolation.partition(", ")
    stack = own_stack(hunts=hunts, cores=1, settings={"worker.isolation": isolation, "worker.warm": 4,
                                                      "worker.hunts_per_worker": 2}).start()
    assert run_hunt(stack.http, "gold", "ann").status == 200
    with limited_pids(launchers_of(stack)) as group:
        # The idle workers stay outside of the group.
        (group / "pids.max").write_text(str(1 if no_zygote else len(launchers_of(stack))))
        if no_zygote:
            os.kill(launchers_of(stack)[1], signal.SIGKILL)
        rejected = wait_until(lambda: (answer := run_hunt(stack.http, "gold", "ann")).status == 503 and answer, 20, "no worker to be left")
        assert rejected.problem == "overloaded", rejected
        cpus, lines = cost_of(stack, [*stack.core_pids(), *launchers_of(stack)])
        assert lines < 30 and cpus < 0.5, (cpus, lines)
        wait_until(lambda: not_ready_for_want_of_workers(stack), 30, f"/readyz to name the workers: {ready(stack)}")
        assert "Resource temporarily unavailable" in ready(stack)[1]
        (group / "pids.max").write_text("max")
        wait_until(lambda: ready(stack)[0] == 200, 30, "/readyz to be 200 again without a request")
        assert run_hunt(stack.http, "gold", "ann").status == 200


def test_a_host_whose_workers_exit_at_once_backs_off_and_is_not_ready(own_stack, hunts, tmp_path):
    """A hunt_worker that passes the check of the scripts and dies in service (a library that a new kernel lacks, a bad disk)."""
    source = tmp_path / "worker.c"
    source.write_text('#include <string.h>\n#include <unistd.h>\nint main(int c, char** v) {\n'
                      f'  if (c > 1 && strcmp(v[1], "check") == 0) execv("{build_folder() / "hunt_worker"}", v);\n  _exit(9);\n}}\n')
    subprocess.run([find_program("gcc"), "-static", "-o", str(tmp_path / "dying_worker"), str(source)], check=True)
    stack = own_stack(hunts=hunts, cores=1, settings={"worker.warm": 4, "worker.binary": str(tmp_path / "dying_worker")})
    stack.start_stores()
    stack.huntd.launch()
    wait_until(lambda: "listen" in stack.huntd.log_text() or stack.huntd.ready(), 20, "huntd to listen")
    wait_until(lambda: not_ready_for_want_of_workers(stack), 30, "/readyz to name the workers")
    assert "before it had a job" in ready(stack)[1]
    assert run_hunt(stack.http, "gold", "ann").status in (500, 503)
    cpus, lines = cost_of(stack, [*stack.core_pids(), *launchers_of(stack)])
    assert lines < 30 and cpus < 0.5, (cpus, lines)


def test_a_script_that_crashes_its_worker_does_not_make_a_host_unready(own_stack, hunts, tmp_path):
    """The other side: what a script does to its own worker is the script's failure, however often."""
    folder = tmp_path / "hunts"
    folder.mkdir()
    (folder / "crash.lua").write_text(
        "return function(hunt)\n  local function f(s) return (s:gsub('.', f)) end\n  return f('x')\nend\n")
    (folder / "gold.lua").write_text(SCRIPTS["gold"])
    stack = own_stack(hunts=folder, cores=1).start()
    for _ in range(20):
        assert run_hunt(stack.http, "crash", "ann").status == 500
    assert ready(stack)[0] == 200
    assert run_hunt(stack.http, "gold", "ann").status == 200


def test_idle_workers_that_are_killed_are_replaced_and_the_host_stays_ready(own_stack, hunts):
    stack = own_stack(hunts=hunts, cores=1, settings={"worker.warm": 2}).start()
    for _ in range(10):
        wait_until(lambda: len(workers_of(stack)) >= 2, 20, "two idle workers")
        victim = workers_of(stack)[0]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in workers_of(stack), 20, "it to be gone")
        assert run_hunt(stack.http, "gold", "ann").status == 200
        assert ready(stack)[0] == 200
