# SPDX-License-Identifier: Apache-2.0
"""`huntctl reconcile` as cron runs it: in bounded memory, on a live system, for one hunter or hunt, and with an exit code of its own
for a store that cannot be reached."""
import asyncio
import json
import os
import random
import subprocess
import threading

import pytest

from aggregator_pipeline import Pipeline, huntctl_program, wait_for
from load import Request, play
from loot_events import make_events, text
from test_huntctl_reconcile import BUCKETS, SOON, generation, give, held_key, kinds, reconcile

LIST_ALL = ("--list", "100000")
KINDS = ["event_id_shared", "event_loot", "event_missing", "held_seq", "lost_by_redis", "row_count", "row_loot", "row_missing",
         "row_missing_events", "seq_shared", "supply_event", "supply_lost", "supply_over", "unreadable"]  # docs/aggregator.md


@pytest.fixture
def kafka_pipeline(tmp_path, postgres, kafka):
    made = Pipeline(tmp_path, postgres, kafka=kafka.bootstrap)
    yield made
    made.stop()


def run(pipeline, *options, env=None):
    path, _ = pipeline.config()
    return subprocess.run([huntctl_program(), "-c", str(path), "reconcile", "--json", *options], capture_output=True, text=True,
                          timeout=180, env={**os.environ, **(env or {})})


def differ_in_every_way(pipeline):
    """Makes stores with each of KINDS."""
    events = make_events(31, 3000)
    give(pipeline, events)
    by_hunter = {}
    for event in events:
        by_hunter.setdefault(event["hunter_id"], []).append(event)
    chosen = sorted(hunter for hunter, of in by_hunter.items() if len(of) > 20)[:9]
    firsts = {hunter: next(event for event in by_hunter[hunter] if event["seq"] == 1) for hunter in chosen}
    missing = by_hunter[chosen[0]][5]
    emitted = [event for event in events if event is not missing]
    pipeline.put(emitted)
    pipeline.put(emitted[:200])  # twice
    pipeline.put([{**firsts[chosen[1]], "event_id": "f" * 32}, {**firsts[chosen[2]], "hunter_id": "unknown"}])
    pipeline.put_texts([("h", "poison"), ("h0", "{}")])
    pipeline.once()
    pipeline.put_texts([("h", "more poison")])
    pipeline.redis.call("HINCRBY", held_key(firsts[chosen[3]]), "loot-0", 1)
    pipeline.redis.call("DEL", held_key(firsts[chosen[4]]))
    pipeline.redis.call("HSET", held_key(firsts[chosen[7]]), "loot-1", "many")
    pipeline.sql(f"UPDATE hunt_session SET loot_count = loot_count + 1 WHERE hunter_id = '{chosen[5]}'")
    pipeline.sql(f"DELETE FROM hunt_session WHERE hunter_id = '{chosen[6]}'")
    pipeline.sql("UPDATE hunt_session SET loot = jsonb_build_object('relic', loot_count) "
                 f"WHERE hunter_id = '{chosen[8]}'")
    pipeline.redis.call("SADD", "supplies:{hunt.0}", "loot-0", "relic")
    pipeline.redis.call("HSET", "supply:{hunt.0:loot-0}", "e" * 32, "given", "d" * 32, "pending r h k", "short", "given")
    pipeline.redis.call("HSET", "supply:{hunt.0:relic}", "c" * 32, "given", "b" * 32, "given")
    pipeline.sql("INSERT INTO hunt_supply VALUES ('hunt.1', 'loot-1', 7)")


@pytest.mark.kafka
def test_many_groups_give_the_report_of_one_byte_by_byte(kafka_pipeline):
    differ_in_every_way(kafka_pipeline)
    whole = run(kafka_pipeline, *LIST_ALL, *SOON, "--memory", "4G")
    assert whole.returncode == 1, whole.stderr
    report = json.loads(whole.stdout)
    assert kinds(report) == KINDS
    assert report["set_aside"] == 2 and {found["position"].split()[0] for found in report["dead_lettered"]} == {"partition"}
    assert len(report["differences"]) == report["differences_total"]
    # The first waits for merges, with the sessions of all groups together.
    for options in (("--groups", "1024"), ("--groups", "37", "--memory", "128M", *SOON)):
        parts = run(kafka_pipeline, *LIST_ALL, *options)
        assert parts.stdout == whole.stdout, options
    first = json.loads(run(kafka_pipeline, "--list", "3", "--groups", "1024", *SOON).stdout)
    assert (first["differences"], first["differences_total"]) == (report["differences"][:3], report["differences_total"])


