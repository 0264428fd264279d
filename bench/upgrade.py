# SPDX-License-Identifier: Apache-2.0
"""`./dev bench upgrade [--restarts N] [--seconds S]`: huntd restarts N times under half of the load that it can take, in turn with
another file of its program, another config and another number of cores. No request may fail, and P99 is compared with that
before, without restarts.

huntd inherits its listening socket (LISTEN_FDS), as from huntd.socket: clients wait in the backlog during a restart. The bench is
the socket's owner in systemd's place. HUNTD_PREVIOUS_BUILD, a folder with another version's huntd and hunt_worker, lets the two
versions alternate. HUNTD_BENCH_MODE is the isolation mode, `batch` as in the fleet benches.
"""
import contextlib
import json
import os
import pathlib
import shutil
import socket
import tempfile
import time
from dataclasses import dataclass, field

from bench.fleet import reconcile
from bench.fleet_run import AGGREGATOR_NICE, KAFKA, PRIORITIES, REDIS_NICE, await_drained, load_notes, seconds_or, unit
from bench.isolation_modes import isolation_settings
from bench.load_run import LoadResult, run_load
from bench.report import ONE_RUN, Figure, Report, progress, repeated
from harness.huntd_stack import HuntdServer, HuntdStack, build_folder, http_get
from harness.process import ServerFailed
from harness.stores import in_redis

RESTARTS = 10
SECONDS = 200  # a restart each 20 s
CONNECTIONS = int(os.environ.get("HUNTD_BENCH_CONNECTIONS", 400))
MODE = os.environ.get("HUNTD_BENCH_MODE", "batch")
CALIBRATION_CONNECTIONS = CONNECTIONS if MODE == "batch" else min(100, CONNECTIONS)  # enough for the peak, too few to be shed
CALIBRATION_SECONDS = 5
WARMUP_S = 2
BACKLOG = 4096  # of systemd/huntd.socket
CORES = (2, 1)
# By turns with the defaults: keys that a reload would apply, and one that needs the restart.
OTHER_CONFIG = {"worker.deadline_ms": 80, "worker.max_live": 48, "http.request_deadline_ms": 3000}
DEFAULTS = {"worker.deadline_ms": 50, "worker.max_live": 32, "http.request_deadline_ms": 2000}
# Keys make a repeat safe; a stored response is needed no longer than the run.
LOAD = ("--keys", "--repeat-closed")
STORED_S = 120
# Becomes huntd with descriptor $1 as the first that systemd passes; bash, since it starts in 2 ms.
INHERIT = 'if [ "$1" != 3 ]; then eval "exec 3<&$1 $1<&-"; fi; shift; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http exec "$@"'


class InheritingHuntd(HuntdServer):
    """huntd of the folder `programs`, on a listening socket that outlives it."""

    def __init__(self, stack: HuntdStack, listener: socket.socket):
        super().__init__(stack.directory, stack.config, stack.admin)
        self.listener = listener
        self.inherited = [listener.fileno()]
        self.programs = build_folder()

    def command(self) -> list[str]:
        return ["bash", "-c", INHERIT, "bash", str(self.listener.fileno()), str(self.programs / "huntd"), "-c", str(self.config)]


@dataclass
class Restart:
    what: str
    stop_s: float   # from SIGTERM to the end of the process
    start_s: float  # from there until it is ready

    @property
    def pause_s(self) -> float:
        return self.stop_s + self.start_s


