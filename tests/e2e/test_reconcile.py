# SPDX-License-Identifier: Apache-2.0
"""The whole way, counted to the last item: 20,000 hunts of 1,000 hunters over two cores by mixed clients; afterwards Redis, Kafka
(read by kcat) and hunt_session agree, and every response is in all three. Once without faults, once with kills of a core and Redis.
And huntctl reconcile on a live system, and after Redis has lost awards."""
import asyncio
import json
import os
import random
import signal
import subprocess
import threading
from collections import Counter

import pytest

from client import AsyncConnection, run_hunt
from harness.huntd_stack import ROOT, build_folder, http_get
from harness.kafka_server import consume
from harness.stores import held_in
from load import Request, play

pytestmark = pytest.mark.kafka
HUNTERS = 1000
HUNTS = 20_000
SHAPES = ["goblin-hoard", "goblin-hoard", "seven-runes", "campfire", "sunken-chest", "golden-ticket"]
CLIENTS = 40  # keep-alive connections of one hunter at a time
PROXIES = 8   # connections that carry every hunter
REPEATED = 0.1


class Responses:
    """The responses of all clients."""

    def __init__(self):
        self.answers = Counter()
        self.events: dict[str, tuple[str, str, str]] = {}  # event_id -> hunter, hunt, loot
        self.unknown = 0
        self.contradictions: list[str] = []

    def note(self, hunter: str, hunt: str, answer) -> None:
        self.answers[answer.status] += 1
        if answer.status != 200:
            return
        for item in answer.json["loot"]:
            reported = (hunter, hunt, item["loot_id"])
            if self.events.setdefault(item["event_id"], reported) != reported:
                self.contradictions.append(f"{item['event_id']}: {self.events[item['event_id']]} and {reported}")


async def ask(connection: AsyncConnection, responses: Responses, hunter: str, hunt: str, key: str | None):
    """One request; after a broken connection, 503 or 504 it is repeated with its key, as docs/http-api.md says."""
    for _ in range(200):
        try:
            answer = await connection.run_hunt(hunt, hunter, key)
        except (OSError, EOFError):
            responses.unknown += 1
            if key is None:
                return None
            await asyncio.sleep(0.05)
            continue
        responses.note(hunter, hunt, answer)
        if answer.status not in (503, 504) or key is None:
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError(f"{hunter} got no response to {key} in 200 tries")


async def hunt_all(address: str, progress) -> Responses:
    responses = Responses()
    drawn = random.Random(20261124)
    work: asyncio.Queue = asyncio.Queue()
    for number in range(HUNTS):
        work.put_nowait((number, f"hunter-{drawn.randrange(HUNTERS)}", drawn.choice(SHAPES), drawn.random()))

    async def serve(of_one_hunter: bool):
        connection = AsyncConnection(address)
        while not work.empty():
            number, hunter, hunt, chance = work.get_nowait()
            key = f"key-{number}" if chance < 0.5 else None
            first = await ask(connection, responses, hunter, hunt, key)
            if key and chance < REPEATED:
                again = await ask(connection, responses, hunter, hunt, key)
                # Only a final response (200, 422) must be repeated unchanged.
                if first.status == 200 and (again.status != 200 or again.json["loot"] != first.json["loot"]):
                    responses.contradictions.append(f"{key}: {first.body} then {again.body}")
            if of_one_hunter and number % 8 == 0:
                await connection.close()  # the next hunter uses a new connection
            progress(HUNTS - work.qsize())
        await connection.close()

    await asyncio.gather(*(serve(client < CLIENTS) for client in range(CLIENTS + PROXIES)))
    return responses


