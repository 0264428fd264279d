"""Past capacity: the peak of a closed loop, then three times that in an open loop; what huntd can't do in time it refuses
at once."""
from bench.fleet_run import (CONNECTIONS, CpuMeter, await_drained, fleet_load, fleet_stack, limit_figure, new_report,
                             rounds_or, seconds_or, unit)
from bench.load_run import run_load
from bench.report import Figure, Report, median, progress

ROUNDS = rounds_or(3)
PEAK_SECONDS = 5
SECONDS = 10
TIMES = 3
PEAK_CONNECTIONS = min(1000, CONNECTIONS)
# An operator who promises 72 ms must refuse earlier than by the default of 100 ms.
SETTINGS = {"worker.queue_deadline_ms": 40}


def run() -> Report:
    seconds, peak_seconds = seconds_or(SECONDS), seconds_or(PEAK_SECONDS)
    peaks, loads, refusal_us, notes = [], [], [], []
    with fleet_stack(**SETTINGS) as stack:
        for turn in range(ROUNDS):
            if turn:
                await_drained(stack)
            progress(f"overload: round {turn + 1} of {ROUNDS}, {PEAK_CONNECTIONS:,} connections in a closed loop")
            meter = CpuMeter(stack)
            peak = run_load(stack.http, connections=PEAK_CONNECTIONS, seconds=peak_seconds)
            hunt_us = 1e6 * meter.spent()["cores"] / max(peak.hunts_whole, 1)
            await_drained(stack)
            rate = TIMES * max(peak.rate, 1)
            progress(f"overload: peak {peak.rate:,.0f} hunts/s; {CONNECTIONS:,} connections ask for {rate:,.0f}/s")
            meter = CpuMeter(stack)
            load = fleet_load(stack, rate=rate, seconds=seconds)
            core_us = 1e6 * meter.spent()["cores"]
            if load.refused:
                whole_refused = load.refused * (seconds + 2) / seconds
                refusal_us.append((core_us - hunt_us * load.hunts_whole) / whole_refused)
            peaks.append(peak.rate)
            loads.append(load)
            notes = [f"closed loop: {peak.errors:,} errors, P99 {peak.all.p99:.1f} ms",
                     f"{TIMES} × peak: {load.answer_rate:,.0f} answers/s of {rate:,.0f} wanted, by status {load.statuses}, "
                     f"{load.errors - load.refused:,} errors that are no refusal; all answers P99 {load.all.p99:.1f} ms; "
                     f"the generator's lateness P99 {load.late_p99_ms:.1f} ms", meter.note(load), *load.warnings]
        report = new_report("overload", stack, f"medians of {ROUNDS} × {seconds:g} s; {SETTINGS}, worker.queue_max and "
                            "the rest default; a request that waits for its connection in the generator waits in its "
                            "latency too", *notes)
        report.figures = [
            Figure("goodput_ratio", median(load.rate / max(peak, 1) for load, peak in zip(loads, peaks)),
                   unit("× peak", stack), bar=0.9),
            limit_figure("admitted_p99_ms", median(load.admitted.p99 for load in loads), "ms", 72, stack),
            Figure("peak_rate", median(peaks), "hunts/s (closed-loop)"),
            Figure("goodput_rate", median(load.rate for load in loads), "hunts/s"),
            Figure("refused_rate", median(load.answer_rate - load.rate for load in loads), "answers/s"),
            Figure("refused_p50_ms", median(load.refused_times.p50 for load in loads), "ms"),
            Figure("refused_p99_ms", median(load.refused_times.p99 for load in loads), "ms"),
            Figure("other_errors", sum(load.errors - load.refused for load in loads), "answers")]
        if refusal_us:
            report.figures.append(Figure("refusal_cpu_us", median(refusal_us), "µs of the cores, by difference"))
        else:
            report.notes.append("NOTHING WAS REFUSED: what came too fast waited, in huntd and for its connections in the "
                                "generator")
    return report
