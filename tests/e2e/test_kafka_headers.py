# SPDX-License-Identifier: Apache-2.0
"""The headers of records in Kafka, read by kcat (docs/formats/loot-event.md, docs/formats/dead-letter.md)."""
import subprocess

import pytest

from client import run_hunt
from harness.kafka_server import consume
from harness.process import find_program, wait_until
from rest_calls import event, offsets, produce

pytestmark = pytest.mark.kafka
STACK = {"kafka": True, "aggregator": True,
         "settings": {"worker.deadline_ms": 5000, "worker.queue_deadline_ms": 20000, "http.request_deadline_ms": 40000}}
EVENT_HEADERS = "content-type=application/json,huntd-event-version=1"


def headers(stack, topic: str) -> dict[str, list[str]]:
    """{record key: the headers of each of its records}."""
    found: dict[str, list[str]] = {}
    for key, text in consume(stack.kafka.bootstrap, topic, "-f", "%k\\x1f%h\\x1e"):
        found.setdefault(key, []).append(text)
    return found


def test_events_of_hunts_and_of_the_produce_call_have_type_and_version(stack):
    for _ in range(3):
        assert run_hunt(stack.http, "pair", "eve").status == 200
    called = event("caller", 1)
    offsets(produce(stack.http, [{"key": "caller", "value": called}], tries=20))
    wait_until(lambda: len(headers(stack, "loot_events").get("eve", [])) >= 6, 60, "the events", poll_s=0.5)
    found = headers(stack, "loot_events")
    assert set(found["eve"]) == {EVENT_HEADERS}
    assert set(found["caller"]) == {EVENT_HEADERS}


def test_a_dead_letter_says_what_it_is_and_a_record_without_headers_counts(stack):
    record = subprocess.run([find_program("kcat"), "-b", stack.kafka.bootstrap, "-P", "-t", "loot_events", "-k", "poison"],
                            input=b"no event", capture_output=True, timeout=60)
    assert record.returncode == 0, record.stderr
    wait_until(lambda: "poison" in headers(stack, "loot_events_dead"), 60, "the dead letter", poll_s=0.5)
    (found,) = headers(stack, "loot_events_dead")["poison"]
    assert found.startswith("content-type=application/octet-stream,huntd-dead-letter-version=1,reason="), found
    assert ",topic=loot_events,partition=" in found and ",offset=" in found
