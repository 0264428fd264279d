# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL as people have it: a schema of one's own, roles without CREATE, PgBouncer, standbys, passfiles, other versions,
rows that PostgreSQL rejects, clocks that are wrong; and the leaders of a hunt."""
import json
import shutil
import socket
import struct
import subprocess
import threading
import uuid

import pytest

from aggregator_pipeline import Pipeline, get, huntctl_program, metric
from harness.pgbouncer_server import PgBouncerServer
from harness.postgres_server import PostgresServer, StandbyServer, query, several_hosts
from harness.process import ServerFailed, wait_until
from loot_events import FIRST_MS, expected_rows, make_events
from test_huntctl_reconcile import give, reconcile

TABLES = "SELECT schemaname, count(*) FROM pg_tables WHERE tablename LIKE 'hunt%' OR tablename LIKE 'loot%' GROUP BY 1"
NEWEST_VERSION = 5


def wait_for(condition, what):
    return wait_until(condition, 90, what, 0.05)


def role(pipeline, prefix, options=""):
    """A new role that may log in, with its database's CONNECT alone."""
    name = f"{prefix}_{uuid.uuid4().hex[:8]}"
    pipeline.sql(f"CREATE ROLE {name} LOGIN {options}")
    return name


def rows_in_schema(pipeline, schema):
    return {(hunter, hunt): int(count) for hunter, hunt, count in
            pipeline.sql(f'SELECT hunter_id, hunt_id, loot_count FROM "{schema}".hunt_session')}


def counts(events):
    return {key: row[1] for key, row in expected_rows(events).items()}


# --- a schema of one's own ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bouncers(postgres, tmp_path_factory):
    """One for each pool_mode, each with two server connections for all clients."""
    if shutil.which("pgbouncer") is None:
        pytest.skip("pgbouncer is not installed")
    made = {mode: PgBouncerServer(tmp_path_factory.mktemp(mode), postgres, pool_size=2, pool_mode=mode)
            for mode in ("session", "transaction", "statement")}
    for bouncer in made.values():
        bouncer.__enter__()
    yield made
    for bouncer in made.values():
        bouncer.__exit__(None, None, None)


@pytest.fixture(params=["direct", "session", "transaction"])
def any_pipeline(request, tmp_path, postgres):
    port = None if request.param == "direct" else request.getfixturevalue("bouncers")[request.param].port
    made = Pipeline(tmp_path, postgres, port)
    yield made
    made.stop()


def test_every_statement_uses_the_schema_of_the_config(any_pipeline):
    pipeline, events = any_pipeline, make_events(1, 400)
    pipeline.settings = ['schema = "loot store"']
    give(pipeline, events)
    pipeline.put(events[:300])
    pipeline.once()
    process = pipeline.start()
    pipeline.put(events[300:])
    wait_for(lambda: pipeline.outbox_length() == 0, "the merge")
    process.terminate()
    assert process.wait(30) == 0
    assert rows_in_schema(pipeline, "loot store") == counts(events)
    assert [row[0] for row in pipeline.sql(TABLES)] == ["loot store"]
    code, report = reconcile(pipeline)
    assert (code, report["rows"]) == (0, len(expected_rows(events)))
    path, _ = pipeline.config()
    restored = subprocess.run([huntctl_program(), "-c", str(path), "restore", "--yes"], capture_output=True, text=True, timeout=60)
    assert restored.returncode == 0, restored.stderr


def test_two_installations_of_one_search_path_stay_apart(pipeline):
    first, second = make_events(2, 100), make_events(3, 150, hunters=7)
    pipeline.sql("CREATE SCHEMA a")
    pipeline.settings = ['schema = "public"']
    pipeline.put(first)
    pipeline.once()
    # Without a schema of its own, the second must neither count into the tables of the first nor make new ones in silence.
    pipeline.settings = []
    pipeline.sql(f"ALTER DATABASE {pipeline.name} SET search_path = a, public")
    pipeline.put(second)
    rejected = pipeline.run("--once")
    assert rejected.returncode == 1 and "aggregator.schema" in rejected.stderr and "public" in rejected.stderr, rejected.stderr
    pipeline.settings = ['schema = "a"']
    pipeline.once()
    assert rows_in_schema(pipeline, "public") == counts(first)
    assert rows_in_schema(pipeline, "a") == counts(second)
    # A table of its own that is gone is not replaced by that of the other.
    pipeline.sql("DROP TABLE a.hunt_session CASCADE")
    pipeline.put(second)
    failed = pipeline.run("--once")
    assert failed.returncode == 1 and "hunt_session" in failed.stderr
    assert rows_in_schema(pipeline, "public") == counts(first)


