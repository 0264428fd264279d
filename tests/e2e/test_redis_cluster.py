# SPDX-License-Identifier: Apache-2.0
"""Redis Cluster: hunts, the aggregator and huntctl on three primaries and their replicas, while slots move and nodes come and go."""
import contextlib
import json
import signal
from collections import Counter

import pytest

from aggregator_pipeline import PATIENCE_S
from client import held, run_hunt
from config_faults import assert_redis_fault
from harness.cluster_server import slot_of
from harness.huntd_stack import http_get
from harness.kafka_server import consume
from harness.process import wait_until
from huntctl_runs import done, run
from test_redis_sentinel import HUNTERS, Play, status

CROWD = [f"crowd-{number}" for number in range(60)]


@pytest.fixture
def clustered(own_stack):
    """A started stack on a cluster. Further words: those of own_stack; `primaries`, `replicas`, … of ClusterServer."""
    def make(aggregator=False, settings=None, cluster=None, **wanted):
        stack = own_stack(aggregator=aggregator, redis_cluster=cluster or {}, settings=settings or {}, **wanted)
        stack.start()
        return stack
    return make


def bucket_of(stack, hunter: str) -> int:
    """By the name of a Redis key of the hunter, who has played."""
    with stack.redis.client() as redis:
        key = next(redis.keys(f"held:*:{hunter}:*"))
    return int(key.partition("{b")[2].partition("}")[0])


def slots_by_hunter(stack, hunters) -> dict[str, int]:
    return {hunter: slot_of(f"outbox:{{b{bucket_of(stack, hunter)}}}") for hunter in hunters}


def nodes_usable(stack) -> float:
    return stack.metric("huntd_redis_nodes_usable") / stack.settings["cores.count"]


def await_merged(stack) -> None:
    wait_until(lambda: stack.outbox_length() == 0, PATIENCE_S, "the events to be merged", 0.1)


@contextlib.contextmanager
def silent(node):
    """Its connections stay, and it replies to nothing."""
    node.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        node.signal(signal.SIGCONT)


def play_and_await_rows(stack, hunters, count: int) -> None:
    for hunter in hunters:
        assert run_hunt(stack.http, "gold", hunter, key=f"round-{count}").status == 200
    wait_until(lambda: all(rows(stack).get(hunter) == count for hunter in hunters), PATIENCE_S, "the events to be merged", 0.1)


def rows(stack, hunt: str = "gold", loot: str = "gold") -> dict[str, int]:
    found = stack.postgres.sql(f"SELECT hunter_id, (loot->>'{loot}')::int FROM hunt_session WHERE hunt_id = '{hunt}'")
    return {hunter: int(count) for hunter, count in found}


def assert_held(stack, counts: dict[str, int]) -> None:
    assert {hunter: held(stack.http, "gold", hunter).get("gold", 0) for hunter in counts} == counts


# --- the config -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("lines, words", [
    ('cluster = true\nsentinels = ["127.0.0.1:26379"]', "redis.sentinels: has no effect with redis.cluster"),
    ("cluster = true\ndatabase = 1", "redis.database: must be 0: a cluster has no other"),
    ('cluster = true\naddress = "unix:/run/redis.sock"', "redis.cluster: needs TCP")])
def test_faults_of_the_config_are_named(tmp_path, huntd_program, lines, words):
    assert_redis_fault(huntd_program, tmp_path, lines, words)


# --- hunts ------------------------------------------------------------------------------------------------------------

def test_hunts_run_at_every_node_and_the_stores_agree(clustered):
    stack = clustered(aggregator=True)
    for turn in range(3):
        for hunter in CROWD:
            assert run_hunt(stack.http, "gold", hunter, key=f"k{turn}").status == 200
            assert run_hunt(stack.http, "gold", hunter, key=f"k{turn}").json["replayed"] is True
    for node in stack.redis.primaries():
        assert node.call("DBSIZE") > 20, "each node has a share"
    assert_held(stack, {hunter: 3 for hunter in CROWD})
    assert stack.metric("huntd_redis_redirects_total") == 0, "each core knows the slots"
    assert stack.metric("huntd_redis_nodes") == 3 * 2 and nodes_usable(stack) == 3
    await_merged(stack)
    assert rows(stack) == {hunter: 3 for hunter in CROWD}
    done(stack.config, "reconcile", "--wait", "60")
    assert status(stack)["cores"][0]["redis"]["address"].count("127.0.0.1:") == 3


