# SPDX-License-Identifier: Apache-2.0
"""huntctl restore: after Redis lost data, it gets back what the table has counted, however the loss came about."""
import json
import threading

import pytest

from client import held, run_hunt
from harness.process import wait_until
from huntctl_runs import (LINEAGE, SHORT, SavedRows, awards, done, everything_in, generation, give, held_fields, held_key, points_of, run,
                          run_and_kill, without_asan)


def count(pipeline, events) -> None:
    pipeline.put(events)
    pipeline.once()


def held_hashes(pipeline) -> dict:
    with pipeline.redis.client() as redis:
        return {key: value for key, value in everything_in(redis).items() if key.startswith("held:")}


def assert_restored(pipeline, events) -> None:
    """What each hunter holds is the loot of `events`, and the rest of the hash adds up."""
    loot = {}
    for event in events:
        of_hash = loot.setdefault(held_key(event["hunter_id"], event["hunt_id"]), {})
        of_hash[event["loot_id"]] = of_hash.get(event["loot_id"], 0) + 1
    hashes = held_hashes(pipeline)
    assert {key: {name: int(value) for name, value in fields.items() if name[0] != "#"} for key, fields in hashes.items()} == loot
    for key, fields in hashes.items():
        assert sum(loot[key].values()) == int(fields["#seq"]) + int(fields.get("#before", 0)), key


def test_after_a_flushall_the_hunters_have_their_loot_again(own_stack):
    stack = own_stack(aggregator=True, settings=SHORT).start()

    def play(hunt, hunter):
        wait_until(lambda: run_hunt(stack.http, hunt, hunter).status == 200, 30, f"{hunt} to run for {hunter}", 0.1)
    for hunter in ("ann", "bob", "cyd"):
        for hunt in ("gold", "pair", "gold", "scarce"):
            play(hunt, hunter)
    wait_until(lambda: stack.outbox_length() == 0, 30, "the events to be merged", 0.1)
    done(stack.config, "reconcile", "--wait", "30")
    assert done(stack.config, "restore") == "nothing to restore\n"
    stack.redis.call("FLUSHALL")
    play("gold", "ann")
    assert held(stack.http, "gold", "ann") == {"gold": 1}
    wait_until(lambda: stack.outbox_length() == 0, 30, "the new event to be merged", 0.1)
    assert run(stack.config, "reconcile").returncode == 1
    report = json.loads(done(stack.config, "restore", "--yes", "--wait", "30", "--json"))
    assert (report["restored"], report["sessions"], report["loot"], report["units"]) == (True, 9, 15, 3)
    assert held(stack.http, "gold", "ann") == {"gold": 3}
    assert held(stack.http, "pair", "bob") == {"shield": 1, "sword": 1}
    done(stack.config, "reconcile", "--wait", "30")
    [supply] = json.loads(done(stack.config, "supplies", "--json"))["supplies"]
    assert supply["given"] == 3
    hashes = {key: value for key, value in everything_in(stack.redis.client()).items() if key.startswith(("held:", "supply"))}
    assert done(stack.config, "restore", "--yes") == "nothing to restore\n"
    assert {key: value for key, value in everything_in(stack.redis.client()).items() if key.startswith(("held:", "supply"))} == hashes
    for hunter in ("ann", "bob", "cyd"):
        play("gold", hunter)
        play("scarce", hunter)
    done(stack.config, "reconcile", "--wait", "30")
    assert held(stack.http, "gold", "cyd") == {"gold": 3}
    wait_until(lambda: json.loads(done(stack.config, "supplies", "--json"))["supplies"][0]["given"] == 6, 90, "the units to be settled", 0.2)


BEFORE = [*awards("h0", "chest", "coin coin gem"), *awards("h1", "chest", "coin coin coin"), *awards("h2", "cave", "bat", supply=True),
          *awards("h3", "chest", "coin")]
SINCE = [*awards("h1", "chest", "gem", number=2), *awards("h4", "chest", "coin", number=2)]


def lose_and_play_on(pipeline, rows: SavedRows | None = None) -> SavedRows:
    """Redis lost BEFORE, and rewound h3, and has SINCE; the table has counted all."""
    h3 = [*BEFORE[-1:], *awards("h3", "chest", "gem coin", first_seq=2)]
    if rows:
        rows.put_back()
    else:
        count(pipeline, [*BEFORE, *h3[1:], *SINCE])
        pipeline.sql("INSERT INTO hunt_floor VALUES ('old', 77), ('chest', 5)")
        rows = SavedRows(pipeline)
    with pipeline.redis.client() as redis:
        redis.call("FLUSHALL")
        redis.call("HSET", "hunts", "old", f"closed {'0' * 16} 1234")
        give(redis, [*SINCE, *h3[:1]])
    return rows


ALL = [*BEFORE, *awards("h3", "chest", "gem coin", first_seq=2), *SINCE]


