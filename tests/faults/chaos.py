# SPDX-License-Identifier: Apache-2.0
"""`./dev test chaos`: random faults one after another on one stack under load; at the end the same checks as after a scenario."""
import pathlib
import random
import shutil
import tempfile
import time

from faults.driver import DEFAULT_SEED, FAILURES, Run, begin, inject, settle_and_check, stop_all
from faults.invariants import Report
from faults.scenario import Scenario, Skipped, all_scenarios
from faults.stack import FaultStack

EVERY_S = (10, 60)  # from one fault to the next


def drawable() -> list[Scenario]:
    return [s for s in all_scenarios().values() if s.chaos]


def run_chaos(minutes: float, seed: int | None) -> int:
    used = DEFAULT_SEED if seed is None else seed
    draw = random.Random(used)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="huntd-chaos-"))
    run = Run(FaultStack(folder), draw, smoke=True)
    report = Report()
    scenarios = drawable()
    print(f"chaos: {minutes:g} minutes, seed {used}, drawn from {len(scenarios)} faults", flush=True)
    try:
        begin(run, Scenario("chaos", "chaos", lambda run: None), used)
        ends_s = time.monotonic() + 60 * minutes
        while time.monotonic() < ends_s:
            _strike(run, draw.choice(scenarios), report)
            run.go_on_for(min(draw.uniform(*EVERY_S), max(0.0, ends_s - time.monotonic())))
        figures = settle_and_check(run, report)
        report.figures = {"faults": len(run.faults), "answers": len(run.load.responses.good_at_s), **figures}
    except FAILURES as failure:
        report.expect("chaos", False, str(failure))
    finally:
        stop_all(run)
    print("chaos: " + " ".join(f"{name}={value}" for name, value in report.figures.items()))
    for violation in report.violations:
        print(f"        {violation}")
    if report.violations:
        print(f"        logs: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{0 if report.violations else 1} passed, {1 if report.violations else 0} failed, 0 skipped")
    return 1 if report.violations else 0


def _strike(run: Run, scenario: Scenario, report: Report) -> None:
    at_s = time.monotonic() - run.started_s
    try:
        inject(run, scenario)
        how = f"over, back after {run.fault.recovered_s:.1f} s" if run.fault.recovered_s is not None else "NOT back"
    except Skipped as reason:
        how = f"skipped: {reason}"
    except FAILURES as failure:
        how = f"FAILED: {failure}"
        report.expect(scenario.name, False, str(failure))
    print(f"chaos: {at_s:6.0f} s  {scenario.name}: {how}", flush=True)
