# SPDX-License-Identifier: Apache-2.0
"""The load of the system that huntd replaces: 300, 3,000 and 10,000 hunters, each a connection with about one request per second
(9,600/s at 10,000), on a model of the old engine (bench/veltrix) and on huntd in each isolation mode. Open loop, by hunt-load; stores,
server and generator share all CPUs. Both ways end in Postgres: the stand-in's by its INSERTs, huntd's by outbox and aggregator."""
import contextlib
import os
import pathlib
import tempfile

from bench.fleet_run import AGGREGATOR_NICE, PRIORITIES, REDIS_NICE
from bench.load_run import LoadResult, load_program, run_load
from bench.processes import rss_mib
from bench.nginx_peers.server import tree_versions
from bench.report import ONE_RUN, Figure, Report, progress
from bench.isolation_modes import MODES, known_modes, isolation_settings
from bench.veltrix.server import VeltrixServer
from harness.huntd_stack import HuntdStack
from harness.postgres_server import PostgresServer
from harness.redis_server import RedisServer

HUNTERS = (300, 3000, 10_000)
RATE_EACH = 0.96
SECONDS = float(os.environ.get("HUNTD_BENCH_SECONDS", 15))
HUNT = "goblin-hoard"
# Both engines have raised priorities, as have their stores: the old engine waits for Postgres, huntd does not.
POSTGRES_NICE = -10
NAMES = {"veltrix": "Veltrix stand-in", "process": "huntd, process", "fork": "huntd, fork", "task": "huntd, task", "batch": "huntd, batch"}


@contextlib.contextmanager
def _veltrix(directory: pathlib.Path):
    redis, postgres = RedisServer(directory / "redis"), PostgresServer(directory / "postgres")
    redis.nice, postgres.nice = REDIS_NICE, POSTGRES_NICE
    with redis, postgres:
        server = VeltrixServer(redis, postgres)
        server.nice = -PRIORITIES["cores.priority"]
        with server:
            yield server.address, [server.pid]


@contextlib.contextmanager
def _huntd(directory: pathlib.Path, mode: str):
    stack = HuntdStack(directory / "stack", cores=None, settings={**PRIORITIES, **isolation_settings(mode)})
    stack.redis.nice, stack.postgres.nice, stack.aggregator.nice = REDIS_NICE, POSTGRES_NICE, AGGREGATOR_NICE
    with stack:
        yield stack.http, [stack.huntd.pid, stack.aggregator.pid]


def _point(engine: str, hunters: int) -> tuple[LoadResult, float]:
    """One cell of the table on fresh servers and empty stores: the load's result and the servers' greatest RSS."""
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        with _veltrix(directory) if engine == "veltrix" else _huntd(directory, engine) as (address, pids):
            most = 0.0

            def watch() -> None:
                nonlocal most
                most = max(most, rss_mib(*pids))

            result = run_load(address, connections=hunters, rate=hunters * RATE_EACH, seconds=SECONDS, hunt=HUNT,
                              meanwhile=watch)
            return result, most


def _table(points: dict) -> list[str]:
    lines = ["| hunters | engine | hunts/s | P50 | P99 | errors | RSS |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for (hunters, engine), (result, rss) in points.items():
        lines.append(f"| {hunters:,} | {NAMES[engine]} | {result.rate:,.0f} | {result.p50_ms:,.1f} ms | {result.p99_ms:,.1f} ms "
                     f"| {result.errors:,} | {rss:,.0f} MiB |")
    return lines


def run() -> Report:
    report = Report("story")
    load_program()
    modes = known_modes()
    points = {}
    for hunters in HUNTERS:
        for engine in ["veltrix", *modes]:
            progress(f"story: {hunters:,} hunters, {NAMES[engine]}")
            result, rss = points[hunters, engine] = _point(engine, hunters)
            report.figures += [Figure(f"{engine}_p50_ms_{hunters}", result.p50_ms, "ms"),
                               Figure(f"{engine}_p99_ms_{hunters}", result.p99_ms, "ms"),
                               Figure(f"{engine}_errors_{hunters}", result.errors, "errors"),
                               Figure(f"{engine}_rate_{hunters}", result.rate, "hunts/s"),
                               Figure(f"{engine}_rss_mib_{hunters}", rss, "MiB")]
    for mode in MODES:
        if mode not in modes:
            report.notes.append(f"this huntd does not know worker.isolation = \"{mode}\": its figures are left out")
    report.notes += [f"each point is {ONE_RUN}", f"{SECONDS:g} s per point, {RATE_EACH:g} requests/s per hunter; no Kafka; P50 and P99 of all responses, with rejections",
                     "RSS without Redis and Postgres, huntd's with the aggregator's",
                     f"in a Debian 13 tree: {tree_versions('nginx', 'libnginx-mod-http-lua', 'lua-nginx-redis')}",
                     "", *_table(points)]
    return report
