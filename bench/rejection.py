# SPDX-License-Identifier: Apache-2.0
"""What a rejection under overload costs: the CPU of the cores per 503 while nothing is admitted.

worker.max_live is 1, and each core's one worker runs a hunt that does not end; the worker is stopped (SIGSTOP), so that it takes no CPU.
Half a second later the queue is a standing queue, and what arrives is rejected at once, as in an overload."""
import contextlib
import http.client
import os
import pathlib
import select
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass

from bench.fleet_run import CONNECTIONS, PRIORITIES, REDIS_NICE, seconds_or
from bench.load_run import LoadResult, run_load
from bench.processes import Process, exact_cpu_s, family
from bench.report import progress
from harness.huntd_stack import ROOT, HuntdStack
from harness.process import ServerFailed, wait_until

CORES = 2
ENDLESS = "return function() while true do end end\n"
HELD_MS = 10_000  # the most that worker.deadline_ms may be: connecting, warming up and the load take less
SECONDS = 4
WARMUP_S = 1
CONNECT_RATE = 5000
RUNNING_S = 0.005  # CPU time of a worker that runs its hunt; its start takes less than a tenth of that
SETTLED_S = 0.7  # from the first rejection; before that, the queue is not a standing queue yet
HUNTERS_MAX = 100  # that are tried until each core has one


@dataclass
class Sample:
    at_s: float
    cpu_s: float   # of the cores so far
    rejected: int  # hunts so far, by huntd_hunts_total


@dataclass
class Rejected:
    """One round. `cpu_us`: of the cores, per rejection."""
    cpu_us: float
    admitted: int
    load: LoadResult


def cpu_us_per_rejection(samples: list[Sample]) -> float:
    """Between the moment when the queue is a standing queue and the last rejection. ServerFailed if there is no such time."""
    started = next((sample for sample in samples if sample.rejected > samples[0].rejected), None)
    settled = [sample for sample in samples if started and sample.at_s >= started.at_s + SETTLED_S]
    later = [sample for before, sample in zip(settled, settled[1:]) if sample.rejected > before.rejected]
    if not later:
        raise ServerFailed(f"overload: {len(samples)} samples have no rejection later than {SETTLED_S} s after the first one")
    first, last = settled[0], later[-1]
    return 1e6 * (last.cpu_s - first.cpu_s) / (last.rejected - first.rejected)


@contextlib.contextmanager
def rejecting_stack():
    """huntd without Kafka and the aggregator: nothing is committed."""
    with tempfile.TemporaryDirectory() as name:
        hunts = pathlib.Path(name) / "hunts"
        hunts.mkdir()
        shutil.copy(ROOT / "lua" / "goblin-hoard.lua", hunts)
        (hunts / "endless.lua").write_text(ENDLESS)
        stack = HuntdStack(pathlib.Path(name) / "stack", cores=CORES, aggregator=False, hunts=hunts, settings={
            **PRIORITIES, "worker.max_live": 1, "worker.deadline_ms": HELD_MS, "http.request_deadline_ms": HELD_MS + 1000})
        stack.redis.nice = REDIS_NICE
        with stack:
            yield stack


def _workers(stack) -> list[Process]:
    return [process for process in family(stack.huntd.pid) if process.is_worker]


@contextlib.contextmanager
def _workers_held(stack):
    """Each core's worker has a hunt that does not end within HELD_MS."""
    wait_until(lambda: not _workers(stack), 30, "the workers of the last round to end")
    open_requests: list[http.client.HTTPConnection] = []
    stopped: set[int] = set()
    try:
        for number in range(HUNTERS_MAX):
            host, port = stack.http.rsplit(":", 1)
            connection = http.client.HTTPConnection(host, int(port), timeout=30)
            open_requests.append(connection)
            connection.request("POST", f"/v1/hunts/endless/hunters/holder-{number}")
            # A new worker, or a rejection: the hunter's core has its worker already.
            wait_until(lambda: len(_workers(stack)) > len(stopped) or select.select([connection.sock], [], [], 0)[0], 10,
                       "a worker or a response")
            for worker in _workers(stack):
                if worker.pid not in stopped:
                    # Not before it runs the script: its spawner waits for the exec.
                    wait_until(lambda: exact_cpu_s([worker]) >= RUNNING_S, 10, "a worker to run the script")
                    os.kill(worker.pid, signal.SIGSTOP)
                    stopped.add(worker.pid)
            if len(stopped) == CORES:
                break
        else:
            raise ServerFailed(f"overload: {HUNTERS_MAX} hunters occupy the workers of {len(stopped)} cores only")
        yield
    finally:
        for pid in stopped & {worker.pid for worker in _workers(stack)}:
            os.kill(pid, signal.SIGKILL)
        for connection in open_requests:
            connection.close()


def rejection_round(stack, rate: float, nice: int) -> Rejected:
    """`rate` requests per second from the fleet's connections, all of them rejected. `nice` is the generator's."""
    seconds = min(seconds_or(SECONDS), SECONDS)
    cores = [process for process in family(stack.huntd.pid) if process.kind == "cores"]
    samples: list[Sample] = []

    def sample() -> None:
        samples.append(Sample(time.monotonic(), exact_cpu_s(cores), int(stack.metric('huntd_hunts_total{outcome="shed_'))))

    with _workers_held(stack):
        progress(f"overload: {CONNECTIONS:,} connections request {rate:,.0f}/s, and nothing is admitted")
        sample()
        load = run_load(stack.http, connections=CONNECTIONS, rate=rate, seconds=seconds, warmup_s=WARMUP_S, nice=nice, meanwhile=sample,
                        options=("--connect-rate", str(CONNECT_RATE)))
    return Rejected(cpu_us_per_rejection(samples), load.hunts_whole, load)
