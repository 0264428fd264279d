# SPDX-License-Identifier: Apache-2.0
"""hunt-aggregator as a whole process on a real Redis, PostgreSQL and PgBouncer (transaction mode)."""
import random
import signal
import socket
import subprocess

import pytest

from aggregator_pipeline import Pipeline, aggregator_program, get, metric
from harness.pgbouncer_server import PgBouncerServer
from harness.postgres_server import OtherSession, PostgresServer
from harness.process import wait_until
from loot_events import expected_rows, make_events, text

PATIENCE_S = 60


def wait_for(condition, what):
    return wait_until(condition, PATIENCE_S, what, 0.05)


@pytest.fixture(scope="module")
def pgbouncer(postgres, tmp_path_factory):
    # Two server connections for all clients: code that relies on the session of an earlier transaction fails.
    with PgBouncerServer(tmp_path_factory.mktemp("pgbouncer"), postgres, pool_size=2) as server:
        yield server


@pytest.fixture(params=["direct", "pgbouncer"])
def pipeline(request, tmp_path, postgres, pgbouncer):
    made = Pipeline(tmp_path, postgres, pgbouncer.port if request.param == "pgbouncer" else None)
    yield made
    made.stop()


@pytest.fixture
def plain_pipeline(tmp_path, postgres):
    made = Pipeline(tmp_path, postgres)
    yield made
    made.stop()


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_table_does_not_depend_on_how_events_are_delivered(pipeline, seed):
    rnd = random.Random(seed)
    events = make_events(seed, 3000, holes=0.05 if seed == 3 else 0.0, units=seed == 4)
    delivered = events + rnd.sample(events, 1000)
    rnd.shuffle(delivered)
    while delivered:
        cut = 1 + rnd.randrange(900)
        pipeline.put(delivered[:cut])
        delivered = delivered[cut:]
        pipeline.once()
    assert pipeline.outbox_length() == 0
    assert pipeline.rows() == expected_rows(events)


def test_events_repeated_in_a_later_batch_change_nothing(pipeline):
    events = make_events(4, 500)
    pipeline.put(events)
    pipeline.once()
    before = pipeline.sql("SELECT hunter_id, hunt_id, xmin FROM hunt_session ORDER BY 1, 2")
    pipeline.put(events)
    pipeline.once()
    assert pipeline.sql("SELECT hunter_id, hunt_id, xmin FROM hunt_session ORDER BY 1, 2") == before


def test_more_holes_than_a_row_can_hold_lose_no_event(pipeline):
    events = [{**make_events(5, 1)[0], "event_id": f"{seq:032x}", "seq": seq} for seq in range(1, 401)]
    odd, even = events[0::2], events[1::2]
    random.Random(5).shuffle(odd)
    for part in (odd[:50], odd[50:120], odd[120:], odd[:30]):
        pipeline.put(part)
        pipeline.once()
    assert pipeline.sql("SELECT count(*) > 0 FROM hunt_session_waiting") == [["t"]]
    random.Random(6).shuffle(even)
    for part in (even[:90], even[90:]):
        pipeline.put(part)
        pipeline.once()
    assert pipeline.rows() == expected_rows(events)
    assert pipeline.sql("SELECT count(*) FROM hunt_session_waiting") == [["0"]]


def test_a_row_stays_bounded_after_a_hundred_lost_events(plain_pipeline):
    events = [{**make_events(5, 1)[0], "event_id": f"{seq:032x}", "seq": seq} for seq in range(2, 401, 2)]
    plain_pipeline.put(events)
    plain_pipeline.once()
    [[counted, ranges]] = plain_pipeline.sql(
        "SELECT loot_count, (SELECT count(*) FROM unnest(seen_beyond)) FROM hunt_session")
    assert (counted, ranges) == ("64", "64")
    assert plain_pipeline.sql("SELECT count(*) FROM hunt_session_waiting") == [[str(len(events) - 64)]]


def test_two_aggregators_on_one_outbox_count_each_event_once(pipeline):
    first, second = pipeline.start(), pipeline.start()
    events = make_events(7, 6000, hunters=300)
    for at in range(0, len(events), 500):
        pipeline.put(events[at:at + 500])
    expected = expected_rows(events)
    wait_for(lambda: pipeline.outbox_length() == 0 and pipeline.rows() == expected, "both to be done")
    for process in (first, second):
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert "deadlock" not in process.log.read_text()
    assert pipeline.rows() == expected


