# SPDX-License-Identifier: Apache-2.0
"""hunt-aggregator killed at every point of its cycle: around each call that it makes to Kafka, Postgres and Redis, as a run
without kills makes them (tests/harness/die_at_call.c). The next one must end with the same table."""
import concurrent.futures
import os
import signal
import subprocess

import pytest

from aggregator_pipeline import BUILD, Pipeline, aggregator_program
from harness.kafka_server import consume
from loot_events import expected_rows, make_events, rows_in

DIE_AT_CALL = BUILD / "tests" / "harness" / "die_at_call.so"
POISON = [("h1", "{"), ("h2", "[]")]
KAFKA = {"partitions": 2}

pytestmark = [pytest.mark.kafka,
              pytest.mark.skipif(BUILD.name == "asan", reason="AddressSanitizer must be loaded first")]


def holed(hunter, seqs):
    first = make_events(5, 1)[0]
    return [{**first, "hunter_id": hunter, "event_id": f"{ord(hunter[-1]):02x}{seq:030x}", "seq": seq} for seq in seqs]


# The table before: rows, and one row with more holes than it can hold.
BEFORE = make_events(31, 400, hunters=20) + holed("a", range(1, 260, 2)) + holed("c", range(1, 20))
NEW = [{**event, "hunter_id": "new-" + event["hunter_id"]} for event in make_events(32, 200, hunters=5)]
# Another generation of a hunter of the table, and of a new one; each also gets seqs of generation 0.
LATER = [{**event, "event_id": event["event_id"][::-1], "gen": "0193000000000001", "supply": True}
         for hunter in ("c", "d") for event in holed(hunter, range(1, 30))] + holed("d", range(1, 20))
# The events then: for new and old rows, repeats, holes that close, a new row with too many holes.
THEN = (make_events(31, 900, hunters=20)[400:] + BEFORE[:100] + NEW +
        holed("a", range(2, 240, 2)) + holed("b", range(1, 201, 2)) + LATER)
# More new rows than go in by INSERT (limits::insert_rows_max).
MANY = [{**make_events(5, 1)[0], "hunter_id": f"many-{number}", "event_id": f"ee{number:030x}"} for number in range(8_200)]
STATE = """SELECT hunter_id, hunt_id, loot, loot_count, first_loot_at, last_loot_at, bundle, seen_upto, seen_beyond,
generation, past FROM hunt_session
UNION ALL SELECT hunter_id, hunt_id, NULL, seq, NULL, NULL, event, NULL, NULL, generation, NULL FROM hunt_session_waiting
UNION ALL SELECT hunt_id, loot_id, NULL, given, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM hunt_supply"""


def run(config, **env):
    return subprocess.run([aggregator_program(), "-c", config, "--once"], capture_output=True, text=True, timeout=300,
                          env={**os.environ, "LD_PRELOAD": str(DIE_AT_CALL), **env})


def points_of(config, trace):
    """Those that an undisturbed run passes, in their order."""
    done = run(config, HUNTD_TEST_TRACE=str(trace))
    assert done.returncode == 0, done.stderr
    return trace.read_text().splitlines()


def assert_the_model_holds(pipeline, events):
    """Except hunter b, whose row keeps seq 1 and 64 ranges above it: the rest waits in hunt_session_waiting. And except
    hunters c and d, who have two generations."""
    expected = {key: row for key, row in expected_rows(events).items() if key[0] not in ("b", "c", "d")}
    assert {key: row for key, row in rows_in(pipeline).items() if key[0] not in ("b", "c", "d")} == expected
    assert pipeline.sql("SELECT loot_count, seen_upto, past FROM hunt_session WHERE hunter_id IN ('c', 'd')") == \
        [["48", "29", '{"0000000000000000": "{[1,20)}"}']] * 2
    assert pipeline.sql("SELECT sum(given) FROM hunt_supply") == [["58"]]
    [[counted, waits]] = pipeline.sql("SELECT (SELECT sum(loot_count) FROM hunt_session WHERE hunter_id = 'b'), "
                                      "(SELECT count(*) FROM hunt_session_waiting WHERE hunter_id = 'b')")
    assert (int(counted), int(waits)) == (65, 35)


