# SPDX-License-Identifier: Apache-2.0
"""`fleet-fork`, `fleet-process`, `fleet-task-rate`: the highest rate that an isolation mode holds at P99 ≤ 72 ms without an error, by
open-loop runs from 10,000 connections on the fleet's stack."""
from bench.fleet_run import (CONNECTIONS, CpuMeter, await_drained, fleet_load, fleet_stack, latency_table, new_report,
                             seconds_or, unit)
from bench.load_run import LoadResult
from bench.report import ONE_RUN, Figure, Report, progress

SECONDS = 15
P99_MS = 72
STEP = 1.2          # from one rate to the next until one is held and one is not
RESOLUTION = 0.03   # then the gap is halved until it is this small
RUNS_MAX = 14       # of the search
OVERHEAD_S = 15     # of a run: connecting, warming up, draining
BARS = {"fork": 7500, "process": 5500, "task": 9600}


def held(load: LoadResult, rate: float) -> bool:
    """P99 within the target, no error, and the responses in time."""
    return load.all.p99 <= P99_MS and load.errors == 0 and load.answer_rate >= 0.99 * rate


class RateSearch:
    """Looks for the highest rate that the fleet's connections hold, by runs of `seconds`. `nice` is the generator's."""

    def __init__(self, stack, what: str, seconds: float, *, nice: int = 0, resolution: float = RESOLUTION, runs_max: int = RUNS_MAX):
        self.stack, self.what, self.seconds, self.nice = stack, what, seconds, nice
        self.resolution, self.runs_max = resolution, runs_max
        self.runs: list[tuple[float, LoadResult, str]] = []

    def holds(self, rate: float) -> bool:
        meter = CpuMeter(self.stack)
        load = fleet_load(self.stack, rate=rate, seconds=self.seconds, nice=self.nice)
        was_held = held(load, rate)
        self.runs.append((rate, load, meter.note(load)))
        progress(f"{self.what}: {rate:,.0f}/s: P99 {load.all.p99:.1f} ms, {load.errors:,} errors, "
                 f"{load.answer_rate:,.0f} responses/s: {'held' if was_held else 'not held'}")
        await_drained(self.stack)
        return was_held

    def highest(self, first: float) -> float:
        """The highest rate that two runs held; 0 if none did."""
        low, high, rate = 0.0, float("inf"), first
        while len(self.runs) < self.runs_max and rate >= first / 20 and (high == float("inf") or high - low > self.resolution * high):
            if self.holds(rate):
                low = rate
            else:
                high = rate
            rate = low * STEP if high == float("inf") else high / STEP if low == 0 else (low + high) / 2
        candidates = sorted({rate for rate, load, _ in self.runs if held(load, rate)})
        while len(self.runs) < 2 * self.runs_max:
            rate = candidates.pop() if candidates else 0.9 * min(rate for rate, _, _ in self.runs)
            seen = any(tried == rate for tried, _, _ in self.runs)
            if rate < first / 20:
                break
            if self.holds(rate):
                if seen:
                    return rate
                candidates.append(rate)
        return 0.0


def run(mode: str, minutes: float | None = None) -> Report:
    what = "fleet-task-rate" if mode == "task" else f"fleet-{mode}"
    bar = BARS[mode] * CONNECTIONS / 10_000
    usual = SECONDS if minutes is None else min(SECONDS, max(3.0, 60 * minutes / 10 - OVERHEAD_S))
    seconds = seconds_or(usual)
    with fleet_stack(mode) as stack:
        progress(f"{what}: runs of {seconds:g} s each, usually ten or so")
        search = RateSearch(stack, what, seconds)
        rate = search.highest(bar)
        report = new_report(what, stack, f"runs of {seconds:g} s after 2 s of warm-up; a rate counts that was "
                            f"held twice: P99 ≤ {P99_MS} ms, no error, 99 % of its responses in time", f"one search; {ONE_RUN}")
        report.figures.append(Figure("rate", rate, unit("hunts/s", stack), bar=bar))
        if rate == 0:
            report.notes.append("NO RATE WAS HELD TWICE")
        for wanted, load, cpu in search.runs:
            report.notes.append(f"{wanted:>8,.0f}/s: P50 {load.all.p50:.1f}, P99 {load.all.p99:.1f}, P99.9 "
                                f"{load.all.p999:.1f} ms, {load.errors:,} errors, {load.answer_rate:,.0f} answers/s, "
                                f"generator late P99 {load.late_p99_ms:.1f} ms")
        confirmed = [cpu for wanted, _, cpu in search.runs if wanted == rate]
        report.notes += [*confirmed[-1:], "", *latency_table(stack)]
    return report
