# SPDX-License-Identifier: Apache-2.0
"""`huntctl reconcile` on stores written by hand: it reports agreement, or each difference."""
import json
import signal
import subprocess
import threading
import time
from collections import Counter, defaultdict

import pytest

from aggregator_pipeline import Pipeline, huntctl_program, wait_for
from loot_events import make_events, text

# Buckets of h0 to h39: XXH3-64 of the hunter_id, mod 1024 (docs/formats/redis.md).
BUCKETS = [91, 909, 217, 726, 907, 232, 912, 93, 753, 418, 837, 544, 664, 691, 823, 166, 1014, 899, 356, 278, 739, 614,
           889, 347, 30, 24, 156, 769, 208, 1021, 407, 807, 21, 401, 1010, 22, 284, 118, 800, 888]


@pytest.fixture
def kafka_pipeline(tmp_path, postgres, kafka):
    made = Pipeline(tmp_path, postgres, kafka=kafka.bootstrap)
    yield made
    made.stop()


SOON = ("--wait", "1")  # does not wait for merges as a run without --wait does (7 s here)
GENERATIONS = ["0193a1b2c3d40001", "0193a1b2c3d40002", "0193a1b2c3d40003"]
LINEAGE = "00000000000000aa"


def held_key(event):
    bucket = BUCKETS[int(event["hunter_id"][1:])]
    return f"held:{{b{bucket}}}:{event['hunter_id']}:{event['hunt_id']}"


def fields_of(events):
    """The fields of one hash `held` after these awards (docs/formats/redis.md). An event without `gen` is of an older huntd."""
    fields = Counter(event["loot_id"] for event in events)
    reached = defaultdict(int)
    for event in events:
        reached[event.get("gen", "0" * 16)] += 1
    present = max(reached)
    if present != "0" * 16:
        fields["#gen"] = f"{present} {LINEAGE}"
    fields["#seq"] = reached.pop(present)
    fields.update({f"#was:{generation}": seq for generation, seq in reached.items()})
    if reached:
        fields["#before"] = sum(reached.values())
    return fields


def give(pipeline, events):
    """What the commit script leaves in Redis."""
    held = defaultdict(list)
    for event in events:
        held[held_key(event)].append(event)
    with pipeline.redis.client() as redis:
        for key, of_hash in held.items():
            redis.call("HSET", key, *[word for item in fields_of(of_hash).items() for word in item])


def generation(number, hunter_id, count, loot_id="coin", first_seq=1):
    """`count` awards of one generation; 0 is an older huntd's."""
    return [{"event_id": f"{int(hunter_id[1:]):08x}{number:08x}{seq:016x}", "hunter_id": hunter_id, "hunt_id": "chest",
             "loot_id": loot_id, "seq": seq, **({"gen": GENERATIONS[number - 1]} if number else {}),
             "timestamp": 1_764_000_000_000 + 1000 * number + seq, "bundle": "a" * 32}
            for seq in range(first_seq, first_seq + count)]


def lost_in(report):
    """{(hunter, generation): (seqs, loot)} of what Redis has lost; an AssertionError if anything else differs."""
    assert {difference["kind"] for difference in report["differences"]} <= {"lost_by_redis"}, report["differences"]
    return {(found["hunter_id"], found["generation"]): (found["seqs"], found["loot"]) for found in report["differences"]}


def reconcile(pipeline, *options, interval_s=1):
    """`interval_s`: that of the aggregators, for which it waits between its readings."""
    path, _ = pipeline.config()
    path.write_text(path.read_text().replace("interval_s = 1\n", f"interval_s = {interval_s}\n"))
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
    assert "lost_by_redis" in kinds(reconcile(pipeline)[1])


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
    assert reconcile(kafka_pipeline, *SOON)[0] == 1
    kafka_pipeline.put(events[1400:])
    kafka_pipeline.redis.call("EVAL", "for i = 0, 1023 do redis.call('DEL', 'outbox:{b' .. i .. '}') end", 0)
    code, report = reconcile(kafka_pipeline, *SOON)
    assert code == 1 and set(kinds(report)) <= {"row_missing", "row_missing_events"}
    kafka_pipeline.once()
    code, report = reconcile(kafka_pipeline)
    assert (code, report["settled"]) == (0, True)
    impostor = {**events[0], "event_id": "f" * 32}
    kafka_pipeline.put([impostor, {**events[1], "hunter_id": "h39"}])
    code, report = reconcile(kafka_pipeline)
    assert code == 1 and {"seq_shared", "event_id_shared"} <= set(kinds(report))


