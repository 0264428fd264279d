# SPDX-License-Identifier: Apache-2.0
"""Faults of huntd's own processes."""
import os
import re
import signal
import time

from client import call
from faults.scenario import scenario
from faults.stack import ALIVE_WITHIN_S, command_name, stop, stop_for
from harness.process import children_of, is_running

HUNTS_OF_A_WORKER = 1  # worker.isolation = "process", and "fork" too: a worker serves one hunt, then it ends


@scenario(may_see={"broken", "outcome-unknown"}, ends={"core"}, smoke=True, chaos=True)
def core_killed(run):
    """A killed core breaks its own connections; requests that were forwarded to it end with outcome-unknown; the parent
    starts it again and the listening socket stays open. docs/operations.md "A core dies", docs/architecture.md "Owner
    core"; the sweep emits its events (docs/formats/redis.md)."""
    core = run.draw.randrange(2)
    run.fault_is_in(core)
    pid = run.stack.core_pids()[core]
    os.kill(pid, signal.SIGKILL)
    run.lifted()
    run.stack.await_core_replaced(core, pid)


@scenario(may_see={"broken", "outcome-unknown"}, ends={"core"}, chaos=True)
def all_cores_killed(run):
    """All cores at once: no connection is refused, since the parent holds the listening socket and connections wait
    in the backlog (docs/architecture.md "Processes")."""
    pids = run.stack.core_pids()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    run.lifted()
    for core, pid in enumerate(pids):
        run.stack.await_core_replaced(core, pid)


def _start_the_next(run, ended: int) -> None:
    """Waits until the huntd whose process was `ended` and all its descendants are gone; starts the next one, as systemd would.
    The start is part of the recovery."""
    run.await_(lambda: not run.stack.left_of(ended), 10, "everything of the old huntd to end")
    run.stack.huntd.launch()
    run.lifted()
    run.stack.huntd.await_ready()


@scenario(may_see={"broken", "no-connection"})
def parent_killed(run):
    """Everything of huntd ends with its parent (PR_SET_PDEATHSIG); connections break and new ones fail until the
    service manager starts it again, which this scenario does in systemd's place (docs/operations.md "The parent dies";
    Restart= in systemd/huntd.service). No process outlives it, and the next huntd sweeps the outbox."""
    pid = run.stack.huntd.pid
    with run.health_unavailable():
        os.kill(pid, signal.SIGKILL)
        run.await_(lambda: not run.stack.huntd.running, 10, "the parent to end")
        run.stack.huntd.kill()  # collects it
        _start_the_next(run, pid)


@scenario(may_see={"broken", "outcome-unknown", "overloaded", "worker-died"}, ends={"core", "spawner"}, chaos=True)
def spawner_killed(run):
    """Workers end with their spawner, and the core without a spawner can start no worker: it ends too and is started again
    with a new one (docs/architecture.md "Processes"; tests/e2e/test_supervision.py). Hunters of the other core see no error."""
    core = run.draw.randrange(2)
    run.fault_is_in(core)
    core_pid = run.stack.core_pids()[core]
    [spawner] = run.stack.of_name("huntd-spawner", core_pid)
    os.kill(spawner, signal.SIGKILL)
    run.lifted()
    run.await_(lambda: run.stack.of_name("huntd-spawner", run.stack.core_pids_or_none()[core] or core_pid)
               not in ([], [spawner]), ALIVE_WITHIN_S, "a new spawner")


@scenario(may_see={"overloaded"})
def spawner_stopped(run):
    """A stopped spawner makes its core not ready, with the reason, and hunts of that core that need a worker get 503
    overloaded; when it goes on, so does the core, which did not end (docs/operations.md "Failures"). Hunters of the other core
    see no error."""
    core = run.draw.randrange(2)
    run.fault_is_in(core)
    core_pid = run.stack.core_pids()[core]
    [spawner] = run.stack.of_name("huntd-spawner", core_pid)

    def look(seconds):
        run.await_(lambda: any(reason["core"] == core and "cannot start workers" in reason["reason"]
                               for reason in run.stack.readiness()[1]["reasons"]), seconds, "/readyz to name the core")
        run.go_on_for(1)

    stop_for(spawner, ALIVE_WITHIN_S, look)
    run.lifted()
    run.await_(lambda: run.stack.readiness()[0] == 200, ALIVE_WITHIN_S, "the core to be ready again")
    run.expect(run.stack.core_pids()[core] == core_pid, "the core has not ended")


