# SPDX-License-Identifier: Apache-2.0
"""Runs a scenario: start the stack and the load, inject the fault, wait for the recovery, stop the load, check the invariants."""
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

from client import core_of, run_hunt
from faults import invariants
from faults.invariants import Report
from faults.load import HealthProbe, Load
from faults.losses import Loss
from faults.scenario import Scenario, Skipped, all_scenarios
from faults.stack import ALIVE_WITHIN_S, SETTINGS, FaultStack, stop_for
from harness.huntd_stack import http_get
from harness.process import ServerFailed, wait_until

BEFORE_S = 2.0  # of steady load, to measure the throughput before the fault
AFTER_S = 2.0   # of load after the recovery
SEEN_WITHIN_S = SETTINGS["http.request_deadline_ms"] / 1000 + 1
DEFAULT_SEED = 1
# These end a scenario as failed; the next one runs.
FAILURES = (AssertionError, TimeoutError, ServerFailed, subprocess.SubprocessError)


@dataclass
class Fault:
    name: str
    before: float  # responses per second before the fault
    started_s: float
    log_from: int = 0  # length of huntd's log when the fault started
    may_see: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()
    lifted_s: float = 0.0
    recovered_s: float | None = None                         # after it was lifted
    at_most: dict[str, int] = field(default_factory=dict)    # problem -> how often clients may see it
    bystanders: set[str] = field(default_factory=set)        # hunters whose core has no fault

    @property
    def over_s(self) -> float:
        """Until then clients may see the fault: a request that was in flight ends by its deadline."""
        return self.lifted_s + (ALIVE_WITHIN_S if self.recovered_s is None else self.recovered_s) + SEEN_WITHIN_S


@dataclass
class Run:
    """The argument of a scenario's function."""
    stack: FaultStack
    draw: random.Random
    smoke: bool = False
    load: Load | None = None
    probe: HealthProbe | None = None
    faults: list[Fault] = field(default_factory=list)
    census: dict = field(default_factory=dict)
    other_hunters: set[str] = field(default_factory=set)   # hunters whose requests the scenario sends itself
    other_producer: bool = False                           # the scenario writes to loot_events itself
    poison: set[str] = field(default_factory=set)          # records it wrote there that are not events, undecodable bytes as U+FFFD
    other_loot: dict[str, set[str]] = field(default_factory=dict)  # hunt -> its loot, of hunts that only the scenario runs
    losses: list[Loss] = field(default_factory=list)       # what Redis lost, in order of time
    records: list = field(default_factory=list)
    checks: list = field(default_factory=list)             # the scenario's own checks: f(run, report)
    started_s: float = field(default_factory=time.monotonic)

    @property
    def fault(self) -> Fault:
        """The current fault."""
        return self.faults[-1]

    def lifted(self) -> None:
        """The fault is over now; the time until the recovery counts from the last call, or else from the function's end."""
        self.fault.lifted_s = time.monotonic()

    def lost(self, loss: Loss) -> None:
        """Redis has lost writes. Without this, any loss is a violation."""
        self.losses.append(loss)

    def at_most(self, what: str, times: int) -> None:
        """Clients may see `what` at most `times` times because of this fault."""
        self.fault.at_most[what] = times

    def expect(self, fine: bool, text: str) -> None:
        """Ends the scenario as failed if not `fine`."""
        if not fine:
            raise AssertionError(text)

    def span(self, full_s: float, smoke_s: float) -> float:
        """A duration: `full_s` in `faults`, `smoke_s` in the smoke subset and in chaos."""
        return smoke_s if self.smoke else full_s

    def go_on_for(self, seconds: float) -> None:
        """Keeps the fault for this time; the load continues."""
        time.sleep(seconds)

    def stop(self, pid: int, seconds: float) -> None:
        stop_for(pid, seconds, self.go_on_for)

    def await_(self, condition, timeout_s: float, what: str):
        return wait_until(condition, timeout_s, what, poll_s=0.05)

    def fault_is_in(self, core: int) -> None:
        """The fault will be in `core`: hunters of the other cores are bystanders from now on."""
        for client in self.load.clients:
            if client.kind != "proxy" and core_of(self.stack, client.hunters[0]) != core:
                self.fault.bystanders.add(client.hunters[0])

    @contextmanager
    def health_unavailable(self):
        with self.probe:
            yield


