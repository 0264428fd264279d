# SPDX-License-Identifier: Apache-2.0
"""The contents of the three stores, read by programs of others: redis-cli's protocol, kcat and psql."""
import json
import subprocess
from collections import Counter
from dataclasses import dataclass

from harness.process import find_program


@dataclass
class Record:
    """One record of loot_events."""
    event: dict
    partition: int
    offset: int
    produced_ms: int


def in_redis(stack) -> tuple[dict, dict]:
    """{(hunter, hunt): Counter of loot_id}, {(hunter, hunt): seq}."""
    held, seqs = {}, {}
    with stack.redis.client() as redis:
        for key in redis.keys("held:*"):
            _, _, hunter, hunt = key.split(":")
            pairs = {name: int(count) for name, count in redis.hash(key).items()}
            seqs[hunter, hunt] = pairs.pop("#seq")
            held[hunter, hunt] = Counter(pairs)
    return held, seqs


def in_kafka(stack, poison=frozenset()) -> list[Record]:
    """Every record except the poison, by partition and offset."""
    # kcat ends at an empty fetch of each partition; under load an empty fetch must not wait long.
    done = subprocess.run(
        [find_program("kcat"), "-b", stack.kafka.bootstrap, "-C", "-t", "loot_events", "-o", "beginning", "-e", "-q",
         "-X", "fetch.wait.max.ms=10", "-f", "%p\\x1f%o\\x1f%T\\x1f%k\\x1f%s\\x1e"], capture_output=True, text=True, errors="replace", timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"kcat: {done.stderr.strip()}")
    records = []
    for line in done.stdout.split("\x1e"):
        if not line:
            continue
        partition, offset, produced_ms, key, value = line.split("\x1f", 4)
        if value in poison:
            continue
        event = json.loads(value)
        assert key == event["hunter_id"], (key, event)
        records.append(Record(event, int(partition), int(offset), int(produced_ms)))
    return sorted(records, key=lambda record: (record.partition, record.offset))


def loot_of(records: list[Record]) -> dict:
    """{(hunter, hunt): Counter of loot_id}, each event once."""
    found: dict[tuple[str, str], Counter] = {}
    for event in {record.event["event_id"]: record.event for record in records}.values():
        found.setdefault((event["hunter_id"], event["hunt_id"]), Counter())[event["loot_id"]] += 1
    return found


def in_postgres(stack) -> dict:
    """{(hunter, hunt): Counter of loot_id} of hunt_session."""
    rows = stack.postgres.sql("select hunter_id, hunt_id, loot, loot_count from hunt_session")
    wrong = [row for row in rows if sum(json.loads(row[2]).values()) != int(row[3])]
    assert not wrong, f"loot_count is not the sum of loot: {wrong[:3]}"
    return {(hunter, hunt): Counter(json.loads(loot)) for hunter, hunt, loot, _ in rows}
