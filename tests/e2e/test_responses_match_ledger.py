# SPDX-License-Identifier: Apache-2.0
"""The responses to clients, Redis, Kafka and hunt_session have exactly the same loot: on a host without Kafka too, and after
kills of a core, Redis and the aggregator while clients repeat their requests with the same keys. test_reconcile.py does it at full
size with clients that do not repeat all requests."""
import asyncio
import os
import random
import signal
import subprocess

import pytest

from client import call
from harness.huntd_stack import build_folder
from harness.process import wait_until
from harness.stores import in_kafka, in_postgres, in_redis, loot_of
from load import Request, play

pytestmark = pytest.mark.kafka
HUNTERS, HUNTS_TOTAL = 500, 8_000
SETTINGS = {"worker.deadline_ms": 5000, "worker.queue_deadline_ms": 20000, "worker.queue_target_ms": 20000,
            "http.request_deadline_ms": 40000,  # a busy machine must not make huntd shed
            "kafka.sweep_after_s": 2}
HUNTS = ["mixed"] * 5 + ["gold"] * 3 + ["pair"] * 2


def make_requests(count: int, *, keyed: float, seed: int) -> list[Request]:
    """A share of `keyed` has an Idempotency-Key; every fifth of those is sent once more, later."""
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


def reconcile(stack, wait_s: int = 120) -> subprocess.CompletedProcess:
    return subprocess.run([str(build_folder() / "huntctl"), "-c", str(stack.config), "reconcile", "--wait", str(wait_s)],
                          capture_output=True, text=True, timeout=wait_s + 60)


def assert_stores_agree(stack, result) -> None:
    report = reconcile(stack)
    assert report.returncode == 0, report.stdout + report.stderr
    held = {session: loot for session, loot in in_redis(stack)[0].items() if loot}
    assert held == result.loot
    assert in_postgres(stack) == held
    if stack.kafka:
        records = in_kafka(stack)
        assert loot_of(records) == held
        assert {record.event["event_id"] for record in records} == result.events


def test_without_kafka_the_outbox_feeds_the_table(own_stack):
    stack = own_stack(aggregator=True, append_only=True, settings=SETTINGS).start()
    requests = make_requests(HUNTS_TOTAL // 2, keyed=0.4, seed=1)
    result = asyncio.run(play(stack.http, requests))
    assert result.statuses == {200: len(requests)}
    repeats = len(requests) - len({request.key or id(request) for request in requests})
    assert result.replayed == repeats > len(requests) / 20
    assert_stores_agree(stack, result)


@pytest.mark.long(reason="40 s; ./dev test faults has the same faults")
def test_responses_match_the_stores_after_kills_of_cores_and_stores(own_stack):
    stack = own_stack(kafka=True, aggregator=True, append_only=True, settings=SETTINGS).start()
    # Every request has a key: clients repeat it until they get a response, as docs/http-api.md says.
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
    assert_stores_agree(stack, result)


def test_reconcile_finds_a_difference_of_one(own_stack):
    stack = own_stack(aggregator=True, settings=SETTINGS).start()
    result = asyncio.run(play(stack.http, make_requests(200, keyed=0.4, seed=3), hunter_clients=10))
    assert_stores_agree(stack, result)
    (hunter, hunt), loot = next(iter(result.loot.items()))
    loot_id = next(iter(loot))
    stack.postgres.sql(f"update hunt_session set loot = jsonb_set(loot, '{{{loot_id}}}', '77') "
                       f"where hunter_id = '{hunter}' and hunt_id = '{hunt}'")
    report = reconcile(stack, wait_s=2)
    assert report.returncode == 1
    assert hunter in report.stdout and loot_id in report.stdout
    assert call(stack.http, "GET", f"/v1/hunts/{hunt}/hunters/{hunter}").json["loot"][loot_id] == loot[loot_id]
