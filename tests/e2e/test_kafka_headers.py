# SPDX-License-Identifier: Apache-2.0
"""The headers of records in Kafka, read by kcat (docs/formats/loot-event.md, docs/formats/dead-letter.md)."""
import json
import subprocess

import pytest

from client import call, run_hunt
from harness.kafka_server import consume
from harness.process import find_program, wait_until
from rest_calls import event, offsets, produce

pytestmark = pytest.mark.kafka
STACK = {"kafka": True, "aggregator": True,
         "settings": {"worker.deadline_ms": 5000, "worker.queue_deadline_ms": 20000, "http.request_deadline_ms": 40000,
                      "kafka.sweep_after_s": 1}}
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


TRACE = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"  # the example of the standard


def headers_of_events(stack, hunter: str, traceparent: str | None = None) -> set[str]:
    """The headers of the two events of one run of `pair`, whose request has this header."""
    sent = {} if traceparent is None else {"traceparent": traceparent}
    assert call(stack.http, "POST", f"/v1/hunts/pair/hunters/{hunter}", headers=sent).status == 200
    wait_until(lambda: len(headers(stack, "loot_events").get(hunter, [])) >= 2, 60, "the events", poll_s=0.5)
    return set(headers(stack, "loot_events")[hunter])


def test_the_events_of_a_hunt_have_the_traceparent_of_its_request(stack):
    for number in range(4):  # so that some run on a core that did not read the request
        assert headers_of_events(stack, f"traced-{number}", f"00-{TRACE}") == {f"{EVENT_HEADERS},traceparent=00-{TRACE}"}


def test_a_traceparent_of_a_later_version_is_written_as_one_of_version_00(stack):
    assert headers_of_events(stack, "later", f"cc-{TRACE}-more") == {f"{EVENT_HEADERS},traceparent=00-{TRACE}"}


def test_a_request_with_an_invalid_traceparent_has_events_without_one(stack):
    assert headers_of_events(stack, "untraced", f"00-{TRACE.upper()}") == {EVENT_HEADERS}


def test_an_event_that_a_sweep_found_in_the_outbox_has_no_traceparent(stack):
    with stack.redis.client() as redis:
        redis.call("XADD", "outbox:{b7}", "1-1", "k", "swept", "v", json.dumps(event("swept", 1)))
    wait_until(lambda: "swept" in headers(stack, "loot_events"), 60, "the event", poll_s=0.5)
    assert set(headers(stack, "loot_events")["swept"]) == {EVENT_HEADERS}


def test_a_dead_letter_says_what_it_is_and_a_record_without_headers_counts(stack):
    record = subprocess.run([find_program("kcat"), "-b", stack.kafka.bootstrap, "-P", "-t", "loot_events", "-k", "poison"],
                            input=b"no event", capture_output=True, timeout=60)
    assert record.returncode == 0, record.stderr
    wait_until(lambda: "poison" in headers(stack, "loot_events_dead"), 60, "the dead letter", poll_s=0.5)
    (found,) = headers(stack, "loot_events_dead")["poison"]
    assert found.startswith("content-type=application/octet-stream,huntd-dead-letter-version=1,reason="), found
    assert ",topic=loot_events,partition=" in found and ",offset=" in found
