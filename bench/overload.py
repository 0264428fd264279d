# SPDX-License-Identifier: Apache-2.0
"""Above capacity: three times the peak of a closed loop, in an open loop; huntd sheds at once the requests that it cannot serve in time.
Goodput is compared with what the same connections hold without overload, measured in the same run. What a rejection costs is measured by
itself (bench/rejection.py). The targets are for `process`, the default. With `batch` the machine cannot even reject three times the peak,
with the generator on it; its figures show the effect."""
from dataclasses import dataclass, field

from bench.fleet_rate import P99_MS, RateSearch, held
from bench.fleet_run import (CONNECTIONS, CpuMeter, await_drained, fleet_load, fleet_stack, limit_figure, new_report,
                             rounds_or, seconds_or, unit)
from bench.load_run import LoadResult, run_load
from bench.rejection import Rejected, rejecting_stack, rejection_round
from bench.report import Figure, Report, median, progress, repeated
from harness.process import ServerFailed

ROUNDS = rounds_or()
PEAK_SECONDS = 5
SECONDS = 10
SEARCH_SECONDS = 5
SEARCH = {"resolution": 0.06, "runs_max": 8}
TIMES = 3
# It stands for clients on other machines, which do not wait for a CPU of this one.
GENERATOR_NICE = -20
PEAK_CONNECTIONS = {"process": 100, "batch": 1000}  # enough for the peak, too few to be shed


@dataclass
class Rounds:
    """The results of the rounds in one isolation mode."""
    peaks: list[float] = field(default_factory=list)
    baselines: list[LoadResult] = field(default_factory=list)  # at the rate that the connections hold
    loads: list[LoadResult] = field(default_factory=list)
    cpu_us: list[dict[str, float]] = field(default_factory=list)  # per admitted hunt by process, in the overload
    notes: list[str] = field(default_factory=list)

    def goodput_ratios(self) -> list[float]:
        return [load.rate / max(baseline.rate, 1) for load, baseline in zip(self.loads, self.baselines)]


def _peaks(stack, mode: str, rounds: int) -> list[float]:
    """Hunts per second in a closed loop."""
    peaks = []
    for turn in range(rounds):
        progress(f"overload: {mode}, peak {turn + 1} of {rounds}, {PEAK_CONNECTIONS[mode]:,} connections in a closed loop")
        peaks.append(max(run_load(stack.http, connections=PEAK_CONNECTIONS[mode], seconds=seconds_or(PEAK_SECONDS),
                                  nice=GENERATOR_NICE).rate, 1))
        await_drained(stack)
    return peaks


def _overload(stack, mode: str, rate: float, found: Rounds) -> None:
    progress(f"overload: {mode}, {CONNECTIONS:,} connections request {rate:,.0f}/s")
    meter = CpuMeter(stack)
    load = fleet_load(stack, rate=rate, seconds=seconds_or(SECONDS), nice=GENERATOR_NICE)
    # The generator's CPU is per request, and most requests are rejected: it is reported by itself.
    found.cpu_us.append(meter.each_us(load.hunts_whole, {}))
    found.loads.append(load)
    found.notes = [f"{mode}: {TIMES} × peak: {load.answer_rate:,.0f} responses/s of {rate:,.0f} wanted, by status "
                   f"{load.statuses}, {load.errors - load.shed:,} other errors; all responses P99 "
                   f"{load.all.p99:.1f} ms; the generator's lateness P99 {load.late_p99_ms:.1f} ms",
                   f"{mode}, with the rejections: {meter.words(found.cpu_us[-1])}; hunt-load "
                   f"{load.cpu_us_per_request:.1f} per request", *load.warnings]
    await_drained(stack)