class Copy:
    """Each point has its own database, consumer group and dead-letter topic; all points share the topic of events."""

    def __init__(self, pipeline, number):
        self.name = f"{pipeline.name}_{number}"
        self.pipeline = pipeline
        pipeline.postgres.sql(f"CREATE DATABASE {self.name} TEMPLATE {pipeline.name}_before", database="postgres")
        self.config, _ = pipeline.config()
        text = self.config.read_text()
        for line in ("group = \"{}\"", "dead_topic = \"{}_dead\""):
            assert line.format(pipeline.name) in text
            text = text.replace(line.format(pipeline.name), line.format(self.name))
        self.config.write_text(text.replace(f"/{pipeline.name}\"", f"/{self.name}\""))

    def state(self):
        return sorted(self.pipeline.postgres.sql(STATE, database=self.name))

    def dead(self):
        return set(consume(self.pipeline.kafka, f"{self.name}_dead"))


@pytest.mark.long(reason="two minutes: a start per point")
def test_a_kill_at_any_point_with_kafka_gives_the_same_table_and_dead_letters(tmp_path, postgres,
                                                                                                  kafka):
    pipeline = Pipeline(tmp_path, postgres, kafka=kafka.bootstrap)
    try:
        pipeline.put(BEFORE)
        pipeline.once()
        postgres.sql(f"CREATE DATABASE {pipeline.name}_before TEMPLATE {pipeline.name}", database="postgres")
        pipeline.put(THEN + MANY)
        pipeline.put_texts(POISON)
        undisturbed = Copy(pipeline, "whole")
        points = points_of(undisturbed.config, tmp_path / "trace")
        print("\n".join(points))
        for call in ("read", "BEGIN", "SELECT s.hunter_id", "COPY hunt_session", "end of COPY", "UPDATE hunt_session",
                     "DELETE FROM hunt_session_waiting", "INSERT INTO hunt_session_waiting", "COMMIT", "produce",
                     "commit of offsets", "close"):
            assert any(point.startswith(call) for point in points), call
        state = undisturbed.state()
        assert undisturbed.dead() == set(POISON)
        pipeline.once()
        assert sorted(pipeline.sql(STATE)) == state
        assert_the_model_holds(pipeline, BEFORE + THEN + MANY)
        copies = [(point, Copy(pipeline, number)) for number, point in enumerate(points)]
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            died = list(pool.map(lambda c: run(c[1].config, HUNTD_TEST_DIE_AT=c[0]).returncode, copies))
        # How many reads bring everything is Kafka's to say.
        survived = {point for (point, _), code in zip(copies, died) if code != -signal.SIGKILL}
        assert all(point.startswith("read:") and point != "read:1:after" for point in survived), survived
        # Each waits until its dead member's session is over.
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            again = list(pool.map(lambda c: run(c[1].config), copies))
        for (point, copy), done in zip(copies, again):
            assert done.returncode == 0, f"{point}: {done.stderr}"
            assert copy.state() == state, point
            assert copy.dead() == set(POISON), point
    finally:
        pipeline.stop()


def test_a_kill_at_any_point_on_the_outbox_gives_the_same_table(tmp_path, postgres):
    pipeline = Pipeline(tmp_path, postgres)
    empty = "TRUNCATE hunt_session, hunt_session_waiting, loot_events_dead, hunt_supply"
    dead = "SELECT partition, convert_from(payload, 'UTF8') FROM loot_events_dead"
    try:
        pipeline.once()
        config, _ = pipeline.config()

        def prepare():
            pipeline.sql(empty)
            pipeline.put(BEFORE)
            pipeline.once()
            pipeline.put(THEN)
            pipeline.put_texts(POISON)
        prepare()
        points = points_of(config, tmp_path / "trace")
        print("\n".join(points))
        assert any(point.startswith("EVALSHA") for point in points)  # it deletes by a script
        assert any(point.startswith("INSERT INTO hunt_session (") for point in points)
        assert any(point.startswith("INSERT INTO loot_events_dead") for point in points)
        state = sorted(pipeline.sql(STATE))
        graves = sorted(pipeline.sql(dead))
        assert {value for _, value in graves} == {value for _, value in POISON} and len(graves) == len(POISON)
        assert_the_model_holds(pipeline, BEFORE + THEN)
        for point in points:
            # One deletion is as the other.
            if point.startswith("EVALSHA") and point.split(":")[1] not in ("1", "5"):
                continue
            prepare()
            assert run(config, HUNTD_TEST_DIE_AT=point).returncode == -signal.SIGKILL, point
            pipeline.once()
            assert pipeline.outbox_length() == 0, point
            assert sorted(pipeline.sql(STATE)) == state, point
            assert sorted(pipeline.sql(dead)) == graves, point
    finally:
        pipeline.stop()