class Upgrades:
    """Restarts huntd `count` times within `seconds`; meanwhile() does one if it is due."""

    def __init__(self, stack: HuntdStack, count: int, seconds: float):
        self.stack = stack
        self.count = count
        self.between_s = seconds / count
        self.started_s = 0.0
        self.done: list[Restart] = []
        previous = os.environ.get("HUNTD_PREVIOUS_BUILD")
        self.builds = [pathlib.Path(previous).absolute(), build_folder()] if previous else [build_folder()]
        self.kinds = (self._other_program, self._other_config, self._other_cores)

    def begin(self) -> None:
        """The load is being started: its connections are opened, then it warms up."""
        self.started_s = time.monotonic() + WARMUP_S + CONNECTIONS / 2000

    def meanwhile(self) -> None:
        due_s = self.started_s + (len(self.done) + 0.5) * self.between_s
        if len(self.done) < self.count and time.monotonic() >= due_s:
            self.restart()

    def restart(self) -> None:
        """One restart, and a check that the new process has what was changed."""
        what = self.kinds[len(self.done) % len(self.kinds)]()
        huntd = self.stack.huntd
        at_s = time.monotonic()
        code = huntd.stop()
        if code != 0:
            raise ServerFailed(f"huntd ended with exit {code} at restart {len(self.done) + 1}:\n{huntd.log_tail()}")
        stopped_s = time.monotonic()
        huntd.start()
        self.done.append(Restart(what, stopped_s - at_s, time.monotonic() - stopped_s))
        running = pathlib.Path(f"/proc/{huntd.pid}/exe").resolve()
        cores = len(json.loads(http_get(huntd.admin, "/status.json")[1])["cores"])
        if running != (huntd.programs / "huntd").resolve() or cores != self.stack.settings["cores.count"]:
            raise ServerFailed(f"after the restart with {what}, {running} runs with {cores} cores")
        progress(f"upgrade: restart {len(self.done)} of {self.count}, {what}: {self.done[-1].pause_s:.2f} s")

    def _other_program(self) -> str:
        """Copies huntd and hunt_worker to a new folder, as a package does: another inode."""
        number = len(self.done)
        source = self.builds[number // len(self.kinds) % len(self.builds)]
        folder = self.stack.directory / f"programs-{number}"
        folder.mkdir()
        for name in ("huntd", "hunt_worker"):
            shutil.copy2(source / name, folder / name)
        self.stack.huntd.programs = folder
        return f"program of {source}" if len(self.builds) > 1 else "program"

    def _other_config(self) -> str:
        now = {key: self.stack.settings.get(key, usual) for key, usual in DEFAULTS.items()}
        self.stack.set(**{key.replace(".", "__"): value for key, value in (OTHER_CONFIG if now == DEFAULTS else DEFAULTS).items()})
        return "config"

    def _other_cores(self) -> str:
        set_cores(self.stack, sum(CORES) - self.stack.settings["cores.count"])
        return f"cores {self.stack.settings['cores.count']}"


def set_cores(stack: HuntdStack, count: int) -> None:
    stack.set(cores__count=count)


@contextlib.contextmanager
def upgrade_stack():
    """The whole stack, with huntd on a socket of ours."""
    with tempfile.TemporaryDirectory(prefix="huntd-bench-") as name, socket.socket() as listener:
        stack = HuntdStack(pathlib.Path(name) / "stack", cores=CORES[0],
                           kafka=os.environ.get("HUNTD_BENCH_KAFKA") != "no" and KAFKA,
                           settings={**PRIORITIES, **isolation_settings(MODE), "redis.idempotency_ttl_s": STORED_S})
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        host, port = stack.http.rsplit(":", 1)
        listener.bind((host, int(port)))
        listener.listen(BACKLOG)
        ports = stack.huntd.ports
        stack.huntd = InheritingHuntd(stack, listener)
        stack.huntd.ports = ports
        stack.redis.nice = REDIS_NICE
        stack.aggregator.nice = AGGREGATOR_NICE
        with stack:
            yield stack


@dataclass
class Runs:
    """Every load of the bench: their events together must be what Redis has given."""
    stack: HuntdStack
    all: list[LoadResult] = field(default_factory=list)

    def load(self, *, seconds: float, rate: float | None = None, connections: int = CONNECTIONS, meanwhile=None) -> LoadResult:
        found = run_load(self.stack.http, connections=connections, seconds=seconds, rate=rate, warmup_s=WARMUP_S,
                         meanwhile=meanwhile, options=LOAD)
        await_drained(self.stack)
        self.all.append(found)
        return found

    def awards_off(self) -> tuple[int, list[str]]:
        """By how many awards the stores differ from each other and from the responses; and notes."""
        differences, notes = reconcile(self.stack)
        given = sum(in_redis(self.stack)[1].values())
        reported = sum(load.events_whole for load in self.all)
        return differences + abs(given - reported), [f"awards: {reported:,} in responses, {given:,} in Redis", *notes]


def _calibrate(runs: Runs) -> tuple[float, str]:
    """Half of the rate that every number of cores can take, and a note."""
    stack, peaks = runs.stack, {}
    for cores in reversed(CORES):
        set_cores(stack, cores)
        stack.huntd.restart()
        runs.load(seconds=2, connections=CALIBRATION_CONNECTIONS)  # Java and the caches
        progress(f"upgrade: calibration with cores.count {cores}, closed loop")
        peaks[cores] = runs.load(seconds=seconds_or(CALIBRATION_SECONDS), connections=CALIBRATION_CONNECTIONS).rate
    rate = max(min(peaks.values()) / 2, 1)
    found = ", ".join(f"{peak:,.0f} hunts/s with cores.count {cores}" for cores, peak in peaks.items())
    return rate, (f"calibration, closed loop with {CALIBRATION_CONNECTIONS} connections: {found}; the load is half of the smaller "
                  f"one, {rate:,.0f}/s")


def _before(runs: Runs, rate: float, seconds: float) -> dict[int, LoadResult]:
    """By the number of cores, the load without restarts; it ends with CORES[0]."""
    found = {}
    for cores in reversed(CORES):
        set_cores(runs.stack, cores)
        runs.stack.huntd.restart()
        progress(f"upgrade: {rate:,.0f} hunts/s for {seconds:g} s without restarts, cores.count {cores}")
        found[cores] = runs.load(seconds=seconds, rate=rate)
    return found


def _ratio(after: float, before: float) -> float:
    return after / max(before, 0.001)


def _figures(stack, before: list[LoadResult], load: LoadResult, upgrades: Upgrades, rate: float, off: int) -> list[Figure]:
    def against(name: str) -> float:
        return _ratio(getattr(load.all, name), max(getattr(one.all, name) for one in before))

    pauses_ms = [1000 * restart.pause_s for restart in upgrades.done]
    return [
        Figure("failed_requests", load.failed, unit("requests with restarts", stack), bar=0, at_most=True),
        Figure("p99_ratio", against("p99"), unit("× P99 without restarts", stack), bar=2, at_most=True),
        Figure("awards_off", off, "awards", bar=0, at_most=True),
        Figure("failed_before", sum(one.failed for one in before), "requests without restarts"),
        Figure("load_held", load.answer_rate / rate, "of the load, responded in time"),
        Figure("p50_ratio", against("p50"), "× P50 without restarts"),
        Figure("p999_ratio", against("p999"), "× P99.9 without restarts"),
        Figure("max_ratio", against("max"), "× the slowest without restarts"),
        Figure("repeated", load.repeated, "requests met the close of an idle connection, and were sent again"),
        Figure("restarts", len(upgrades.done), "restarts"),
        repeated("pause_ms", pauses_ms, "ms from SIGTERM to ready"),
        Figure("pause_max_ms", max(pauses_ms), "ms"),
        Figure("paused_percent", 100 * sum(pauses_ms) / (1000 * upgrades.between_s * upgrades.count), "% of the time")]


def run(restarts: int | None = None, seconds: float | None = None) -> Report:
    count = RESTARTS if restarts is None else restarts
    seconds = seconds_or(SECONDS) if seconds is None else seconds
    with upgrade_stack() as stack:
        runs = Runs(stack)
        rate, calibration_note = _calibrate(runs)
        before = _before(runs, rate, max(seconds / 8, 0.5))
        progress(f"upgrade: {rate:,.0f} hunts/s for {seconds:g} s with {count} restarts (--restarts and --seconds change that)")
        upgrades = Upgrades(stack, count, seconds)
        upgrades.begin()
        load = runs.load(seconds=seconds, rate=rate, meanwhile=upgrades.meanwhile)
        if len(upgrades.done) < count:
            raise ServerFailed(f"only {len(upgrades.done)} of {count} restarts were done in {seconds:g} s: give more --seconds")
        progress("upgrade: huntctl reconcile")
        off, award_notes = runs.awards_off()
        kafka = "without Kafka" if stack.kafka is None else f"Kafka: {stack.kafka.kind}"
        report = Report("upgrade", notes=[
            f"{kafka}; {CONNECTIONS} connections; `{MODE}`; Idempotency-Keys; huntd inherits its socket, backlog {BACKLOG}; the "
            "ratios are to the slower one of cores.count 1 and 2; P99 holds only if the pauses are less than 1 % of the time",
            ONE_RUN, calibration_note,
            *(f"without restarts, cores.count {cores}: {note}" for cores, one in before.items() for note in load_notes(one, rate)),
            *(f"with restarts: {note}" for note in [*load_notes(load, rate), load.failures]),
            "restarts: " + ", ".join(f"{one.what} ({1000 * one.stop_s:.0f} + {1000 * one.start_s:.0f} ms)" for one in upgrades.done),
            *award_notes])
        report.figures = _figures(stack, list(before.values()), load, upgrades, rate, off)
    return report