def _process(stack) -> Rounds:
    """In turns what the connections hold and the overload."""
    found = Rounds(peaks=_peaks(stack, "process", ROUNDS))
    peak = median(found.peaks)
    search = RateSearch(stack, "overload", min(seconds_or(SEARCH_SECONDS), SEARCH_SECONDS), nice=GENERATOR_NICE, **SEARCH)
    capacity = search.highest(0.7 * peak)
    if capacity == 0:
        raise ServerFailed(f"overload: {CONNECTIONS:,} connections hold none of {len(search.runs)} rates: there is nothing to compare with")
    baseline_cpu = ""
    for turn in range(ROUNDS):
        progress(f"overload: process, round {turn + 1} of {ROUNDS}, {CONNECTIONS:,} connections request {capacity:,.0f}/s, which they hold")
        meter = CpuMeter(stack)
        found.baselines.append(fleet_load(stack, rate=capacity, seconds=seconds_or(SECONDS), nice=GENERATOR_NICE))
        baseline_cpu = meter.note(found.baselines[-1])
        await_drained(stack)
        _overload(stack, "process", TIMES * peak, found)
    again = sum(held(load, capacity) for load in found.baselines)
    found.notes = [f"process: {CONNECTIONS:,} connections hold {capacity:,.0f}/s (twice P99 ≤ {P99_MS} ms, no error, 99 % in time; "
                   f"{len(search.runs)} runs of {search.seconds:g} s), and held it again in {again} of {ROUNDS} rounds",
                   f"process, at that rate: {baseline_cpu}", *found.notes]
    return found


def _batch(stack) -> Rounds:
    found = Rounds(peaks=_peaks(stack, "batch", 1))
    _overload(stack, "batch", TIMES * found.peaks[0], found)
    return found


def _rejections(rate: float) -> list[Rejected]:
    with rejecting_stack() as stack:
        return [rejection_round(stack, rate, GENERATOR_NICE) for _ in range(ROUNDS)]


def _figures(stack, process: Rounds, batch: Rounds, rejections: list[Rejected]) -> list[Figure]:
    loads = process.loads
    return [
        repeated("goodput_ratio", process.goodput_ratios(), unit("× what the same connections hold", stack), bar=0.9),
        limit_figure("admitted_p99_ms", [load.admitted.p99 for load in loads], "ms", 72, stack),
        repeated("refusal_cpu_us", (one.cpu_us for one in rejections), "µs of the cores per rejection", bar=8, at_most=True),
        Figure("refusal_admitted", sum(one.admitted for one in rejections), "hunts while that was measured", bar=0, at_most=True),
        repeated("held_rate", (load.rate for load in process.baselines), "hunts/s, without overload"),
        repeated("peak_rate", process.peaks, "hunts/s (closed-loop)"),
        repeated("goodput_rate", (load.rate for load in loads), "hunts/s"),
        repeated("goodput_over_peak", (load.rate / median(process.peaks) for load in loads), "× peak"),
        repeated("cpu_us", (sum(each.values()) for each in process.cpu_us), "µs of CPU per admitted hunt, with the rejections"),
        repeated("shed_rate", (load.answer_rate - load.rate for load in loads), "responses/s"),
        repeated("shed_p50_ms", (load.shed_times.p50 for load in loads), "ms"),
        repeated("shed_p99_ms", (load.shed_times.p99 for load in loads), "ms"),
        Figure("other_errors", sum(load.errors - load.shed for load in loads), "responses"),
        Figure("batch_goodput_over_peak", batch.loads[0].rate / batch.peaks[0], "× peak"),
        Figure("batch_admitted_p99_ms", batch.loads[0].admitted.p99, "ms"),
        Figure("batch_peak_rate", batch.peaks[0], "hunts/s (closed-loop)")]


def run() -> Report:
    with fleet_stack("process") as stack:
        process = _process(stack)
    rejections = _rejections(TIMES * median(process.peaks))
    with fleet_stack("batch") as stack:
        batch = _batch(stack)
        report = new_report("overload", stack, f"medians of {ROUNDS} × {seconds_or(SECONDS):g} s, batch one run; all "
                            "worker.* bounds are the defaults; a request that waits for its connection in the generator "
                            f"waits in its latency too; here the generator's nice is {GENERATOR_NICE}", *process.notes, *batch.notes,
                            f"refusal_cpu_us: worker.max_live 1, no worker free; the last round by status {rejections[-1].load.statuses}")
        report.figures = _figures(stack, process, batch, rejections)
    if not any(load.shed for load in process.loads):
        report.notes.append("NOTHING WAS SHED: excess requests waited, in huntd and for its connections in the generator")
    return report
