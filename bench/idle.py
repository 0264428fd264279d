# SPDX-License-Identifier: Apache-2.0
"""5 s after the last request of a fleet load no worker is left, and 5 more idle seconds cost almost no CPU."""
import time

from bench.fleet_run import (CpuMeter, await_drained, fleet_load, fleet_stack, limit_figure, load_notes, new_report, rounds_or,
                             seconds_or)
from bench.processes import exact_cpu_s, family
from bench.report import Report, progress

ROUNDS = rounds_or()
SECONDS = 5
WAIT_S = 5
WATCH_S = 5


def run() -> Report:
    seconds = seconds_or(SECONDS)
    workers, percents, notes = [], [], []
    with fleet_stack() as stack:
        warm = int(stack.settings.get("worker.warm", 0)) * stack.settings["cores.count"]
        for turn in range(ROUNDS):
            if turn:
                await_drained(stack)
            progress(f"idle: round {turn + 1} of {ROUNDS}")
            meter = CpuMeter(stack)
            load = fleet_load(stack, seconds=seconds)
            cpu_note = meter.note(load)
            time.sleep(WAIT_S)  # the figure is defined by this time
            processes = family(stack.huntd.pid)
            before, started = exact_cpu_s(processes), time.monotonic()
            workers.append(max(sum(p.is_worker for p in processes) - warm, 0))
            time.sleep(WATCH_S)
            percents.append(100 * (exact_cpu_s(processes) - before) / (time.monotonic() - started))
            notes = [*load_notes(load), cpu_note]
        names = sorted(p.name for p in processes)
        report = new_report("idle", stack, f"medians of {ROUNDS} × {seconds:g} s of load; then {WAIT_S} s, then "
                            f"{WATCH_S} s watched; CPU in per cent of one CPU, of {', '.join(names)}", *notes)
        report.figures = [limit_figure("workers", max(workers), f"workers besides {warm} warm ones", 0, stack),
                          limit_figure("cpu_percent", percents, "%", 0.5, stack)]
    return report
