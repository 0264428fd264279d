# SPDX-License-Identifier: Apache-2.0
"""Shared by the benches at the fleet load: the stack, the load, and the figures of huntd, Redis and the aggregator.

The fleet load: 10,000 keep-alive connections, each a hunter, 9,600 hunts/s of goblin-hoard (which awards every time),
open loop, by hunt-load on the same CPUs as everything else. HUNTD_BENCH_CONNECTIONS makes it smaller, at the same rate a
connection; HUNTD_BENCH_SECONDS shorter; HUNTD_BENCH_ROUNDS fewer; HUNTD_BENCH_INTERVAL_S lets the aggregator merge more
often; HUNTD_BENCH_KAFKA=no leaves Kafka out; HUNTD_BENCH_REDIS=tcp connects to Redis over TCP, tls by TLS. All that is for trying, not for figures.
"""
import contextlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
from collections.abc import Callable

from bench.load_run import LoadResult, run_load
from bench.machine import steal_percent
from bench.processes import cpu_by_kind, machine_cpu
from bench.report import ROUNDS, Figure, Report, median, progress
from bench.isolation_modes import isolation_settings
from harness.huntd_stack import HuntdStack, build_folder, http_get
from harness.process import wait_until
from harness.redis_tls import use_tls

CONNECTIONS = int(os.environ.get("HUNTD_BENCH_CONNECTIONS", 10_000))
RATE = 0.96 * CONNECTIONS
REDIS = os.environ.get("HUNTD_BENCH_REDIS", "unix")
OVER = {"unix": "over its unix socket", "tcp": "over TCP", "tls": "over TCP by TLS"}
AGGREGATOR_INTERVAL_S = int(os.environ.get("HUNTD_BENCH_INTERVAL_S", 5))
DRAIN_TIMEOUT_S = 300
WARMUP_S = 8
# As in systemd/huntd.toml, hunt-aggregator.service and docs/operations.md: a process that others wait for has a higher priority.
PRIORITIES = {"cores.priority": 20, "worker.priority": 10}
REDIS_NICE = -15
AGGREGATOR_NICE = 10
# librdkafka sends each partition's events by themselves: from two cores every 5 ms, 400 requests per second for each.
# One aggregator on the same host does not need more than one.
KAFKA = {"partitions": 1, "nice": -10}
OUTBOX_LENGTH = "local n = 0 for b = 0, 1023 do n = n + redis.call('XLEN', 'outbox:{b' .. b .. '}') end return n"


def seconds_or(usual: float) -> float:
    return float(os.environ.get("HUNTD_BENCH_SECONDS", usual))


def rounds_or(usual: int = ROUNDS) -> int:
    return int(os.environ.get("HUNTD_BENCH_ROUNDS", usual))


@contextlib.contextmanager
def fleet_stack(mode: str = "batch", **settings):
    """The whole stack with Kafka and the aggregator, 2 cores, warmed up; huntd starts again with empty histograms."""
    with tempfile.TemporaryDirectory() as name:
        stack = HuntdStack(pathlib.Path(name) / "stack", cores=2, kafka=os.environ.get("HUNTD_BENCH_KAFKA") != "no" and KAFKA,
                           redis_unix_socket=REDIS == "unix",
                           settings={"aggregator.interval_s": AGGREGATOR_INTERVAL_S, **PRIORITIES, **isolation_settings(mode),
                                     **settings})
        if REDIS == "tls":
            use_tls(stack, pathlib.Path(name) / "tls")
        stack.redis.nice = REDIS_NICE
        stack.aggregator.nice = AGGREGATOR_NICE
        with stack:
            # The topic is made on first use, and Java is slow before it is compiled: neither is the load's.
            run_load(stack.http, connections=min(CONNECTIONS, 500), rate=RATE / 3, seconds=seconds_or(WARMUP_S), warmup_s=1)
            await_drained(stack)
            stack.huntd.restart()
            yield stack


def fleet_load(stack, *, seconds: float, rate: float = RATE, nice: int = 0, meanwhile=None) -> LoadResult:
    return run_load(stack.http, connections=CONNECTIONS, rate=rate, seconds=seconds, nice=nice, meanwhile=meanwhile)


def stack_notes(stack) -> list[str]:
    if stack.kafka is None:
        kafka = "WITHOUT Kafka (HUNTD_BENCH_KAFKA=no): the aggregator reads the outbox"
    else:
        kafka = f"Kafka: {stack.kafka.kind}" + (f", since {stack.kafka.why}" if stack.kafka.why else "")
    return [f"{kafka}, {KAFKA['partitions']} partition; Redis without AOF, {OVER[REDIS]}; aggregator.interval_s {stack.settings['aggregator.interval_s']}; "
            "cores.count 2; hunts without Idempotency-Key; all on one machine with the generator",
            f"nice: cores -{PRIORITIES['cores.priority']}, Redis {REDIS_NICE}, workers -{PRIORITIES['worker.priority']}, "
            f"Kafka {KAFKA['nice']}, librdkafka and the generator 0, aggregator {AGGREGATOR_NICE}; all in one session"]


def unit(text: str, stack) -> str:
    """A figure's unit, marked if Kafka was the mock."""
    if stack.kafka is None:
        return f"{text} (no Kafka)"
    return f"{text} (mock Kafka)" if stack.kafka.why else text


