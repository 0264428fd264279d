# SPDX-License-Identifier: Apache-2.0
"""The produce call of the Kafka REST proxy (v2) on huntd: its requests, its responses, and the records in Kafka."""
import concurrent.futures
import json
import signal

import pytest

from client import RawConnection, call
from harness.kafka_server import KafkaServer, consume
from harness.process import wait_until
from rest_calls import RECORDS_TYPE, ask, event, offsets, produce

pytestmark = pytest.mark.kafka
STACK = {"kafka": True, "aggregator": True,
         "settings": {"kafka.delivery_timeout_ms": 8000}}
RECORD_FIELDS = {"partition", "offset", "error_code", "error"}


def in_kafka(stack, hunter: str) -> list[dict]:
    """A hunter's events in the order that the topic has them; each is keyed by its hunter, as huntd's own are."""
    return [json.loads(value) for key, value in consume(stack.kafka.bootstrap, "loot_events") if key == hunter]


def rejection(answer) -> tuple[int, int, str]:
    assert answer.headers["content-type"] == "application/vnd.kafka.v2+json"
    assert set(answer.json) == {"error_code", "message"}
    return answer.status, answer.json["error_code"], answer.json["message"]


def test_records_get_partition_and_offset_and_become_rows(stack):
    first = produce(stack.http, [{"key": "rita", "value": event("rita", 1)}, {"value": event("rita", 2)}])
    assert (first.status, first.headers["content-type"]) == (200, "application/vnd.kafka.v2+json")
    assert set(first.json) == {"key_schema_id", "value_schema_id", "offsets"}
    assert first.json["key_schema_id"] is None and first.json["value_schema_id"] is None
    one, two = first.json["offsets"]
    assert set(one) == set(two) == RECORD_FIELDS
    assert one["error_code"] is None and one["error"] is None
    assert one["partition"] == two["partition"] and two["offset"] == one["offset"] + 1
    [three] = offsets(produce(stack.http, [{"key": None, "partition": None, "value": event("rita", 3)}]))
    assert three == (one["partition"], two["offset"] + 1), "one hunter, one partition"
    assert in_kafka(stack, "rita") == [event("rita", seq) for seq in (1, 2, 3)]
    row = "select loot_count from hunt_session where hunter_id = 'rita' and hunt_id = 'campfire' and loot_count = 3"
    wait_until(lambda: len(stack.postgres.sql(row)) == 1, 30, "the row")


def test_huntds_own_events_and_those_of_the_call_share_a_hunters_partition(stack):
    assert call(stack.http, "POST", "/v1/hunts/gold/hunters/robin").status == 200
    wait_until(lambda: len(in_kafka(stack, "robin")) == 1, 30, "huntd's own event", poll_s=0.2)
    [(_, offset)] = offsets(produce(stack.http, [{"value": event("robin", 1)}]))
    assert len(in_kafka(stack, "robin")) == 2 and offset >= 1


def test_concurrent_callers_get_different_offsets(stack):
    def one(number: int):
        return offsets(produce(stack.http, [{"value": event(f"many-{number}", seq)} for seq in range(1, 6)]))
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        got = [place for places in threads.map(one, range(60)) for place in places]
    assert len(got) == len(set(got)) == 300
    for number in range(0, 60, 7):
        assert [each["seq"] for each in in_kafka(stack, f"many-{number}")] == [1, 2, 3, 4, 5]


def test_a_malformed_record_rejects_the_whole_call_and_is_named(stack):
    good = event("nora", 1)
    rejected = stack.metric("huntd_kafka_rest_rejected_total")
    for bad, code, why in (
            ({"value": {**good, "seq": 0}}, 42203, 'record 1: field "seq" is not a whole number from 1'),
            ({"value": {**good, "hunter_id": "a b"}}, 42203, 'record 1: field "hunter_id" is malformed'),
            ({"value": {**good, "extra": 1}}, 42203, "record 1: a field is unknown or repeated"),
            ({"value": "text"}, 42203, 'record 1: "value" is not a JSON object'),
            ({"key": "other", "value": good}, 422, 'record 1: "key" is not the event\'s hunter_id'),
            ({"value": good, "partition": 0}, 422, 'record 1: omit "partition"'),
            ({"value": good, "colour": "red"}, 422, "record 1: a record has"),
            (7, 400, "record 1: a record must be a JSON object")):
        status, error_code, message = rejection(produce(stack.http, [{"value": good}, bad]))
        assert (status, error_code) == (code if code < 1000 else 422, code)
        assert message.startswith(why), message
    assert in_kafka(stack, "nora") == [], "no record of a rejected call is produced"
    assert stack.metric("huntd_kafka_rest_rejected_total") == rejected + 8