@scenario(may_see={"worker-died"}, chaos=True)
def worker_killed_in_mid_hunt(run):
    """The response is 500 worker-died and nothing was given; the same key succeeds later, and no other request is affected: each
    killed worker causes at most one such response (docs/operations.md "A script fails or loops", docs/http-api.md
    "Errors")."""
    killed = 0
    for _ in range(10):
        pid = run.stack.await_worker()
        try:
            os.kill(pid, signal.SIGKILL)
            killed += 1
        except ProcessLookupError:
            pass  # it has just ended
    run.at_most("worker-died", killed * HUNTS_OF_A_WORKER)


@scenario(may_see={"worker-died"}, ends={"zygote"}, settings={"worker.isolation": "fork"})
def zygote_killed(run):
    """A killed zygote is replaced; its workers end with it, and their hunts respond 500 (docs/isolation.md "How a worker is
    started")."""
    for core in (0, 1):
        core_pid = run.stack.core_pids()[core]
        [spawner] = run.stack.of_name("huntd-spawner", core_pid)
        zygotes = children_of(spawner)
        run.expect(len(zygotes) == 1, f"the spawner has one zygote, not {zygotes}")
        os.kill(zygotes[0], signal.SIGKILL)
        run.lifted()
        run.await_(lambda: children_of(spawner) not in ([], zygotes), ALIVE_WITHIN_S, "a new zygote")
        run.load.await_answers(20)


@scenario(may_see={"worker-died"}, settings={"worker.isolation": "task"})
def holders_killed(run):
    """A killed holder takes its task with it: at most the hunt that it ran responds 500, and the next one gets another holder
    (docs/isolation.md "How a worker is started")."""
    killed = set()
    for _ in range(10):
        pid = run.await_(lambda: next((pid for pid in _holders(run.stack) if pid not in killed), 0), ALIVE_WITHIN_S, "a holder")
        try:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        except ProcessLookupError:
            continue  # it has just ended
        run.load.await_answers(5)
    run.at_most("worker-died", len(killed))
    run.await_(lambda: not [pid for pid in killed if is_running(pid)], ALIVE_WITHIN_S, "every killed holder to be gone")


@scenario(may_see={"deadline-passed"}, settings={"worker.isolation": "task"})
def tasks_stopped(run):
    """A stopped task is killed at its hunt's deadline, its holder with it: 504 for that hunt alone."""
    before = run.stack.metric("huntd_workers_killed_total")
    stopped = set()

    def killed():
        for holder in _holders(run.stack):
            for pid in children_of(holder):
                if len(stopped) < 3 and pid not in stopped and stop(pid):
                    stopped.add(pid)
                    run.lifted()  # the rest is the core's work
        return len(stopped) >= 3 and run.stack.metric("huntd_workers_killed_total") > before
    run.await_(killed, 30, "a stopped task to be killed")
    run.at_most("deadline-passed", len(stopped))
    run.await_(lambda: not [pid for pid in stopped if is_running(pid)], ALIVE_WITHIN_S, "every stopped task to be gone")


def _holders(stack) -> list[int]:
    """The tasks, their children, have the same name."""
    return [pid for spawner in stack.of_name("huntd-spawner") for pid in children_of(spawner) if command_name(pid) == "hunt-holder"]


@scenario(may_see={"deadline-passed"}, chaos=True)
def worker_stopped(run):
    """The core kills a stopped worker at its deadline: 504 deadline-passed, nothing was given; only requests of stopped workers
    get it (docs/http-api.md "Errors"; worker.deadline_ms in docs/configuration.md)."""
    before = run.stack.metric("huntd_workers_killed_total")
    stopped = set()

    def killed():
        for pid in run.stack.of_name("hunt_worker"):
            if len(stopped) < 3 and pid not in stopped:
                if stop(pid):
                    stopped.add(pid)
                    run.lifted()  # the rest is the core's work
        return len(stopped) >= 3 and run.stack.metric("huntd_workers_killed_total") > before
    run.await_(killed, 30, "a stopped worker to be killed")
    run.at_most("deadline-passed", len(stopped) * HUNTS_OF_A_WORKER)
    run.await_(lambda: not [pid for pid in stopped if is_running(pid)], ALIVE_WITHIN_S, "every stopped worker to be gone")


