# SPDX-License-Identifier: Apache-2.0
"""From the commit to Kafka's acknowledgement at the fleet load: huntd's stage kafka_ack, kafka.linger_ms included."""
from bench.fleet_run import (fleet_load, fleet_stack, limit_figure, load_notes, new_report, rounds_on_fresh_huntd,
                             rounds_or, seconds_or, stages)
from bench.report import Figure, Report, median

ROUNDS = rounds_or(3)
SECONDS = 12


def run() -> Report:
    seconds = seconds_or(SECONDS)
    runs, notes = [], []
    with fleet_stack() as stack:
        for _ in rounds_on_fresh_huntd(stack, "kafka", ROUNDS):
            load = fleet_load(stack, seconds=seconds)
            runs.append(stages(stack)["kafka_ack"])
            notes = load_notes(load)
        report = new_report("kafka", stack, f"medians of {ROUNDS} × {seconds:g} s, 2 s of warm-up counted too; "
                            "kafka.linger_ms is its default", *notes)
        report.figures = [limit_figure("ack_p99_ms", median(s["p99_us"] for s in runs) / 1000, "ms", 12, stack),
                          Figure("ack_p50_ms", median(s["p50_us"] for s in runs) / 1000, "ms"),
                          Figure("ack_max_ms", max(s["max_us"] for s in runs) / 1000, "ms"),
                          Figure("acks", median(s["count"] for s in runs), "events")]
    return report
