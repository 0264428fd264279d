# SPDX-License-Identifier: Apache-2.0
"""`./dev bench fleet --minutes M`, `fleet-task`: 10,000 connections, 9,600 hunts/s, `batch` or `task`, real Kafka, aggregator on;
afterwards every hunt of a response is in Redis, Kafka and Postgres. HUNTD_BENCH_MODE names another isolation mode."""
import json
import os
import subprocess
import time

from bench.fleet_run import (CONNECTIONS, DRAIN_TIMEOUT_S, RATE, CpuMeter, await_drained, counter, fleet_load,
                             fleet_stack, latency_table, limit_figure, load_notes, new_report, quantile_us, seconds_or,
                             stages)
from bench.report import ONE_RUN, Figure, Report, progress
from harness.huntd_stack import build_folder
from harness.process import ServerFailed

MINUTES = 20


def reconcile(stack) -> tuple[int, list[str]]:
    """The number of differences between Redis, Kafka and Postgres, and notes about them."""
    done = subprocess.run([str(build_folder() / "huntctl"), "-c", str(stack.config), "reconcile", "--json", "--wait",
                           str(DRAIN_TIMEOUT_S)], capture_output=True, text=True, timeout=2 * DRAIN_TIMEOUT_S + 600)
    if done.returncode not in (0, 1) or not done.stdout:
        raise ServerFailed(f"huntctl reconcile ended with {done.returncode}: {done.stderr}")
    report = json.loads(done.stdout)
    off = report["differences_total"] + (0 if report["settled"] else report["waiting"])
    notes = [f"huntctl reconcile: {report['held_loot']:,} loot in Redis, {report['kafka_events'] or 0:,} events in "
             f"Kafka ({report['kafka_records'] or 0:,} records), {report['row_loot']:,} in the table, "
             f"{report['outbox_events']:,} in the outbox"]
    notes += [f"differs: {difference}" for difference in report["differences"][:5]]
    return off, notes


def run(mode: str = "batch", minutes: float | None = None) -> Report:
    mode = os.environ.get("HUNTD_BENCH_MODE", mode)
    seconds = seconds_or(60 * (MINUTES if minutes is None else minutes))
    name = "fleet" if mode == "batch" else f"fleet-{mode}"
    with fleet_stack(mode) as stack:
        progress(f"{name}: {CONNECTIONS:,} connections, {RATE:,.0f} hunts/s for {seconds / 60:.3g} minutes (--minutes "
                 "changes that)")
        meter = CpuMeter(stack)
        load = fleet_load(stack, seconds=seconds)
        each_us = meter.of_load(load)
        cpu_note = meter.words(each_us)
        ticks = stages(stack)["tick"]
        long_ticks = {why: counter(stack, f"huntd_ticks_long_total{{reason=\"{why}\"}}") for why in ("ran", "waited", "stalled")}
        table = latency_table(stack)
        progress(f"{name}: waiting until the outbox is empty and the table has all")
        ended = time.monotonic()
        late = []
        try:
            await_drained(stack)
        except TimeoutError as failure:
            late = [f"NOT DRAINED: {failure}"]
        drained_s = time.monotonic() - ended
        progress(f"{name}: huntctl reconcile")
        off, reconcile_notes = reconcile(stack)
        given = counter(stack, "huntd_awards_total")
        report = new_report(name, stack, f"{seconds / 60:.3g} minutes after 2 s of warm-up", *load_notes(load),
                            cpu_note)
        report.figures = [
            limit_figure("p99_ms", load.all.p99, "ms", 72, stack),
            limit_figure("p999_ms", load.all.p999, "ms", 200, stack),
            limit_figure("errors", load.errors, "responses", 0, stack),
            limit_figure("unreconciled", off + abs(load.events_whole - given), "events", 0, stack),
            limit_figure("tick_p9999_ms", quantile_us(ticks["distribution"], 0.9999) / 1000, "ms", 5, stack),
            limit_figure("cpu_us", sum(each_us.values()), "µs of CPU per hunt, all processes", 190, stack),
            Figure("tick_max_ms", ticks["max_us"] / 1000, "ms"),
            Figure("p50_ms", load.all.p50, "ms"),
            Figure("max_ms", load.all.max, "ms"),
            Figure("rate", load.rate, "hunts/s"),
            Figure("late_p99_ms", load.late_p99_ms, "ms, the generator's")]
        report.notes += [ONE_RUN, "ticks over 5 ms: " + ", ".join(f"{number:,} {why}" for why, number in long_ticks.items()),
                         f"in responses: {load.events_whole:,} events; huntd gave {given:,}; drained {drained_s:.1f} s "
                         "after the load", *late, *reconcile_notes, "", *table]
    return report
