"""Past capacity: the peak of a closed loop, then three times that in an open loop; what huntd can't do in time it refuses
at once. The bars are for `process`, the default. On `batch` three times the peak is more than the machine could even
refuse, generator included; its figures show what happens then."""
from dataclasses import dataclass, field

from bench.fleet_run import (CONNECTIONS, CpuMeter, await_drained, fleet_load, fleet_stack, limit_figure, new_report,
                             rounds_or, seconds_or, unit)
from bench.load_run import LoadResult, run_load
from bench.report import Figure, Report, median, progress

ROUNDS = rounds_or(3)
PEAK_SECONDS = 5
SECONDS = 10
TIMES = 3
# It stands for clients elsewhere, who do not wait for a CPU of this machine.
GENERATOR_NICE = -20
PEAK_CONNECTIONS = {"process": 100, "batch": 1000}  # enough for the peak, too few to be refused


@dataclass
class Rounds:
    """What the rounds on one rung of the ladder gave."""
    peaks: list[float] = field(default_factory=list)
    loads: list[LoadResult] = field(default_factory=list)
    refusal_us: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # of the last round

    def goodput_ratio(self) -> float:
        return median(load.rate / max(peak, 1) for load, peak in zip(self.loads, self.peaks))

    def admitted_p99_ms(self) -> float:
        return median(load.admitted.p99 for load in self.loads)


def _rounds(stack, rung: str, rounds: int) -> Rounds:
    seconds, peak_seconds = seconds_or(SECONDS), seconds_or(PEAK_SECONDS)
    found = Rounds()
    for turn in range(rounds):
        if turn:
            await_drained(stack)
        progress(f"overload: {rung}, round {turn + 1} of {rounds}, {PEAK_CONNECTIONS[rung]:,} connections in a closed loop")
        meter = CpuMeter(stack)
        peak = run_load(stack.http, connections=PEAK_CONNECTIONS[rung], seconds=peak_seconds, nice=GENERATOR_NICE)
        hunt_us = 1e6 * meter.spent()["cores"] / max(peak.hunts_whole, 1)
        await_drained(stack)
        rate = TIMES * max(peak.rate, 1)
        progress(f"overload: {rung}, peak {peak.rate:,.0f} hunts/s; {CONNECTIONS:,} connections ask for {rate:,.0f}/s")
        meter = CpuMeter(stack)
        load = fleet_load(stack, rate=rate, seconds=seconds, nice=GENERATOR_NICE)
        core_us = 1e6 * meter.spent()["cores"]
        if load.refused:
            whole_refused = load.refused * (seconds + 2) / seconds
            found.refusal_us.append((core_us - hunt_us * load.hunts_whole) / whole_refused)
        found.peaks.append(peak.rate)
        found.loads.append(load)
        found.notes = [f"{rung}: closed loop: {peak.rate:,.0f} hunts/s, {peak.errors:,} errors, P99 {peak.all.p99:.1f} ms",
                       f"{rung}: {TIMES} × peak: {load.answer_rate:,.0f} answers/s of {rate:,.0f} wanted, by status "
                       f"{load.statuses}, {load.errors - load.refused:,} errors that are no refusal; all answers P99 "
                       f"{load.all.p99:.1f} ms; the generator's lateness P99 {load.late_p99_ms:.1f} ms",
                       f"{rung}: {meter.note(load)}", *load.warnings]
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
            Figure("refused_rate", median(load.answer_rate - load.rate for load in process.loads), "answers/s"),
            Figure("refused_p50_ms", median(load.refused_times.p50 for load in process.loads), "ms"),
            Figure("refused_p99_ms", median(load.refused_times.p99 for load in process.loads), "ms"),
            Figure("other_errors", sum(load.errors - load.refused for load in process.loads), "answers"),
            Figure("batch_goodput_ratio", batch.goodput_ratio(), "× peak"),
            Figure("batch_admitted_p99_ms", batch.admitted_p99_ms(), "ms"),
            Figure("batch_peak_rate", median(batch.peaks), "hunts/s (closed-loop)")]
        if process.refusal_us:
            report.figures.append(Figure("refusal_cpu_us", median(process.refusal_us), "µs of the cores, by difference"))
        else:
            report.notes.append("NOTHING WAS REFUSED: what came too fast waited, in huntd and for its connections in the "
                                "generator")
    return report