def test_an_unreadable_record_is_no_difference_once_it_is_a_dead_letter(kafka_pipeline):
    events = make_events(27, 200)
    give(kafka_pipeline, events)
    kafka_pipeline.put(events)
    kafka_pipeline.once()
    # The second is well formed, but beyond the table's range; the third is of a later huntd.
    kafka_pipeline.put_texts([("h", "poison"), ("h0", text({**events[0], "seq": 2**63})), ("h0", text({**events[0], "kind": "gift"}))])
    code, report = reconcile(kafka_pipeline)  # waits for dead letters
    assert (code, unreadable(report), report["set_aside"]) == (1, 3, 0)
    kafka_pipeline.once()
    code, report = reconcile(kafka_pipeline)
    assert (code, report["differences"], report["set_aside"], report["settled"]) == (0, [], 3, True)
    kafka_pipeline.put_texts([("h", "more poison")])
    assert unreadable(reconcile(kafka_pipeline, *SOON)[1]) == 1


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


def test_generations_agree_and_a_hole_in_an_earlier_one_is_reported(pipeline):
    events = generation(0, "h1", 3) + generation(1, "h1", 4) + generation(2, "h1", 2) + generation(1, "h2", 5) + generation(0, "h3", 2)
    give(pipeline, events)
    [lost] = [event for event in events if event.get("gen") == GENERATIONS[0] and event["hunter_id"] == "h1" and event["seq"] == 2]
    pipeline.put([event for event in events if event is not lost])
    pipeline.once()
    code, report = reconcile(pipeline)
    [difference] = report["differences"]
    assert (code, difference["kind"], difference["hunter_id"], report["lost"]) == (1, "row_missing_events", "h1", 0)
    assert f"seq 2 of generation {GENERATIONS[0]}:" in difference["detail"]
    pipeline.put([lost])
    pipeline.once()
    code, report = reconcile(pipeline)
    assert (code, report["settled"], report["held_loot"], report["row_loot"]) == (0, True, 16, 16)
    # A field of a later huntd is not loot; what is not a generation is not read.
    pipeline.redis.call("HSET", held_key(lost), "#later", "x y")
    assert reconcile(pipeline)[0] == 0
    pipeline.redis.call("HSET", held_key(lost), "#was:now", "3")
    assert kinds(reconcile(pipeline)[1]) == ["unreadable"]


def lose(pipeline):
    """Redis loses some awards of h1 to h5, in each way that the documents name; returns what reconcile must say."""
    with pipeline.redis.client() as redis:
        def key(number):
            return held_key({"hunter_id": f"h{number}", "hunt_id": "chest"})
        # Rewound by two, the second of another loot.
        redis.call("HINCRBY", key(1), "coin", -1)
        redis.call("HDEL", key(1), "gem")
        redis.call("HINCRBY", key(1), "#seq", -2)
        # Deleted.
        redis.call("DEL", key(2))
        # Deleted, and then a new generation has started.
        redis.call("DEL", key(3))
        redis.call("HSET", key(3), *[word for item in fields_of(generation(3, "h3", 1)).items() for word in item])
        # Lost in the middle: the second of three generations.
        redis.call("HDEL", key(4), f"#was:{GENERATIONS[1]}")
        redis.call("HINCRBY", key(4), "#before", -2)
        redis.call("HINCRBY", key(4), "coin", -2)
        # Of an older huntd.
        redis.call("HINCRBY", key(5), "coin", -1)
        redis.call("HINCRBY", key(5), "#seq", -1)
    return {("h1", GENERATIONS[0]): ("4 to 5", {"coin": 1, "gem": 1}), ("h2", GENERATIONS[0]): ("1 to 2", {"coin": 2}),
            ("h3", GENERATIONS[1]): ("1 to 3", {"coin": 3}), ("h4", GENERATIONS[1]): ("1 to 2", {"coin": 2}),
            ("h5", "0" * 16): ("3", {"coin": 1})}


