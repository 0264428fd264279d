# SPDX-License-Identifier: Apache-2.0
"""Above capacity: the peak of a closed loop, then three times that in an open loop; huntd sheds at once the requests that it
cannot serve in time. The targets are for `process`, the default. With `batch` the machine cannot even reject three times the peak,
with the generator on it; its figures show the effect."""
from dataclasses import dataclass, field

from bench.fleet_run import (CONNECTIONS, CpuMeter, await_drained, fleet_load, fleet_stack, limit_figure, new_report,
                             rounds_or, seconds_or, unit)
from bench.load_run import LoadResult, run_load
from bench.report import Figure, Report, median, progress

ROUNDS = rounds_or(3)
PEAK_SECONDS = 5
SECONDS = 10
TIMES = 3
# It stands for clients on other machines, which do not wait for a CPU of this one.
GENERATOR_NICE = -20
PEAK_CONNECTIONS = {"process": 100, "batch": 1000}  # enough for the peak, too few to be shed


@dataclass
class Rounds:
    """The results of the rounds in one isolation mode."""
    peaks: list[float] = field(default_factory=list)
    loads: list[LoadResult] = field(default_factory=list)
    shed_us: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # of the last round

    def goodput_ratio(self) -> float:
        return median(load.rate / max(peak, 1) for load, peak in zip(self.loads, self.peaks))

    def admitted_p99_ms(self) -> float:
        return median(load.admitted.p99 for load in self.loads)


def _rounds(stack, mode: str, rounds: int) -> Rounds:
    seconds, peak_seconds = seconds_or(SECONDS), seconds_or(PEAK_SECONDS)
    found = Rounds()
    for turn in range(rounds):
        if turn:
            await_drained(stack)
        progress(f"overload: {mode}, round {turn + 1} of {rounds}, {PEAK_CONNECTIONS[mode]:,} connections in a closed loop")
        meter = CpuMeter(stack)
        peak = run_load(stack.http, connections=PEAK_CONNECTIONS[mode], seconds=peak_seconds, nice=GENERATOR_NICE)
        hunt_us = 1e6 * meter.spent()["cores"] / max(peak.hunts_whole, 1)
        await_drained(stack)
        rate = TIMES * max(peak.rate, 1)
        progress(f"overload: {mode}, peak {peak.rate:,.0f} hunts/s; {CONNECTIONS:,} connections request {rate:,.0f}/s")
        meter = CpuMeter(stack)
        load = fleet_load(stack, rate=rate, seconds=seconds, nice=GENERATOR_NICE)
        core_us = 1e6 * meter.spent()["cores"]
        if load.shed:
            shed_whole = load.shed * (seconds + 2) / seconds
            found.shed_us.append((core_us - hunt_us * load.hunts_whole) / shed_whole)
        found.peaks.append(peak.rate)
        found.loads.append(load)
        found.notes = [f"{mode}: closed loop: {peak.rate:,.0f} hunts/s, {peak.errors:,} errors, P99 {peak.all.p99:.1f} ms",
                       f"{mode}: {TIMES} × peak: {load.answer_rate:,.0f} responses/s of {rate:,.0f} wanted, by status "
                       f"{load.statuses}, {load.errors - load.shed:,} other errors; all responses P99 "
                       f"{load.all.p99:.1f} ms; the generator's lateness P99 {load.late_p99_ms:.1f} ms",
                       f"{mode}: {meter.note(load)}", *load.warnings]
    return found


def run() -> Report:
    with fleet_stack("process") as stack:
        process = _rounds(stack, "process", ROUNDS)
    with fleet_stack("batch") as stack:
        batch = _rounds(stack, "batch", 1)
        report = new_report("overload", stack, f"medians of {ROUNDS} × {seconds_or(SECONDS):g} s, batch one round; all "
                            "worker.* bounds are the defaults; a request that waits for its connection in the generator "
                            f"waits in its latency too; here the generator's nice is {GENERATOR_NICE}", *process.notes, *batch.notes)
        report.figures = [
            Figure("goodput_ratio", process.goodput_ratio(), unit("× peak", stack), bar=0.9),
            limit_figure("admitted_p99_ms", process.admitted_p99_ms(), "ms", 72, stack),
            Figure("peak_rate", median(process.peaks), "hunts/s (closed-loop)"),
            Figure("goodput_rate", median(load.rate for load in process.loads), "hunts/s"),
            Figure("shed_rate", median(load.answer_rate - load.rate for load in process.loads), "responses/s"),
            Figure("shed_p50_ms", median(load.shed_times.p50 for load in process.loads), "ms"),
            Figure("shed_p99_ms", median(load.shed_times.p99 for load in process.loads), "ms"),
            Figure("other_errors", sum(load.errors - load.shed for load in process.loads), "responses"),
            Figure("batch_goodput_ratio", batch.goodput_ratio(), "× peak"),
            Figure("batch_admitted_p99_ms", batch.admitted_p99_ms(), "ms"),
            Figure("batch_peak_rate", median(batch.peaks), "hunts/s (closed-loop)")]
        if process.shed_us:
            report.figures.append(Figure("refusal_cpu_us", median(process.shed_us), "µs of the cores, by difference"))
        else:
            report.notes.append("NOTHING WAS SHED: excess requests waited, in huntd and for its connections in the "
                                "generator")
    return report
