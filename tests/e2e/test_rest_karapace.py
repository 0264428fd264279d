# SPDX-License-Identifier: Apache-2.0
"""The same produce calls to huntd and to Karapace, on one Kafka: status, content type, shape and error codes.

If their responses differ on purpose, this file and docs/decisions/0024-kafka-rest-produce.md say so.
"""
import json

import pytest

from client import call
from harness.karapace_server import KarapaceServer, why_no_karapace
from harness.kafka_server import KafkaServer
from rest_calls import RECORDS_TYPE, ask, event, offsets, produce

pytestmark = pytest.mark.kafka
STACK = {"kafka": True}
# huntd answers with the type of Confluent's proxy, Karapace with that of the records.
TYPES = {"huntd": "application/vnd.kafka.v2+json", "karapace": "application/vnd.kafka.json.v2+json"}


@pytest.fixture(scope="module")
def karapace(stack, tmp_path_factory):
    if why := why_no_karapace():
        pytest.skip(why)
    if not isinstance(stack.kafka, KafkaServer):
        pytest.skip(f"Karapace wants a whole broker: {stack.kafka.why}")
    offsets(produce(stack.http, [{"value": event("first", 1)}], tries=20))  # the topic is made on first use
    with KarapaceServer(tmp_path_factory.mktemp("karapace"), stack.kafka.bootstrap) as server:
        yield server


def both(stack, karapace, call_one):
    ours, theirs = call_one(stack.http), call_one(karapace.address)
    assert ours.headers["content-type"] == TYPES["huntd"]
    return ours, theirs


@pytest.mark.parametrize("records", [
    [{"value": event("ada", 1)}],
    [{"key": "ada", "value": event("ada", 2)}, {"key": "bob", "value": event("bob", 1)}],
    [{"key": None, "value": event("ada", 3)}],
    [{"value": event(f"many-{number}", 1)} for number in range(60)],
], ids=["one", "keys", "null key", "sixty"])
def test_stored_records_get_the_same_response(stack, karapace, records):
    ours, theirs = both(stack, karapace, lambda address: produce(address, records))
    assert ours.status == theirs.status == 200
    assert theirs.headers["content-type"] == TYPES["karapace"]
    assert set(ours.json) == set(theirs.json) == {"key_schema_id", "value_schema_id", "offsets"}
    for answer in (ours, theirs):
        assert answer.json["key_schema_id"] is answer.json["value_schema_id"] is None
        places = offsets(answer)
        assert len(places) == len(set(places)) == len(records)
        assert all(type(partition) is int and type(offset) is int for partition, offset in places)
    # Confluent's proxy sends null if there is no error, Karapace omits the field.
    assert all(set(each) == {"partition", "offset", "error_code", "error"} for each in ours.json["offsets"])
    assert all(set(each) == {"partition", "offset"} for each in theirs.json["offsets"])


GOOD = {"records": [{"value": event("ada", 1)}]}


@pytest.mark.parametrize("status,error_code,body,options", [
    (404, 40401, GOOD, {"topic": "no-such-topic-here"}),
    (415, 415, GOOD, {"content_type": "text/plain"}),
    (415, 415, GOOD, {"content_type": "application/xml"}),
    (422, 422, {}, {}),
    (422, 422, {"records": []}, {}),
    (422, 422, {"records": None}, {}),
    (422, 422, {**GOOD, "more": 1}, {}),
    (400, 400, {"records": "text"}, {}),
    (400, 400, {"records": {"value": 1}}, {}),
    (400, 400, {"records": [7]}, {}),
    (422, 422, {"records": [{**GOOD["records"][0], "more": 1}]}, {}),
], ids=str)
def test_rejected_calls_get_the_same_status_and_code(stack, karapace, status, error_code, body, options):
    ours, theirs = both(stack, karapace, lambda address: ask(address, json.dumps(body), **options))
    for answer in (ours, theirs):
        assert (answer.status, answer.json["error_code"]) == (status, error_code), answer
        assert set(answer.json) == {"error_code", "message"} and answer.json["message"]
    assert theirs.headers["content-type"] == TYPES["karapace"]


@pytest.mark.parametrize("body", ["", "{", "nothing", '{"records":[}'], ids=repr)
def test_a_body_that_is_not_json_is_400_from_both(stack, karapace, body):
    ours, theirs = both(stack, karapace, lambda address: ask(address, body))
    assert ours.status == theirs.status == 400
    assert ours.json["error_code"] == 400
    assert theirs.headers["content-type"].startswith("text/plain"), "Karapace has no error_code there"


def test_an_unknown_method_is_rejected_by_both(stack, karapace):
    ours, theirs = both(stack, karapace, lambda address: call(address, "DELETE", "/topics/loot_events", json.dumps(GOOD),
                                                              {"Content-Type": RECORDS_TYPE}))
    assert ours.status == theirs.status == 405


def test_karapace_accepts_records_that_huntd_rejects_as_events(stack, karapace):
    ours, theirs = both(stack, karapace, lambda address: produce(address, [{"value": {"not": "an event"}}]))
    assert theirs.status == 200, "it does not check the record"
    assert (ours.status, ours.json["error_code"]) == (422, 42203)


def test_karapace_accepts_keys_and_partitions_that_huntd_rejects(stack, karapace):
    for record in ({"key": "another", "value": event("ada", 1)}, {"partition": 0, "value": event("ada", 1)}):
        ours, theirs = both(stack, karapace, lambda address: produce(address, [record]))
        assert theirs.status == 200
        assert (ours.status, ours.json["error_code"]) == (422, 422)
