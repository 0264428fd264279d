# SPDX-License-Identifier: Apache-2.0
"""From the commit to Kafka's acknowledgement at the fleet load: huntd's stage kafka_ack, kafka.linger_ms included."""
from bench.fleet_run import (CpuMeter, fleet_load, fleet_stack, limit_figure, load_notes, new_report, rounds_on_fresh_huntd,
                             rounds_or, seconds_or, stages)
from bench.report import Figure, Report, repeated

ROUNDS = rounds_or()
SECONDS = 12


def run() -> Report:
    seconds = seconds_or(SECONDS)
    runs, notes = [], []
    with fleet_stack() as stack:
        for _ in rounds_on_fresh_huntd(stack, "kafka", ROUNDS):
            meter = CpuMeter(stack)
            load = fleet_load(stack, seconds=seconds)
            runs.append(stages(stack)["kafka_ack"])
            notes = [*load_notes(load), meter.note(load)]
        report = new_report("kafka", stack, f"medians of {ROUNDS} × {seconds:g} s, 2 s of warm-up counted too; "
                            "kafka.linger_ms is its default", *notes)
        report.figures = [limit_figure("ack_p99_ms", [s["p99_us"] / 1000 for s in runs], "ms", 12, stack),
                          repeated("ack_p50_ms", (s["p50_us"] / 1000 for s in runs), "ms"),
                          Figure("ack_max_ms", max(s["max_us"] for s in runs) / 1000, "ms"),
                          repeated("acks", (s["count"] for s in runs), "events")]
    return report