def test_other_topics_methods_types_and_bodies_get_the_proxys_errors(stack):
    good = [{"value": event("olga", 1)}]
    assert rejection(produce(stack.http, good, topic="other"))[:2] == (404, 40401)
    assert rejection(call(stack.http, "GET", "/topics/loot_events"))[:2] == (405, 405)
    assert call(stack.http, "GET", "/topics/loot_events").headers["allow"] == "POST"
    assert rejection(call(stack.http, "POST", "/topics/loot_events/partitions/0"))[:2] == (404, 404)
    for content_type in ("application/json", "application/vnd.kafka.binary.v2+json", "text/plain", None):
        assert rejection(ask(stack.http, json.dumps({"records": good}), content_type=content_type))[:2] == (415, 415)
    assert ask(stack.http, json.dumps({"records": good}), content_type=RECORDS_TYPE + "; charset=utf-8").status == 200
    for body, code in (("", 400), ("{", 400), ("[]", 400), ('{"records":{}}', 400), ("{}", 422), ('{"records":[]}', 422),
                       ('{"records":null}', 422), ('{"records":[],"more":1}', 422),
                       ('{"records":[{}],"value_schema_id":3}', 422)):
        assert rejection(ask(stack.http, body))[:2] == (code, code), body
    assert rejection(produce(stack.http, [{}] * 65)) == (422, 422, "the call has more than 64 records")
    assert rejection(ask(stack.http, " " * 16385))[:2] == (413, 413)
    with RawConnection(stack.http) as raw:
        raw.send(f"POST /topics/loot_events HTTP/1.1\r\nHost: a\r\nContent-Type: {RECORDS_TYPE}\r\n"
                 "Transfer-Encoding: chunked\r\n\r\nffff\r\n")
        assert rejection(raw.answer())[:2] == (413, 413)
    assert [each["seq"] for each in in_kafka(stack, "olga")] == [1]


def test_a_silent_broker_gives_the_outcome_unknown(stack):
    unknown = stack.metric('huntd_kafka_rest_records_total{outcome="unknown"}')
    [before] = offsets(produce(stack.http, [{"value": event("pat", 1)}]))
    stack.kafka.signal(signal.SIGSTOP)
    try:
        answer = produce(stack.http, [{"value": event("pat", 2)}])
    finally:
        stack.kafka.signal(signal.SIGCONT)
    assert answer.status == 200
    [record] = answer.json["offsets"]
    assert (record["partition"], record["offset"], record["error_code"]) == (None, None, 50003)
    assert record["error"].endswith("the event may be stored: a retry is harmless")
    assert stack.metric('huntd_kafka_rest_records_total{outcome="unknown"}') == unknown + 1
    [after] = offsets(produce(stack.http, [{"value": event("pat", 2)}], tries=20))
    assert after[0] == before[0] and after[1] > before[1]
    seqs = [each["seq"] for each in in_kafka(stack, "pat")]
    assert seqs[0] == 1 and set(seqs[1:]) == {2}, "stored once or twice, but never lost"


def test_without_kafka_the_call_fails_and_a_repeat_succeeds(stack):
    if not isinstance(stack.kafka, KafkaServer):
        pytest.skip(f"needs a broker that keeps its data: {stack.kafka.why}")
    stack.kafka.kill()
    try:
        [record] = produce(stack.http, [{"value": event("quinn", 1)}]).json["offsets"]
        assert record["error_code"] == 50003 and record["error"]
    finally:
        stack.kafka.start()
    offsets(produce(stack.http, [{"value": event("quinn", 1)}], tries=20))
    assert {each["seq"] for each in in_kafka(stack, "quinn")} == {1}


def test_a_draining_huntd_responds_at_once_to_the_call_in_flight(own_stack):
    """Kafka is not waited for: the response says what is known, and the caller has the record."""
    stack = own_stack(kafka=True).start()
    offsets(produce(stack.http, [{"value": event("dora", 1)}]))
    stack.kafka.signal(signal.SIGSTOP)
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        try:
            under_way = threads.submit(produce, stack.http, [{"value": event("dora", 2)}])
            wait_until(lambda: stack.metric("huntd_kafka_in_flight") >= 1, 20, "the record to be under way")
            assert stack.huntd.stop() == 0
            answer = under_way.result(10)
        finally:
            stack.kafka.signal(signal.SIGCONT)
    [record] = answer.json["offsets"]
    assert (answer.status, record["partition"], record["offset"], record["error_code"]) == (200, None, None, 50003)
    assert record["error"].endswith(("the event may be stored: a retry is harmless", "the event is not stored")), record
    assert "drain deadline" not in stack.huntd.log_text()
    stack.huntd.start()
    offsets(produce(stack.http, [{"value": event("dora", 2)}], tries=20))
    seqs = [each["seq"] for each in in_kafka(stack, "dora")]
    assert seqs[0] == 1 and set(seqs[1:]) == {2}