def check_stores(stack, responses: Responses) -> None:
    assert not responses.contradictions, responses.contradictions[:5]
    done = subprocess.run([str(build_folder() / "huntctl"), "reconcile", "--wait", "60", "-c", str(stack.config)],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr

    # The same by programs of others: kcat, redis-cli's protocol, psql.
    events = {}
    seqs = Counter()
    for key, value in consume(stack.kafka.bootstrap, "loot_events"):
        event = json.loads(value)
        assert key == event["hunter_id"]
        reported = (event["hunter_id"], event["hunt_id"], event["loot_id"])
        assert events.setdefault(event["event_id"], (reported, event["seq"])) == (reported, event["seq"])
    for (hunter, hunt, _), _seq in events.values():
        seqs[hunter, hunt] += 1
    missing = [event_id for event_id in responses.events if event_id not in events]
    assert not missing, f"{len(missing)} events of responses are not in Kafka: {missing[:3]}"
    for event_id, reported in responses.events.items():
        assert events[event_id][0] == reported
    in_table = {(row[0], row[1]): int(row[2])
                for row in stack.postgres.sql("SELECT hunter_id, hunt_id, loot_count FROM hunt_session")}
    assert in_table == dict(seqs)
    with stack.redis.client() as redis:
        held = held_in(redis)
    for session, of_session in held.items():
        assert of_session.loot.total() == of_session.before + of_session.seq == sum(of_session.reached.values()), session
    assert sum(of_session.loot.total() for of_session in held.values()) == len(events) == sum(in_table.values())


@pytest.fixture
def full_stack(own_stack):
    stack = own_stack(hunts=ROOT / "lua", kafka=True, append_only=True, aggregator=True,
                      settings={"worker.deadline_ms": 5000, "worker.queue_deadline_ms": 20000, "worker.queue_target_ms": 20000,
                                "http.request_deadline_ms": 40000,  # a busy machine must not make huntd shed
                                "kafka.sweep_after_s": 3})
    return stack.start()


def test_twenty_thousand_hunts_reconcile_to_the_last_item(full_stack):
    responses = asyncio.run(hunt_all(full_stack.http, lambda done: None))
    assert responses.unknown == 0
    assert set(responses.answers) <= {200, 422}, responses.answers
    assert responses.answers[200] > HUNTS / 2
    check_stores(full_stack, responses)
    # The owner cores served both kinds of clients.
    metrics = http_get(full_stack.admin, "/metrics")[1]
    totals = Counter()
    for line in metrics.splitlines():
        if line.startswith(("huntd_hunts_total{", "huntd_hunts_owner_total{", "huntd_connections_handed_over_total{",
                            "huntd_requests_forwarded_total{")):
            totals[line.split("{")[0]] += float(line.rsplit(" ", 1)[1])
    assert totals["huntd_hunts_owner_total"] >= 0.999 * totals["huntd_hunts_total"], totals
    assert totals["huntd_connections_handed_over_total"] > 0
    assert totals["huntd_requests_forwarded_total"] > 0


def test_hunts_reconcile_after_kills_of_a_core_and_redis(full_stack):
    stack = full_stack
    stages = [(HUNTS // 4, lambda: os.kill(stack.core_pids()[0], signal.SIGKILL)),
              (HUNTS // 2, lambda: (stack.redis.kill(), stack.redis.start())),
              (HUNTS * 3 // 4, lambda: os.kill(stack.core_pids()[1], signal.SIGKILL))]

    def progress(done: int) -> None:
        if stages and done >= stages[0][0]:
            stages.pop(0)[1]()

    responses = asyncio.run(hunt_all(stack.http, progress))
    assert not stages, "every fault was injected"
    assert responses.unknown > 0, "the faults broke connections"
    assert set(responses.answers) <= {200, 422, 424, 503, 504}, responses.answers
    check_stores(stack, responses)


def huntctl_reconcile(stack, *options: str) -> tuple[int, dict]:
    done = subprocess.run([str(build_folder() / "huntctl"), "-c", str(stack.config), "reconcile", "--json", *options],
                          capture_output=True, text=True, timeout=180)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.long(reason="half a minute under load")
def test_reconcile_of_a_live_system_reports_nothing(own_stack):
    stack = own_stack(kafka=True, aggregator=True, settings={"kafka.sweep_after_s": 3}).start()
    drawn = random.Random(20261129)
    requests = [Request(drawn.choice(["gold", "pair", "mixed", "scarce"]), f"hunter-{drawn.randrange(200)}") for _ in range(12_000)]
    run_hunt(stack.http, "gold", "hunter-0")
    assert huntctl_reconcile(stack, "--wait", "60")[0] == 0
    results, reports = [], []

    def play_on():
        while not results or len(reports) < 4:
            results.append(asyncio.run(play(stack.http, requests, hunter_clients=30)))
    hunters = threading.Thread(target=play_on)
    hunters.start()
    while hunters.is_alive():
        reports.append(huntctl_reconcile(stack))
    hunters.join()
    assert results[0].statuses[200] > len(requests) / 2, results[0].statuses
    moved = {report["held_loot"] for _, report in reports}
    assert len(moved) > 2, "it was read several times while hunters played"
    assert [report["differences"] for code, report in reports if code != 0] == []
    assert huntctl_reconcile(stack, "--wait", "60")[0] == 0


@pytest.mark.parametrize("with_kafka", [False, True])
def test_awards_that_redis_has_lost_are_named_exactly(own_stack, with_kafka):
    stack = own_stack(kafka=with_kafka, aggregator=True).start()
    for hunter, times in {"ann": 5, "ben": 3, "cleo": 4, "dora": 2}.items():
        for _ in range(times):
            assert run_hunt(stack.http, "pair", hunter).status == 200
    code, report = huntctl_reconcile(stack, "--wait", "60")
    assert (code, report["lost"]) == (0, 0)
    with stack.redis.client() as redis:
        generations = {hunter: of_session.generation for (hunter, _), of_session in held_in(redis).items()}
        keys = {hunter: next(redis.keys(f"held:*:{hunter}:pair")) for hunter in generations}
        # Rewound by one hunt; deleted; deleted, and the hunter goes on.
        for field, by in (("sword", -1), ("shield", -1), ("#seq", -2)):
            redis.call("HINCRBY", keys["ann"], field, by)
        redis.call("DEL", keys["ben"], keys["cleo"])
    assert run_hunt(stack.http, "pair", "cleo").status == 200
    lost = {("ann", generations["ann"]): ("9 to 10", {"shield": 1, "sword": 1}),
            ("ben", generations["ben"]): ("1 to 6", {"shield": 3, "sword": 3}),
            ("cleo", generations["cleo"]): ("1 to 8", {"shield": 4, "sword": 4})}
    _, report = huntctl_reconcile(stack, "--wait", "20")
    assert {difference["kind"] for difference in report["differences"]} == {"lost_by_redis"}
    assert {(found["hunter_id"], found["generation"]): (found["seqs"], found["loot"]) for found in report["differences"]} == lost
    assert report["lost"] == 16
    with stack.redis.client() as redis:
        after = held_in(redis)["cleo", "pair"]
    assert after.generation > generations["cleo"] and after.reached == {after.generation: 2}