@pytest.mark.kafka
@pytest.mark.long(reason="half a minute of load, five times")
def test_a_live_system_agrees_five_times_in_a_row(own_stack):
    stack = own_stack(kafka=True, aggregator=True, settings={"kafka.sweep_after_s": 3, "aggregator.interval_s": 2}).start()
    drawn = random.Random(20261202)
    stop = threading.Event()
    played = []

    def hunt():
        while not stop.is_set():
            requests = [Request(drawn.choice(["gold", "pair", "mixed", "scarce"]), f"hunter-{drawn.randrange(200)}")
                        for _ in range(500)]
            played.append(asyncio.run(play(stack.http, requests, hunter_clients=8, proxy_connections=2)))

    hunters = threading.Thread(target=hunt)
    hunters.start()
    try:
        wait_for(lambda: stack.postgres.sql("SELECT 1 FROM hunt_session LIMIT 1"), "the first rows")
        reports = []
        for number in range(5):
            done = subprocess.run([huntctl_program(), "-c", str(stack.config), "reconcile", "--json", "--groups", str(1 + 20 * number)],
                                  capture_output=True, text=True, timeout=180)
            assert done.returncode == 0, done.stdout + done.stderr
            reports.append(json.loads(done.stdout))
    finally:
        stop.set()
        hunters.join()
    assert len({report["held_loot"] for report in reports}) == 5, "hunters played meanwhile"
    assert sum(results.statuses[200] for results in played) > 0


def test_a_record_of_the_outbox_that_is_no_event_agrees_once_it_is_a_dead_letter(pipeline):
    events = make_events(32, 200)
    pipeline.once()
    give(pipeline, events)
    pipeline.put(events)
    pipeline.put_texts([("h1", "poison")])
    code, report = reconcile(pipeline, *SOON)
    assert (code, kinds(report)) == (1, ["unreadable"])
    assert report["differences"][0]["detail"].startswith(f"outbox:{{b{pipeline.bucket_of('h1')}}} ")
    pipeline.start()
    code, report = reconcile(pipeline, interval_s=9)  # up to 15 s until the entry is a dead letter
    assert (code, report["differences"]) == (0, [])


@pytest.mark.kafka
def test_a_poisoned_topic_agrees_as_long_as_the_aggregator_runs(kafka_pipeline):
    pipeline = kafka_pipeline
    events = make_events(33, 300)
    give(pipeline, events)
    pipeline.put(events)
    aggregator = pipeline.start()
    wait_for(lambda: "partitions assigned" in aggregator.log.read_text(), "its partitions")
    pipeline.put_texts([("h", "poison"), ("h0", text({**events[0], "kind": "gift"})), ("h1", "[]")])
    wait_for(lambda: len(pipeline.dead_records()) == 3, "the dead letters")
    code, report = reconcile(pipeline, "--wait", "60")
    assert (code, report["settled"], report["set_aside"], len(report["dead_lettered"])) == (0, True, 3, 3)
    assert all(found["position"].startswith("partition ") and found["reason"] for found in report["dead_lettered"])


