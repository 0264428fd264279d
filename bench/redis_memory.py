# SPDX-License-Identifier: Apache-2.0
"""`./dev bench redis-memory`: what huntd's keys take of Redis' memory, per hunter and hunt, per stored response and per event.

Real hunts by HTTP, each with an Idempotency-Key, without Kafka and without an aggregator, so that every event stays in its outbox.
HUNTERS is just above what a table of Redis' has room for before it doubles, so the share of the tables is the highest there is."""
import concurrent.futures
import http.client
import json
import pathlib
import shutil
import tempfile
from dataclasses import dataclass

from bench.isolation_modes import isolation_settings
from bench.report import ONE_RUN, Figure, Report, progress, version_of
from harness.huntd_stack import ROOT, HuntdStack
from harness.process import ServerFailed, find_program, wait_until

HUNTERS = 33_000
HUNTERS_WITH_TWENTY = 20_000
CONNECTIONS = 4
TRIES = 10
LOOTS = 20
JITTER_BYTES = 64 * 1024  # what the buffers of clients take and give back at rest
TWENTY = f"return function(hunt) for n = 1, {LOOTS} do hunt.award('loot-' .. n) end return {{ found = {LOOTS} }} end\n"
# The machine may be slow, and only what Redis keeps is measured.
PATIENT = {"worker.deadline_ms": 1500, "worker.queue_deadline_ms": 10000, "worker.queue_target_ms": 10000,
           "http.request_deadline_ms": 30000}


@dataclass
class Keys:
    """The keys of one kind: how many, and the sum of MEMORY USAGE."""
    count: int
    memory: int

    def mean(self) -> float:
        return self.memory / self.count


def _hunt(connection: http.client.HTTPConnection, hunt: str, number: int) -> int:
    """One hunter's hunt; returns the number of its events. A busy machine may need a repeat, which awards nothing twice."""
    for _ in range(TRIES):
        connection.request("POST", f"/v1/hunts/{hunt}/hunters/hunter-{number:06}", headers={"Idempotency-Key": f"{number:032x}"})
        response = connection.getresponse()
        body = json.loads(response.read())
        if response.status == 200:
            return len(body["loot"])
    raise ServerFailed(f"{hunt}: {response.status} {body}")


def _play(address: str, hunt: str, hunters: int) -> int:
    """One request of each hunter, each with a key of its own; returns the number of events."""
    def some(first: int) -> int:
        connection, events = http.client.HTTPConnection(address, timeout=60), 0
        for number in range(first, hunters, CONNECTIONS):
            events += _hunt(connection, hunt, number)
        connection.close()
        return events

    progress(f"redis-memory: {hunters:,} hunters, {hunt}")
    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        return sum(pool.map(some, range(CONNECTIONS)))


def _used(redis) -> int:
    """used_memory, once Redis has finished what it does in the background (moving keys into a larger table)."""
    seen = [0]

    def settled() -> bool:
        seen.append(int(redis.info("memory")["used_memory"]))
        return abs(seen[-1] - seen[-2]) < JITTER_BYTES

    wait_until(settled, 60, "Redis' memory to settle", 1)
    return seen[-1]


def _keys(redis, pattern: str) -> Keys:
    with redis.client() as client:
        names = set(client.keys(pattern))
        return Keys(len(names), sum(client.call("MEMORY", "USAGE", name, "SAMPLES", "0") for name in names))


def _empty_outboxes(redis) -> float:
    """Deletes them; returns the bytes that were theirs."""
    before = _used(redis)
    with redis.client() as client:
        for bucket in range(1024):
            client.call("DEL", f"outbox:{{b{bucket}}}")
    return before - _used(redis)


def run() -> Report:
    with tempfile.TemporaryDirectory() as name:
        hunts = pathlib.Path(name) / "hunts"
        hunts.mkdir()
        shutil.copy(ROOT / "lua" / "goblin-hoard.lua", hunts)
        (hunts / "twenty.lua").write_text(TWENTY)
        with HuntdStack(pathlib.Path(name) / "stack", cores=2, aggregator=False, hunts=hunts,
                        settings={**isolation_settings("batch"), **PATIENT}) as stack:
            return _measure(stack)


def _measure(stack) -> Report:
    redis = stack.redis
    before = _used(redis)
    _play(stack.http, "goblin-hoard", HUNTERS)
    _empty_outboxes(redis)
    after = _used(redis)
    held, done = _keys(redis, "held:*"), _keys(redis, "done:*")
    if (held.count, done.count) != (HUNTERS, HUNTERS):
        raise ServerFailed(f"{held.count} keys held and {done.count} keys done of {HUNTERS} hunters: has the format changed?")
    tables = (after - before - held.memory - done.memory) / (held.count + done.count)
    events = _play(stack.http, "twenty", HUNTERS_WITH_TWENTY)
    twenty = _keys(redis, "held:*:twenty")
    event = _empty_outboxes(redis) / events
    report = Report("redis-memory", notes=[
        version_of(find_program("redis-server"), "--version"),
        f"{HUNTERS:,} hunters (ids of 13 characters) of goblin-hoard (one loot each), keys of 32 characters; then "
        f"{HUNTERS_WITH_TWENTY:,} with {LOOTS} loots each: {events:,} events in 1,024 outboxes",
        "MEMORY USAGE of each key; tables: what used_memory grew by besides, per key; events: what deleting the outboxes gave back", ONE_RUN])
    report.figures = [
        Figure("held_bytes", held.mean(), "B per hunter and hunt, with one loot"),
        Figure("held_loot_bytes", (twenty.mean() - held.mean()) / (LOOTS - 1), "B per further loot_id"),
        Figure("done_bytes", done.mean(), "B per stored response"),
        Figure("table_bytes", tables, "B per key, in Redis' own tables"),
        Figure("event_bytes", event, "B per event in the outbox")]
    return report