class OtherWriter(OtherSession):
    """Another aggregator, stopped in the middle of its transaction."""

    def __init__(self, pipeline):
        super().__init__(f"postgresql://huntd@127.0.0.1:{pipeline.postgres.port}/{pipeline.name}")
        self.pipeline = pipeline

    def await_lock_held(self):
        wait_for(lambda: self.pipeline.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                                        "application_name = 'psql' AND state = 'idle in transaction'") == [["1"]],
                 "the other transaction to stand")

    def await_someone_waiting(self):
        wait_for(lambda: self.pipeline.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                                        "wait_event_type = 'Lock'") == [["1"]], "the aggregator to wait for it")


def three_events():
    first = make_events(16, 1)[0]
    return [{**first, "event_id": f"{seq:032x}", "seq": seq, "timestamp": first["timestamp"] + seq,
             "loot_id": f"loot-{seq}"} for seq in (1, 2, 3)]


def test_a_row_that_another_session_updates_is_waited_for_and_read_again(pipeline):
    events = three_events()
    pipeline.put(events[:1])
    pipeline.once()
    other = OtherWriter(pipeline)
    other.do("BEGIN")
    other.do("""UPDATE hunt_session SET loot = loot || '{"loot-2": 1}', loot_count = 2, seen_upto = 2,
                last_loot_at = last_loot_at + interval '1 ms'""")
    other.await_lock_held()
    pipeline.put(events[2:])
    process = pipeline.start()
    other.await_someone_waiting()
    other.do("COMMIT")
    other.end()
    expected = expected_rows(events)
    wait_for(lambda: pipeline.outbox_length() == 0, "the merge")
    assert pipeline.rows() == expected
    assert "failed" not in process.log.read_text()


def test_a_row_that_another_session_inserts_meanwhile_is_merged(pipeline):
    events = three_events()
    pipeline.once()
    other = OtherWriter(pipeline)
    other.do("BEGIN")
    other.do(f"""INSERT INTO hunt_session SELECT '{events[1]["hunter_id"]}', '{events[1]["hunt_id"]}', '{{"loot-2": 1}}',
                 1, at, at, '{events[1]["bundle"]}', 0, '{{[2,3)}}'
                 FROM to_timestamp({events[1]["timestamp"]} / 1000.0) AS at""")
    other.await_lock_held()
    pipeline.put([events[0], events[2]])
    process = pipeline.start()
    other.await_someone_waiting()
    other.do("COMMIT")
    other.end()
    wait_for(lambda: pipeline.outbox_length() == 0, "the merge")
    assert pipeline.rows() == expected_rows(events)
    assert metric(process.listen, "hunt_aggregator_merge_restarts_total") == 1


def test_two_aggregators_that_start_together_create_the_schema_once(pipeline):
    processes = [pipeline.start() for _ in range(4)]
    for process in processes:
        wait_for(lambda p=process: get(p.listen, "/healthz")[0] == 200, "healthz")
    assert pipeline.sql("SELECT version FROM hunt_schema_version ORDER BY 1") == [["1"], ["2"], ["3"], ["4"], ["5"]]
    assert sum(p.log.read_text().count("schema migrated") for p in processes) == 1
    assert [p.log.read_text() for p in processes if "failed" in p.log.read_text()] == []


def test_repeated_kills_lose_and_duplicate_no_event(pipeline):
    rnd = random.Random(8)
    events = make_events(8, 8000, hunters=400)
    expected = expected_rows(events)
    left = list(events)
    kills = 0
    while left or kills < 12:
        process = pipeline.start()
        pipeline.put(left[:700])
        left = left[700:]
        # Its cycle takes a second: these land before, in and after the merge.
        try:
            process.wait(0.9 + rnd.random() * 0.5)
        except subprocess.TimeoutExpired:
            pass
        assert process.poll() is None, process.log.read_text()
        process.kill()
        process.wait()
        kills += 1
    pipeline.once()
    assert pipeline.outbox_length() == 0
    assert pipeline.rows() == expected


