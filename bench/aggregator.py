# SPDX-License-Identifier: Apache-2.0
"""A whole topic of loot_events into committed rows of hunt_session, beside kcat that reads the same topic to /dev/null and a
plain COPY of the same events into a table without an index; all on one machine, in turns. Before that, the topic in two halves:
the second one finds its rows there, and updates them."""
import os
import pathlib
import subprocess
import tempfile
import time
from dataclasses import dataclass

from bench.fleet_run import rounds_or
from bench.report import Figure, Report, median, progress, repeated, version_of
from harness.huntd_stack import AggregatorServer, build_folder, http_get, write_config
from harness.kafka_server import start_kafka
from harness.ports import reserve_port
from harness.postgres_server import PostgresServer
from harness.process import ServerFailed, find_program, wait_until

ROUNDS = rounds_or()
EVENTS = int(os.environ.get("HUNTD_BENCH_EVENTS", 10_000_000))
HUNTERS, HUNTS, SEED = 100_000, 50, 1
INTERVALS_S = (1, 5, 60)
PARTITIONS = 4
DONE_WITHIN_S = 1200
# As docs/operations.md has it for the aggregator's Postgres.
POSTGRES = ("shared_buffers=512MB", "max_wal_size=4GB", "synchronous_commit=on")
MB = 1e6


@dataclass
class Replay:
    seconds: float
    rows: int
    merges: int
    inserted: int
    updated: int
    hot: int
    rss_mb: float
    cpu_s: float


def _generate(file: pathlib.Path) -> int:
    """The events, a line each; the bytes of their values."""
    subprocess.run(["ninja", "-C", str(build_folder()), "bench/loot-events"], check=True, capture_output=True)
    with file.open("wb") as out:
        subprocess.run([str(build_folder() / "bench" / "loot-events"), str(EVENTS), str(HUNTERS), str(HUNTS), str(SEED)], stdout=out, check=True)
    counted = subprocess.run(["awk", "-F|", "{n += length($2)} END {printf \"%d\", n}", str(file)], capture_output=True, text=True, check=True)
    return int(counted.stdout)


def _fill_topic(bootstrap: str, file: pathlib.Path, which: str) -> None:
    """`which`: head or tail, the first or the second half of the file."""
    count = EVENTS // 2 if which == "head" else EVENTS - EVENTS // 2
    with subprocess.Popen([which, "-n", str(count), str(file)], stdout=subprocess.PIPE) as lines:
        subprocess.run([find_program("kcat"), "-b", bootstrap, "-P", "-t", "loot_events", "-K", "|", "-X", "batch.size=500000",
                        "-X", "linger.ms=50", "-X", "queue.buffering.max.messages=500000", "-X", "partitioner=murmur2_random"],
                       stdin=lines.stdout, check=True)


def _kcat(bootstrap: str) -> float:
    started_s = time.monotonic()
    subprocess.run([find_program("kcat"), "-b", bootstrap, "-C", "-t", "loot_events", "-o", "beginning", "-e", "-q"],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.monotonic() - started_s


def _copy(postgres: PostgresServer, file: pathlib.Path) -> float:
    postgres.sql("DROP TABLE IF EXISTS copied; CREATE TABLE copied (hunter_id text, event text)")
    started_s = time.monotonic()
    subprocess.run([find_program("psql", "/usr/lib/postgresql/15/bin"), postgres.uri, "-q", "-c",
                    f"\\copy copied from '{file}' with (format text, delimiter '|')"], check=True)
    took_s = time.monotonic() - started_s
    [[count]] = postgres.sql("SELECT count(*) FROM copied")
    if int(count) != EVENTS:
        raise ServerFailed(f"COPY put down {count} events of {EVENTS}")
    postgres.sql("DROP TABLE copied")
    return took_s


def _cpu_s(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _replay(folder: pathlib.Path, bootstrap: str, postgres: PostgresServer, interval_s: int, turn: str, *, events: int = EVENTS,
            rows_are_there: bool = False) -> Replay:
    """From the start of an aggregator that has this number of events to read until the commit of the last one."""
    if not rows_are_there:
        postgres.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    postgres.sql("CHECKPOINT")
    before = 0 if not rows_are_there else int(postgres.sql("SELECT sum(loot_count) FROM hunt_session")[0][0])
    port = reserve_port()
    config = folder / f"{turn}.toml"
    write_config(config, {"kafka.bootstrap": bootstrap, "aggregator.postgres": postgres.uri, "aggregator.interval_s": interval_s,
                          "aggregator.group": turn, "aggregator.listen": port.address})
    server = AggregatorServer(folder / turn, config, port.address)
    server.ports = [port]

    def metrics() -> dict[str, float]:
        try:
            lines = http_get(port.address, "/metrics")[1].splitlines()
        except OSError:
            return {}
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[:1] != "#" and line)}

    started_s = time.monotonic()
    server.start()
    try:
        wait_until(lambda: metrics().get("hunt_aggregator_events_total", 0) >= events, DONE_WITHIN_S, "the table to have every event", poll_s=0.05)
        took_s = time.monotonic() - started_s
        reported = metrics()
        status = pathlib.Path(f"/proc/{server.pid}/status").read_text()
        rss_kb = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
        cpu_s = _cpu_s(server.pid)
    finally:
        server.stop()
        port.release()
    [[held, rows]] = postgres.sql("SELECT sum(loot_count), count(*) FROM hunt_session")
    if int(held) != before + events:
        raise ServerFailed(f"the table holds {held} events of {before + events}")
    # Sessions report their table statistics when they end.
    [[inserted, updated, hot]] = wait_until(
        lambda: [row for row in postgres.sql("SELECT n_tup_ins, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables "
                                             "WHERE relname = 'hunt_session'") if int(row[0]) >= int(rows)], 20, "Postgres' statistics")
    return Replay(took_s, int(rows), int(reported["hunt_aggregator_merge_duration_seconds_count"]), int(inserted), int(updated), int(hot),
                  rss_kb / 1024, cpu_s)


