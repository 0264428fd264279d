# SPDX-License-Identifier: Apache-2.0
"""The end of a hunt and of a hunter: huntctl hunt close, open, list and purge, and huntctl forget."""
import json
import os
import pty
import subprocess
import time

import pytest

from aggregator_pipeline import huntctl_program
from client import held, run_hunt
from harness.postgres_server import OtherSession
from harness.process import wait_until
from huntctl_runs import (SHORT, SavedRows, awards, done, done_key, everything_in, generation, give, held_key, points_of, run,
                          run_and_kill, without_asan)

AGO_MS = 60_000  # a hunt closed then can be purged
FLOOR_0 = "0" * 16


def outbox(stack) -> list[tuple[str, str, str]]:
    """(stream, hunter, event) of every event that waits."""
    with stack.redis.client() as redis:
        return [(key, fields[1], fields[3]) for key in sorted(redis.keys("outbox:*")) for _, fields in redis.call("XRANGE", key, "-", "+")]


def deliver_again(stack, events) -> None:
    """Puts events into the outbox once more, and waits until the aggregator has read them."""
    with stack.redis.client() as redis:
        for stream, hunter, event in events:
            redis.call("XADD", stream, "*", "k", hunter, "v", event)
    wait_until(lambda: stack.outbox_length() == 0, 60, "the aggregator to read the events again", 0.1)


def purged_events(stack) -> float:
    return stack.metric("hunt_aggregator_events_purged_total", stack.aggregator_address)


def loot_in_rows(stack, hunt) -> dict[str, dict]:
    return {hunter: json.loads(loot) for hunter, loot in
            stack.postgres.sql(f"SELECT hunter_id, loot FROM hunt_session WHERE hunt_id = '{hunt}'")}


def play(stack, hunt, hunter, times=1) -> None:
    for _ in range(times):
        wait_until(lambda: run_hunt(stack.http, hunt, hunter).status == 200, 20, f"{hunt} to run for {hunter}", 0.1)


def close_hunt(redis, hunt, ago_ms=AGO_MS) -> None:
    """As `huntctl hunt close` some time ago."""
    redis.call("HSET", "hunts", hunt, f"closed {FLOOR_0} {int(time.time() * 1000) - ago_ms}")


def test_a_closed_hunt_awards_nothing_and_can_be_read_and_opened(own_stack):
    stack = own_stack(settings=SHORT).start()
    first = run_hunt(stack.http, "gold", "ann", key="k1")
    assert first.status == 200
    assert "gold is closed" in done(stack.config, "hunt", "close", "gold")
    awarded = 1

    def is_rejected():
        nonlocal awarded
        answer = run_hunt(stack.http, "gold", "ann")
        awarded += answer.status == 200
        return answer.status == 409 and answer.problem == "hunt-closed"
    wait_until(is_rejected, 30, "gold to be closed on the core", 0.1)
    for number in range(10):  # on both cores
        wait_until(lambda: run_hunt(stack.http, "gold", f"late-{number}").status == 409, 30, "the hunter's core to read it", 0.1)
    assert held(stack.http, "gold", "ann") == {"gold": awarded}
    replay = run_hunt(stack.http, "gold", "ann", key="k1")
    assert (replay.status, replay.json["replayed"], replay.json["loot"]) == (200, True, first.json["loot"])
    play(stack, "pair", "ann")
    done(stack.config, "hunt", "open", "gold")
    play(stack, "gold", "ann")
    assert held(stack.http, "gold", "ann") == {"gold": awarded + 1}


