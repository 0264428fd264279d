"""What callers were told is what was given, to the last item: the answers, Redis, Kafka (read by kcat) and hunt_session are
equal, on a box without Kafka too, and after a core, Redis and the aggregator were killed under callers who repeat with their keys.
test_reconcile.py does the same at full size with callers who do not."""
import asyncio
import json
import os
import random
import signal
import subprocess
from collections import Counter

from client import call
from harness.huntd_stack import build_folder
from harness.kafka_server import consume
from harness.process import wait_until
from load import Request, play

HUNTERS, HUNTS_TOTAL = 500, 8_000
SETTINGS = {"worker.deadline_ms": 5000, "worker.queue_deadline_ms": 20000, "http.request_deadline_ms": 40000,
            "kafka.sweep_after_s": 2}
HUNTS = ["mixed"] * 5 + ["gold"] * 3 + ["pair"] * 2


def make_requests(count: int, *, keyed: float, seed: int) -> list[Request]:
    """A share of `keyed` has an Idempotency-Key; every fifth of those is asked for once more, later on."""
    draw = random.Random(seed)
    requests, keys = [], []
    while len(requests) < count:
        if keys and draw.random() < keyed / 5:
            requests.append(draw.choice(keys))
            continue
        request = Request(draw.choice(HUNTS), f"hunter-{draw.randrange(HUNTERS)}",
                          f"k{len(requests)}" if draw.random() < keyed else None)
        requests.append(request)
        if request.key:
            keys.append(request)
    return requests


def in_redis(stack) -> dict:
    found = {}
    with stack.redis.client() as redis:
        for key in redis.keys("held:*"):
            _, _, hunter, hunt = key.split(":")
            found[hunter, hunt] = Counter({name: int(count) for name, count in redis.hash(key).items() if name != "#seq"})
    return {who: loot for who, loot in found.items() if loot}


def in_kafka(stack) -> tuple[dict, set]:
    found, ids = {}, set()
    for _, value in consume(stack.kafka.bootstrap, "loot_events"):
        event = json.loads(value)
        if event["event_id"] not in ids:
            ids.add(event["event_id"])
            found.setdefault((event["hunter_id"], event["hunt_id"]), Counter())[event["loot_id"]] += 1
    return found, ids


def in_postgres(stack) -> dict:
    rows = stack.postgres.sql("select hunter_id, hunt_id, loot, loot_count from hunt_session")
    assert all(sum(json.loads(loot).values()) == int(count) for _, _, loot, count in rows)
    return {(hunter, hunt): Counter(json.loads(loot)) for hunter, hunt, loot, _ in rows}


def reconcile(stack, wait_s: int = 120) -> subprocess.CompletedProcess:
    return subprocess.run([str(build_folder() / "huntctl"), "-c", str(stack.config), "reconcile", "--wait", str(wait_s)],
                          capture_output=True, text=True, timeout=wait_s + 60)


def assert_books_agree(stack, result) -> None:
    verdict = reconcile(stack)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
    redis = in_redis(stack)
    assert redis == result.told
    assert in_postgres(stack) == redis
    if stack.kafka:
        kafka, ids = in_kafka(stack)
        assert kafka == redis
        assert ids == result.events


def test_without_kafka_the_outbox_feeds_the_table(own_stack):
    stack = own_stack(aggregator=True, append_only=True, settings=SETTINGS).start()
    requests = make_requests(HUNTS_TOTAL // 2, keyed=0.4, seed=1)
    result = asyncio.run(play(stack.http, requests))
    assert result.statuses == {200: len(requests)}
    repeats = len(requests) - len({request.key or id(request) for request in requests})
    assert result.replayed == repeats > len(requests) / 20
    assert_books_agree(stack, result)


def test_callers_who_repeat_are_told_exactly_what_was_given_though_cores_and_stores_are_killed(own_stack):
    stack = own_stack(kafka=True, aggregator=True, append_only=True, settings=SETTINGS).start()
    # Every request has a key: callers repeat it until they are answered, as the contract asks of them.
    requests = make_requests(HUNTS_TOTAL, keyed=1, seed=2)
    killed = []

    def kill_something(done: int) -> None:
        if done == HUNTS_TOTAL // 4:
            os.kill(stack.core_pids()[0], signal.SIGKILL)
            killed.append("core 0")
        elif done == HUNTS_TOTAL // 2:
            stack.redis.kill()
            stack.redis.start()
            killed.append("redis")
        elif done == HUNTS_TOTAL * 5 // 8:
            stack.aggregator.kill()
            stack.aggregator.launch()
            killed.append("aggregator")
        elif done == HUNTS_TOTAL * 3 // 4:
            os.kill(stack.core_pids()[1], signal.SIGKILL)
            stack.redis.kill()
            stack.redis.start()
            killed.append("core 1 and redis")

    result = asyncio.run(play(stack.http, requests, tries_max=40, progress=kill_something))
    assert killed == ["core 0", "redis", "aggregator", "core 1 and redis"]
    assert result.broken > 0, "some connections broke under their requests"
    assert result.statuses[200] == len(requests), result.statuses
    wait_until(stack.huntd.ready, 30, "huntd")
    assert_books_agree(stack, result)


def test_reconcile_finds_a_difference_of_one(own_stack):
    stack = own_stack(aggregator=True, settings=SETTINGS).start()
    result = asyncio.run(play(stack.http, make_requests(200, keyed=0.4, seed=3), hunter_clients=10))
    assert_books_agree(stack, result)
    (hunter, hunt), loot = next(iter(result.told.items()))
    loot_id = next(iter(loot))
    stack.postgres.sql(f"update hunt_session set loot = jsonb_set(loot, '{{{loot_id}}}', '77') "
                       f"where hunter_id = '{hunter}' and hunt_id = '{hunt}'")
    verdict = reconcile(stack, wait_s=2)
    assert verdict.returncode == 1
    assert hunter in verdict.stdout and loot_id in verdict.stdout
    assert call(stack.http, "GET", f"/v1/hunts/{hunt}/hunters/{hunter}").json["loot"][loot_id] == loot[loot_id]