def test_a_core_starts_with_one_address_of_a_replica(clustered):
    stack = clustered()
    stack.huntd.stop()
    stack.set(redis__address=[stack.redis.nodes[4].address])
    stack.huntd.start()
    for hunter in HUNTERS:
        assert run_hunt(stack.http, "gold", hunter).status == 200


def test_a_supply_gives_what_it_has_although_its_keys_are_at_other_nodes(clustered):
    stack = clustered(aggregator=True)
    answers = [run_hunt(stack.http, "scarce", hunter, key="once") for hunter in CROWD]
    assert all(answer.status == 200 for answer in answers)
    given = sum("relic" in answer.json["result"] for answer in answers)
    supplies = json.loads(done(stack.config, "supplies", "--json"))["supplies"]
    assert len(supplies) == 1 and supplies[0]["given"] + supplies[0]["reserved"] == given == supplies[0]["limit"] < len(CROWD)
    await_merged(stack)
    done(stack.config, "reconcile", "--wait", "60")


# --- slots that move --------------------------------------------------------------------------------------------------

def test_slots_move_while_hunters_play_and_nothing_is_lost_or_twice(clustered):
    stack = clustered(aggregator=True)
    play = Play(stack.http)
    play.await_more()
    slots = slots_by_hunter(stack, HUNTERS)
    moved = 0
    for slot in set(slots.values()):
        source = stack.redis.node_at(stack.redis.owner_of(slot))
        target = next(node for node in stack.redis.primaries() if node is not source)
        moved += stack.redis.move_slot(slot, source, target)
        play.await_more(1)
    assert moved > 8
    play.await_more()
    counts = play.end()
    assert_held(stack, counts)
    assert stack.metric("huntd_redis_redirects_total") > 0
    await_merged(stack)
    assert rows(stack) == counts
    assert play.problems <= {"redis-unavailable", "outcome-unknown", "overloaded"}
    done(stack.config, "reconcile", "--wait", "60")


def test_a_hunt_of_a_slot_that_moves_waits_until_it_has_moved(clustered):
    """Its keys are at both nodes: TRYAGAIN until the deadline, and then nothing was awarded."""
    stack = clustered(settings={"http.request_deadline_ms": 3000, "worker.queue_deadline_ms": 500, "worker.deadline_ms": 500})
    assert run_hunt(stack.http, "gold", "ann", key="a").status == 200
    slot = slots_by_hunter(stack, ["ann"])["ann"]
    source = stack.redis.node_at(stack.redis.owner_of(slot))
    target = next(node for node in stack.redis.primaries() if node is not source)
    stack.redis.begin_move(slot, source, target)
    stack.redis.move_keys(slot, source, target, 1)
    waits = run_hunt(stack.http, "gold", "ann", key="b")
    assert waits.status == 503 and waits.problem == "redis-unavailable" and "retry-after" in waits.headers, waits
    assert held(stack.http, "gold", "ann") == {"gold": 1}, "what is read is asked for at the other node"
    assert run_hunt(stack.http, "gold", "ann", key="a").json["replayed"] is True
    listed = run(stack.config, "supplies")
    assert listed.returncode != 0 and "moves to or from another node" in listed.stderr, listed
    stack.redis.move_keys(slot, source, target)
    stack.redis.end_move(slot, source, target)
    assert run_hunt(stack.http, "gold", "ann", key="b").status == 200
    assert held(stack.http, "gold", "ann") == {"gold": 2}