def test_a_second_season_counts_from_zero_and_old_events_stay_out(own_stack):
    stack = own_stack(aggregator=True, settings=SHORT).start()
    for hunter in ("ann", "bob"):
        play(stack, "gold", hunter, 3)
        play(stack, "scarce", hunter)
    rejected = run(stack.config, "hunt", "purge", "gold", "--yes")
    assert rejected.returncode == 1 and "gold is open: close it first" in rejected.stderr
    wait_until(lambda: stack.outbox_length() == 0, 30, "the first events to be merged", 0.1)
    stack.aggregator.stop()
    play(stack, "gold", "ann", 2)
    events = outbox(stack)
    assert len(events) == 2
    done(stack.config, "hunt", "close", "gold")
    waits = run(stack.config, "hunt", "purge", "gold", "--yes", "--wait", "17")
    assert waits.returncode == 1 and "2 events wait in the outbox" in waits.stderr, waits.stderr
    assert held(stack.http, "gold", "ann") == {"gold": 5}
    stack.aggregator.start()
    report = json.loads(done(stack.config, "hunt", "purge", "gold", "--yes", "--wait", "60", "--json"))
    assert (report["purged"], report["hunters"], report["loot"], report["rows"]) == (True, 2, 8, 2)

    assert held(stack.http, "gold", "ann") == {} and loot_in_rows(stack, "gold") == {}
    assert stack.postgres.sql("SELECT hunter_id, loot FROM hunt_session_past ORDER BY hunter_id") == \
        [["ann", '{"gold": 5}'], ["bob", '{"gold": 3}']]
    assert set(loot_in_rows(stack, "scarce")) == {"ann", "bob"}
    done(stack.config, "reconcile", "--wait", "30")
    before = purged_events(stack)
    deliver_again(stack, events)
    wait_until(lambda: purged_events(stack) == before + 2, 30, "both to be counted as purged", 0.1)
    assert loot_in_rows(stack, "gold") == {}
    assert run(stack.config, "hunt", "purge", "gold", "--yes").stdout == "gold: nothing to purge\n"

    done(stack.config, "hunt", "open", "gold")
    play(stack, "gold", "ann")
    wait_until(lambda: loot_in_rows(stack, "gold") == {"ann": {"gold": 1}}, 30, "the row of the new season", 0.1)
    assert held(stack.http, "gold", "ann") == {"gold": 1}
    done(stack.config, "reconcile", "--wait", "30")


def test_a_hunter_who_was_deleted_counts_from_zero_and_old_events_stay_out(own_stack):
    stack = own_stack(aggregator=True, settings=SHORT).start()
    stack.aggregator.stop()
    for hunter in ("ann", "bob"):
        play(stack, "gold", hunter, 2)
        play(stack, "scarce", hunter)
    events = [event for event in outbox(stack) if event[1] == "ann"]
    waits = run(stack.config, "forget", "ann", "--yes", "--wait", "1")
    assert waits.returncode == 1 and "3 events of the hunter wait in the outbox" in waits.stderr
    stack.aggregator.start()
    shown = done(stack.config, "forget", "ann", "--yes")
    assert "ann is forgotten" in shown and "backups" in shown
    with stack.redis.client() as redis:
        assert list(redis.keys("*:ann:*")) == []
    assert set(loot_in_rows(stack, "gold")) == set(loot_in_rows(stack, "scarce")) == {"bob"}
    deliver_again(stack, events)
    wait_until(lambda: purged_events(stack) == 3, 30, "the events to be counted as purged", 0.1)
    assert set(loot_in_rows(stack, "gold")) == {"bob"}
    play(stack, "gold", "ann")
    wait_until(lambda: loot_in_rows(stack, "gold").get("ann") == {"gold": 1}, 30, "the row of the new loot", 0.1)
    assert held(stack.http, "gold", "ann") == {"gold": 1}
    done(stack.config, "reconcile", "--wait", "30")
    # The totals stay: both units of the supply are given.
    assert stack.postgres.sql("SELECT given FROM hunt_supply WHERE hunt_id = 'scarce'") == [["2"]]


EVENTS = [*awards("h0", "chest", "coin coin gem"), *awards("h1", "chest", "coin"), *awards("h1", "chest", "gem gem", number=2),
          *awards("h0", "cave", "bat bat"), *awards("h2", "cave", "bat", supply=True), *awards("h2", "chest2", "coin")]
DONE = {done_key("h0", "chest", "k:cave:1"): "v2 a", done_key("h1", "chest", "k"): "void r", done_key("h0", "cave", "k:chest:1"): "v2 b"}
SUPPLIES = [("HSET", "supply:{chest:coin}", "e1", "given", "e2", "pending r h9 k"), ("ZADD", "supply_pending:{chest:coin}", "1", "e2"),
            ("SET", "supply_limit:{chest:coin}", "9"), ("SADD", "supplies:{chest}", "coin"), ("HSET", "supply:{chest:old}", "e3", "given"),
            ("SADD", "supplies", "chest:old", "cave:bat"), ("HSET", "supply:{cave:bat}", "e4", "given"), ("SADD", "supplies:{cave}", "bat"),
            ("HSET", "supply:{chest2:coin}", "e5", "given")]