def test_a_malformed_record_is_dead_lettered_and_the_rest_continues(pipeline):
    events = make_events(9, 200)
    poison = ["", "no json", "[]", '{"event_id":"x"}', "\u00e4\u00f6 \\u0000", text({**events[0], "seq": 2**63}),
              text({**events[0], "timestamp": -1}), text({**events[0], "loot_id": "a:b"})]
    pipeline.put(events[:100])
    pipeline.put_texts([("h", value) for value in poison])
    pipeline.put(events[100:])
    log = pipeline.once()
    assert pipeline.rows() == expected_rows(events)
    dead = pipeline.sql("SELECT source, partition, position, convert_from(payload, 'UTF8'), reason FROM loot_events_dead")
    assert sorted(row[3] for row in dead) == sorted(poison)
    assert all(row[0] == "outbox" and row[1] == str(Pipeline.bucket_of("h")) and "-" in row[2] and row[4]
               for row in dead)
    assert all(f"position={row[2]}" in log for row in dead)
    assert pipeline.outbox_length() == 0


def test_a_row_changed_by_hand_does_not_stop_other_rows(plain_pipeline):
    events = make_events(10, 300)
    plain_pipeline.put(events[:150])
    plain_pipeline.once()
    plain_pipeline.sql("UPDATE hunt_session SET loot = '{\"coin\": \"many\"}' WHERE hunter_id = 'h0'")
    plain_pipeline.put(events[150:])
    plain_pipeline.once()
    expected = expected_rows(events)
    got = plain_pipeline.rows()
    assert {k: v for k, v in got.items() if k[0] != "h0"} == {k: v for k, v in expected.items() if k[0] != "h0"}
    rejected = sum(1 for event in events[150:] if event["hunter_id"] == "h0")
    assert plain_pipeline.sql("SELECT count(*) FROM loot_events_dead WHERE source = 'hunt_session'") == [[str(rejected)]]


def test_it_waits_for_postgres_or_redis_and_catches_up(tmp_path):
    with PostgresServer(tmp_path / "postgres", options=("fsync=off",)) as postgres:
        pipeline = Pipeline(tmp_path, postgres)
        try:
            process = pipeline.start()
            events = make_events(11, 900)
            wait_for(lambda: get(process.listen, "/healthz") == (200, "ok\n"), "healthz")
            postgres.kill()
            pipeline.put(events[:300])
            wait_for(lambda: get(process.listen, "/healthz")[1].startswith("postgres is unavailable: "),
                     "healthz to complain")
            assert pipeline.outbox_length() == 300
            postgres.start()
            wait_for(lambda: pipeline.outbox_length() == 0, "the outbox to empty")
            pipeline.redis.kill()
            wait_for(lambda: get(process.listen, "/healthz")[1].startswith("the source"), "healthz to complain")
            pipeline.redis.start()
            pipeline.put(events[300:])
            wait_for(lambda: pipeline.outbox_length() == 0, "the outbox to empty")
            assert pipeline.rows() == expected_rows(events)
            assert metric(process.listen, 'hunt_aggregator_failures_total{peer="postgres"}') >= 1
            assert metric(process.listen, 'hunt_aggregator_failures_total{peer="source"}') >= 1
        finally:
            pipeline.stop()


def test_sigterm_merges_the_events_read_and_exits_0(plain_pipeline):
    process = plain_pipeline.start()
    wait_for(lambda: get(process.listen, "/healthz")[0] == 200, "healthz")
    events = make_events(12, 400)
    plain_pipeline.put(events)
    # Those that it read before the last one was there may be merged already.
    wait_for(lambda: metric(process.listen, "hunt_aggregator_lag_events") == 400 or plain_pipeline.outbox_length() == 0,
             "the events to be read")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert plain_pipeline.rows() == expected_rows(events)
    assert plain_pipeline.outbox_length() == 0