def test_pgbouncer_in_statement_mode_is_rejected_in_one_sentence(tmp_path, postgres, bouncers):
    pipeline = Pipeline(tmp_path, postgres, bouncers["statement"].port)
    try:
        pipeline.put(make_events(4, 10))
        rejected = pipeline.run("--once")
        assert rejected.returncode == 1
        assert "PgBouncer is in statement mode" in rejected.stderr, rejected.stderr
        assert pipeline.outbox_length() == 10
    finally:
        pipeline.stop()


# --- roles and the DDL ----------------------------------------------------------------------------------------------------


def printed_schema(pipeline):
    printed = pipeline.run("--print-schema")
    assert printed.returncode == 0, printed.stderr
    return printed.stdout


def psql(uri, script):
    return subprocess.run(["psql", "-X", "-q", "-d", uri], input=script, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("schema", ["", "loot"])
def test_a_role_that_may_not_create_works_with_the_printed_schema(pipeline, schema):
    writer, reader = role(pipeline, "writer"), role(pipeline, "reader")
    pipeline.settings = [f'schema = "{schema}"', f'writer_role = "{writer}"', f'reader_role = "{reader}"']
    script = printed_schema(pipeline)
    for _ in range(2):  # it may be run again
        done = psql(pipeline.address(), script)
        assert done.returncode == 0, done.stderr
    schema = schema or "public"
    assert pipeline.sql(f"SELECT max(version) FROM {schema}.hunt_schema_version") == [[str(NEWEST_VERSION)]]

    events = make_events(5, 200)
    pipeline.postgres_address = pipeline.address(writer)
    pipeline.put(events)
    pipeline.once()
    assert rows_in_schema(pipeline, schema) == counts(events)
    ours = pipeline.sql(f"SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = '{schema}'::regnamespace "
                        "AND relkind IN ('r', 'v')")
    for [table] in ours:  # the grants leave out none
        query(pipeline.address(reader), f"SELECT count(*) FROM {schema}.{table}")
        [[may_write]] = pipeline.sql(f"SELECT has_table_privilege('{writer}', '{schema}.{table}', 'INSERT') "
                                     f"OR '{table}' = 'hunt_schema_version' OR relkind = 'v' "
                                     f"FROM pg_class WHERE oid = '{schema}.{table}'::regclass")
        assert may_write == "t", table
    with pytest.raises(ServerFailed, match="permission denied"):
        query(pipeline.address(reader), f"DELETE FROM {schema}.hunt_session")
    with pytest.raises(ServerFailed, match="permission denied"):
        query(pipeline.address(writer), f"CREATE TABLE {schema}.other (x int)")


def test_without_tables_it_says_to_migrate_and_goes_on_once_that_is_done(pipeline):
    writer = role(pipeline, "writer")
    pipeline.settings = [f'writer_role = "{writer}"', 'schema = "loot"']
    pipeline.postgres_address = pipeline.address(writer)
    events = make_events(6, 50)
    pipeline.put(events)
    process = pipeline.start()
    wait_for(lambda: "--migrate" in process.log.read_text(), "the log line")
    assert get(process.listen, "/healthz")[0] == 503
    assert process.log.read_text().count("--migrate") == 1
    migrated = pipeline.run("--migrate", "--postgres", pipeline.address())
    assert migrated.returncode == 0, migrated.stderr
    assert f"version {NEWEST_VERSION}" in migrated.stdout
    wait_for(lambda: pipeline.outbox_length() == 0, "the merge")
    wait_for(lambda: get(process.listen, "/healthz")[0] == 200, "healthz")
    assert rows_in_schema(pipeline, "loot") == counts(events)
    again = pipeline.run("--migrate", "--postgres", pipeline.address())
    assert again.returncode == 0 and "0 migrations" in again.stdout


def test_a_schema_that_is_migrated_stops_an_older_program_at_once(pipeline):
    """Retention too: it must not delete by rules that no longer hold."""
    pipeline.settings = ["retention_days = 1"]
    pipeline.once()
    pipeline.note_an_event_now()
    pipeline.sql("INSERT INTO hunt_schema_version (version) VALUES (9999)")
    before = pipeline.sql("SELECT * FROM hunt_retention")
    pipeline.put(make_events(7, 10))
    process = pipeline.start()
    wait_for(lambda: "version 9999" in process.log.read_text(), "the log line")
    wait_for(lambda: get(process.listen, "/healthz")[0] == 503, "healthz to complain")
    assert pipeline.rows() == {} and pipeline.outbox_length() == 10
    assert pipeline.sql("SELECT * FROM hunt_retention") == before


# --- servers --------------------------------------------------------------------------------------------------------------


def message(kind, payload):
    return kind + struct.pack("!i", len(payload) + 4) + payload


class OldServer:
    """Accepts any login, and reports this version as PostgreSQL does."""

    def __init__(self, version):
        self.version = version
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                while True:
                    asked = connection.recv(4096)
                    if asked[4:8] in (struct.pack("!i", 80877103), struct.pack("!i", 80877104)):  # TLS, GSSAPI
                        connection.sendall(b"N")
                        continue
                    break
                connection.sendall(message(b"R", struct.pack("!i", 0)) +
                                   message(b"S", b"server_version\0" + self.version.encode() + b"\0") +
                                   message(b"Z", b"I"))
                connection.recv(4096)

    def stop(self):
        self.listener.close()


@pytest.mark.parametrize("version", ["12.22", "13.18 (Debian 13.18-0+deb11u1)"])
def test_a_server_that_is_too_old_is_rejected_in_one_sentence(pipeline, version):
    server = OldServer(version)
    pipeline.postgres_address = f"postgresql://huntd@127.0.0.1:{server.port}/huntd"
    rejected = pipeline.run("--once")
    server.stop()
    assert rejected.returncode == 1
    assert f"version {version.split('.')[0]}, and PostgreSQL 14 or newer is needed" in rejected.stderr, rejected.stderr


@pytest.mark.alone
def test_the_primary_is_found_among_several_hosts_and_after_a_promotion(tmp_path):
    with PostgresServer(tmp_path / "primary", options=("fsync=off",)) as primary, \
            StandbyServer(tmp_path / "standby", primary) as standby:
        pipeline = Pipeline(tmp_path, primary)
        try:
            hosts = several_hosts(standby, primary)
            pipeline.postgres_address = hosts.rsplit("/", 1)[0] + "/" + pipeline.name + ("?" + hosts.split("?", 1)[1] if "?" in hosts else "")
            wait_for(lambda: standby.sql(f"SELECT 1 FROM pg_database WHERE datname = '{pipeline.name}'", database="postgres"),
                     "the standby to have the database")
            events = make_events(8, 300)
            pipeline.put(events[:100])
            pipeline.once()
            process = pipeline.start()
            pipeline.put(events[100:200])
            wait_for(lambda: pipeline.outbox_length() == 0, "the merge")
            # A single host that is a standby is named as such.
            total = "SELECT sum(loot_count) FROM hunt_session"
            wait_for(lambda: standby.sql(total, database=pipeline.name) == pipeline.sql(total) == [["200"]],
                     "the standby to have the rows")
            both, pipeline.postgres_address = pipeline.postgres_address, f"postgresql://huntd@{standby.port.address}/{pipeline.name}"
            rejected = pipeline.run("--once")
            assert rejected.returncode == 1 and "is a standby" in rejected.stderr, rejected.stderr
            pipeline.postgres_address = both
            primary.kill()
            pipeline.put(events[200:])
            standby.promote()
            wait_for(lambda: pipeline.outbox_length() == 0, "the merge into the new primary")
            assert get(process.listen, "/healthz") == (200, "ok\n")
            pipeline.postgres = standby
            assert pipeline.rows() == expected_rows(events)
        finally:
            pipeline.stop()


def with_password(pipeline, name):
    """From now on this role needs its password, on TCP."""
    rules = pipeline.postgres.data / "pg_hba.conf"
    rules.write_text(f"host all {name} 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
    pipeline.sql("SELECT pg_reload_conf()")

    def is_needed():
        try:
            query(pipeline.address(name), "SELECT 1")
        except ServerFailed:
            return True
        return False
    wait_for(is_needed, "the password to be needed")


def test_a_passfile_and_a_service_file_are_used(pipeline, tmp_path):
    name = role(pipeline, "login", "PASSWORD 'sand and sea'")
    pipeline.settings = [f'writer_role = "{name}"']
    assert pipeline.run("--migrate").returncode == 0
    with_password(pipeline, name)
    passfile, services = tmp_path / "pgpass", tmp_path / "pg_service.conf"
    passfile.write_text(f"*:*:*:{name}:sand and sea\n")
    passfile.chmod(0o600)
    services.write_text(f"[loot]\nhost=127.0.0.1\nport={pipeline.postgres_port}\ndbname={pipeline.name}\nuser={name}\n")
    events = make_events(9, 90)
    pipeline.postgres_address = pipeline.address(name)
    rejected = pipeline.run("--once", env={"PGPASSFILE": "/nonexistent"})
    assert rejected.returncode == 1 and "password" in rejected.stderr
    pipeline.put(events[:30])
    pipeline.once(env={"PGPASSFILE": str(passfile)})
    pipeline.postgres_address = pipeline.address(name) + f"?passfile={passfile}"
    pipeline.put(events[30:60])
    pipeline.once(env={"PGPASSFILE": "/nonexistent"})
    pipeline.postgres_address = "postgresql://?service=loot"
    pipeline.put(events[60:])
    pipeline.once(env={"PGPASSFILE": str(passfile), "PGSERVICEFILE": str(services)})
    assert pipeline.rows() == expected_rows(events)


# --- merges ---------------------------------------------------------------------------------------------------------------


def without(events, hunter_id):
    return [event for event in events if event["hunter_id"] != hunter_id]


@pytest.mark.parametrize("fault", [
    "ALTER TABLE hunt_session ADD CONSTRAINT one CHECK (hunter_id <> 'h3')",
    "CREATE UNIQUE INDEX one ON hunt_session ((hunter_id = 'h3' OR NULL)) WHERE hunter_id = 'h3'",
    "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'; "
    "CREATE TRIGGER one BEFORE INSERT OR UPDATE ON hunt_session FOR EACH ROW WHEN (NEW.hunter_id = 'h3') EXECUTE FUNCTION no()",
], ids=["constraint", "index", "trigger"])
def test_a_row_that_postgres_rejects_holds_up_no_other(pipeline, fault):
    events = make_events(10, 1500, hunters=300)
    pipeline.once()
    pipeline.sql(fault)
    pipeline.put(events)
    pipeline.once()
    assert pipeline.outbox_length() == 0
    rows = pipeline.rows()
    assert {key: row for key, row in rows.items() if key[0] != "h3"} == expected_rows(without(events, "h3"))
    counted = sum(row[1] for key, row in rows.items() if key[0] == "h3")
    dead = pipeline.sql("SELECT position, reason FROM loot_events_dead WHERE source = 'hunt_session'")
    assert len(dead) + counted == len(events) - len(without(events, "h3")) and dead
    assert all("PostgreSQL rejects its row" in reason for _, reason in dead)
    assert {position for position, _ in dead} <= {event["event_id"] for event in events if event["hunter_id"] == "h3"}


def test_if_many_rows_are_rejected_the_merge_fails_and_loses_none(pipeline):
    events = make_events(11, 600, hunters=400)
    pipeline.once()
    pipeline.sql("ALTER TABLE hunt_session ADD CONSTRAINT none CHECK (loot_count < 0) NOT VALID")
    pipeline.put(events)
    failed = pipeline.run("--once")
    assert failed.returncode == 1 and "rows were rejected" in failed.stderr
    assert pipeline.outbox_length() == 600
    assert pipeline.sql("SELECT count(*) FROM loot_events_dead") == [["0"]]
    pipeline.sql("ALTER TABLE hunt_session DROP CONSTRAINT none")
    pipeline.once()
    assert pipeline.rows() == expected_rows(events)


def test_a_name_cut_within_a_character_stops_no_merge(pipeline):
    """A row that another program has changed, with a name of loot whose 64th byte is within a character."""
    events = make_events(12, 300)
    pipeline.put(events[:150])
    pipeline.once()
    pipeline.sql("UPDATE hunt_session SET loot = jsonb_build_object(repeat('x', 63) || 'ä', 1) WHERE hunter_id = 'h0'")
    pipeline.sql("UPDATE hunt_session SET past = jsonb_build_object('0000000000000000', repeat('x', 199) || 'ä'), generation = 1 "
                 "WHERE hunter_id = 'h1'")
    pipeline.put(events[150:])
    pipeline.once()
    assert pipeline.outbox_length() == 0
    got, expected = pipeline.rows(), expected_rows(events)
    assert {key: row for key, row in got.items() if key[0] not in ("h0", "h1")} == \
        {key: row for key, row in expected.items() if key[0] not in ("h0", "h1")}
    dead = {event["event_id"] for event in events[150:] if event["hunter_id"] in ("h0", "h1")}
    assert {row[0] for row in pipeline.sql("SELECT position FROM loot_events_dead")} == dead


def test_rows_larger_than_merge_bytes_are_merged_in_several_transactions(pipeline):
    pipeline.once()
    pipeline.settings = ["merge_bytes = 1048576"]
    # 300 rows of 500 kinds of loot each: 10 MB of texts.
    pipeline.sql("""INSERT INTO hunt_session (hunter_id, hunt_id, loot, loot_count, first_loot_at, last_loot_at, bundle, seen_upto)
        SELECT 'h' || n, 'big', (SELECT jsonb_object_agg(lpad(k::text, 60, 'k'), 1) FROM generate_series(1, 500) k), 500,
               now(), now(), '', 500 FROM generate_series(1, 300) n""")
    first = make_events(13, 1)[0]
    events = [{**first, "hunter_id": f"h{n}", "hunt_id": "big", "seq": seq, "event_id": f"{n:016x}{seq:016x}"}
              for n in range(1, 301) for seq in (501, 502)]
    pipeline.put(events)
    pipeline.once()
    assert pipeline.outbox_length() == 0
    assert pipeline.sql("SELECT count(*), min(loot_count), max(loot_count), count(DISTINCT xmin::text) > 5 FROM hunt_session") == \
        [["300", "502", "502", "t"]]


def test_a_merge_that_takes_too_long_goes_on_with_fewer_rows(pipeline):
    pipeline.once()
    pipeline.settings = ["merge_timeout_s = 1"]
    pipeline.sql("""CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END $$;
        CREATE TRIGGER slow BEFORE INSERT ON hunt_session FOR EACH ROW EXECUTE FUNCTION slow()""")
    first = make_events(14, 1)[0]
    events = [{**first, "hunter_id": f"h{n}", "event_id": f"{n:032x}"} for n in range(400)]  # 4 s of sleep
    pipeline.put(events)
    process = pipeline.start()
    wait_for(lambda: pipeline.outbox_length() == 0, "the merge")
    assert pipeline.rows() == expected_rows(events)
    assert metric(process.listen, 'hunt_aggregator_failures_total{peer="postgres"}') >= 1


# --- retention ------------------------------------------------------------------------------------------------------------


def expired_before(pipeline):
    [[text]] = pipeline.sql("SELECT (extract(epoch FROM expired_before) * 1000)::bigint FROM hunt_retention")
    return int(text)


def test_a_clock_that_jumps_ahead_expires_nothing(pipeline):
    """As of PostgreSQL and of the events after three years in which nothing was counted: known_at is long ago."""
    pipeline.once()
    pipeline.note_an_event_now()
    pipeline.sql("UPDATE hunt_retention SET known_at = now() - interval '3 years'")
    events = make_events(15, 50)
    pipeline.put(events)
    pipeline.settings = ["retention_days = 1"]
    process = pipeline.start()
    wait_for(lambda: "the clock is more than a day ahead" in process.log.read_text(), "the log line")
    assert expired_before(pipeline) == 0
    assert pipeline.rows() == expected_rows(events)
    # The operator says that the clock is right.
    process.kill()
    process.wait()
    pipeline.sql("UPDATE hunt_retention SET known_at = NULL")
    process = pipeline.start()
    wait_for(lambda: pipeline.rows() == {}, "the old rows to go")


def test_retention_goes_by_the_newest_event_and_not_by_the_clock(pipeline):
    events = make_events(16, 50)
    pipeline.put(events)
    pipeline.settings = ["retention_days = 1"]
    process = pipeline.start()
    wait_for(lambda: pipeline.sql("SELECT to_regclass('hunt_retention') IS NOT NULL") == [["t"]], "the schema")
    wait_for(lambda: pipeline.sql("SELECT known_at IS NOT NULL FROM hunt_retention") == [["t"]], "retention")
    process.kill()
    process.wait()
    assert expired_before(pipeline) <= FIRST_MS
    pipeline.put([{**event, "seq": event["seq"] + 1000, "event_id": event["event_id"][::-1]} for event in events])
    pipeline.once()
    assert pipeline.sql("SELECT count(*) FROM loot_events_dead") == [["0"]]
    assert pipeline.sql("SELECT sum(loot_count) FROM hunt_session") == [["100"]]


def test_a_time_without_an_aggregator_is_no_jump(pipeline):
    """The events of that time are merged first, and show that the clock is right."""
    pipeline.once()
    pipeline.sql("""UPDATE hunt_retention SET known_at = now() - interval '5 days';
        INSERT INTO hunt_loot_hour SELECT 'clock', date_trunc('hour', now()) - n * interval '12 hours', 'tick', 1
        FROM generate_series(0, 10) n""")
    pipeline.put(make_events(17, 20))
    pipeline.once()
    pipeline.settings = ["retention_days = 30"]
    process = pipeline.start()
    wait_for(lambda: pipeline.rows() == {}, "the old rows to go")
    assert "the clock is more" not in process.log.read_text()


def test_an_upgrade_takes_back_a_horizon_that_is_ahead_of_the_clock(pipeline):
    pipeline.once()
    pipeline.sql("""DELETE FROM hunt_schema_version WHERE version >= 4; ALTER TABLE hunt_session ADD CHECK (loot_count >= 0),
        DROP COLUMN added, DROP COLUMN taken; ALTER TABLE hunt_session_past DROP COLUMN added, DROP COLUMN taken; DROP VIEW hunt_leaderboard;
        DROP TABLE hunt_leader, hunt_leader_entry; ALTER TABLE hunt_retention DROP COLUMN known_at;
        UPDATE hunt_retention SET expired_before = now() + interval '5 years'""")
    pipeline.once()
    assert pipeline.sql("SELECT expired_before <= now() FROM hunt_retention") == [["t"]]


# --- the leaders of a hunt ------------------------------------------------------------------------------------------------

SHOWN_MIN = 500
LEADERS = "SELECT rank, hunter_id, loot_count FROM {} WHERE hunt_id = '{}' AND rank <= {} ORDER BY rank, hunter_id"


def leaders(pipeline, view, hunt, rank):
    return pipeline.sql(LEADERS.format(view, hunt, rank))


def awards(counts_by_hunter, hunt):
    """That many events of each hunter; no two hunters have their last at the same time."""
    return [{"event_id": f"{hash((hunter, hunt, seq)) & (2**128 - 1):032x}", "hunter_id": hunter, "hunt_id": hunt, "loot_id": "coin",
             "seq": seq, "timestamp": FIRST_MS + 10_000 * seq + number, "bundle": "a" * 32}
            for number, (hunter, count) in enumerate(counts_by_hunter.items()) for seq in range(1, count + 1)]


def assert_the_board_is_exact(pipeline, hunt):
    assert leaders(pipeline, "hunt_leaderboard", hunt, SHOWN_MIN) == leaders(pipeline, "hunt_top_hunters", hunt, SHOWN_MIN)


def test_the_leaderboard_shows_the_first_of_every_hunt(pipeline):
    """3,000 hunters, more than are kept as leaders; those who were last come to be the first."""
    held = {f"p{n}": 1 + n % 3 for n in range(3000)}
    pipeline.put(awards(held, "big") + awards({"a": 2, "b": 5}, "small"))
    pipeline.once()
    assert_the_board_is_exact(pipeline, "big")
    assert leaders(pipeline, "hunt_leaderboard", "small", 9) == [["1", "b", "5"], ["2", "a", "2"]]
    [[kept]] = pipeline.sql("SELECT count(*) FROM hunt_leader WHERE hunt_id = 'big'")
    assert int(kept) <= 2000
    # In pieces, in an order that brings late events of early hunters.
    held.update({f"p{n}": 9 + n % 5 for n in range(0, 3000, 2)})
    events = awards(held, "big")
    for cut in range(3):
        pipeline.put(events[cut::3])
        pipeline.once()
    assert_the_board_is_exact(pipeline, "big")
    [[kept]] = pipeline.sql("SELECT count(*) FROM hunt_leader WHERE hunt_id = 'big'")
    assert int(kept) <= 2000


def test_leaders_who_spend_their_loot_are_replaced(pipeline):
    """All that are shown spend: an aggregator that lowers one more row looks for the first of the others."""
    held = {f"p{n}": 20 if n < 1500 else 1 + n % 3 for n in range(3000)}
    pipeline.put(awards(held, "big"))
    pipeline.once()
    assert len(leaders(pipeline, "hunt_leaderboard", "big", 3000)) >= SHOWN_MIN

    def spend(hunters, seq, count):
        pipeline.put([{**event, "event_id": f"{seq:016x}{n:016x}", "seq": seq, "timestamp": event["timestamp"] + 10_000 * seq, "kind": "take",
                       "count": count} for n, event in enumerate(awards(dict.fromkeys(hunters, 1), "big"))])
    spend([f"p{n}" for n in range(1500)], 21, 20)
    pipeline.once()
    spend(["p2997"], 2, 1)  # of a hunter with one
    process = pipeline.start()
    wait_for(lambda: pipeline.sql("SELECT count(*) >= 500 AND max(loot_count) = 3 FROM hunt_leaderboard") == [["t"]], "other leaders")
    assert_the_board_is_exact(pipeline, "big")
    process.kill()
    process.wait()


def test_the_leaderboard_of_a_purged_hunt_starts_again(pipeline):
    pipeline.put(awards({f"p{n}": 3 for n in range(2500)}, "big"))
    pipeline.once()
    # What `huntctl hunt purge` does in the tables.
    pipeline.sql("DELETE FROM hunt_session; DELETE FROM hunt_leader; DELETE FROM hunt_leader_entry")
    pipeline.put(awards({"x": 1, "y": 2}, "big"))
    pipeline.once()
    assert leaders(pipeline, "hunt_leaderboard", "big", 9) == [["1", "y", "2"], ["2", "x", "1"]]


def test_leaders_that_retention_deletes_are_replaced(pipeline):
    pipeline.put(awards({f"p{n}": 3 for n in range(2500)}, "big"))
    pipeline.once()
    assert pipeline.sql("SELECT count(*) FROM hunt_leader_entry") == [["1"]]
    pipeline.let_all_rows_go(retention_days=30)
    process = pipeline.start()
    wait_for(lambda: pipeline.sql("SELECT count(*) FROM hunt_leader") == [["0"]], "the leaders to go")
    process.kill()
    process.wait()
    pipeline.settings = []
    now = make_events(18, 1)[0]
    [[now_ms]] = pipeline.sql("SELECT (extract(epoch FROM now()) * 1000)::bigint")
    pipeline.put([{**now, "hunt_id": "big", "timestamp": int(now_ms)}])
    pipeline.once()
    assert leaders(pipeline, "hunt_leaderboard", "big", 9) == [["1", now["hunter_id"], "1"]]


def test_the_board_needs_no_look_at_all_rows(pipeline):
    """By its plan: the rows of leaders are looked up by the primary key."""
    pipeline.once()
    pipeline.sql("""INSERT INTO hunt_session (hunter_id, hunt_id, loot, loot_count, first_loot_at, last_loot_at, bundle, seen_upto)
        SELECT 'h' || n, 'big', '{"coin": 1}', 1, now(), now(), '', 1 FROM generate_series(1, 20000) n;
        INSERT INTO hunt_leader SELECT 'big', 'h' || n FROM generate_series(1, 1000) n""")
    [[plan]] = [["".join(row[0] for row in pipeline.sql(
        "EXPLAIN (FORMAT json) SELECT * FROM hunt_leaderboard WHERE hunt_id = 'big' AND rank <= 10"))]]

    def nodes(node):
        yield node
        for child in node.get("Plans", []):
            yield from nodes(child)
    of_rows = [node for node in nodes(json.loads(plan)[0]["Plan"]) if node.get("Relation Name") == "hunt_session"]
    assert of_rows and all(node["Node Type"] == "Index Scan" for node in of_rows), plan


def test_a_deleted_hunter_is_neither_leader_nor_entry(pipeline):
    pipeline.put(awards({f"p{n}": 3 for n in range(2500)}, "big"))
    pipeline.once()
    [[entry]] = pipeline.sql("SELECT hunter_id FROM hunt_leader_entry")
    path, _ = pipeline.config()
    done = subprocess.run([huntctl_program(), "-c", str(path), "forget", entry, "--yes"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert pipeline.sql(f"SELECT count(*) FROM hunt_leader WHERE hunter_id = '{entry}'") == [["0"]]
    assert pipeline.sql(f"SELECT count(*) FROM hunt_leader_entry WHERE hunter_id = '{entry}'") == [["0"]]
    assert_the_board_is_exact(pipeline, "big")
