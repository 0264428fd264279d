# SPDX-License-Identifier: Apache-2.0
"""Events on their way to Kafka, read by kcat: each committed award is acknowledged, despite failures of the broker."""
import asyncio
import json
import re
import signal
from collections import Counter

import pytest

from client import held, run_hunt
from harness.kafka_server import KafkaServer, consume
from harness.process import wait_until
from load import Request, play

pytestmark = pytest.mark.kafka
STACK = {"kafka": True, "aggregator": True, "append_only": True,
         "settings": {"worker.deadline_ms": 5000, "worker.queue_deadline_ms": 20000, "http.request_deadline_ms": 40000,
                      "kafka.sweep_after_s": 1, "kafka.delivery_timeout_ms": 2000}}
FIELDS = {"event_id", "hunter_id", "hunt_id", "loot_id", "seq", "gen", "timestamp", "bundle"}


def events(stack) -> dict[str, dict]:
    """The distinct events in the topic by their event_id; a repeat has to be the same to the letter."""
    found = {}
    for key, value in consume(stack.kafka.bootstrap, "loot_events"):
        event = json.loads(value)
        assert key == event["hunter_id"]
        assert found.setdefault(event["event_id"], event) == event
    return found


def await_events(stack, count: int) -> dict[str, dict]:
    wait_until(lambda: stack.outbox_length() == 0, 60, "the outbox to empty", poll_s=0.2)
    wait_until(lambda: len(events(stack)) >= count, 60, f"{count} events in Kafka", poll_s=0.5)
    found = events(stack)
    assert len(found) == count
    return found


def loot_of(found, hunter: str) -> Counter:
    return Counter(event["loot_id"] for event in found.values() if event["hunter_id"] == hunter)


def row(stack, hunter: str, hunt: str) -> dict[str, int]:
    rows = stack.postgres.sql(f"select loot from hunt_session where hunter_id = '{hunter}' and hunt_id = '{hunt}'")
    return json.loads(rows[0][0]) if rows else {}


def test_an_award_becomes_an_event_with_every_field(stack):
    before = events(stack)
    answer = run_hunt(stack.http, "pair", "eve", key="k")
    assert answer.status == 200
    run_hunt(stack.http, "pair", "eve", key="k")  # a repeat emits no event
    found = await_events(stack, len(before) + 2)
    for seq, item in enumerate(answer.json["loot"], 1):
        event = found[item["event_id"]]
        assert set(event) == FIELDS
        assert (event["hunter_id"], event["hunt_id"], event["loot_id"], event["seq"]) \
            == ("eve", "pair", item["loot_id"], seq)
        assert event["bundle"] == answer.headers["hunt-bundle"]
        assert re.fullmatch("[0-7][0-9a-f]{15}", event["gen"])
        assert 1_600_000_000_000 < event["timestamp"] < 10_000_000_000_000
    wait_until(lambda: row(stack, "eve", "pair") == {"sword": 1, "shield": 1}, 30, "the row")


def test_a_hunt_without_awards_emits_no_event(stack):
    before = len(events(stack))
    assert run_hunt(stack.http, "broken", "eve").status == 500
    assert run_hunt(stack.http, "reject", "eve", key="k").status == 422
    assert run_hunt(stack.http, "echo", "eve").status == 200
    await_events(stack, before)


def test_many_awards_are_all_in_kafka_and_their_seqs_have_no_hole(stack):
    before = len(events(stack))
    requests = [Request("gold", f"many-{number % 100}") for number in range(1500)]
    result = asyncio.run(play(stack.http, requests, hunter_clients=30))
    assert result.statuses == {200: 1500}
    found = await_events(stack, before + 1500)
    for number in range(100):
        seqs = [event["seq"] for event in found.values() if event["hunter_id"] == f"many-{number}"]
        assert sorted(seqs) == list(range(1, 16))
    assert result.events <= set(found)


def test_hunts_continue_without_kafka_and_no_event_is_lost(stack):
    if not isinstance(stack.kafka, KafkaServer):
        pytest.skip(f"needs a broker that keeps its data: {stack.kafka.why}")
    before = len(events(stack))
    stack.kafka.kill()
    try:
        for _ in range(20):
            answer = run_hunt(stack.http, "gold", "offline")
            assert answer.status == 200
        assert stack.outbox_length() >= 20
    finally:
        stack.kafka.start()
    found = await_events(stack, before + 20)
    assert loot_of(found, "offline") == {"gold": 20}
    wait_until(lambda: row(stack, "offline", "gold") == {"gold": 20}, 60, "the row")


def test_the_next_huntd_emits_events_left_in_the_outbox(stack):
    if not isinstance(stack.kafka, KafkaServer):
        pytest.skip(f"needs a broker that keeps its data: {stack.kafka.why}")
    before = len(events(stack))
    stack.kafka.kill()
    for _ in range(5):
        assert run_hunt(stack.http, "gold", "heir").status == 200
    stack.huntd.kill()
    assert stack.outbox_length() >= 5
    stack.kafka.start()
    stack.huntd.start()
    found = await_events(stack, before + 5)
    assert loot_of(found, "heir") == held(stack.http, "gold", "heir") == {"gold": 5}


def test_events_not_acknowledged_in_time_are_emitted_again(stack):
    before, failed_before = len(events(stack)), stack.metric("huntd_kafka_failed_total")
    stack.kafka.signal(signal.SIGSTOP)
    try:
        for _ in range(5):
            assert run_hunt(stack.http, "gold", "patient").status == 200
        wait_until(lambda: stack.metric("huntd_kafka_failed_total") >= failed_before + 5, 60, "the client to give up", poll_s=0.2)
        assert stack.outbox_length() >= 5
    finally:
        stack.kafka.signal(signal.SIGCONT)
    found = await_events(stack, before + 5)
    assert loot_of(found, "patient") == held(stack.http, "gold", "patient") == {"gold": 5}
    wait_until(lambda: row(stack, "patient", "gold") == {"gold": 5}, 60, "the row")