def fill(pipeline, rows: SavedRows | None = None) -> SavedRows:
    """Redis and the tables after EVENTS; `chest` is closed."""
    with pipeline.redis.client() as redis:
        redis.call("FLUSHALL")
        give(redis, EVENTS)
        for key, value in DONE.items():
            redis.call("SET", key, value, "PX", 600_000)
        for command in SUPPLIES:
            redis.call(*command)
        close_hunt(redis, "chest")
    if rows:
        rows.put_back()
        return rows
    pipeline.put(EVENTS)
    pipeline.once()
    return SavedRows(pipeline)


def tables_of(pipeline) -> tuple:
    return (sorted(map(tuple, pipeline.sql("SELECT hunter_id, hunt_id, loot FROM hunt_session"))),
            sorted(map(tuple, pipeline.sql("SELECT hunter_id, hunt_id, loot, generation FROM hunt_session_past"))),
            pipeline.sql("SELECT hunt_id, loot_id, given FROM hunt_supply"))


def assert_chest_is_purged(pipeline) -> None:
    with pipeline.redis.client() as redis:
        found = everything_in(redis)
    word, floor, closed_at = found.pop("hunts")["chest"].split()
    assert word == "closed" and int(closed_at) > 0 and floor > generation(2)
    assert set(found) == {held_key("h0", "cave"), held_key("h2", "cave"), held_key("h2", "chest2"), done_key("h0", "cave", "k:chest:1"),
                          "supplies", "supply:{cave:bat}", "supplies:{cave}", "supply:{chest2:coin}"}
    assert found["supplies"] == ["cave:bat"]
    rows, past, supplies = tables_of(pipeline)
    assert [row[:2] for row in rows] == [("h0", "cave"), ("h2", "cave"), ("h2", "chest2")]
    assert [row[:3] for row in past] == [("h0", "chest", '{"gem": 1, "coin": 2}'), ("h1", "chest", '{"gem": 2, "coin": 1}')]
    assert supplies == [["cave", "bat", "1"]]
    assert pipeline.sql("SELECT hunt_id, generation FROM hunt_floor") == [["chest", str(int(floor, 16))]]


@pytest.mark.long(reason="a minute: a run per point")
@without_asan
def test_a_purge_that_is_killed_at_any_point_is_finished_by_a_second_run(tmp_path, pipeline):
    rows = fill(pipeline)
    config, _ = pipeline.config()
    words = ("hunt", "purge", "chest", "--yes")
    points = points_of(config, tmp_path / "trace", *words)
    assert_chest_is_purged(pipeline)
    for call in ("EVALSHA", "BEGIN", "INSERT INTO hunt_floor", "WITH gone", "COMMIT", "UNLINK", "ZREM", "SREM"):
        assert any(point.startswith(call) for point in points), (call, points)
    for point in points:
        fill(pipeline, rows)
        run_and_kill(config, point, *words)
        finished = run(config, *words)
        assert finished.returncode == 0, (point, finished.stderr)
        assert_chest_is_purged(pipeline)


@without_asan
def test_a_hunt_with_an_unfinished_purge_cannot_be_opened(pipeline):
    fill(pipeline)
    config, _ = pipeline.config()
    run_and_kill(config, "COMMIT:1:after", "hunt", "purge", "chest", "--yes")
    rejected = run(config, "hunt", "open", "chest")
    assert rejected.returncode == 1 and "a purge of it has not finished" in rejected.stderr
    assert "has not finished" in done(config, "hunt", "close", "chest")
    [chest] = [hunt for hunt in json.loads(done(config, "hunt", "list", "--json"))["hunts"] if hunt["hunt_id"] == "chest"]
    assert (chest["state"], chest["purge_unfinished"]) == ("closed", True)
    done(config, "hunt", "purge", "chest", "--yes")
    assert_chest_is_purged(pipeline)
    done(config, "hunt", "open", "chest")


