# SPDX-License-Identifier: Apache-2.0
"""The contents of the three stores, read by programs of others: redis-cli's protocol, kcat and psql."""
import json
import subprocess
from collections import Counter
from dataclasses import dataclass, field

from harness.process import find_program

NO_GENERATION = "0" * 16  # of an older huntd


@dataclass
class Record:
    """One record of loot_events."""
    event: dict
    partition: int
    offset: int
    produced_ms: int

    @property
    def session(self) -> tuple[str, str]:
        return self.event["hunter_id"], self.event["hunt_id"]

    @property
    def generation(self) -> str:
        return self.event.get("gen", NO_GENERATION)

    @property
    def seq(self) -> int:
        return self.event["seq"]


@dataclass
class Held:
    """A hash `held` (docs/formats/redis.md)."""
    loot: Counter = field(default_factory=Counter)
    generation: str = NO_GENERATION
    seq: int = 0
    before: int = 0
    was: dict[str, int] = field(default_factory=dict)  # an earlier generation -> the seq that it reached

    @property
    def reached(self) -> dict[str, int]:
        """{generation: the seq that it reached} of each generation that the hash knows."""
        return {**self.was, **({self.generation: self.seq} if self.seq else {})}


def held_of_fields(fields: dict[str, str]) -> Held:
    held = Held()
    for name, value in fields.items():
        if name == "#gen":
            held.generation = value.split(" ")[0]
        elif name == "#seq":
            held.seq = int(value)
        elif name == "#before":
            held.before = int(value)
        elif name.startswith("#was:"):
            held.was[name.removeprefix("#was:")] = int(value)
        elif not name.startswith("#"):  # other fields with it are of a later huntd
            held.loot[name] = int(value)
    return held


def held_in(redis) -> dict[tuple[str, str], Held]:
    """{(hunter, hunt): Held} of a Redis, by a client of it."""
    found = {}
    for key in redis.keys("held:*"):
        _, _, hunter, hunt = key.split(":")
        found[hunter, hunt] = held_of_fields(redis.hash(key))
    return found


def hunters_in(redis) -> dict[str, str]:
    """{hunter: a key `held`} of each hunter that has awards."""
    return {key.split(":")[2]: key for key in redis.keys("held:*")}


def floors_in(redis) -> dict[str, str]:
    """{hunt: the greatest generation of its purged seasons} of each hunt that was purged."""
    states = {hunt: state.split(" ") for hunt, state in redis.hash("hunts").items()}
    return {hunt: words[1] for hunt, words in states.items() if words[1] != NO_GENERATION}


def in_redis(stack) -> tuple[dict, dict]:
    """{(hunter, hunt): Counter of loot_id}, {(hunter, hunt): number of awards}."""
    with stack.redis.client() as redis:
        found = held_in(redis)
    return ({session: held.loot for session, held in found.items()},
            {session: held.before + held.seq for session, held in found.items()})


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


def units_of(event: dict) -> int:
    """What an event gives; below 0: what it takes."""
    return {None: 1, "award": event.get("count"), "take": -event.get("count", 0)}[event.get("kind")]


def loot_of(records: list[Record]) -> dict:
    """{(hunter, hunt): Counter of loot_id}, each event once."""
    found: dict[tuple[str, str], Counter] = {}
    for event in {record.event["event_id"]: record.event for record in records}.values():
        found.setdefault((event["hunter_id"], event["hunt_id"]), Counter())[event["loot_id"]] += units_of(event)
    return found


def in_postgres(stack, table: str = "hunt_session") -> dict:
    """{(hunter, hunt): Counter of loot_id} of hunt_session, or of its archive hunt_session_past."""
    rows = stack.postgres.sql(f"select hunter_id, hunt_id, loot, loot_count from {table}")
    wrong = [row for row in rows if sum(json.loads(row[2]).values()) != int(row[3])]
    assert not wrong, f"loot_count is not the sum of loot: {wrong[:3]}"
    found: dict[tuple[str, str], Counter] = {}
    for hunter, hunt, loot, _ in rows:  # the archive has a row per season
        found.setdefault((hunter, hunt), Counter()).update(json.loads(loot))
    return found
