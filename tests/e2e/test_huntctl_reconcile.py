# SPDX-License-Identifier: Apache-2.0
"""`huntctl reconcile` on stores written by hand: it reports agreement, or each difference."""
import json
import subprocess
import threading
import time
from collections import defaultdict

import pytest

from aggregator_pipeline import Pipeline, huntctl_program
from loot_events import make_events

# Buckets of h0 to h39: XXH3-64 of the hunter_id, mod 1024 (docs/formats/redis.md).
BUCKETS = [91, 909, 217, 726, 907, 232, 912, 93, 753, 418, 837, 544, 664, 691, 823, 166, 1014, 899, 356, 278, 739, 614,
           889, 347, 30, 24, 156, 769, 208, 1021, 407, 807, 21, 401, 1010, 22, 284, 118, 800, 888]


@pytest.fixture
def pipeline(tmp_path, postgres):
    made = Pipeline(tmp_path, postgres)
    yield made
    made.stop()


@pytest.fixture
def kafka_pipeline(tmp_path, postgres, kafka):
    made = Pipeline(tmp_path, postgres, kafka=kafka.bootstrap)
    yield made
    made.stop()


def held_key(event):
    bucket = BUCKETS[int(event["hunter_id"][1:])]
    return f"held:{{b{bucket}}}:{event['hunter_id']}:{event['hunt_id']}"


def give(pipeline, events):
    """What the commit script leaves in Redis: held and its seq."""
    held = defaultdict(lambda: defaultdict(int))
    for event in events:
        fields = held[held_key(event)]
        fields[event["loot_id"]] += 1
        fields["#seq"] = max(fields["#seq"], event["seq"])
    with pipeline.redis.client() as redis:
        for key, fields in held.items():
            redis.call("HSET", key, *[word for item in fields.items() for word in item])


def reconcile(pipeline, *options):
    path, _ = pipeline.config()
    done = subprocess.run([huntctl_program(), "-c", str(path), "reconcile", "--json", *options], capture_output=True,
                          text=True, timeout=120)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def kinds(report):
    return sorted({difference["kind"] for difference in report["differences"]})


def unreadable(report):
    return sum(difference["kind"] == "unreadable" for difference in report["differences"])


def test_without_kafka_it_agrees_before_and_after_the_merge(pipeline):
    events = make_events(21, 2000)
    pipeline.once()
    give(pipeline, events)
    pipeline.put(events)
    code, report = reconcile(pipeline)
    assert (code, report["agrees"], report["settled"], report["waiting"]) == (0, True, False, 2000)
    pipeline.once()
    code, report = reconcile(pipeline)
    assert (code, report["agrees"], report["settled"]) == (0, True, True)
    assert (report["held_loot"], report["row_loot"], report["outbox_events"]) == (2000, 2000, 0)
    assert report["kafka_events"] is None


def test_it_changes_nothing_in_redis(pipeline):
    events = make_events(22, 300)
    pipeline.once()
    give(pipeline, events)
    pipeline.put(events[:100])
    def writes():
        info = pipeline.redis.call("INFO", "commandstats")
        return {line.split(",")[0] for line in info.splitlines()
                if line.split(":")[0].removeprefix("cmdstat_") in ("hset", "xadd", "xdel", "del", "set", "expire")}
    before = writes()
    assert before
    reconcile(pipeline)
    assert writes() == before


def test_a_lost_event_and_a_changed_row_are_reported(pipeline):
    events = make_events(23, 800)
    give(pipeline, events)
    lost = next(event for event in events if event["seq"] == 3)
    pipeline.put([event for event in events if event is not lost])
    pipeline.once()
    code, report = reconcile(pipeline)
    assert code == 1 and report["differences_total"] == 1
    [difference] = report["differences"]
    assert (difference["kind"], difference["hunter_id"], difference["hunt_id"]) == (
        "row_missing_events", lost["hunter_id"], lost["hunt_id"])
    assert "seq 3:" in difference["detail"]
    pipeline.put([lost])
    pipeline.once()
    assert reconcile(pipeline)[0] == 0
    pipeline.sql("UPDATE hunt_session SET loot_count = loot_count + 1 WHERE hunter_id = 'h1'")
    pipeline.sql("DELETE FROM hunt_session WHERE hunter_id = 'h2'")
    code, report = reconcile(pipeline)
    assert code == 1 and kinds(report) == ["row_count", "row_missing"]
    pipeline.redis.call("FLUSHALL")
    assert "row_ahead" in kinds(reconcile(pipeline)[1])


