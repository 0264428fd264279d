# SPDX-License-Identifier: Apache-2.0
"""The produce call of the Kafka REST proxy, one loot event per call: huntd and Karapace, alternating, on one Kafka and the same CPUs.
wrk (closed-loop) and Kafka run on them too. Karapace is one process as it comes; how it produces is set as huntd has it (acks of all
replicas, lz4, the same linger). After each turn the records that the topic has gained are compared with the responses."""
import os
import pathlib
import subprocess
import tempfile

from bench.report import Figure, Report, median, progress, version_of
from bench.wrk_run import run_wrk
from harness.huntd_stack import HuntdStack
from harness.karapace_server import KarapaceServer, why_no_karapace
from harness.process import find_program

ROUNDS = int(os.environ.get("HUNTD_BENCH_ROUNDS", 3))
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


def _turn(address: str, bootstrap: str):
    """One measured run, the records that the topic gained minus the successful responses (below 0: records are missing), and
    whether it went at less than half the rate of its own warm-up: such a run is a stall and no measure of a peer."""
    before = _records(bootstrap)
    runs = [run_wrk(f"http://{address}/", connections=CONNECTIONS, seconds=seconds, script="rest_produce.lua")
            for seconds in (WARM_SECONDS, SECONDS)]
    answered = sum(run.requests - run.not_2xx for run in runs)
    gained = _records(bootstrap) - before
    return runs[1], gained - answered, runs[1].rate < runs[0].rate / 2


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
            addresses = {"huntd": stack.http}
            karapace = None
            if not why_not:
                karapace = KarapaceServer(directory / "karapace", stack.kafka.bootstrap, linger_ms=LINGER_MS).start()
                addresses["karapace"] = karapace.address
            try:
                runs = {peer: [] for peer in addresses}
                errors = stalled = 0
                surplus = {peer: [] for peer in addresses}
                for turn in range(ROUNDS):
                    for peer, address in addresses.items():
                        progress(f"rest: round {turn + 1} of {ROUNDS}, {peer}")
                        result, more, stalls = _turn(address, stack.kafka.bootstrap)
                        runs[peer].append(result)
                        errors += result.not_2xx + result.socket_errors
                        surplus[peer].append(more)
                        stalled += stalls
            finally:
                if karapace is not None:
                    karapace.stop()
    rates = {peer: median(run.rate - run.not_2xx / SECONDS for run in results) for peer, results in runs.items()}
    for peer, results in runs.items():
        report.figures += [Figure(f"{peer}_rps", rates[peer], "calls/s"),
                           Figure(f"{peer}_p50_ms", median(run.p50_ms for run in results), "ms (closed-loop)"),
                           Figure(f"{peer}_p99_ms", median(run.p99_ms for run in results), "ms (closed-loop)")]
    if karapace is not None:
        report.figures.append(Figure("rps_over_karapace", rates["huntd"] / rates["karapace"], "× Karapace", bar=5))
        report.notes.append(f"Karapace {KarapaceServer.version()}, {version_of(str(find_program('python3')), '--version')}, one process")
    else:
        report.notes.append(f"no peer: {why_not}")
    report.figures += [Figure("errors", errors, "responses", bar=0, at_most=True),
                       Figure("stalled", stalled, "runs at less than half of their warm-up's rate", bar=0, at_most=True),
                       *(Figure(f"{peer}_lost", max(0, -min(more)), "records answered and not in the topic", bar=0, at_most=True)
                         for peer, more in surplus.items()),
                       # wrk stops at the end of its warm-up and of its run with one call per connection in flight.
                       *(Figure(f"{peer}_unanswered", max(more), "records in the topic and not answered, the most of a turn") for peer, more in surplus.items())]
    report.notes += [kafka, f"one record per call, {CONNECTIONS} connections; medians of {ROUNDS} × {SECONDS:g} s"]
    return report