def run() -> Report:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        kafka = start_kafka(folder / "kafka", build_folder() / "mock_kafka", partitions=PARTITIONS)
        postgres = PostgresServer(folder / "postgres", options=POSTGRES)
        try:
            postgres.start()
            return _measure(folder, kafka, postgres)
        finally:
            for server in (kafka, postgres):
                server.stop()
            postgres.remove()


def _measure(folder: pathlib.Path, kafka, postgres: PostgresServer) -> Report:
    file = folder / "events"
    progress(f"aggregator: makes {EVENTS:,} events")
    value_bytes = _generate(file)
    progress("aggregator: the first half of the topic")
    _fill_topic(kafka.bootstrap, file, "head")
    first = _replay(folder, kafka.bootstrap, postgres, 1, "halves", events=EVENTS // 2)
    progress("aggregator: the second half, into rows that are there")
    _fill_topic(kafka.bootstrap, file, "tail")
    second = _replay(folder, kafka.bootstrap, postgres, 1, "halves", events=EVENTS - EVENTS // 2, rows_are_there=True)
    kcats, copies, replays = [], [], {interval_s: [] for interval_s in INTERVALS_S}
    for turn in range(1, ROUNDS + 1):
        progress(f"aggregator: round {turn} of {ROUNDS}: kcat")
        kcats.append(_kcat(kafka.bootstrap))
        progress(f"aggregator: round {turn} of {ROUNDS}: COPY")
        copies.append(_copy(postgres, file))
        for interval_s in INTERVALS_S:
            progress(f"aggregator: round {turn} of {ROUNDS}: interval_s {interval_s}")
            replays[interval_s].append(_replay(folder, kafka.bootstrap, postgres, interval_s, f"every-{interval_s}-s-{turn}"))
    rates = {interval_s: [value_bytes / MB / each.seconds for each in runs] for interval_s, runs in replays.items()}
    rate = {interval_s: median(values) for interval_s, values in rates.items()}
    best = max(rate, key=rate.get)
    updates, hot = second.updated - first.updated, second.hot - first.hot
    mock = f" ({kafka.kind})" if kafka.why else ""
    report = Report("aggregator", notes=[
        f"{EVENTS:,} events of {value_bytes / EVENTS:.0f} bytes, {HUNTERS:,} hunters, {HUNTS} hunts, Zipf (exponent 1), seed {SEED}; {PARTITIONS} partitions; medians of {ROUNDS}, in turns",
        f"Kafka: {kafka.kind}" + (f", since {kafka.why}" if kafka.why else "") + f"; {version_of(find_program('kcat'), '-V')}",
        f"{version_of(find_program('postgres', '/usr/lib/postgresql/15/bin'), '--version')}: {', '.join(POSTGRES)}"])
    for interval_s, runs in replays.items():
        one = sorted(runs, key=lambda each: each.seconds)[len(runs) // 2]
        report.notes.append(f"interval_s {interval_s}: {rate[interval_s]:.1f} MB/s, {EVENTS / one.seconds:,.0f} events/s, {one.seconds:.1f} s, {one.merges} merges, "
                            f"{one.rows:,} rows; n_tup_ins {one.inserted:,}, n_tup_upd {one.updated:,}, n_tup_hot_upd {one.hot:,} "
                            f"({100 * one.hot / max(one.updated, 1):.0f} %); aggregator {one.cpu_s:.1f} s of CPU, {one.rss_mb:.0f} MiB at most")
    report.notes.append(f"the second half: {EVENTS - EVENTS // 2:,} events in {second.merges} merges, {second.inserted - first.inserted:,} rows inserted, "
                        f"{updates:,} updated")
    report.figures = [
        repeated("mb_per_s", rates[best], f"MB/s at interval_s {best}{mock}", bar=45),
        repeated("over_kcat", (k / r.seconds for k, r in zip(kcats, replays[best])), f"× kcat's {value_bytes / MB / median(kcats):.0f} MB/s{mock}"),
        repeated("over_copy", (c / r.seconds for c, r in zip(copies, replays[best])), f"× COPY's {value_bytes / MB / median(copies):.0f} MB/s"),
        *(repeated(f"mb_per_s_at_{interval_s}_s", rates[interval_s], f"MB/s{mock}") for interval_s in INTERVALS_S),
        Figure("second_half_mb_per_s", value_bytes / 2 / MB / second.seconds, f"MB/s, with the rows present{mock}"),
        Figure("hot_percent", 100 * hot / max(updates, 1), "% of the second half's updates (n_tup_hot_upd)")]
    return report
