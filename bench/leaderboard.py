# SPDX-License-Identifier: Apache-2.0
"""`./dev bench leaderboard [--events ROWS]`: the view hunt_leaderboard over ROWS rows of hunt_session in one hunt, beside
hunt_top_hunters, with its plan; and how long migration 4 takes to find the leaders of that many rows."""
import pathlib
import subprocess
import tempfile
import time

from bench.aggregator import POSTGRES
from bench.report import Figure, Report, progress, repeated
from harness.huntd_stack import build_folder, write_config
from harness.postgres_server import PostgresServer
from harness.process import ServerFailed

ROWS = 10_000_000
ROUNDS = 21
AT_MOST_MS = 50
FILL = """INSERT INTO hunt_session (hunter_id, hunt_id, loot, loot_count, first_loot_at, last_loot_at, bundle, seen_upto)
SELECT 'h' || n, 'big', '{{"gold": 1}}', held, to_timestamp(1764000000), to_timestamp(1764000000 + n % 1000000), '', held
FROM (SELECT n, (n * 7919::bigint) % 10007 + 1 AS held FROM generate_series(1, {rows}) n) AS s"""
BEFORE_4 = """DELETE FROM hunt_schema_version WHERE version = 4; DROP VIEW hunt_leaderboard;
DROP TABLE hunt_leader, hunt_leader_entry; ALTER TABLE hunt_retention DROP COLUMN known_at"""
TOP = "SELECT rank, hunter_id, loot_count FROM {} WHERE hunt_id = 'big' AND rank <= 10 ORDER BY rank"


def _migrate(config: pathlib.Path) -> float:
    started_s = time.monotonic()
    done = subprocess.run([str(build_folder() / "hunt-aggregator"), "-c", str(config), "--migrate"], capture_output=True,
                          text=True)
    if done.returncode != 0:
        raise ServerFailed(done.stderr)
    return time.monotonic() - started_s


def _milliseconds(postgres: PostgresServer, statement: str) -> float:
    """As EXPLAIN ANALYZE has it, without the start of psql."""
    plan = postgres.sql(f"EXPLAIN (ANALYZE, TIMING off) {statement}")
    return next(float(row[0].split(":")[1].split()[0]) for row in plan if row[0].startswith("Execution Time"))


def run(events: int | None = None) -> Report:
    rows = events or ROWS
    with tempfile.TemporaryDirectory(prefix="huntd-bench-") as folder, \
            PostgresServer(pathlib.Path(folder) / "postgres", options=tuple(POSTGRES)) as postgres:
        config = pathlib.Path(folder) / "huntd.toml"
        write_config(config, {"aggregator.postgres": postgres.uri})
        _migrate(config)
        progress(f"leaderboard: {rows:,} rows")
        postgres.sql(FILL.format(rows=rows))
        postgres.sql("VACUUM ANALYZE hunt_session")
        postgres.sql(BEFORE_4)
        progress("leaderboard: migration 4")
        migration_s = _migrate(config)
        top = TOP.format("hunt_leaderboard")
        if postgres.sql(top) != postgres.sql(TOP.format("hunt_top_hunters")):
            raise ServerFailed("the two views differ")
        measured = [_milliseconds(postgres, top) for _ in range(ROUNDS)]
        slow = _milliseconds(postgres, TOP.format("hunt_top_hunters"))
        plan = [row[0] for row in postgres.sql(f"EXPLAIN (ANALYZE, BUFFERS) {top}")]
    return Report("leaderboard", [repeated("leaderboard_ms", measured, "ms", AT_MOST_MS, at_most=True),
                                  Figure("first_ms", measured[0], "ms"), Figure("top_hunters_ms", slow, "ms"),
                                  Figure("migration_s", migration_s, "s")], [f"{rows:,} rows", *plan])
