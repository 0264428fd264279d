# SPDX-License-Identifier: Apache-2.0
"""`./dev bench reconcile [--events N]`: huntctl reconcile on a topic of N events and the hashes and rows that belong to them: its peak
memory, its seconds, and the disk that its temporary file takes. bench/reconcile_fill.cc writes the stores through pipes: nothing is on
disk but the stores (about 0.5 KB per event), in TMPDIR. HUNTD_BENCH_MEMORY is --memory (1G)."""
import json
import os
import pathlib
import subprocess
import tempfile
import time
from dataclasses import dataclass

from bench.aggregator import PARTITIONS, POSTGRES
from bench.report import ONE_RUN, Figure, Report, progress
from harness.huntd_stack import build_folder, write_config
from harness.kafka_server import start_kafka
from harness.postgres_server import PostgresServer
from harness.process import ServerFailed, find_program
from harness.redis_server import RedisServer

EVENTS = 1_000_000
EVENTS_PER_SESSION = 10
MEMORY = os.environ.get("HUNTD_BENCH_MEMORY", "1G")
SIZES = {"K": 2**10, "M": 2**20, "G": 2**30}
SAMPLE_S = 0.05


@dataclass
class Measured:
    seconds: float
    rss_mb: float
    file_mb: float
    report: dict


def _fill(what: str, events: int, command: list[str], **options) -> None:
    """The lines of reconcile-fill to the standard input of `command`."""
    progress(f"reconcile: filling: {what}")
    filler = [str(build_folder() / "bench" / "reconcile-fill"), what, str(events), str(max(events // EVENTS_PER_SESSION, 1))]
    with subprocess.Popen(filler, stdout=subprocess.PIPE) as lines:
        subprocess.run(command, stdin=lines.stdout, check=True, stdout=subprocess.DEVNULL, **options)
    if lines.returncode != 0:
        raise ServerFailed(f"reconcile-fill {what} ended with {lines.returncode}")


def _fill_stores(events: int, folder: pathlib.Path, kafka, redis: RedisServer, postgres: PostgresServer) -> None:
    schema = folder / "schema.toml"
    write_config(schema, {"aggregator.postgres": postgres.uri, "redis.address": redis.address})
    subprocess.run([str(build_folder() / "hunt-aggregator"), "-c", str(schema), "--once"], check=True, capture_output=True)
    _fill("topic", events, [find_program("kcat"), "-b", kafka.bootstrap, "-P", "-t", "loot_events", "-K", "|", "-X", "batch.size=500000",
                            "-X", "linger.ms=50", "-X", "queue.buffering.max.messages=500000", "-X", "partitioner=murmur2_random"])
    _fill("redis", events, [find_program("redis-cli"), "-p", str(redis.port), "--pipe"])
    columns = "hunter_id, hunt_id, loot, loot_count, seen_upto, generation, first_loot_at, last_loot_at, bundle"
    postgres.sql("CREATE UNLOGGED TABLE filling (hunter_id text, hunt_id text, loot jsonb, loot_count bigint, seen_upto bigint, "
                 "generation bigint)")
    _fill("rows", events, [find_program("psql", "/usr/lib/postgresql/15/bin"), postgres.uri, "-q", "-c", "\\copy filling from pstdin"])
    postgres.sql(f"INSERT INTO hunt_session ({columns}) SELECT *, now(), now(), repeat('a', 32) FROM filling; DROP TABLE filling")


def _temporary_bytes(pid: int) -> int:
    """The size of the files without a name that the process has open."""
    total = 0
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            if "(deleted)" in os.readlink(link):
                total += link.stat().st_size
        except OSError:
            pass
    return total


def _measure(config: pathlib.Path, folder: pathlib.Path) -> Measured:
    command = [str(build_folder() / "huntctl"), "-c", str(config), "reconcile", "--json", "--memory", MEMORY]
    rss_kb, file_bytes = 0, 0
    started_s = time.monotonic()
    with (folder / "report.json").open("w+") as out, \
            subprocess.Popen(command, stdout=out, env={**os.environ, "TMPDIR": str(folder)}) as process:
        while process.poll() is None:
            try:
                status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                rss_kb = max([rss_kb, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
                file_bytes = max(file_bytes, _temporary_bytes(process.pid))
            except OSError:
                pass  # it has ended
            time.sleep(SAMPLE_S)
        took_s = time.monotonic() - started_s
        out.seek(0)
        text = out.read()
    if process.returncode != 0:
        raise ServerFailed(f"huntctl reconcile ended with {process.returncode}: {text[:500]}")
    return Measured(took_s, rss_kb / 1024, file_bytes / 1e6, json.loads(text))


def run(events: int | None = None) -> Report:
    events = events or EVENTS
    subprocess.run(["ninja", "-C", str(build_folder()), "bench/reconcile-fill"], check=True, capture_output=True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with start_kafka(folder / "kafka", build_folder() / "mock_kafka", partitions=PARTITIONS) as kafka, \
                RedisServer(folder / "redis") as redis, PostgresServer(folder / "postgres", options=POSTGRES) as postgres:
            _fill_stores(events, folder, kafka, redis, postgres)
            config = folder / "huntd.toml"
            write_config(config, {"kafka.bootstrap": kafka.bootstrap, "aggregator.postgres": postgres.uri,
                                  "redis.address": redis.address})
            progress("reconcile: comparing")
            measured = _measure(config, folder)
            kind = kafka.kind
    found = measured.report
    if (found["kafka_events"], found["held_loot"], found["row_loot"]) != (events, events, events):
        raise ServerFailed(f"reconcile has counted other stores: {found}")
    granted_mb = int(MEMORY[:-1]) * SIZES[MEMORY[-1]] / 2**20
    return Report("reconcile", [
        Figure("peak_memory_mib", measured.rss_mb, "MiB (VmHWM)", bar=granted_mb, at_most=True),
        Figure("seconds", measured.seconds, "s"),
        Figure("events_per_s", events / measured.seconds, "events/s"),
        Figure("temporary_file_mb", measured.file_mb, "MB"),
        Figure("temporary_bytes_per_event", measured.file_mb * 1e6 / events, "bytes"),
    ], [f"{events:,} events of {found['sessions']:,} sessions, --memory {MEMORY}, {kind}", ONE_RUN])