def test_a_purge_waits_for_loot_that_the_table_lacks(pipeline):
    fill(pipeline)
    config, _ = pipeline.config()
    more = awards("h3", "chest", "coin coin")
    with pipeline.redis.client() as redis:
        give(redis, more)
    before = tables_of(pipeline)
    waits = run(config, "hunt", "purge", "chest", "--yes")
    assert waits.returncode == 1 and "the table has not counted all loot of 1 hunters: h3" in waits.stderr
    assert tables_of(pipeline) == before
    pipeline.put(more)
    pipeline.once()
    with pipeline.redis.client() as redis:
        close_hunt(redis, "chest", ago_ms=0)
    waits = run(config, "hunt", "purge", "chest", "--yes")
    assert waits.returncode == 1 and "a core may still award loot" in waits.stderr
    with pipeline.redis.client() as redis:
        close_hunt(redis, "chest")
        give(redis, awards("h3", "chest", "coin coin coin"))
    done(config, "hunt", "purge", "chest", "--yes", "--incomplete", "--rows")
    assert tables_of(pipeline)[1] == [] and pipeline.sql("SELECT count(*) FROM hunt_loot_hour WHERE hunt_id = 'chest'") == [["0"]]


def test_a_commit_that_comes_after_the_floor_outlives_the_purge(pipeline):
    """Of a core that stood still for longer than the purge waits: its event is counted in the next season, so the hash has to stay."""
    fill(pipeline)
    config, _ = pipeline.config()
    late = {"coin": "1", "#seq": "1", "#gen": "f" * 16 + " " + "1" * 16}
    gate = OtherSession(f"postgresql://huntd@127.0.0.1:{pipeline.postgres.port}/{pipeline.name}")
    with pipeline.redis.client() as redis:
        gate.do("BEGIN")
        gate.do("LOCK TABLE hunt_floor IN EXCLUSIVE MODE")
        locks = "SELECT 1 FROM pg_locks WHERE relation = 'hunt_floor'::regclass AND mode = 'ExclusiveLock' AND granted"
        wait_until(lambda: pipeline.sql(locks), 30, "the lock to be held")
        purge = subprocess.Popen([huntctl_program(), "-c", str(config), "hunt", "purge", "chest", "--yes"], text=True, stderr=subprocess.PIPE)
        wait_until(lambda: redis.hash("hunts")["chest"].split()[1] != FLOOR_0, 30, "the floor to be raised")
        redis.call("DEL", held_key("h1", "chest"))
        redis.call("HSET", held_key("h1", "chest"), *[word for item in late.items() for word in item])
        gate.do("COMMIT")
        gate.end()
        assert purge.wait(60) == 0, purge.stderr.read()
        assert redis.hash(held_key("h1", "chest")) == late
        assert redis.call("EXISTS", held_key("h0", "chest")) == 0


def test_without_consent_nothing_changes(pipeline):
    fill(pipeline)
    config, _ = pipeline.config()
    with pipeline.redis.client() as redis:
        before = everything_in(redis), tables_of(pipeline)
        for words in (("hunt", "purge", "chest"), ("forget", "h0")):
            asked = run(config, *words)
            assert asked.returncode == 2 and "--yes" in asked.stderr and "Redis: deletes" in asked.stderr
            tried = run(config, *words, "--dry-run")
            assert tried.returncode == 0 and "nothing was changed" in tried.stderr
            ours, theirs = pty.openpty()
            os.write(ours, b"n\n")
            declined = subprocess.run([huntctl_program(), "-c", str(config), *words], stdin=theirs, capture_output=True, text=True, timeout=60)
            assert declined.returncode == 1 and "[y/N]" in declined.stderr
            os.close(ours)
            os.close(theirs)
        assert (everything_in(redis), tables_of(pipeline)) == before


def test_list_shows_open_closed_and_purged_hunts(pipeline):
    fill(pipeline)
    config, _ = pipeline.config()
    listed = {hunt["hunt_id"]: hunt for hunt in json.loads(done(config, "hunt", "list", "--json"))["hunts"]}
    assert set(listed) == {"cave", "chest", "chest2"}
    assert (listed["chest"]["state"], listed["chest"]["hunters"], listed["chest"]["loot"]) == ("closed", 2, 6)
    assert (listed["cave"]["state"], listed["cave"]["floor"], listed["cave"]["closed_at_ms"]) == ("open", FLOOR_0, None)
    done(config, "hunt", "purge", "chest", "--yes")
    lines = done(config, "hunt", "list").splitlines()
    assert lines[0].split() == ["hunt", "state", "since", "purged", "hunters", "loot"]
    [chest] = [line for line in lines if line.startswith("chest ")]
    assert chest.split()[1] == "closed" and chest.split()[-2:] == ["0", "0"]
    with pipeline.redis.client() as redis:
        redis.call("DEL", "hunts")
    assert "Redis lost the floor: huntctl restore" in done(config, "hunt", "list")