def of_hunt(hunter: str, seq: int, hunt: str) -> dict:
    return {"value": {**event(hunter, seq), "hunt_id": hunt}}


def test_an_event_of_a_hunt_with_a_script_rejects_the_call(stack):
    """Otherwise the caller's event would take the place of the hunter's next award in the table."""
    rejected = stack.metric("huntd_kafka_rest_rejected_total")
    for records, index in (([of_hunt("zoe", 1, "gold")], 0), ([of_hunt("zoe", 1, "campfire"), of_hunt("zoe", 1, "gold")], 1)):
        status, code, message = rejection(produce(stack.http, records))
        assert (status, code) == (422, 422)
        assert message == (f"record {index}: hunt gold has a script: its loot comes from POST /v1/hunts/gold/hunters/HUNTER_ID; "
                           "use a hunt_id that no script has")
    assert stack.metric("huntd_kafka_rest_rejected_total") == rejected + 2
    assert in_kafka(stack, "zoe") == [], "no record of a rejected call is produced"
    assert call(stack.http, "POST", "/v1/hunts/gold/hunters/zoe").status == 200
    row = "select 1 from hunt_session where hunter_id = 'zoe' and hunt_id = 'gold' and loot_count = 1"
    wait_until(lambda: len(stack.postgres.sql(row)) == 1, 30, "the row of the real loot")


def test_a_script_that_a_reload_brings_or_removes_decides_at_once(own_stack, tmp_path):
    hunts = tmp_path / "hunts"
    hunts.mkdir()
    (hunts / "other.lua").write_text("return function(hunt) end")
    stack = own_stack(kafka=True, hunts=hunts, cores=2).start()
    offsets(produce(stack.http, [of_hunt("tess", 1, "later")], tries=20))

    def reload(count: int) -> None:
        stack.huntd.signal(signal.SIGHUP)
        wait_until(lambda: stack.metric("huntd_bundle_swaps_total") >= 2 * count, 60, f"both cores to swap, reload {count}")

    (hunts / "later.lua").write_text("return function(hunt) hunt.award('gold') end")
    reload(1)
    assert [rejection(produce(stack.http, [of_hunt("tess", 2, "later")]))[:2] for _ in range(10)] == [(422, 422)] * 10
    (hunts / "later.lua").unlink()
    reload(2)
    offsets(produce(stack.http, [of_hunt("tess", 2, "later")], tries=20))


def test_an_event_of_a_closed_or_purged_hunt_rejects_the_call(stack):
    def message_of(hunt: str) -> str:
        answer = produce(stack.http, [of_hunt("vera", 1, hunt)])
        return "" if answer.status == 200 else rejection(answer)[2]

    offsets(produce(stack.http, [of_hunt("vera", 1, "old-season")]))
    with stack.redis.client() as redis:
        redis.call("HSET", "hunts", "old-season", "closed 0000000000000000")
        wait_until(lambda: message_of("old-season") == "record 0: hunt old-season is closed", 30, "it to be closed", poll_s=0.1)
        redis.call("HSET", "hunts", "old-season", "open 0000019a00000001")
        wait_until(lambda: message_of("old-season").startswith("record 0: hunt old-season was purged: "), 30, "its purge", poll_s=0.1)
        redis.call("HDEL", "hunts", "old-season")
        wait_until(lambda: message_of("old-season") == "", 30, "it to be open", poll_s=0.1)


def test_without_redis_the_call_goes_on_and_a_script_still_counts(own_stack):
    stack = own_stack(kafka=True).start()
    offsets(produce(stack.http, [{"value": event("wim", 1)}], tries=20))
    stack.redis.kill()
    offsets(produce(stack.http, [{"value": event("wim", 2)}], tries=20))
    assert rejection(produce(stack.http, [of_hunt("wim", 1, "gold")]))[:2] == (422, 422)


def test_without_kafka_there_is_no_topic(own_stack):
    stack = own_stack(cores=1).start()
    status, code, message = rejection(produce(stack.http, [{"value": event("eve", 1)}]))
    assert (status, code) == (404, 40401) and "kafka.bootstrap" in message
