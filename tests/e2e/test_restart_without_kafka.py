# SPDX-License-Identifier: Apache-2.0
"""A restart of huntd does not wait for Kafka: events are safe in the outbox, and are in the table once when Kafka is back."""
import json
import signal
import time

import pytest

from client import run_hunt
from harness.kafka_server import KafkaServer, consume
from harness.process import wait_until

pytestmark = pytest.mark.kafka
STOP_S_MAX = 10  # it was 15.4 s: the deadline of the drain, then a flush


def events_of(stack, hunter: str) -> list[dict]:
    return [json.loads(value) for key, value in consume(stack.kafka.bootstrap, "loot_events") if key == hunter]


def stop_seconds(stack) -> float:
    started = time.monotonic()
    assert stack.huntd.stop() == 0
    return time.monotonic() - started


def take_kafka_away(stack, kafka_is: str) -> None:
    if kafka_is == "stopped":
        stack.kafka.signal(signal.SIGSTOP)
    elif kafka_is == "killed":
        stack.kafka.kill()
    else:  # gone before huntd starts: the client has never been connected
        stack.huntd.stop()
        stack.kafka.kill()
        stack.huntd.start()


@pytest.mark.parametrize("kafka_is", ("stopped", pytest.param("killed", marks=pytest.mark.long(reason="40 s: huntd gives up its events")),
                                      pytest.param("gone before the start", marks=pytest.mark.long(reason="as killed"))))
def test_a_restart_does_not_wait_for_kafka_and_the_event_arrives_once(own_stack, kafka_is):
    stack = own_stack(kafka=True, aggregator=True, settings={"kafka.sweep_after_s": 1}).start()
    if not isinstance(stack.kafka, KafkaServer):
        pytest.skip(f"needs a broker that keeps its data: {stack.kafka.why}")
    assert run_hunt(stack.http, "gold", "early").status == 200
    wait_until(lambda: len(events_of(stack, "early")) == 1, 60, "the first event", poll_s=0.2)
    with_kafka_s = stop_seconds(stack)
    stack.huntd.start()
    take_kafka_away(stack, kafka_is)
    try:
        assert run_hunt(stack.http, "gold", "late").status == 200
        wait_until(lambda: stack.metric("huntd_kafka_in_flight") >= 1, 20, "the event to be under way")
        without_kafka_s = stop_seconds(stack)
        print(f"{kafka_is}: stopped in {without_kafka_s:.2f} s, with Kafka in {with_kafka_s:.2f} s")
        assert without_kafka_s < STOP_S_MAX
        assert "drain deadline" not in stack.huntd.log_text()
        assert stack.outbox_length() == 1
    finally:
        if kafka_is == "stopped":
            stack.kafka.signal(signal.SIGCONT)
        else:
            stack.kafka.start()
    stack.huntd.start()
    wait_until(lambda: stack.outbox_length() == 0, 90, "the outbox to be empty", poll_s=0.2)
    row = "select 1 from hunt_session where hunter_id = 'late' and hunt_id = 'gold' and loot_count = 1"
    wait_until(lambda: len(stack.postgres.sql(row)) == 1, 60, "the row", poll_s=0.2)
    in_topic = events_of(stack, "late")
    assert len({each["event_id"] for each in in_topic}) == 1
    # A stopped broker finds what it was sent when it continues, and then what the outbox has.
    assert len(in_topic) == 1 or (kafka_is == "stopped" and len(in_topic) == 2)


def test_requests_under_way_are_answered_although_kafka_is_silent(own_stack):
    stack = own_stack(kafka=True, cores=2).start()
    assert run_hunt(stack.http, "gold", "first").status == 200
    wait_until(lambda: stack.metric("huntd_kafka_in_flight") == 0, 60, "Kafka to have the first event")
    stack.kafka.signal(signal.SIGSTOP)
    try:
        for number in range(200):
            assert run_hunt(stack.http, "gold", f"many-{number}").status == 200
        assert stop_seconds(stack) < STOP_S_MAX
        assert "drain deadline" not in stack.huntd.log_text()
        assert stack.outbox_length() >= 200
    finally:
        stack.kafka.signal(signal.SIGCONT)