@pytest.mark.kafka
def test_one_hunter_or_one_hunt_is_compared_alone(kafka_pipeline):
    pipeline = kafka_pipeline
    events = (generation(1, "h1", 3) + generation(1, "h2", 4) +
              [{**event, "hunt_id": "other", "event_id": f"{99:032x}"[:31] + str(event["seq"])} for event in generation(1, "h2", 2)])
    give(pipeline, events)
    pipeline.put(events)
    pipeline.put_texts([("h", "poison")])
    pipeline.once()
    pipeline.sql("UPDATE hunt_session SET loot_count = 9 WHERE hunter_id = 'h2' AND hunt_id = 'chest'")
    assert reconcile(pipeline)[0] == 1
    for options, code, sessions, loot in ((("--hunter", "h1"), 0, 1, 3), (("--hunter", "h2"), 1, 2, 6), (("--hunt", "chest"), 1, 2, 7),
                                          (("--hunt", "other"), 0, 1, 2), (("--hunter", "h2", "--hunt", "other"), 0, 1, 2),
                                          (("--hunter", "h2", "--hunt", "chest"), 1, 1, 4), (("--hunter", "h39"), 0, 0, 0)):
        found, report = reconcile(pipeline, *options)
        assert (found, report["sessions"], report["held_loot"], report["kafka_events"]) == (code, sessions, loot, loot), options
        assert report["row_loot"] == loot and report["set_aside"] == 0
        assert kinds(report) == (["row_count"] if code else [])
    # What only one store has of the hunter is found too.
    pipeline.redis.call("DEL", held_key(events[0]))
    assert kinds(reconcile(pipeline, "--hunter", "h1")[1]) == ["lost_by_redis"]
    for wrong in (("--hunter", "a b"), ("--hunt", "x:y"), ("--hunter", "*")):
        assert run(pipeline, *wrong).returncode == 2, wrong


def test_the_outbox_of_the_hunter_is_read_and_no_other(pipeline):
    events = generation(1, "h1", 3) + generation(1, "h2", 4)
    pipeline.once()
    give(pipeline, events)
    pipeline.bucket_of = lambda hunter: BUCKETS[int(hunter[1:])]  # as huntd has it
    pipeline.put(events)
    code, report = reconcile(pipeline, "--hunter", "h2")
    assert (code, report["waiting"], report["outbox_events"], report["sessions"]) == (0, 4, 4, 1)
    assert reconcile(pipeline)[1]["waiting"] == 7


def test_the_temporary_file_has_no_name_and_is_bounded_by_its_disk(pipeline, tmp_path):
    """With the least memory a bucket's records are written from 4 KiB on; h0 to h39 have more."""
    events = make_events(34, 3000)
    give(pipeline, events)
    pipeline.put(events)
    pipeline.once()
    pipeline.put(events)
    folder = tmp_path / "temporary"
    folder.mkdir()
    done = run(pipeline, "--memory", "128M", env={"TMPDIR": str(folder)})
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    done = run(pipeline, "--memory", "128M", env={"TMPDIR": str(tmp_path / "none")})
    assert done.returncode == 3
    assert "temporary file" in done.stderr and "TMPDIR" in done.stderr
    assert json.loads(done.stdout)["exit_code"] == 3
    # With more memory there is nothing to write.
    assert run(pipeline, "--memory", "2G", env={"TMPDIR": str(tmp_path / "none")}).returncode == 0


def test_too_little_memory_and_stores_that_are_unavailable_are_not_differences(pipeline):
    pipeline.once()
    for wrong in ("127M", "0", "much", "-1", "12Q", "1.5G"):
        done = run(pipeline, "--memory", wrong)
        assert done.returncode == 2 and "--memory" in done.stderr, wrong
    assert run(pipeline, "--memory", "128M").returncode == 0
    pipeline.redis.kill()
    done = run(pipeline)
    assert done.returncode == 3 and json.loads(done.stdout)["exit_code"] == 3, done.stdout
    pipeline.redis.start()
    assert run(pipeline).returncode == 0
    working, pipeline.postgres_port = pipeline.postgres_port, 1
    assert run(pipeline).returncode == 3
    pipeline.postgres_port, pipeline.kafka = working, "127.0.0.1:1"
    done = run(pipeline, "--timeout", "3")
    assert done.returncode == 3 and "kafka" in done.stderr, done.stderr


def test_the_rows_of_a_page_may_be_large(pipeline):
    """A row whose text is longer than a block of the temporary file."""
    events = [{**event, "loot_id": f"loot-{event['seq']:04d}-{'x' * 40}"} for event in generation(1, "h1", 1000)]
    give(pipeline, events)
    pipeline.put(events)
    pipeline.once()
    code, report = reconcile(pipeline, "--memory", "128M")
    assert (code, report["held_loot"], report["row_loot"]) == (0, 1000, 1000)