def test_metrics_pass_promtool_and_count_events(plain_pipeline):
    process = plain_pipeline.start()
    events = make_events(13, 500)
    plain_pipeline.put(events + events[:50])
    plain_pipeline.put_texts([("h", "poison")])
    wait_for(lambda: metric(process.listen, "hunt_aggregator_events_total") == 551, "the merge")
    wait_for(lambda: metric(process.listen, "hunt_aggregator_lag_events") == 0, "no lag")
    page = get(process.listen, "/metrics")[1]
    checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert metric(process.listen, "hunt_aggregator_new_total") == 500
    assert metric(process.listen, "hunt_aggregator_duplicates_total") == 50
    assert metric(process.listen, "hunt_aggregator_dead_letters_total") == 1
    assert metric(process.listen, "hunt_aggregator_rows_merged_total") >= len(expected_rows(events))
    assert metric(process.listen, "hunt_aggregator_lag_seconds") == 0
    assert metric(process.listen, "hunt_aggregator_merge_duration_seconds_count") >= 1
    assert get(process.listen, "/nothing")[0] == 404


def test_systemd_is_sent_ready_watchdog_and_stopping(plain_pipeline, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(30)
        process = plain_pipeline.start({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"})
        received = []
        while not ("READY=1" in received and received.count("WATCHDOG=1") >= 3):
            received.append(notify.recv(4096).decode())
        process.send_signal(signal.SIGTERM)
        while "STOPPING=1" not in received:
            received.append(notify.recv(4096).decode())
        assert process.wait(60) == 0


def test_a_long_merge_does_not_trigger_the_watchdog(plain_pipeline, tmp_path):
    events = three_events()
    plain_pipeline.put(events[:1])
    plain_pipeline.once()
    other = OtherWriter(plain_pipeline)
    other.do("BEGIN")
    other.do("UPDATE hunt_session SET bundle = bundle")
    other.await_lock_held()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(30)
        plain_pipeline.start({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"})
        plain_pipeline.put(events)
        other.await_someone_waiting()
        notify.setblocking(False)
        try:
            while notify.recv(4096):
                pass
        except BlockingIOError:
            pass
        notify.settimeout(30)
        assert [notify.recv(4096) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        other.do("COMMIT")
        other.end()
        wait_for(lambda: plain_pipeline.outbox_length() == 0, "the merge")
    assert plain_pipeline.rows() == expected_rows(events)


def test_a_redis_password_is_read_from_its_file(tmp_path, postgres):
    pipeline = Pipeline(tmp_path, postgres)
    try:
        pipeline.redis.call("CONFIG", "SET", "requirepass", "s3cret word")
        pipeline.password = "s3cret word"
        events = make_events(14, 50)
        pipeline.put(events)
        pipeline.once()
        assert pipeline.rows() == expected_rows(events)
        pipeline.password = "wrong"
        path, _ = pipeline.config()
        done = subprocess.run([aggregator_program(), "-c", path, "--once"], capture_output=True, text=True)
        assert done.returncode == 1
        assert "WRONGPASS" in done.stderr
    finally:
        pipeline.stop()


def test_a_database_newer_than_the_program_is_not_changed(plain_pipeline):
    plain_pipeline.once()
    plain_pipeline.sql("INSERT INTO hunt_schema_version (version) VALUES (9999)")
    plain_pipeline.put(make_events(15, 10))
    path, _ = plain_pipeline.config()
    done = subprocess.run([aggregator_program(), "-c", path, "--once"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "9999" in done.stderr
    assert plain_pipeline.rows() == {}
    assert plain_pipeline.outbox_length() == 10


def test_options_and_exit_codes(plain_pipeline, tmp_path):
    path, _ = plain_pipeline.config()

    def run(*words):
        return subprocess.run([aggregator_program(), *words], capture_output=True, text=True, timeout=30)
    assert run("--version").stdout.startswith("hunt-aggregator ")
    assert run("-c", path, "-t").returncode == 0
    assert "interval_s = 1" in run("-c", path, "--print-config").stdout
    assert run("--nonsense").returncode == 2
    assert run("-c", path, "extra").returncode == 2
    bad = tmp_path / "bad.toml"
    bad.write_text('[aggregator]\npostgres = "postgresql://x/y?no_such_word=1"\n')
    assert run("-c", bad, "-t").returncode == 78
    bad.write_text("[aggregator]\nintervall_s = 1\n")
    rejected = run("-c", bad)
    assert rejected.returncode == 78 and "interval_s" in rejected.stderr
    assert plain_pipeline.sql("SELECT to_regclass('hunt_session') IS NULL") == [["t"]]