def begin(run: Run, scenario: Scenario, seed: int) -> None:
    """Starts the stack, warms it up, counts its descriptors when it is idle; then starts the load and the probe."""
    stack = run.stack
    stack.start()
    run.other_hunters.add("warm-up")
    for number in range(20):  # librdkafka's connections come with the first events
        answer = run_hunt(stack.http, "gold", "warm-up", key=f"w{number}")
        assert answer.status == 200, answer
    run.load = Load(stack.http, seed=seed, **scenario.load)
    run.load.responses.bundles.add(answer.headers["hunt-bundle"])
    wait_until(lambda: stack.outbox_length() == 0 and invariants.is_idle(stack)
               and stack.aggregator_metric("hunt_aggregator_new_total") >= 20, 30, "the warm-up to settle", poll_s=0.1)
    run.census = invariants.census(stack)
    run.probe = HealthProbe(lambda: http_get(stack.admin, "/healthz", timeout_s=3))
    run.probe.start()
    run.load.start()
    run.load.await_steady()


def inject(run: Run, scenario: Scenario) -> None:
    now_s = time.monotonic()
    fault = Fault(scenario.name, run.load.responses.goodput(now_s - BEFORE_S, now_s), now_s, len(run.stack.huntd.log_text()),
                  scenario.may_see, scenario.ends)
    run.faults.append(fault)
    run.stack.note_huntd()
    failure = None
    try:
        scenario.inject(run)
    except Skipped:
        run.faults.remove(fault)  # nothing was done, so there is no recovery to wait for
        raise
    except FAILURES as caught:
        failure = caught
    fault.lifted_s = fault.lifted_s or time.monotonic()
    invariants.await_recovery(run, fault)
    if failure:
        raise failure


def end_load(run: Run, report: Report) -> None:
    try:
        run.load.finish()
    except TimeoutError as late:
        report.expect("I6", False, str(late))
    run.probe.stop()


def settle_and_check(run: Run, report: Report) -> dict:
    """Stops the load, waits until the stack is idle, runs every check; returns the figures of the checks."""
    run.go_on_for(AFTER_S)
    end_load(run, report)
    found = invariants.check_all(run)
    for check in run.checks:
        check(run, found)
    report.violations += found.violations
    return found.figures


def stop_all(run: Run) -> None:
    """Stops all that still runs."""
    if run.probe and not run.probe._ended.is_set():
        run.load._ending.set()
        run.load._give_up_at_s = 0
        run.probe.stop()
    run.stack.kill()


def run_scenario(scenario: Scenario, seed: int, folder: pathlib.Path, *, smoke: bool = False) -> Report:
    stack = FaultStack(folder, settings=scenario.settings, **scenario.stack)
    run = Run(stack, random.Random(seed), smoke=smoke)
    report = Report()
    try:
        if not scenario.loaded:
            scenario.inject(run)
            return report
        begin(run, scenario, seed)
        try:
            inject(run, scenario)
        except FAILURES as failure:
            report.expect("scenario", False, str(failure))
        figures = settle_and_check(run, report)
        report.figures = {"answers": len(run.load.responses.good_at_s),
                           "recovered_s": [None if f.recovered_s is None else round(f.recovered_s, 1) for f in run.faults],
                           **figures}
    except FAILURES as failure:
        report.expect("scenario", False, str(failure))
    finally:
        stop_all(run)
    return report


def print_report(scenario: Scenario, seed: int, report: Report, took_s: float, folder: pathlib.Path) -> None:
    state = "ok" if not report.violations else "FAILED"
    print(f"{state:<7} {scenario.family}/{scenario.name} seed={seed} {took_s:.0f} s "
          + " ".join(f"{name}={value}" for name, value in report.figures.items()), flush=True)
    for violation in report.violations[:12]:
        print(f"        {violation}")
    if len(report.violations) > 12:
        print(f"        … and {len(report.violations) - 12} more")
    if report.violations:
        print(f"        logs: {folder}")


def run_faults(wanted: str | None, seed: int | None, *, smoke: bool = False) -> int:
    """All scenarios, those of a family, or the one of that name."""
    scenarios = [s for s in all_scenarios().values() if wanted in (None, s.name, s.family) and (s.smoke or not smoke)]
    if not scenarios:
        names = "\n  ".join(f"{s.family}/{s.name}" for s in all_scenarios().values())
        print(f"dev: no scenario {wanted}; there are:\n  {names}", file=sys.stderr)
        return 2
    failed, skipped = [], []
    base = pathlib.Path(tempfile.mkdtemp(prefix="huntd-faults-"))
    for scenario in scenarios:
        started_s = time.monotonic()
        folder = base / scenario.name
        used = DEFAULT_SEED if seed is None else seed
        try:
            report = run_scenario(scenario, used, folder, smoke=smoke)
        except Skipped as reason:
            print(f"skipped {scenario.family}/{scenario.name}: {reason}", flush=True)
            skipped.append(scenario.name)
            continue
        print_report(scenario, used, report, time.monotonic() - started_s, folder)
        if report.violations:
            failed.append(scenario.name)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if not failed:
        shutil.rmtree(base, ignore_errors=True)
    for name in failed:
        print(f"FAILED   {name}  (./dev test faults {name})")
    print(f"{len(scenarios) - len(failed) - len(skipped)} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed else 0
