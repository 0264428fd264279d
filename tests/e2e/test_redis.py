# SPDX-License-Identifier: Apache-2.0
"""huntd's link to Redis: scripts dropped by Redis, broken connections, passwords, unix sockets, and batching."""
import asyncio
import threading
import time

import pytest

from client import AsyncConnection, held, run_hunt
from harness.huntd_stack import http_get
from harness.process import wait_until


def metric(stack, name: str) -> float:
    """The sum of a metric over cores and labels."""
    lines = http_get(stack.admin, "/metrics")[1].splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((name + "{", name + " ")))


async def run_keyed(address: str, hunters: int, each: int, reported: dict) -> None:
    """Every hunter's hunts one after another, each with a key, repeated until the response is 200."""
    async def one(hunter: str):
        connection = AsyncConnection(address)
        for number in range(each):
            give_up_at = time.monotonic() + 120
            while time.monotonic() < give_up_at:
                try:
                    answer = await connection.run_hunt("gold", hunter, f"{hunter}-{number}")
                except (OSError, EOFError):
                    await asyncio.sleep(0.02)
                    continue
                if answer.status == 200:
                    break
                assert answer.status in (503, 504), answer  # 504: a worker that a busy machine started too late
                await asyncio.sleep(0.02)
            else:
                raise AssertionError(f"no response to {hunter}-{number}")
            reported[hunter] = reported.get(hunter, 0) + 1
        await connection.close()

    await asyncio.gather(*(one(f"hunter-{n}") for n in range(hunters)))


@pytest.mark.parametrize("fault", ["SCRIPT FLUSH", "CLIENT KILL TYPE normal"])
def test_every_hunt_is_awarded_exactly_once_despite(own_stack, fault):
    stack = own_stack(settings={"worker.queue_deadline_ms": 1000, "worker.deadline_ms": 900}).start()
    reported: dict[str, int] = {}
    done = threading.Event()
    faults = []

    def disturb():
        with_key = "SKIPME yes" if fault.startswith("CLIENT") else ""
        while not done.wait(0.05):
            with stack.redis.client() as redis:
                redis.call(*fault.split(), *with_key.split())
            faults.append(fault)

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        asyncio.run(run_keyed(stack.http, hunters=40, each=150, reported=reported))
    finally:
        done.set()
        disturber.join()
    assert len(faults) >= 3, "the fault was there during the run"
    stack.huntd.await_ready()
    for hunter, count in reported.items():
        assert held(stack.http, "gold", hunter) == {"gold": count}
    if fault == "SCRIPT FLUSH":
        assert metric(stack, "huntd_redis_noscript_total") > 0
    else:
        assert metric(stack, "huntd_redis_reconnects_total") > 0


def test_commands_of_a_tick_share_a_write(stack):
    before = metric(stack, "huntd_redis_commands_total"), metric(stack, "huntd_redis_batches_total")
    asyncio.run(run_keyed(stack.http, hunters=64, each=10, reported={}))
    commands = metric(stack, "huntd_redis_commands_total") - before[0]
    writes = metric(stack, "huntd_redis_batches_total") - before[1]
    assert commands >= 2 * 64 * 10, "a look for the key and a commit for each hunt"
    assert writes < commands


def test_a_walk_over_the_outboxes_batches_its_commands(own_stack):
    stack = own_stack(cores=1).start()
    commands, writes = metric(stack, "huntd_redis_commands_total"), metric(stack, "huntd_redis_batches_total")
    # Without requests: the commands read the length of each bucket's outbox, and 64 ask for supplies, one a write.
    wait_until(lambda: metric(stack, "huntd_redis_commands_total") >= commands + 512, 30, "a walk over all buckets")
    assert metric(stack, "huntd_redis_batches_total") - writes < 512 / 4 + 64


def test_a_password_from_a_file_is_used(own_stack, tmp_path):
    secret = tmp_path / "redis-password"
    secret.write_text("tide and moon\n")
    secret.chmod(0o600)
    stack = own_stack(settings={"redis.password_file": str(secret)})
    stack.redis.start()
    with stack.redis.client() as redis:
        redis.call("CONFIG", "SET", "requirepass", "tide and moon")
    stack.set()
    stack.huntd.start()
    assert run_hunt(stack.http, "gold", "ann").status == 200


def test_a_wrong_password_is_logged_and_hunts_are_503(own_stack, tmp_path):
    secret = tmp_path / "redis-password"
    secret.write_text("not-this-one\n")
    secret.chmod(0o600)
    stack = own_stack(settings={"redis.password_file": str(secret)})
    stack.redis.start()
    with stack.redis.client() as redis:
        redis.call("CONFIG", "SET", "requirepass", "right")
    stack.set()
    stack.huntd.launch()
    wait_until(lambda: "WRONGPASS" in stack.huntd.log_text(), 60, "the log to say WRONGPASS")
    answer = run_hunt(stack.http, "gold", "ann")
    assert answer.status == 503 and answer.problem == "redis-unavailable"
    assert "retry-after" in answer.headers
    assert "not-this-one" not in stack.huntd.log_text(), "a secret stays out of the log"


def test_a_unix_socket_is_used(own_stack, tmp_path):
    path = tmp_path / "redis.sock"
    stack = own_stack(settings={"redis.address": f"unix:{path}"})
    stack.redis.options = [*stack.redis.options, "--unixsocket", str(path)]
    stack.start()
    assert run_hunt(stack.http, "gold", "ann").status == 200
    with stack.redis.client() as redis:
        assert redis.call("KEYS", "held:*:ann:gold")