def assert_all_is_restored(pipeline) -> None:
    assert_restored(pipeline, ALL)
    hashes = held_hashes(pipeline)
    assert hashes[held_key("h0", "chest")] == {"coin": "2", "gem": "1", "#seq": "0", "#before": "3", f"#was:{generation(1)}": "3"}
    assert hashes[held_key("h1", "chest")] == {"coin": "3", "gem": "1", "#seq": "1", "#gen": f"{generation(2)} {LINEAGE}", "#before": "3",
                                               f"#was:{generation(1)}": "3"}
    # Rewound in its generation: no seq of it may come again, so the generation is over.
    assert hashes[held_key("h3", "chest")] == {"coin": "2", "gem": "1", "#seq": "0", "#before": "3", f"#was:{generation(1)}": "3"}
    assert hashes[held_key("h4", "chest")] == held_fields(SINCE[1:])
    with pipeline.redis.client() as redis:
        assert redis.hash("hunts") == {"old": f"closed {77:016x} 1234", "chest": f"open {5:016x}"}
        assert redis.hash("supply:{cave:bat}") == {"#before": "1"}
        assert redis.call("SMEMBERS", "supplies:{cave}") == ["bat"]


@pytest.mark.long(reason="a minute: a run per point")
@without_asan
def test_a_restore_that_is_killed_at_any_point_is_finished_by_a_second_run(tmp_path, pipeline):
    rows = lose_and_play_on(pipeline)
    config, _ = pipeline.config()
    words = ("restore", "--yes")
    points = points_of(config, tmp_path / "trace", *words)
    assert_all_is_restored(pipeline)
    for call in ("EVALSHA", "SADD", "BEGIN", "SELECT s.hunter_id", "COMMIT"):
        assert any(point.startswith(call) for point in points), (call, points)
    for point in points:
        lose_and_play_on(pipeline, rows)
        run_and_kill(config, point, *words)
        done(config, *words)
        assert_all_is_restored(pipeline)
        assert done(config, *words) == "nothing to restore\n"
        assert_all_is_restored(pipeline)


def test_only_one_hunt_is_restored_if_it_is_named(pipeline):
    lose_and_play_on(pipeline)
    config, _ = pipeline.config()
    report = json.loads(done(config, "restore", "--hunt", "cave", "--yes", "--json"))
    assert (report["sessions"], report["loot"], report["supplies"], report["floors"]) == (1, 1, 1, 0)
    assert held_key("h0", "chest") not in held_hashes(pipeline)
    done(config, "restore", "--hunt", "chest", "--yes")
    done(config, "restore", "--yes")
    assert_all_is_restored(pipeline)


def test_a_hunter_whose_newest_loot_is_under_way_is_restored_later(pipeline):
    count(pipeline, BEFORE)
    config, _ = pipeline.config()
    with pipeline.redis.client() as redis:
        give(redis, SINCE[:1])
    early = run(config, "restore", "--yes")
    assert early.returncode == 1
    assert f"skipped: hunter h1 in hunt chest: the table has not counted seq 1 of generation {generation(2)} yet" in early.stderr
    assert held_hashes(pipeline)[held_key("h1", "chest")] == held_fields(SINCE[:1])
    others = [event for event in BEFORE if event["hunter_id"] != "h1"]
    assert_restored(pipeline, others + SINCE[:1])
    counter = threading.Timer(2, count, (pipeline, SINCE[:1]))
    counter.start()
    done(config, "restore", "--yes", "--wait", "60")
    counter.join()
    assert_restored(pipeline, BEFORE + SINCE[:1])


def test_loot_that_differs_without_a_loss_is_left_as_it_is(pipeline):
    count(pipeline, BEFORE)
    config, _ = pipeline.config()
    with pipeline.redis.client() as redis:
        give(redis, BEFORE)
        redis.call("HINCRBY", held_key("h0", "chest"), "pearl", 1)
        redis.call("HSET", held_key("h1", "chest"), "#seq", "x")
        before = everything_in(redis)
        tried = run(config, "restore", "--hunt", "chest", "--yes", "--json")
        assert tried.returncode == 1 and json.loads(tried.stdout)["differs_total"] == 2
        assert "hunter h0 in hunt chest: Redis lacks no event, but the loot differs" in tried.stderr
        assert "hunter h1 in hunt chest: the hash cannot be read: the field #seq is malformed" in tried.stderr
        assert everything_in(redis) == before


def test_without_consent_nothing_is_restored(pipeline):
    lose_and_play_on(pipeline)
    config, _ = pipeline.config()
    with pipeline.redis.client() as redis:
        before = everything_in(redis)
        asked = run(config, "restore")
        assert asked.returncode == 2 and "9 units of loot in 4 sessions, 1 units of 1 supplies, 2 floors" in asked.stderr
        assert run(config, "restore", "--dry-run").returncode == 0
        assert everything_in(redis) == before


def test_many_rows_are_restored_in_pages(pipeline):
    events = [event for number in range(1200) for event in awards("h0", f"hunt-{number}", "coin gem")]
    count(pipeline, events)
    config, _ = pipeline.config()
    report = json.loads(done(config, "restore", "--yes", "--json"))
    assert (report["rows"], report["sessions"], report["loot"]) == (1200, 1200, 2400)
    assert_restored(pipeline, events)