def load_notes(load: LoadResult, wanted: float = RATE) -> list[str]:
    notes = []
    if load.errors or load.answer_rate < 0.99 * wanted:
        notes.append(f"THE LOAD WAS NOT HELD: {load.answer_rate:,.0f} answers/s in time of {wanted:,.0f} wanted, "
                     f"{load.errors:,} errors, answers by status {load.statuses}")
    return notes + [
        f"{load.rate:,.0f} hunts/s of {wanted:,.0f} wanted; P50 {load.all.p50:.1f}, P90 {load.all.p90:.1f}, "
        f"P99 {load.all.p99:.1f}, P99.9 {load.all.p999:.1f}, max {load.all.max:.1f} ms; the generator's own lateness "
        f"P99 {load.late_p99_ms:.1f} ms",
        *load.warnings]


def stages(stack) -> dict[str, dict]:
    """Each stage of all cores since huntd's start: count, p50_us, p99_us, max_us …"""
    return json.loads(http_get(stack.admin, "/latency.json")[1])["all"]["stages"]


def quantile_us(distribution: list[list[float]], quantile: float) -> float:
    """The upper bound of the part that has this quantile, of a stage's distribution: [[upper bound in µs, count], ...]."""
    wanted = quantile * sum(count for _, count in distribution)
    passed = 0
    for bound_us, count in distribution:
        passed += count
        if passed >= wanted:
            return bound_us
    return 0.0


def latency_table(stack) -> list[str]:
    done = subprocess.run([str(build_folder() / "huntctl"), "-c", str(stack.config), "latency"], capture_output=True,
                          text=True, timeout=20, check=True)
    table = done.stdout.rstrip().splitlines()
    heads = [at for at, line in enumerate(table) if line.startswith("all cores")]
    return table[heads[0]:] if heads else table


def counter(stack, name: str) -> int:
    """A counter of huntd, all cores together."""
    status = json.loads(http_get(stack.admin, "/status.json")[1])
    return sum(core["counters"].get(name, 0) for core in status["cores"])


def outbox_events(stack) -> int:
    return stack.redis.call("EVAL", OUTBOX_LENGTH, 0)


def aggregator_lag(stack) -> float:
    text = http_get(stack.aggregator_address, "/metrics")[1]
    return float(re.search(r"^hunt_aggregator_lag_events (\S+)", text, re.M)[1])


def await_drained(stack) -> None:
    """Until every event is out of the outbox and in the table."""
    try:
        wait_until(lambda: outbox_events(stack) == 0, DRAIN_TIMEOUT_S, "the outbox to drain", poll_s=0.2)
        wait_until(lambda: aggregator_lag(stack) == 0, DRAIN_TIMEOUT_S, "the aggregator to catch up", poll_s=0.2)
    except TimeoutError as failure:
        raise TimeoutError(f"{failure}: {outbox_events(stack):,} events in the outbox, {aggregator_lag(stack):,.0f} behind\n"
                           f"{_emitter_state(stack)}\n{stack.huntd.log_tail()}\n"
                           f"{stack.kafka.log_tail(5) if stack.kafka else ''}") from failure


def _emitter_state(stack) -> str:
    """What huntd's metrics say of the way from the commit to Kafka."""
    text = http_get(stack.admin, "/metrics")[1]
    return "\n".join(re.findall(r"^(?:huntd_kafka|huntd_outbox|huntd_redis|huntd_awards)\S* \S+$", text, re.M))


class CpuMeter:
    """CPU of each kind of process over a load. `read`: the CPU seconds so far by kind; without it those of the stack."""

    def __init__(self, stack=None, read: Callable[[], dict[str, float]] | None = None):
        self.read = read or (lambda: cpu_by_kind(stack))
        self.before = self.read()
        self.machine_before = machine_cpu()

    def spent(self) -> dict[str, float]:
        """CPU seconds since the start of this meter."""
        return {kind: seconds - self.before.get(kind, 0.0) for kind, seconds in self.read().items()}

    def each_us(self, hunts: int, generator: dict[str, float]) -> dict[str, float]:
        """CPU µs per hunt by kind. `generator`: the load generator's own, by its name."""
        return {kind: 1e6 * seconds / max(hunts, 1) for kind, seconds in self.spent().items()} | generator

    def of_load(self, load: LoadResult) -> dict[str, float]:
        """The same for a run of hunt-load."""
        return self.each_us(load.hunts_whole, {"hunt-load": load.cpu_us_per_request})

    def words(self, each_us: dict[str, float]) -> str:
        """A note of a report, the most expensive kind first."""
        ordered = sorted(each_us.items(), key=lambda item: -item[1])
        kinds = ", ".join(f"{kind} {us:.1f}" for kind, us in ordered if us >= 0.05)
        return (f"CPU µs per hunt, {sum(each_us.values()):.0f} in all: {kinds}; the hypervisor took "
                f"{steal_percent(self.machine_before, machine_cpu()):.1f} % of the CPUs' time")

    def note(self, load: LoadResult) -> str:
        return self.words(self.of_load(load))


def rounds_on_fresh_huntd(stack, what: str, rounds: int):
    """Numbers of the rounds; before each but the first all is drained and huntd starts again, with empty histograms."""
    for turn in range(rounds):
        if turn:
            await_drained(stack)
            stack.huntd.restart()
        progress(f"{what}: round {turn + 1} of {rounds}")
        yield turn


def limit_figure(name: str, value: float | list[float], text: str, bar: float, stack) -> Figure:
    """`value`: a list has what the rounds gave; the figure is its median."""
    values = value if isinstance(value, list) else []
    return Figure(name, median(values) if values else value, unit(text, stack), bar, True, values)


def new_report(bench: str, stack, *notes: str) -> Report:
    return Report(bench, notes=[*stack_notes(stack), *notes])
