# SPDX-License-Identifier: Apache-2.0
"""How far the table is behind at the fleet load with interval_s = 1, and the effect of an hour's updates (bloat, autovacuum)."""
import math
import time
from dataclasses import dataclass

from bench.fleet_run import RATE, CpuMeter, await_drained, fleet_load, fleet_stack, limit_figure, load_notes, new_report, seconds_or
from bench.report import ONE_RUN, Figure, Report, progress

MINUTES = 60
INTERVAL_S = 1


@dataclass
class Sample:
    at_s: float
    lag_s: float     # age of the oldest event that is not in the table, by hunt_aggregator_lag_seconds
    lag_events: int


@dataclass
class TableState:
    bytes: int
    live: int
    dead: int
    updated: int
    hot: int
    autovacuums: int

    @staticmethod
    def of(stack) -> "TableState":
        [row] = stack.postgres.sql("SELECT pg_table_size(relid), n_live_tup, n_dead_tup, n_tup_upd, n_tup_hot_upd, autovacuum_count "
                                   "FROM pg_stat_user_tables WHERE relname = 'hunt_session'")
        return TableState(*map(int, row))

    def __str__(self) -> str:
        return (f"{self.bytes / 2**20:.0f} MiB, {self.live:,} live rows and {self.dead:,} dead ones, {self.updated:,} updates "
                f"({100 * self.hot / max(self.updated, 1):.0f} % HOT), {self.autovacuums} autovacuums")


def _p99(samples: list[Sample]) -> float:
    ordered = sorted(sample.lag_s for sample in samples)
    return ordered[math.ceil(0.99 * len(ordered)) - 1]


def run(minutes: float | None = None) -> Report:
    seconds = seconds_or(60 * (MINUTES if minutes is None else minutes))
    samples: list[Sample] = []
    with fleet_stack(**{"aggregator.interval_s": INTERVAL_S}) as stack:

        def sample() -> None:
            samples.append(Sample(time.monotonic(), stack.metric("hunt_aggregator_lag_seconds", stack.aggregator_address),
                                  int(stack.metric("hunt_aggregator_lag_events", stack.aggregator_address))))

        progress(f"lag: {RATE:,.0f} hunts/s for {seconds / 60:.3g} minutes (--minutes changes that)")
        # Each hunter's row is there before the churn begins.
        fleet_load(stack, seconds=min(20, seconds))
        await_drained(stack)
        stack.huntd.restart()
        before = TableState.of(stack)
        meter = CpuMeter(stack)
        load = fleet_load(stack, seconds=seconds, meanwhile=sample)
        cpu_note = meter.note(load)
        after = TableState.of(stack)
        await_drained(stack)
        third = len(samples) // 3
        report = new_report("lag", stack, f"{seconds / 60:.3g} minutes; the lag is sampled five times per second, from the first response to the last, with the warm-up",
                            ONE_RUN, *load_notes(load), cpu_note, f"hunt_session before: {before}", f"hunt_session after: {after}")
        report.figures = [
            limit_figure("lag_p99_s", _p99(samples), "s", 3, stack),
            Figure("load_held", load.answer_rate / RATE, "of the fleet's rate, answered in time", bar=0.99),
            Figure("lag_max_s", max(sample.lag_s for sample in samples), "s"),
            Figure("lag_p99_first_third_s", _p99(samples[:third]), "s"),
            Figure("lag_p99_last_third_s", _p99(samples[-third:]), "s"),
            Figure("lag_events_max", max(sample.lag_events for sample in samples), "events"),
            Figure("table_growth", after.bytes / before.bytes, "× its size before"),
            Figure("hot_percent", 100 * (after.hot - before.hot) / max(after.updated - before.updated, 1), "% of the updates")]
    return report