@pytest.mark.kafka
def test_events_of_outboxes_that_stay_are_in_kafka_once_while_other_slots_move(clustered):
    stack = clustered(aggregator=True, kafka=True, settings={"kafka.sweep_after_s": 3})
    for hunter in CROWD:
        assert run_hunt(stack.http, "gold", hunter, key="first").status == 200
    slots = slots_by_hunter(stack, CROWD)
    moves = set(sorted(set(slots.values()))[:6])
    stay = [hunter for hunter in CROWD if slots[hunter] not in moves]
    left = [f"outbox:{{b{bucket_of(stack, hunter)}}}" for hunter in stay]
    away = {slot: next(hunter for hunter in CROWD if slots[hunter] == slot) for slot in moves}
    turn = 0

    def move_all() -> None:
        nonlocal turn
        turn += 1
        for slot, hunter in away.items():
            source = stack.redis.node_at(stack.redis.owner_of(slot))
            stack.redis.move_slot(slot, source, next(node for node in stack.redis.primaries() if node is not source))
            assert run_hunt(stack.http, "gold", hunter, key=f"turn{turn}").status == 200  # a core sees that it has moved

    for hunter in stay:
        assert run_hunt(stack.http, "gold", hunter, key="second").status == 200
    with stack.redis.client() as redis:
        def cleared() -> bool:
            move_all()
            return not any(redis.call("XLEN", key) for key in left)
        wait_until(cleared, 30, "the outboxes that stay to be cleared", poll_s=0)
    swept_by = stack.metric("huntd_redis_redirects_total") + 60
    wait_until(lambda: move_all() or stack.metric("huntd_redis_redirects_total") >= swept_by, 60, "more moves", poll_s=0)
    await_merged(stack)
    ids = Counter((key, json.loads(value)["event_id"]) for key, value in consume(stack.kafka.bootstrap, "loot_events"))
    assert {name: count for name, count in ids.items() if count > 1 and name[0] in stay} == {}
    per_hunter = Counter(hunter for hunter, _ in ids)
    assert all(per_hunter[hunter] == 2 for hunter in stay)
    wait_until(lambda: rows(stack) == dict(per_hunter), PATIENCE_S, "the table to have each event once", 0.2)
    assert_held(stack, dict(per_hunter))


def test_a_node_is_added_gets_slots_and_is_removed(clustered):
    stack = clustered(aggregator=True)
    play = Play(stack.http)
    play.await_more(2)
    slots = set(slots_by_hunter(stack, HUNTERS).values())
    added = stack.redis.add_node()
    homes = {slot: stack.redis.node_at(stack.redis.owner_of(slot)) for slot in slots}
    for slot, home in homes.items():
        stack.redis.move_slot(slot, home, added)
    wait_until(lambda: nodes_usable(stack) == 4, 30, "the cores to use the new node")
    play.await_more(3)
    for slot, home in homes.items():
        stack.redis.move_slot(slot, added, home)
    stack.redis.remove_node(added)
    play.await_more(3)
    counts = play.end()
    wait_until(lambda: nodes_usable(stack) == stack.metric("huntd_redis_nodes") / 2 == 3, 30, "the cores to leave the node")
    assert_held(stack, counts)
    await_merged(stack)
    assert rows(stack) == counts


def test_events_that_wait_in_an_outbox_move_with_their_slot(clustered):
    stack = clustered(aggregator=True)
    assert run_hunt(stack.http, "gold", "ann").status == 200
    await_merged(stack)
    slot = slots_by_hunter(stack, ["ann"])["ann"]
    source = stack.redis.node_at(stack.redis.owner_of(slot))
    target = next(node for node in stack.redis.primaries() if node is not source)
    stack.postgres.stop()
    for _ in range(5):
        assert run_hunt(stack.http, "gold", "ann").status == 200
    assert stack.redis.move_slot(slot, source, target) > 1
    stack.postgres.start()
    await_merged(stack)
    assert rows(stack) == {"ann": 6}


def test_a_slot_on_its_way_does_not_hold_up_the_others(clustered):
    """Its source replies ASK for a bucket whose events are at the other node already. That is not a failure of a node."""
    stack = clustered(aggregator=True, cluster={"replicas": 0})
    crowd = CROWD[:20]
    play_and_await_rows(stack, crowd, 1)
    await_merged(stack)
    slots = slots_by_hunter(stack, crowd)
    slot = slots[crowd[0]]
    source = stack.redis.node_at(stack.redis.owner_of(slot))
    target = next(node for node in stack.redis.primaries() if node is not source)
    others = [hunter for hunter in crowd if slots[hunter] != slot]
    assert any(stack.redis.owner_of(slots[hunter]) == int(source.port) for hunter in others)
    stack.redis.begin_move(slot, source, target)
    assert stack.redis.move_keys(slot, source, target) > 1
    for count in (2, 3):
        play_and_await_rows(stack, others, count)
    stack.redis.end_move(slot, source, target)
    for count in (2, 3):
        play_and_await_rows(stack, [hunter for hunter in crowd if hunter not in others], count)
    assert "redis: ASK" not in stack.aggregator.log_text()
    assert rows(stack) == {hunter: 3 for hunter in crowd}
    done(stack.config, "reconcile", "--wait", "60")


