"""Faults of huntd's own processes."""
import os
import signal

from faults.scenario import scenario
from harness.process import is_running


@scenario(may_see={"broken", "outcome-unknown"}, smoke=True, chaos=True)
def core_killed(run):
    """A core's death breaks its own connections; requests that were forwarded to it are told outcome-unknown; the parent
    starts it again and the listening socket refuses nobody. docs/operations.md "a core dies", docs/architecture.md "Owner
    core"; its events come by the sweep (docs/formats/redis.md)."""
    core = run.draw.randrange(2)
    run.spare_core(core)
    pid = run.stack.core_pids()[core]
    os.kill(pid, signal.SIGKILL)
    run.stack.await_core_replaced(core, pid)


@scenario(may_see={"broken", "outcome-unknown"}, chaos=True)
def all_cores_killed(run):
    """As one core, at once: nobody is refused a connection, since the parent holds the listening socket and connections wait
    in the backlog (docs/architecture.md "Processes")."""
    pids = run.stack.core_pids()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for core, pid in enumerate(pids):
        run.stack.await_core_replaced(core, pid)


@scenario(may_see={"broken", "refused"})
def parent_killed(run):
    """Everything of huntd ends with its parent (PR_SET_PDEATHSIG); connections break and new ones are refused until the
    service manager starts it again, which this scenario does in systemd's place (docs/operations.md "the parent dies";
    Restart= in systemd/huntd.service). Nothing outlives it, and what was left in the outbox is swept by the next."""
    family = run.stack.family()
    with run.nobody_answers_health():
        os.kill(run.stack.huntd.pid, signal.SIGKILL)
        run.await_(lambda: not run.stack.huntd.running, 10, "the parent to end")
        run.await_(lambda: not [pid for pid in family if is_running(pid)], 10, "its family to end")
        run.stack.huntd.kill()  # collects it
        run.stack.huntd.start()


@scenario(may_see={"broken", "outcome-unknown", "overloaded", "worker-died"}, chaos=True)
def spawner_killed(run):
    """Workers end with their spawner, and the core whose spawner is gone can start none: it ends too and is started again
    with a new one (docs/architecture.md "Processes"; tests/e2e/test_supervision.py). Hunters of the other core see nothing."""
    core = run.draw.randrange(2)
    run.spare_core(core)
    core_pid = run.stack.core_pids()[core]
    [spawner] = run.stack.of_name("huntd-spawner", core_pid)
    os.kill(spawner, signal.SIGKILL)
    run.await_(lambda: run.stack.of_name("huntd-spawner", run.stack.core_pids_or_none()[core] or core_pid)
               not in ([], [spawner]), 30, "a new spawner")


@scenario(may_see={"worker-died"}, smoke=True, chaos=True)
def worker_killed_in_mid_hunt(run):
    """The caller is told 500 worker-died and nothing was given; the same key succeeds later, and nobody else notices: it was
    its own process (docs/operations.md "a script fails or loops", docs/http-api.md "Errors")."""
    for _ in range(10):
        pid = run.stack.await_worker()
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it was done just then