@pytest.mark.parametrize("with_kafka", [False, True])
def test_what_redis_has_lost_is_named_exactly(request, with_kafka):
    pipeline = request.getfixturevalue("kafka_pipeline" if with_kafka else "pipeline")
    before = (generation(1, "h1", 4) + generation(1, "h1", 1, "gem", first_seq=5) + generation(1, "h2", 2) + generation(2, "h3", 3) +
              generation(1, "h4", 1) + generation(2, "h4", 2) + generation(3, "h4", 1) + generation(0, "h5", 3) + generation(1, "h6", 9))
    give(pipeline, before)
    pipeline.put(before)
    pipeline.once()
    code, report = reconcile(pipeline)
    assert (code, report["settled"], report["lost"]) == (0, True, 0)
    expected = lose(pipeline)
    pipeline.put(generation(3, "h3", 1))
    pipeline.once()
    code, report = reconcile(pipeline)
    assert (code, report["lost"], lost_in(report)) == (1, 10, expected)
    path, _ = pipeline.config()
    printed = subprocess.run([huntctl_program(), "-c", str(path), "reconcile"], capture_output=True, text=True).stdout
    assert f"lost_by_redis hunter h1 hunt chest: Redis has lost seq 4 to 5 of generation {GENERATIONS[0]}: 1 coin, 1 gem;" in printed
    assert "lost        10 loot by Redis" in printed


def test_restored_loot_is_not_lost_any_more(pipeline):
    """What huntctl restore leaves in Redis: `#before`, `#was:…`, and no `#gen` if the present generation has lost seqs."""
    events = generation(1, "h1", 2) + generation(2, "h1", 3)
    pipeline.put(events)
    pipeline.once()
    code, report = reconcile(pipeline)
    assert (code, set(lost_in(report))) == (1, {("h1", GENERATIONS[0]), ("h1", GENERATIONS[1])})
    pipeline.redis.call("HSET", held_key(events[0]), "coin", 5, "#before", 5, f"#was:{GENERATIONS[0]}", 2, f"#was:{GENERATIONS[1]}", 3)
    code, report = reconcile(pipeline)
    assert (code, report["settled"], report["lost"]) == (0, True, 0), report
    # The next award begins a generation.
    pipeline.redis.call("HSET", held_key(events[0]), "coin", 6, "#gen", f"{GENERATIONS[2]} {LINEAGE}", "#seq", 1)
    pipeline.put(generation(3, "h1", 1))
    pipeline.once()
    assert reconcile(pipeline)[0] == 0


