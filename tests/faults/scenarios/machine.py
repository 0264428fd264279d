# SPDX-License-Identifier: Apache-2.0
"""Faults of the machine: no more descriptors, processes or disk, its clock jumps, or io_uring is forbidden."""
import contextlib
import subprocess
import sys
import time
from email.utils import parsedate_to_datetime

from client import held, run_hunt
from faults.crowd import Crowd
from faults.scenario import Skipped, scenario
from faults.stack import HUNTS
from harness.huntd_stack import build_folder
from harness.pids_group import NoControlGroup, pids_group

WITHOUT_IO_URING = [sys.executable, str(HUNTS.parent / "without_io_uring.py")]
HOUR_S = 3600


@scenario(may_see={"timeout"}, stack={"before_huntd": ["prlimit", "--nofile=256"]}, settings={"http.connections_max": 100}, load={"rate": 60})
def few_descriptors(run):
    """256 descriptors per process and 1,000 clients: huntd logs at its start that the limit is too small for the ring's table
    (docs/operations.md, LimitNOFILE), serves as many connections as http.connections_max allows, and leaves the others in the
    backlog. After the crowd has left every client is served."""
    run.expect("client sockets are plain descriptors" in run.stack.huntd.log_text(), "the log names the limit")
    with Crowd(run.stack.http, "idle", 1000, seed=run.draw.randrange(2**32)) as crowd:
        run.go_on_for(run.span(6, 3))
        open_now = run.stack.metric("huntd_connections_open")
        answered = run.stack.metric("huntd_http_requests_total")
        run.go_on_for(1)
        run.expect(run.stack.metric("huntd_http_requests_total") > answered, "connected clients are served")
        run.expect(150 <= open_now <= 200, f"{open_now:.0f} connections are open, with 100 per core allowed")
        crowd.leave()
        run.lifted()
    run.await_(lambda: run.stack.metric("huntd_connections_open") < 100, 30, "the crowd to be gone")


@contextlib.contextmanager
def limited_pids(pids: list[int]):
    try:
        with pids_group(pids) as group:
            yield group
    except NoControlGroup as reason:
        raise Skipped(str(reason)) from reason


@scenario(may_see={"overloaded"}, chaos=True)
def no_more_processes(run):
    """The spawner's fork fails with EAGAIN (pids.max of its control group, as TasksMax= sets it): no worker can start, the
    response is 503 and nothing was awarded (docs/http-api.md `overloaded`); the core continues, and hunts run again later."""
    hunter = f"rejected-{run.draw.randrange(2**32)}"  # another one each time that chaos draws this
    spawners = run.stack.of_name("huntd-spawner")
    with limited_pids(spawners) as group:
        (group / "pids.max").write_text(str(len(spawners)))
        run.go_on_for(0.5)
        rejected = [run_hunt(run.stack.http, "gold", hunter, key=f"r{n}") for n in range(10)]
        run.other_hunters.add(hunter)
        run.expect({answer.status for answer in rejected} == {503},
                   f"no worker could be started: {[answer.status for answer in rejected]}")
        run.expect(held(run.stack.http, "gold", hunter) == {}, "nothing was given")
        run.go_on_for(run.span(3, 1))
        (group / "pids.max").write_text("max")
        run.lifted()
        run.await_(lambda: run_hunt(run.stack.http, "gold", hunter, key="r0").status == 200, 10, "hunts to run again")


@scenario(stack={"shifted_clock": True}, load={"rate": 60})
def clock_jumps(run):
    """The wall clock of huntd and of Redis jumps an hour ahead, back, and an hour behind (settimeofday by an NTP client or an
    operator; by a preloaded library, so that other programs are not affected): deadlines use the monotonic clock, so
    no request is rejected, no core is restarted, and every event reaches Kafka and the table (I1). An event's timestamp is the
    wall clock's."""
    restarts = [line for line in run.stack.huntd.log_text().splitlines() if "is started again" in line]
    pids = run.stack.core_pids()
    for jump_s in (HOUR_S, 0, -HOUR_S, 0):
        run.stack.set_clock_ahead(jump_s)
        run.lifted()
        run.load.await_answers(int(run.span(300, 60)))
        run.expect(run.stack.core_pids() == pids, "the cores are the same")
        answer = run_hunt(run.stack.http, "gold", "warm-up", key=f"jump{jump_s}-{run.draw.randrange(2**32)}")
        run.expect(answer.status == 200, f"a hunt after a jump of {jump_s} s: {answer.status}")
        clock_s = (parsedate_to_datetime(answer.headers["date"]).timestamp(), int(run.stack.redis.call("TIME")[0]))
        run.expect(all(abs(reported - time.time() - jump_s) < 60 for reported in clock_s), f"both clocks jumped: {clock_s}, {jump_s}")
    run.expect(restarts == [line for line in run.stack.huntd.log_text().splitlines() if "is started again" in line],
               "no core was restarted")


@scenario(may_see={"redis-unavailable", "outcome-unknown", "overloaded"}, stack={"redis_disk_bytes": 48 << 20})
def disk_full_for_redis(run):
    """The disk of Redis' append-only file is full: Redis rejects scripts that write with MISCONF (redis.io, persistence) and huntd
    responds 503 redis-unavailable, nothing was given; when there is room Redis writes again, and no awarded loot is lost."""
    redis = run.stack.redis
    filler = redis.directory / "filler"
    with open(filler, "wb", buffering=0) as file:
        with contextlib.suppress(OSError):  # ends with ENOSPC
            while True:
                file.write(b"x" * 4096)
    run.await_(lambda: run.stack.metric('huntd_hunts_total{outcome="redis_unavailable"}') > 0, 30, "Redis to reject writes")
    run.go_on_for(run.span(3, 1))
    run.expect("aof_last_write_status:err" in redis.call("INFO", "persistence"), "Redis could not write its file")
    filler.unlink()
    run.lifted()
    run.await_(lambda: run_hunt(run.stack.http, "gold", "warm-up", key="after").status == 200, 20, "hunts to run again")


@scenario(loaded=False)
def io_uring_forbidden(run):
    """huntd needs io_uring: if a seccomp filter forbids it (as container run-times do) huntd ends before it listens, with
    one line that has the reason and the hint (docs/operations.md "If io_uring is not permitted")."""
    stack = run.stack
    stack.start_stores()
    done = subprocess.run([*WITHOUT_IO_URING, str(build_folder() / "huntd"), "-c", str(stack.config)], capture_output=True,
                          text=True, timeout=30)
    reported = [line for line in done.stderr.splitlines() if "io_uring" in line]
    run.expect(done.returncode == 1, f"it ended with {done.returncode}")
    run.expect(len(reported) == 1 and "seccomp" in reported[0] and "allow" in reported[0], f"one line with reason and hint: {done.stderr}")
