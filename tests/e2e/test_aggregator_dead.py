# SPDX-License-Identifier: Apache-2.0
"""Records that can't be counted, with Kafka: the dead-letter topic, waiting while it can't be written, and
`huntctl dead`."""
import json
import subprocess
import time

import pytest

from aggregator_pipeline import Pipeline, aggregator_program, get, huntctl_program, metric, wait_for
from harness.kafka_server import KafkaServer
from loot_events import expected_rows, make_events, text

pytestmark = pytest.mark.kafka
KAFKA = {"partitions": 3}
POISON = [("h1", ""), ("h2", "{"), ("h3", '{"event_id":"x"}'), ("h4", "\u00fc, no=json"), ("h5", "[" * 300)]


@pytest.fixture
def pipeline(tmp_path, postgres, kafka):
    made = Pipeline(tmp_path, postgres, kafka=kafka.bootstrap)
    yield made
    made.stop()


def huntctl(pipeline, *words):
    path, _ = pipeline.config()
    return subprocess.run([huntctl_program(), "-c", str(path), "dead", *words], capture_output=True, text=True, timeout=120)


def listed(pipeline, *words):
    done = huntctl(pipeline, "list", "--json", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def record_at(pipeline, partition, offset):
    return subprocess.run(["kcat", "-b", pipeline.kafka, "-C", "-t", pipeline.name, "-p", partition, "-o", offset, "-c", "1",
                           "-q", "-f", "%k\x1f%s"], capture_output=True, text=True, timeout=60).stdout


def test_malformed_records_go_to_the_dead_letter_topic_with_their_position(pipeline):
    events = make_events(7, 300)
    rejected = [{**events[0], "seq": 2**63}, {**events[0], "timestamp": -1}, {**events[0], "event_id": "f" * 32}]
    poison = POISON + [(event["hunter_id"], text(event)) for event in rejected]
    pipeline.put(events[:150])
    pipeline.put_texts(poison)
    pipeline.put(events[150:])
    log = pipeline.once()
    assert pipeline.rows() == expected_rows(events)
    dead = pipeline.dead_records()
    assert sorted((key, value) for key, value, _ in dead) == sorted(poison)
    for key, value, headers in dead:
        assert headers["topic"] == pipeline.name and headers["reason"]
        assert record_at(pipeline, headers["partition"], headers["offset"]) == f"{key}\x1f{value}"
        assert f"partition={headers['partition']} position={headers['offset']}" in log
    assert pipeline.sql("SELECT count(*) FROM loot_events_dead") == [["0"]]
    assert "events=0 new=0 dead_letters=0" in pipeline.once().splitlines()[-1]
    assert len(pipeline.dead_records()) == len(poison)


def test_an_event_of_a_broken_row_is_dead_lettered_and_counts_after_the_repair(pipeline):
    events = make_events(10, 300)
    mine = [event for event in events[150:] if event["hunter_id"] == "h0"]
    pipeline.put(events[:150])
    pipeline.once()
    pipeline.sql("CREATE TABLE kept AS SELECT * FROM hunt_session")
    pipeline.sql("UPDATE hunt_session SET loot = '{\"coin\": \"many\"}' WHERE hunter_id = 'h0'")
    pipeline.put(events[150:])
    pipeline.once()
    dead = pipeline.dead_records()
    assert {headers["event_id"] for _, _, headers in dead} == {event["event_id"] for event in mine}
    assert {(key, value) for key, value, _ in dead} == {("h0", text(event)) for event in mine}
    pipeline.sql("UPDATE hunt_session s SET loot = k.loot FROM kept k WHERE (s.hunter_id, s.hunt_id) = "
                 "(k.hunter_id, k.hunt_id) AND s.hunter_id = 'h0'")
    assert huntctl(pipeline, "retry", mine[0]["event_id"]).returncode == 0
    assert huntctl(pipeline, "retry", "--all").returncode == 0
    pipeline.once()
    assert pipeline.rows() == expected_rows(events)


def test_it_waits_while_the_dead_letter_topic_cannot_be_written(pipeline, kafka):
    if "mock" in kafka.kind:
        pytest.skip("librdkafka's mock cluster has no settings of a topic")
    events = make_events(11, 400)
    pipeline.put_texts(POISON[:1])
    pipeline.once()
    kafka.set_topic(pipeline.dead_topic, "max.message.bytes=10")
    process = pipeline.start()
    pipeline.put(events[:200])
    pipeline.put_texts(POISON[1:])
    wait_for(lambda: get(process.listen, "/healthz") ==
             (503, "the dead-letter topic cannot be written, so reading is paused\n"), "healthz to complain")
    assert f"topic {pipeline.dead_topic} rejects a record of this size: raise its max.message.bytes" in process.log.read_text()
    assert metric(process.listen, 'hunt_aggregator_up{peer="dead_letter_topic"}') == 0
    assert metric(process.listen, 'hunt_aggregator_failures_total{peer="dead_letter_topic"}') >= 1
    assert metric(process.listen, "hunt_aggregator_dead_letters_total") == 0
    reported = subprocess.run([huntctl_program(), "lag", "--aggregator", process.listen], capture_output=True, text=True)
    assert reported.returncode == 1 and "cannot write the dead-letter topic" in reported.stderr
    merged = pipeline.rows()
    pipeline.put(events[200:])
    # Unread events count as lag too, even if no event that was read waits to be merged.
    wait_for(lambda: metric(process.listen, "hunt_aggregator_lag_seconds") > 1, "the lag to grow")
    process.kill()  # nothing of it was acknowledged
    process.wait()
    kafka.set_topic(pipeline.dead_topic, "max.message.bytes=1000000")
    again = pipeline.start()
    wait_for(lambda: metric(again.listen, "hunt_aggregator_dead_letters_total") == len(POISON) - 1, "the dead ones")
    wait_for(lambda: pipeline.rows() == expected_rows(events), "the rest")
    assert set(merged) <= set(pipeline.rows())
    assert {(key, value) for key, value, _ in pipeline.dead_records()} == set(POISON)
    wait_for(lambda: get(again.listen, "/healthz") == (200, "ok\n"), "healthz")


@pytest.mark.long(reason="half a minute of librdkafka's waits")
def test_a_topic_that_does_not_exist_is_a_clear_error(tmp_path, postgres, kafka):
    if "mock" in kafka.kind:
        pytest.skip("librdkafka's mock cluster makes every topic")
    with KafkaServer(tmp_path / "kafka", partitions=1) as own:
        pipeline = Pipeline(tmp_path, postgres, kafka=own.bootstrap)
        try:
            pipeline.put_texts(POISON)
            own.stop()
            settings = tmp_path / "kafka" / "server.properties"
            settings.write_text(settings.read_text().replace("auto.create.topics.enable=true",
                                                             "auto.create.topics.enable=false"))
            own.start()
            path, _ = pipeline.config()
            done = subprocess.run([aggregator_program(), "-c", path, "--once"], capture_output=True, text=True, timeout=120)
            assert done.returncode == 1
            assert f"topic {pipeline.dead_topic} does not exist and the brokers do not create topics automatically: create it" \
                in done.stderr
        finally:
            pipeline.stop()


def test_dead_list_shows_position_reason_time_and_the_payloads_start(pipeline):
    assert listed(pipeline) == {"total": 0, "retried": 0, "others": 0, "dead": []}
    started_ms = int(time.time() * 1000)
    pipeline.put_texts(POISON)
    pipeline.once()
    reported = listed(pipeline)
    assert (reported["total"], reported["retried"], len(reported["dead"])) == (len(POISON), 0, len(POISON))
    for entry in reported["dead"]:
        key, value = record_at(pipeline, entry["partition"], entry["offset"]).split("\x1f")
        assert (key, value) in POISON
        assert entry["place"] == f"{entry['partition']}:{entry['offset']}" and entry["event_id"] is None
        assert entry["payload_start"] == value[:96] and entry["payload_bytes"] == len(value.encode())
        assert started_ms - 1000 <= entry["at_ms"] <= int(time.time() * 1000) + 1000 and entry["retried_at_ms"] is None
        assert entry["reason"]
    assert len(listed(pipeline, "--limit", "2")["dead"]) == 2
    shown = huntctl(pipeline, "list", "--limit", "2").stdout.splitlines()
    assert shown[0].split() == ["place", "dead-lettered", "retried", "reason", "payload"]
    assert len(shown) == 4 and shown[-1] == f"{len(POISON)} dead letters, 0 retried; the newest 2 are shown"
    assert all(" " <= c <= "~" or c == "\u2026" for line in huntctl(pipeline, "list").stdout.splitlines() for c in line)


def test_dead_retry_produces_each_record_unchanged_and_once(pipeline):
    pipeline.put_texts(POISON)
    pipeline.once()
    places = [entry["place"] for entry in listed(pipeline)["dead"]]
    first = huntctl(pipeline, "retry", places[0])
    assert (first.returncode, first.stdout) == (0, f"1 produced to {pipeline.name} again\n")
    second = huntctl(pipeline, "retry", places[0])
    assert second.returncode == 1 and "--again retries it again" in second.stderr
    assert second.stdout == f"0 produced to {pipeline.name} again, 1 skipped because they were retried before (--again)\n"
    rest = huntctl(pipeline, "retry", "--all")
    assert rest.returncode == 0
    assert rest.stdout == (f"{len(POISON) - 1} produced to {pipeline.name} again, 1 skipped because they were retried before "
                           "(--again)\n")
    assert listed(pipeline)["retried"] == len(POISON)
    # Still malformed: each is dead-lettered again, from its new position, once.
    pipeline.once()
    reported = listed(pipeline)
    assert (reported["total"], reported["retried"]) == (2 * len(POISON), len(POISON))
    again = [record_at(pipeline, e["partition"], e["offset"]).split("\x1f") for e in reported["dead"] if not e["retried_at_ms"]]
    assert sorted(map(tuple, again)) == sorted(POISON)


def test_dead_retry_names_records_that_it_cannot_retry(pipeline):
    assert huntctl(pipeline, "retry").returncode == 2
    assert huntctl(pipeline, "retry", "--all", "0:1").returncode == 2
    missing = huntctl(pipeline, "retry", "7:41")
    assert missing.returncode == 1 and "no dead letter has the place 7:41" in missing.stderr
    pipeline.kafka = ""
    without = huntctl(pipeline, "list")
    assert without.returncode == 1 and "loot_events_dead" in without.stderr