def test_purged_seasons_and_deleted_hunters_are_not_compared(kafka_pipeline):
    pipeline = kafka_pipeline
    events = generation(1, "h1", 3) + generation(1, "h2", 2) + [{**event, "hunt_id": "other"} for event in generation(1, "h3", 4)]
    give(pipeline, events)
    pipeline.put(events)
    pipeline.once()
    assert reconcile(pipeline)[0] == 0
    floor = int(GENERATIONS[0], 16)
    pipeline.sql(f"INSERT INTO hunt_floor VALUES ('chest', {floor}); DELETE FROM hunt_session WHERE hunt_id = 'chest'")
    # The rows are gone, and Redis still has the season: the purge is under way.
    code, report = reconcile(pipeline)
    assert (code, report["differences"], report["purged_events"]) == (0, [], 5)
    pipeline.redis.call("DEL", *[held_key(event) for event in events[:5]])
    assert reconcile(pipeline)[0] == 0
    # The next season is compared.
    pipeline.put(generation(2, "h1", 1))
    pipeline.once()
    assert lost_in(reconcile(pipeline)[1]) == {("h1", GENERATIONS[1]): ("1", {"coin": 1})}
    give(pipeline, generation(2, "h1", 1))
    code, report = reconcile(pipeline)
    assert (code, report["settled"]) == (0, True)
    pipeline.redis.call("DEL", held_key(events[-1]))
    pipeline.sql("DELETE FROM hunt_session WHERE hunter_id = 'h3'")
    assert set(kinds(reconcile(pipeline, *SOON)[1])) == {"row_missing", "lost_by_redis"}
    pipeline.sql(f"INSERT INTO hunter_floor VALUES (encode(sha256('h3'), 'hex'), {floor})")
    code, report = reconcile(pipeline)
    assert (code, report["differences"], report["purged_events"]) == (0, [], 9)


def test_events_on_their_way_through_kafka_are_not_differences(kafka_pipeline):
    """A session that differs is read again: what Kafka has and the table has not is merged meanwhile."""
    events = make_events(28, 3000)
    give(kafka_pipeline, events)
    kafka_pipeline.put(events[:2000])
    kafka_pipeline.once()
    aggregator = kafka_pipeline.start()
    wait_for(lambda: "partitions assigned" in aggregator.log.read_text(), "its partitions")
    aggregator.send_signal(signal.SIGSTOP)
    kafka_pipeline.put(events[2000:])
    code, report = reconcile(kafka_pipeline, *SOON)
    assert code == 1 and set(kinds(report)) <= {"row_missing", "row_missing_events"}
    goes_on = threading.Timer(1.0, aggregator.send_signal, [signal.SIGCONT])
    goes_on.start()
    code, report = reconcile(kafka_pipeline, interval_s=9)  # a busy aggregator has three times 5 s
    goes_on.join()
    assert (code, report["differences"]) == (0, [])


def test_supplies_are_compared_with_what_hunters_hold_and_the_table_has_counted(pipeline):
    events = [{**event, "supply": True} for event in generation(1, "h1", 3)] + generation(1, "h2", 3)
    pipeline.once()
    give(pipeline, events)
    pipeline.put(events)
    pipeline.once()
    supply = "supply:{chest:coin}"
    # Deleted, or lost: the table has counted three units.
    assert kinds(reconcile(pipeline)[1]) == ["supply_lost"]
    pipeline.redis.call("SADD", "supplies:{chest}", "coin")
    ids = [event["event_id"] for event in events]
    pipeline.redis.call("HSET", supply, ids[0], "given", ids[1], "settling r h k", ids[2], "pending r h k", "#later", "x")
    code, report = reconcile(pipeline)
    assert (code, report["supplies"], report["supply_pending"]) == (0, 1, 2), report
    pipeline.redis.call("HDEL", supply, ids[1])
    assert kinds(reconcile(pipeline)[1]) == ["supply_lost"]
    pipeline.redis.call("HSET", supply, "#before", 1)  # restored
    assert reconcile(pipeline)[0] == 0
    # The set of an older huntd, and its state of a unit.
    pipeline.redis.call("DEL", "supplies:{chest}")
    pipeline.redis.call("SADD", "supplies", "chest:coin", "chest:relic")
    pipeline.redis.call("HSET", "supply:{chest:relic}", "e" * 32, "retaken r h k")
    code, report = reconcile(pipeline)
    assert (code, report["supplies"], report["supply_pending"]) == (0, 2, 2), report
    pipeline.redis.call("HSET", supply, *[word for i in range(200) for word in (f"{i:032x}", "given")])
    code, report = reconcile(pipeline)
    assert code == 1 and kinds(report) == ["supply_over"]
    pipeline.redis.call("HSET", supply, ids[0], "spent")
    assert "unreadable" in kinds(reconcile(pipeline)[1])


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
