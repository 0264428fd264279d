# SPDX-License-Identifier: Apache-2.0
"""A hunter's requests run on the hunter's core, one at a time, from any connection."""
import asyncio
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from client import RawConnection, call, held, run_hunt
from harness.huntd_stack import http_get
from load import Request, play

# For slow machines: these tests are not about deadlines.
STACK = {"settings": {"worker.deadline_ms": 5000, "worker.queue_deadline_ms": 20000, "http.request_deadline_ms": 40000}}


def counters(stack) -> Counter:
    """huntd's counters, the cores added up."""
    total = Counter()
    for core in json.loads(http_get(stack.admin, "/status.json")[1])["cores"]:
        total.update(core["counters"])
    return total


def hunts(count: Counter) -> int:
    return sum(value for name, value in count.items() if name.startswith("huntd_hunts_total"))


def test_requests_of_both_kinds_of_clients_are_served_by_the_owner(stack):
    before = counters(stack)
    requests = [Request("gold", f"routed-{number % 200}") for number in range(2000)]
    result = asyncio.run(play(stack.http, requests, hunter_clients=40))
    assert result.statuses == {200: 2000}
    after = counters(stack)
    assert hunts(after) - hunts(before) == 2000
    assert after["huntd_hunts_owner_total"] - before["huntd_hunts_owner_total"] >= 0.999 * 2000
    # And both ways were gone: connections were handed over, requests were forwarded.
    assert after["huntd_connections_handed_over_total"] > before["huntd_connections_handed_over_total"]
    assert after["huntd_requests_forwarded_total"] > before["huntd_requests_forwarded_total"]
    for number in range(0, 200, 17):
        assert held(stack.http, "gold", f"routed-{number}") == {"gold": 10}


def test_both_cores_work(stack):
    for core in json.loads(http_get(stack.admin, "/status.json")[1])["cores"]:
        assert core["counters"]['huntd_hunts_total{outcome="ok"}'] > 0


def test_one_hunters_requests_run_one_at_a_time(stack):
    count = 24
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda _: run_hunt(stack.http, "slow", "busy"), range(count)))
    assert [answer.status for answer in answers] == [200] * count
    # Each run read what the one before had committed.
    assert sorted(answer.json["result"]["before"] for answer in answers) == list(range(count))


def test_one_hunters_requests_run_in_the_order_of_arrival(stack):
    # Every second request uses a connection of the other core and is forwarded.
    core_map = call(stack.http, "GET", "/v1/core-map").json
    assert core_map["cores"] == 2
    with RawConnection(stack.http) as first, RawConnection(stack.http) as second:
        for turn in range(20):
            connection = (first, second)[turn % 2]
            other = f"someone-{turn}"
            connection.send(f"POST /v1/hunts/gold/hunters/{other} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n")
            assert connection.answer().status == 200
            connection.send("POST /v1/hunts/gold/hunters/ordered HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n")
            assert connection.answer().json["result"]["before"] == turn


def test_the_same_key_at_the_same_time_awards_once(stack):
    count = 16
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda _: run_hunt(stack.http, "gold", "twin", key="one"), range(count)))
    assert [answer.status for answer in answers] == [200] * count
    assert sorted(answer.json["replayed"] for answer in answers) == [False] + [True] * (count - 1)
    assert len({json.dumps(answer.json["loot"]) for answer in answers}) == 1
    assert held(stack.http, "gold", "twin") == {"gold": 1}


def test_held_loot_is_the_same_text_from_every_core(stack):
    key_of = {}
    for count in (1024, 1025):
        hunter = f"rich-{count}"
        run_hunt(stack.http, "gold", hunter)
        with stack.redis.client() as redis:
            [key_of[count]] = redis.call("KEYS", f"held:*:{hunter}:gold")
            for number in range(count - 1):
                redis.call("HSET", key_of[count], f"{number:062d}", "1")
        answers = set()
        for _ in range(12):  # whichever core takes the connection
            with RawConnection(stack.http) as connection:
                # The first request, for another hunter, decides the connection's core.
                for asked in (f"anchor-{_}", hunter):
                    connection.send(f"GET /v1/hunts/gold/hunters/{asked} HTTP/1.1\r\nHost: test\r\n\r\n")
                    answer = connection.answer()
                answers.add((answer.status, answer.body))
        assert len(answers) == 1
        [(status, _)] = answers
        assert status == (200 if count == 1024 else 409)