def fill_for_h0(pipeline, rows: SavedRows | None = None) -> SavedRows:
    rows = fill(pipeline, rows)
    pipeline.sql("INSERT INTO loot_events_dead (source, partition, position, payload, reason) VALUES "
                 "('outbox', 1, '1-1', '{\"hunter_id\":\"h0\",\"seq\":-1}', 'bad'), "
                 "('outbox', 1, '1-2', '{\"hunter_id\":\"h01\",\"seq\":-1}', 'bad') ON CONFLICT DO NOTHING")
    return rows


def assert_h0_is_gone(pipeline) -> None:
    with pipeline.redis.client() as redis:
        found = everything_in(redis)
    assert [key for key in found if ":h0:" in key] == []
    assert {held_key("h1", "chest"), held_key("h2", "cave"), done_key("h1", "chest", "k"), "supply:{chest:coin}"} <= set(found)
    rows, _, supplies = tables_of(pipeline)
    assert [row[:2] for row in rows] == [("h1", "chest"), ("h2", "cave"), ("h2", "chest2")]
    assert supplies == [["cave", "bat", "1"]]
    assert pipeline.sql("SELECT position FROM loot_events_dead") == [["1-2"]]
    [[hunter_hash, floor]] = pipeline.sql("SELECT hunter_hash, generation FROM hunter_floor")
    assert hunter_hash == pipeline.sql("SELECT encode(sha256('h0'), 'hex')")[0][0] and int(floor) > int(generation(1), 16)


@pytest.mark.long(reason="a minute: a run per point")
@without_asan
def test_a_hunter_is_deleted_by_a_second_run_after_a_kill_at_any_point(tmp_path, pipeline):
    rows = fill_for_h0(pipeline)
    config, _ = pipeline.config()
    words = ("forget", "h0", "--yes")
    points = points_of(config, tmp_path / "trace", *words)
    assert_h0_is_gone(pipeline)
    for call in ("INSERT INTO hunter_floor", "DELETE FROM hunt_session", "COMMIT", "EVALSHA", "UNLINK"):
        assert any(point.startswith(call) for point in points), (call, points)
    for point in points:
        fill_for_h0(pipeline, rows)
        run_and_kill(config, point, *words)
        finished = run(config, *words)
        assert finished.returncode == 0, (point, finished.stderr)
        assert_h0_is_gone(pipeline)
    pipeline.put([event for event in EVENTS if event["hunter_id"] == "h0"])
    pipeline.once()
    assert_h0_is_gone(pipeline)
    assert "nothing to delete" in done(config, *words)


def test_a_hunter_is_not_deleted_while_a_unit_is_reserved(pipeline):
    fill(pipeline)
    config, _ = pipeline.config()
    with pipeline.redis.client() as redis:
        redis.call("HSET", "supply:{cave:bat}", "e9", "settling r h0 k:1")
        redis.call("ZADD", "supply_pending:{cave:bat}", 1, "e9")
        waits = run(config, "forget", "h0", "--yes", "--wait", "0")
        assert waits.returncode == 1 and "1 units of shared supplies are reserved" in waits.stderr
        redis.call("ZREM", "supply_pending:{cave:bat}", "e9")
        redis.call("PERSIST", done_key("h0", "chest", "k:cave:1"))
        assert run(config, "forget", "h0", "--yes", "--wait", "0").returncode == 1
        redis.call("PEXPIRE", done_key("h0", "chest", "k:cave:1"), 600_000)
        # A hash of a later moment stays: the hunter plays again.
        redis.call("HSET", held_key("h0", "chest"), "#gen", f"{int(time.time() * 1000) + 3_600_000:012x}0000 {'a' * 16}")
        warned = run(config, "forget", "h0", "--dry-run")
        assert "Redis' clock is 1 h behind the hunter's newest loot" in warned.stderr