def test_with_kafka_topic_outbox_and_table_must_agree(kafka_pipeline):
    events = make_events(24, 1500)
    give(kafka_pipeline, events)
    kafka_pipeline.put(events[:1400] + events[:50])
    kafka_pipeline.once()
    code, report = reconcile(kafka_pipeline)
    assert code == 1 and "event_missing" in kinds(report)
    topic, kafka_pipeline.kafka = kafka_pipeline.kafka, None
    kafka_pipeline.put(events[1400:])  # committed, and not emitted yet
    kafka_pipeline.kafka = topic
    code, report = reconcile(kafka_pipeline)
    assert (code, report["waiting"], report["outbox_events"]) == (0, 100, 100), report
    assert (report["kafka_records"], report["kafka_events"]) == (1450, 1400)
    assert reconcile(kafka_pipeline, "--wait", "1")[0] == 1
    kafka_pipeline.put(events[1400:])
    kafka_pipeline.redis.call("EVAL", "for i = 0, 1023 do redis.call('DEL', 'outbox:{b' .. i .. '}') end", 0)
    code, report = reconcile(kafka_pipeline)
    assert code == 1 and set(kinds(report)) <= {"row_missing", "row_missing_events"}
    kafka_pipeline.once()
    code, report = reconcile(kafka_pipeline)
    assert (code, report["settled"]) == (0, True)
    impostor = {**events[0], "event_id": "f" * 32}
    kafka_pipeline.put([impostor, {**events[1], "hunter_id": "h39"}])
    code, report = reconcile(kafka_pipeline)
    assert code == 1 and {"seq_shared", "event_id_shared"} <= set(kinds(report))
    kafka_pipeline.put_texts([("h", "poison")])
    assert unreadable(reconcile(kafka_pipeline)[1]) == 1
    # Well formed, but beyond the table's range: the aggregator dead-letters it too.
    kafka_pipeline.put([{**events[0], "seq": 2**63}])
    assert unreadable(reconcile(kafka_pipeline)[1]) == 2


def test_events_of_expired_rows_are_skipped_and_a_hole_is_reported(pipeline):
    def events_of(hunter_id, seqs, days_ago):
        first_ms = int(time.time() * 1000) - days_ago * 86_400_000
        return [{"event_id": f"{int(hunter_id[1:]):016x}{seq:016x}", "hunter_id": hunter_id, "hunt_id": "chest", "loot_id": "coin",
                 "seq": seq, "timestamp": first_ms + seq, "bundle": "a" * 32} for seq in seqs]
    old = events_of("h1", range(1, 6), 40) + events_of("h2", range(1, 4), 40)
    recent = events_of("h1", range(6, 11), 1)
    [lost] = [event for event in recent if event["seq"] == 8]
    give(pipeline, old + recent)
    pipeline.put(old)
    pipeline.once()
    pipeline.let_all_rows_go(retention_days=30)
    pipeline.put([event for event in recent if event is not lost])
    pipeline.once()
    code, report = reconcile(pipeline)
    assert (code, report["forgotten"], report["differences_total"]) == (1, 2, 1)
    [difference] = report["differences"]
    assert (difference["kind"], difference["hunter_id"]) == ("row_missing_events", "h1")
    assert "seq 8:" in difference["detail"]
    pipeline.put([lost])
    pipeline.once()
    code, report = reconcile(pipeline)
    assert (code, report["settled"], report["forgotten"]) == (0, True, 2)


def test_wait_returns_when_the_pipeline_is_idle(pipeline):
    events = make_events(25, 600)
    pipeline.once()
    give(pipeline, events)
    pipeline.put(events)
    starter = threading.Timer(1.0, pipeline.start)
    starter.start()
    code, report = reconcile(pipeline, "--wait", "60")
    starter.join()
    assert (code, report["settled"], report["row_loot"]) == (0, True, 600)


def test_supplies_are_compared_with_what_hunters_hold(pipeline):
    events = make_events(26, 100)
    pipeline.once()
    give(pipeline, events)
    pipeline.put(events)
    pipeline.once()
    event = events[0]
    name = f"{event['hunt_id']}:{event['loot_id']}"
    pipeline.redis.call("SADD", "supplies", name)
    pipeline.redis.call("HSET", f"supply:{{{name}}}", event["event_id"], "given", "e" * 32, "pending r h k")
    code, report = reconcile(pipeline)
    assert (code, report["supplies"], report["supply_pending"]) == (0, 1, 1)
    pipeline.redis.call("HSET", f"supply:{{{name}}}", *[word for i in range(200) for word in (f"{i:032x}", "given")])
    code, report = reconcile(pipeline)
    assert code == 1 and kinds(report) == ["supply_over"]


def test_the_default_output_is_text_and_wrong_usage_is_2(pipeline):
    path, _ = pipeline.config()

    def run(*words):
        return subprocess.run([huntctl_program(), "-c", str(path), "reconcile", *words], capture_output=True, text=True)
    rejected = run()
    assert rejected.returncode == 1 and "start hunt-aggregator" in rejected.stderr
    pipeline.once()
    assert run().stdout.splitlines()[-1] == "agrees"
    assert run("--wait", "soon").returncode == 2
    assert run("--nonsense").returncode == 2
