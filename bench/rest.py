# SPDX-License-Identifier: Apache-2.0
"""The produce call of the Kafka REST proxy, one loot event per call: huntd and Karapace, alternating, on one Kafka and the same CPUs.
wrk (closed-loop) and Kafka run on them too. Karapace is one process as it comes; how it produces is set as huntd has it (acks of all
replicas, lz4, the same linger). After each turn the records that the topic has gained are compared with the responses."""
import os
import pathlib
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

from bench.fleet_run import CpuMeter, rounds_or
from bench.processes import cpu_by_kind, cpu_of_servers
from bench.report import Figure, Report, progress, repeated, version_of
from bench.wrk_run import WrkResult, run_wrk
from harness.huntd_stack import HuntdStack
from harness.karapace_server import KarapaceServer, why_no_karapace
from harness.process import find_program

ROUNDS = rounds_or()
SECONDS = float(os.environ.get("HUNTD_BENCH_SECONDS", 8))
WARM_SECONDS = min(SECONDS, 3)
CONNECTIONS = int(os.environ.get("HUNTD_BENCH_CONNECTIONS", 128))  # with 64 a linger of 5 ms alone holds huntd under 12,800
PARTITIONS = 8
LINGER_MS = 5


def _records(bootstrap: str) -> int:
    """How many records the topic has: the sum of its partitions' ends, by kcat."""
    done = subprocess.run([find_program("kcat"), "-b", bootstrap, "-Q",
                           *(word for p in range(PARTITIONS) for word in ("-t", f"loot_events:{p}:-1"))],
                          capture_output=True, text=True, timeout=60, check=True)
    return sum(int(line.rsplit(" ", 1)[1]) for line in done.stdout.splitlines())


@dataclass
class Turn:
    """One measured run of a peer."""
    result: WrkResult
    surplus: int    # records that the topic gained minus the successful responses; below 0: records are missing
    stalled: bool   # at less than half the rate of its own warm-up: that is a stall and no measure of a peer
    cpu_us: float   # per call, of all processes but wrk
    cpu_note: str   # by process

    @property
    def rate(self) -> float:
        return self.result.rate - self.result.not_2xx / SECONDS


def _turn(address: str, bootstrap: str, read: Callable[[], dict[str, float]]) -> Turn:
    """`read`: the CPU seconds so far of the peer's processes and of Kafka."""
    before = _records(bootstrap)

    def run(seconds: float) -> WrkResult:
        return run_wrk(f"http://{address}/", connections=CONNECTIONS, seconds=seconds, script="rest_produce.lua")

    warm, meter = run(WARM_SECONDS), CpuMeter(read=read)
    result = run(SECONDS)
    each_us = meter.each_us(result.requests - result.not_2xx, {})
    note = f"{meter.words(each_us)}; wrk {result.cpu_us_per_request:.1f} per call"
    answered = sum(one.requests - one.not_2xx for one in (warm, result))
    return Turn(result, _records(bootstrap) - before - answered, result.rate < warm.rate / 2, sum(each_us.values()), note)


def _rounds(stack: HuntdStack, karapace: KarapaceServer | None) -> dict[str, list[Turn]]:
    """By the peer's name, in turns."""
    peers = {"huntd": (stack.http, lambda: cpu_by_kind(stack))}
    if karapace is not None:
        peers["karapace"] = (karapace.address, lambda: cpu_of_servers(karapace, stack.kafka))
    turns: dict[str, list[Turn]] = {peer: [] for peer in peers}
    for number in range(ROUNDS):
        for peer, (address, read) in peers.items():
            progress(f"rest: round {number + 1} of {ROUNDS}, {peer}")
            turns[peer].append(_turn(address, stack.kafka.bootstrap, read))
    return turns


def _figures(turns: dict[str, list[Turn]]) -> list[Figure]:
    found = []
    for peer, of_peer in turns.items():
        found += [repeated(f"{peer}_rps", (turn.rate for turn in of_peer), "calls/s"),
                  repeated(f"{peer}_p50_ms", (turn.result.p50_ms for turn in of_peer), "ms (closed-loop)"),
                  repeated(f"{peer}_p99_ms", (turn.result.p99_ms for turn in of_peer), "ms (closed-loop)"),
                  repeated(f"{peer}_cpu_us", (turn.cpu_us for turn in of_peer), "µs of CPU per call, without wrk")]
    if "karapace" in turns:
        found.append(repeated("rps_over_karapace", (one.rate / max(other.rate, 1) for one, other in zip(turns["huntd"], turns["karapace"])),
                              "× Karapace", bar=5))
    every = [turn for of_peer in turns.values() for turn in of_peer]
    errors = sum(turn.result.not_2xx + turn.result.socket_errors for turn in every)
    surplus = {peer: [turn.surplus for turn in of_peer] for peer, of_peer in turns.items()}
    return found + [
        Figure("errors", errors, "responses", bar=0, at_most=True),
        Figure("stalled", sum(turn.stalled for turn in every), "runs at less than half of their warm-up's rate", bar=0, at_most=True),
        *(Figure(f"{peer}_lost", max(0, -min(more)), "records answered and not in the topic", bar=0, at_most=True)
          for peer, more in surplus.items()),
        # wrk stops at the end of its warm-up and of its run with one call per connection in flight.
        *(Figure(f"{peer}_unanswered", max(more), "records in the topic and not answered, the most of a turn") for peer, more in surplus.items())]


def run() -> Report:
    report = Report("rest")
    why_not = why_no_karapace()
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        stack = HuntdStack(directory / "stack", cores=None, kafka={"partitions": PARTITIONS}, aggregator=False,
                           settings={"kafka.linger_ms": LINGER_MS})
        with stack:
            kafka = f"{stack.kafka.kind}; kafka.linger_ms {LINGER_MS}, {PARTITIONS} partitions"
            # The topic is made on first use, and Java is slow before it is compiled: neither is a peer's.
            run_wrk(f"http://{stack.http}/", connections=CONNECTIONS, seconds=WARM_SECONDS, script="rest_produce.lua")
            karapace = None
            if not why_not:
                karapace = KarapaceServer(directory / "karapace", stack.kafka.bootstrap, linger_ms=LINGER_MS).start()
            try:
                turns = _rounds(stack, karapace)
            finally:
                if karapace is not None:
                    karapace.stop()
    report.figures = _figures(turns)
    if why_not:
        report.notes.append(f"no peer: {why_not}")
    else:
        report.notes.append(f"Karapace {KarapaceServer.version()}, {version_of(str(find_program('python3')), '--version')}, one process")
    report.notes += [f"{peer}, last round: {of_peer[-1].cpu_note.replace('per hunt', 'per call')}" for peer, of_peer in turns.items()]
    report.notes += [kafka, f"one record per call, {CONNECTIONS} connections; medians of {ROUNDS} × {SECONDS:g} s"]
    return report