# --- nodes that fail --------------------------------------------------------------------------------------------------

def test_a_planned_failover_loses_nothing(clustered):
    stack = clustered(aggregator=True)
    play = Play(stack.http)
    play.await_more()
    replica = stack.redis.nodes[3]
    replica.call("CLUSTER", "FAILOVER")
    stack.redis.await_promoted(replica)
    play.await_more()
    counts = play.end()
    assert_held(stack, counts)
    await_merged(stack)
    assert rows(stack) == counts
    wait_until(lambda: stack.metric("huntd_redis_lineage_changes_total") == 2, 30, "each core to notice it")


def test_the_replica_takes_over_from_a_node_that_is_killed(clustered):
    stack = clustered(aggregator=True)
    play = Play(stack.http)
    play.await_more()
    stack.redis.nodes[0].kill()
    stack.redis.await_promoted(stack.redis.nodes[3])
    play.await_more()
    counts = play.end()
    for hunter, count in counts.items():
        assert count - 1 <= held(stack.http, "gold", hunter)["gold"] <= count
    assert play.problems <= {"redis-unavailable", "outcome-unknown", "overloaded"}
    await_merged(stack)
    for hunter, count in rows(stack).items():
        assert held(stack.http, "gold", hunter)["gold"] <= count <= counts[hunter] + 1
    done(stack.config, "restore", "--yes", "--wait", "60")
    done(stack.config, "reconcile", "--wait", "60")


def test_without_a_node_only_its_hunters_wait(clustered):
    stack = clustered(aggregator=True, cluster={"replicas": 0})
    for hunter in CROWD:
        assert run_hunt(stack.http, "gold", hunter, key="first").status == 200
    slots = slots_by_hunter(stack, CROWD)
    # The states of hunts are in one slot: that node has to stay.
    keeper = stack.redis.owner_of(slot_of("hunts"))
    gone = next(node for node in stack.redis.primaries() if int(node.port) != keeper)
    lost = set(stack.redis.slots_of(gone))
    gone.kill()
    words = f"{gone.address} ({len(lost)} slots): nothing listens there"
    wait_until(lambda: words in run(stack.config, "status", "--admin", stack.admin).stdout, 30, "huntctl status to name the node", 0.2)
    assert words in status(stack)["cores"][0]["redis"]["reason"]
    assert http_get(stack.admin, "/readyz")[0] == 200, "the others are served"
    for hunter in CROWD:
        answer = run_hunt(stack.http, "gold", hunter, key="second")
        if slots[hunter] in lost:
            assert answer.status == 503 and answer.problem == "redis-unavailable" and "retry-after" in answer.headers, answer
        else:
            assert answer.status == 200, answer
    # Their events are merged meanwhile.
    served = {hunter for hunter in CROWD if slots[hunter] not in lost}
    assert 0 < len(served) < len(CROWD)
    wait_until(lambda: all(rows(stack).get(hunter) == 2 for hunter in served), PATIENCE_S, "the events of the others to be merged", 0.1)
    gone.start()
    wait_until(lambda: nodes_usable(stack) == 3, 60, "the node to be used again")
    for hunter in CROWD:
        assert run_hunt(stack.http, "gold", hunter, key="second").status == 200
    assert_held(stack, {hunter: 2 for hunter in CROWD})
    await_merged(stack)
    assert rows(stack) == {hunter: 2 for hunter in CROWD}


def test_a_silent_node_does_not_hold_up_the_events_of_others(clustered):
    stack = clustered(aggregator=True, cluster={"replicas": 0})
    crowd = CROWD[:20]
    play_and_await_rows(stack, crowd, 1)
    await_merged(stack)
    slots = slots_by_hunter(stack, crowd)
    node = stack.redis.nodes[1]
    assert int(node.port) != stack.redis.owner_of(slot_of("hunts"))
    of_node = set(stack.redis.slots_of(node))
    others = [hunter for hunter in crowd if slots[hunter] not in of_node]
    assert 0 < len(others) < len(crowd)
    with silent(node):
        for count in (2, 3):
            play_and_await_rows(stack, others, count)
        wait_until(lambda: "no reply within 1 s" in stack.aggregator.log_text(), PATIENCE_S, "the aggregator to give the node up", 0.1)
        for count in (4, 5):
            play_and_await_rows(stack, others, count)
    wait_until(lambda: nodes_usable(stack) == 3, 60, "the node to be used again")
    for hunter in crowd:
        assert run_hunt(stack.http, "gold", hunter, key="after").status == 200
    await_merged(stack)
    assert rows(stack) == {hunter: 6 if hunter in others else 2 for hunter in crowd}
    assert "the node of the redis cluster can be read again" in stack.aggregator.log_text()