@scenario(may_see={"outcome-unknown", "overloaded"}, chaos=True)
def core_stopped_5_s(run):
    """A stopped core (a debugger, a stalled hypervisor) keeps its own hunters waiting; requests that were forwarded to it end with
    outcome-unknown at their deadline; /healthz responds all the time, with 503 (docs/operations.md "Health"). Hunters of the
    other core see no error, on new connections either (I8)."""
    core = run.draw.randrange(2)
    run.fault_is_in(core)
    pid = run.stack.core_pids()[core]
    others = sorted(run.fault.bystanders)[:5]

    def look(seconds: float) -> None:
        until_s = time.monotonic() + seconds
        slow, asked = [], 0
        while time.monotonic() < until_s:
            started_s = time.monotonic()
            try:
                call(run.stack.http, "GET", f"/v1/hunts/gold/hunters/{others[asked % len(others)]}", timeout_s=2)
            except OSError as error:
                slow.append(f"{error!r}")
            else:
                if time.monotonic() - started_s > 1:
                    slow.append(f"{time.monotonic() - started_s:.1f} s")
            asked += 1
            time.sleep(0.05)
        run.expect(not slow, f"{len(slow)} of {asked} new connections of the other core's hunters got no response "
                             f"within 1 s: {slow[:3]}")
    stop_for(pid, 5, look)


@scenario(may_see={"broken", "outcome-unknown"}, ends={"core"})
def core_that_crashes_on_start(run):
    """Started again after 100 ms, then 200, doubling to 5 s; /readyz is 503 and names the core; the other core serves
    all clients meanwhile (docs/operations.md "A core dies", docs/architecture.md "Processes")."""
    core = run.draw.randrange(2)
    run.fault_is_in(core)
    log_before = len(run.stack.huntd.log_text())
    unready = 0
    for _ in range(6):
        pid = run.await_(lambda: (run.stack.core_pids_or_none()[core] or 0) > 0 and run.stack.core_pids_or_none()[core], 20,
                         "the core to be started")
        os.kill(pid, signal.SIGKILL)
        run.lifted()
        run.await_(lambda: run.stack.core_pids_or_none()[core] != pid, 10, "its end to be noticed")
        status, output = run.stack.readiness()
        unready += status == 503 and any(reason["core"] == core for reason in output["reasons"])
    run.expect(unready == 6, f"/readyz named the core {unready} times of 6")
    waits = [int(wait) for wait in re.findall(r"a core ended and is started again.*in_ms=\"?(\d+)",
                                              run.stack.huntd.log_text()[log_before:])]
    run.expect(waits[-6:] in ([0, 100, 200, 400, 800, 1600], [100, 200, 400, 800, 1600, 3200]),
               f"the back-off was {waits}")
    run.stack.await_ready()


@scenario(may_see={"broken", "no-connection"})
def drained_under_load(run):
    """SIGTERM: no new connections, idle ones close, requests finish, exit 0 (docs/operations.md "Signals and exit codes"). A
    client that sends a request while its idle connection is being closed sees it broken (RFC 9112 section 9.5)."""
    pid = run.stack.huntd.pid
    with run.health_unavailable():
        code = run.stack.huntd.stop()
        run.expect(code == 0, f"huntd ended with {code}")
        run.expect("drain deadline" not in run.stack.huntd.log_text(), "the drain closed no connection with a request")
        _start_the_next(run, pid)


@scenario(may_see={"broken", "no-connection", "outcome-unknown"})
def second_sigterm_during_the_drain(run):
    """The second SIGTERM stops at once, also if the drain still waits for a request (docs/operations.md "Signals
    and exit codes"); the outcome of requests in flight is unknown to clients, and a repeat with the same key has the same result."""
    pid = run.stack.huntd.pid
    with run.health_unavailable():
        run.stack.redis.signal(signal.SIGSTOP)  # so that commits are in flight and the drain has to wait
        run.go_on_for(0.5)
        run.stack.huntd.signal(signal.SIGTERM)
        run.await_(lambda: "draining" in run.stack.huntd.log_tail(50), 10, "the drain to begin")
        run.go_on_for(0.3)
        run.expect(run.stack.huntd.running, "the drain waits for requests in flight")
        started_s = time.monotonic()
        run.stack.huntd.signal(signal.SIGTERM)
        run.await_(lambda: not run.stack.huntd.running, 10, "huntd to end")
        run.expect(time.monotonic() - started_s < 2, "the second SIGTERM stops at once")
        run.stack.redis.signal(signal.SIGCONT)
        run.stack.huntd.kill()  # collects it
        _start_the_next(run, pid)
