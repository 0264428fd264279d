# SPDX-License-Identifier: Apache-2.0
"""redis.wait_replicas: a 200 is in a replica too, so that it outlives the primary."""
import concurrent.futures
import signal
import threading
from collections import Counter

import pytest

from client import held, run_hunt
from faults.redis_proxy import Late, RedisProxy
from harness.process import wait_until
from harness.redis_server import RedisServer
from harness.stores import held_in
from test_redis_sentinel import await_reason, replica_of

WAIT = {"redis.wait_replicas": 1, "redis.wait_ms": 300}


@pytest.fixture
def servers():
    """Those that a test adds to it are killed at its end."""
    added: list[RedisServer] = []
    yield added
    for server in added:
        server.kill()


@pytest.mark.long(reason="half a minute of waits")
def test_a_hunt_is_awarded_only_while_a_replica_has_it(own_stack, servers, tmp_path):
    stack = own_stack(settings=WAIT)
    stack.redis.start()
    replica = replica_of(stack, servers, tmp_path)
    stack.set()
    stack.huntd.start()
    assert run_hunt(stack.http, "gold", "ann", key="a").status == 200
    with replica.client() as client:
        assert sum(loot.total() for loot in held_of(client).values()) == 1

    replica.signal(signal.SIGSTOP)
    answer = run_hunt(stack.http, "gold", "ann", key="b")
    assert answer.status == 503 and answer.problem in ("outcome-unknown", "redis-unavailable"), answer
    assert stack.metric("huntd_redis_wait_failures_total") > 0
    replica.signal(signal.SIGCONT)
    wait_until(lambda: run_hunt(stack.http, "gold", "ann", key="b").status == 200, 30, "the repeat to be in the replica too")
    assert held(stack.http, "gold", "ann") == {"gold": 2}, "the repeat is the same award"


def held_of(client) -> dict[tuple[str, str], Counter]:
    return {session: Counter(found.loot) for session, found in held_in(client).items()}


def test_without_a_replica_nothing_is_awarded_and_the_reason_is_named(own_stack, servers, tmp_path):
    stack = own_stack(settings=WAIT)
    stack.redis.start()
    stack.set()
    stack.huntd.launch()
    await_reason(stack, "Redis has 0 of the 1 replicas in redis.wait_replicas")
    assert run_hunt(stack.http, "gold", "ann", key="a").problem == "redis-unavailable"
    replica_of(stack, servers, tmp_path)
    stack.huntd.await_ready()
    assert run_hunt(stack.http, "gold", "ann", key="a").status == 200


def test_a_user_without_the_right_to_wait_is_found_at_the_connect(own_stack, servers, tmp_path):
    stack = own_stack(settings=WAIT)
    stack.redis.start()
    replica_of(stack, servers, tmp_path)
    stack.redis.call("ACL", "SETUSER", "default", "-wait")
    stack.set()
    stack.huntd.launch()
    await_reason(stack, "WAIT: NOPERM")
    stack.redis.call("ACL", "SETUSER", "default", "+wait")
    stack.huntd.await_ready()


def test_every_200_is_in_the_replica_when_the_primary_dies(own_stack, servers, tmp_path):
    stack = own_stack(settings={**WAIT, "redis.wait_ms": 1500})
    stack.redis.start()
    replica = replica_of(stack, servers, tmp_path)
    link = RedisProxy(int(stack.redis.port))  # what is on its way to the replica is lost with the primary
    link.start()
    try:
        replica.follow(int(link.port))
        link.mode = Late(0.2)
        stack.set()
        stack.huntd.start()
        given: Counter = Counter()
        enough, over = threading.Event(), threading.Event()

        def play(number: int) -> None:
            for run in range(1000):
                if over.is_set():
                    return
                if run_hunt(stack.http, "gold", f"h{number}", key=f"{number}-{run}").status == 200:
                    given[f"h{number}"] += 1
                if given.total() > 60:
                    enough.set()

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            players = [pool.submit(play, number) for number in range(8)]
            assert enough.wait(60), given
            stack.redis.kill()
            over.set()
            for player in players:
                player.result()
        wait_until(lambda: replica.info("replication")["master_link_status"] == "down", 20, "the replica to lose its primary")
        with replica.client() as client:
            has = {hunter: loot.total() for (hunter, _), loot in held_of(client).items()}
        assert {hunter: count for hunter, count in given.items() if has.get(hunter, 0) < count} == {}
    finally:
        link.stop()