def test_the_lag_with_kafka_counts_the_outboxes_of_all_nodes(clustered):
    stack = clustered(aggregator=True, kafka=True, cluster={"replicas": 0})
    with silent(stack.kafka):
        for hunter in CROWD:
            assert run_hunt(stack.http, "gold", hunter).status == 200
        # In one pass, not bucket by bucket: that took 256 s.
        wait_until(lambda: stack.metric("hunt_aggregator_lag_events", stack.aggregator_address) >= len(CROWD), 60, "the lag", 0.2)
    await_merged(stack)
    wait_until(lambda: rows(stack) == {hunter: 1 for hunter in CROWD}, PATIENCE_S, "the events to be merged", 0.1)


def test_limited_loot_waits_for_the_nodes_of_its_supply(clustered):
    stack = clustered(cluster={"replicas": 0})
    for hunter in CROWD:
        assert run_hunt(stack.http, "gold", hunter).status == 200
    assert run_hunt(stack.http, "scarce", CROWD[0]).status == 200
    slots = slots_by_hunter(stack, CROWD)
    with stack.redis.client() as redis:
        [shard] = redis.keys("supplies_drawn:{p*")
    owners = {stack.redis.owner_of(slot_of(key)) for key in ("supplies:{scarce}", shard, "supply:{scarce:relic}")}
    keeper = stack.redis.owner_of(slot_of("hunts"))
    node = stack.redis.node_at(next(port for port in owners if port != keeper))
    of_node = set(stack.redis.slots_of(node))
    other = next(hunter for hunter in CROWD if slots[hunter] not in of_node)
    # A connection that is made again is waited for.
    for number in range(30):
        node.call("CLIENT", "KILL", "TYPE", "normal")
        answer = run_hunt(stack.http, "scarce", other, key=f"k{number}")
        assert answer.status == 200, answer
    node.kill()
    wait_until(lambda: nodes_usable(stack) == 2, 30, "the cores to miss the node")
    assert run_hunt(stack.http, "gold", other).status == 200
    answer = run_hunt(stack.http, "scarce", other, key="away")
    assert answer.status == 503 and answer.problem == "redis-unavailable" and "retry-after" in answer.headers, answer
    node.start()
    wait_until(lambda: nodes_usable(stack) == 3, 60, "the node to be used again")
    assert run_hunt(stack.http, "scarce", other, key="away").status == 200


# --- huntctl ----------------------------------------------------------------------------------------------------------

def test_commands_of_huntctl_find_what_is_at_all_nodes(clustered):
    stack = clustered(aggregator=True, settings={"http.request_deadline_ms": 4000, "worker.queue_deadline_ms": 1500})
    for hunter in CROWD:
        assert run_hunt(stack.http, "gold", hunter).status == 200
        assert run_hunt(stack.http, "scarce", hunter).status == 200
    await_merged(stack)
    done(stack.config, "forget", CROWD[0], "--yes")
    assert held(stack.http, "gold", CROWD[0]) == {} and CROWD[0] not in rows(stack)
    # What one node has lost is given back.
    lost = stack.redis.primaries()[1]
    before = {hunter: held(stack.http, "gold", hunter).get("gold", 0) for hunter in CROWD}
    lost.call("FLUSHALL")
    assert any(held(stack.http, "gold", hunter) == {} for hunter in CROWD[1:])
    assert run(stack.config, "reconcile", "--wait", "5").returncode != 0
    done(stack.config, "restore", "--yes", "--wait", "60")
    assert_held(stack, before)
    done(stack.config, "reconcile", "--wait", "60")
    done(stack.config, "hunt", "close", "gold")
    wait_until(lambda: run_hunt(stack.http, "gold", CROWD[1]).status == 409, 30, "the cores to know that the hunt is closed", 0.1)
    await_merged(stack)
    done(stack.config, "hunt", "purge", "gold", "--yes", "--wait", "60")
    assert_held(stack, {hunter: 0 for hunter in CROWD})
    with stack.redis.client() as redis:
        assert not list(redis.keys("held:*:gold")), "at no node"
    done(stack.config, "hunt", "open", "gold")
