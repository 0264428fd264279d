# SPDX-License-Identifier: Apache-2.0
"""`./dev bench hosts [--seconds S]`: three huntd of one ledger behind HAProxy with docs/proxies/haproxy.cfg, all on this machine. Of S
seconds of load, one host is killed at a quarter and started again at half: P99 and errors of the quarters before, without the host, while
it comes back, and after it. Requests have keys; HAProxy repeats them once on the next host.

HUNTD_BENCH_CONNECTIONS is the number of connections, a hunter each; HUNTD_BENCH_MODE the isolation mode.
"""
import contextlib
import os
import pathlib
import tempfile
import time
from dataclasses import dataclass, field

from bench.fleet import reconcile
from bench.fleet_run import load_notes
from bench.isolation_modes import isolation_settings
from bench.load_run import LoadResult, run_load
from bench.report import ONE_RUN, Figure, Report, need, progress
from harness.process import wait_until
from harness.several_hosts import HAProxy, Hosts
from harness.stores import in_redis

SECONDS = 60
CONNECTIONS = int(os.environ.get("HUNTD_BENCH_CONNECTIONS", 300))
RATE = 0.96 * CONNECTIONS
MODE = os.environ.get("HUNTD_BENCH_MODE", "batch")
VICTIM = 2
WARMUP_S = 2


@contextlib.contextmanager
def hosts_behind_haproxy():
    need("haproxy")
    with tempfile.TemporaryDirectory(prefix="huntd-bench-") as name:
        directory = pathlib.Path(name)
        hosts = Hosts(directory, 3, settings={**isolation_settings(MODE), "http.trusted_proxies": ["127.0.0.1"]}, cores=1)
        proxy = HAProxy(directory / "haproxy", hosts.all)
        try:
            yield hosts.start(), proxy.start()
        finally:
            proxy.kill()
            hosts.kill()
            for port in proxy.ports:
                port.release()


@dataclass
class Outage:
    """Kills and starts a host; `spans` has the seconds that it took HAProxy to notice."""
    hosts: Hosts
    proxy: HAProxy
    noticed: dict[str, float] = field(default_factory=dict)

    def kill(self) -> None:
        self.hosts.all[VICTIM - 1].huntd.kill()

    def start(self) -> None:
        self.hosts.all[VICTIM - 1].huntd.launch()

    def await_state(self, state: str) -> None:
        started = time.monotonic()
        self.proxy.await_state(VICTIM, state)
        self.noticed[state] = time.monotonic() - started


def _phases(hosts: Hosts, proxy: HAProxy, seconds: float) -> tuple[dict[str, LoadResult], Outage]:
    """The load, a quarter each; what happens in a quarter happens when its load has warmed up."""
    outage, found = Outage(hosts, proxy), {}
    for name, action in (("before", None), ("killed", outage.kill), ("back", outage.start), ("after", None)):
        started, acted = time.monotonic(), False

        def meanwhile() -> None:
            nonlocal acted
            if action and not acted and time.monotonic() > started + WARMUP_S + seconds / 16:
                acted = True
                action()

        progress(f"hosts: {RATE:,.0f} hunts/s for {seconds / 4:g} s, {name}")
        found[name] = run_load(proxy.port.address, connections=CONNECTIONS, seconds=seconds / 4, rate=RATE, warmup_s=WARMUP_S,
                               meanwhile=meanwhile, options=("--keys",))
        if action:
            outage.await_state("DOWN" if name == "killed" else "UP")
    return found, outage


def run(seconds: float | None = None) -> Report:
    seconds = SECONDS if seconds is None else seconds
    with hosts_behind_haproxy() as (hosts, proxy):
        found, outage = _phases(hosts, proxy, seconds)
        wait_until(lambda: hosts.ledger.outbox_length() == 0, 120, "an empty outbox", 0.2)
        off, notes = reconcile(hosts.ledger)
        given = sum(in_redis(hosts.ledger)[1].values())
        reported = sum(load.events_whole for load in found.values())
        report = Report("hosts", notes=[
            f"three huntd with cores.count 1, `{MODE}`, behind HAProxy; Redis, PostgreSQL, aggregator and generator on the same machine; "
            f"{CONNECTIONS} connections, {RATE:,.0f} hunts/s, {seconds / 4:g} s each; no Kafka; Idempotency-Keys", ONE_RUN,
            *(f"{name}: {note}" for name, load in found.items() for note in [*load_notes(load, RATE), load.failures]),
            f"awards: {reported:,} in responses, {given:,} in Redis", *notes])
        report.figures = [
            Figure("errors", sum(load.failed for load in found.values()), "requests of all quarters", bar=0, at_most=True),
            Figure("unreconciled", off + abs(given - reported), "awards", bar=0, at_most=True),
            *(figure for name, load in found.items() for figure in (
                Figure(f"{name}_p50_ms", load.all.p50, "ms"), Figure(f"{name}_p99_ms", load.all.p99, "ms"),
                Figure(f"{name}_max_ms", load.all.max, "ms"))),
            Figure("rate", found["killed"].rate, "hunts/s while a host was killed")]
    return report
