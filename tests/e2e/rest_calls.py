# SPDX-License-Identifier: Apache-2.0
"""The produce call of the Kafka REST proxy (v2), as a caller makes it."""
import hashlib
import json
import time

from client import Answer, call

RECORDS_TYPE = "application/vnd.kafka.json.v2+json"


def event(hunter: str, seq: int) -> dict:
    """A loot event, the same for the same arguments."""
    name = hashlib.md5(f"{hunter}/{seq}".encode()).hexdigest()
    return {"event_id": name, "hunter_id": hunter, "hunt_id": "campfire", "loot_id": "ember", "seq": seq,
            "timestamp": 1_700_000_000_000 + seq, "bundle": "0123456789abcdef0123456789abcdef"}


def ask(address: str, body: str, *, topic: str = "loot_events", content_type: str | None = RECORDS_TYPE,
        headers: dict[str, str] | None = None) -> Answer:
    headers = {**(headers or {}), **({"Content-Type": content_type} if content_type else {})}
    return call(address, "POST", f"/topics/{topic}", body, headers, timeout_s=60)


def produce(address: str, records: list, *, topic: str = "loot_events", headers: dict[str, str] | None = None,
            tries: int = 1) -> Answer:
    """The response; the call is repeated, up to `tries` times in all, while the response says that a repeat may succeed."""
    answer = ask(address, json.dumps({"records": records}), topic=topic, headers=headers)
    while tries > 1 and answer.status == 200 and any(each["error_code"] == 50003 for each in answer.json["offsets"]):
        tries -= 1
        time.sleep(0.2)
        answer = ask(address, json.dumps({"records": records}), topic=topic, headers=headers)
    return answer


def offsets(answer: Answer) -> list[tuple[int, int]]:
    """The partition and offset of each record; an AssertionError if a record is not stored."""
    assert answer.status == 200, answer
    for each in answer.json["offsets"]:
        assert each.get("error_code") is None and each.get("error") is None, answer.body
    return [(each["partition"], each["offset"]) for each in answer.json["offsets"]]
