# SPDX-License-Identifier: Apache-2.0
"""A shared supply of N: never more than N are given, despite retries and kills, and the script learns when it is used up."""
import asyncio
import json
import os
import signal
import subprocess
from collections import Counter

import pytest

from client import AsyncConnection, held, run_hunt
from harness.huntd_stack import build_folder
from harness.process import wait_until

LIMIT = 40  # hunts/scarce.lua


def given(stack, hunters) -> int:
    return sum(held(stack.http, "scarce", hunter).get("relic", 0) for hunter in hunters)


async def rush(address: str, hunters, *, on_answer=lambda number: None) -> Counter:
    """All at once, each with a key, repeated until there is a response."""
    results = Counter()

    async def one(hunter: str):
        connection = AsyncConnection(address)
        for _ in range(400):
            try:
                answer = await connection.run_hunt("scarce", hunter, f"key-{hunter}")
            except (OSError, EOFError):
                await asyncio.sleep(0.05)
                continue
            if answer.status == 200:
                results["relic" if answer.json["result"].get("relic") else answer.json["result"]["why"]] += 1
                on_answer(sum(results.values()))
                break
            assert answer.status in (503, 504), answer
            await asyncio.sleep(0.05)
        else:
            raise AssertionError(f"{hunter} got no response")
        await connection.close()

    await asyncio.gather(*(one(hunter) for hunter in hunters))
    return results


def test_exactly_n_are_given_and_the_others_get_sold_out(stack):
    hunters = [f"peace-{n}" for n in range(150)]
    results = asyncio.run(rush(stack.http, hunters))
    assert results == {"relic": LIMIT, "gone": len(hunters) - LIMIT}
    assert given(stack, hunters) == LIMIT
    again = run_hunt(stack.http, "scarce", "latecomer")
    assert again.json["result"] == {"why": "gone"}
    assert [item["loot_id"] for item in again.json["loot"]] == ["pebble"]


def test_huntctl_supplies_shows_the_remaining_units(own_stack):
    stack = own_stack().start()

    def supplies(*words):
        done = subprocess.run([str(build_folder() / "huntctl"), "-c", str(stack.config), "supplies", *words],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout
    assert json.loads(supplies("--json")) == {"supplies": []}
    assert supplies() == "no hunt has drawn on a shared supply\n"
    for number in range(3):
        run_hunt(stack.http, "scarce", f"ann-{number}")
    reported = {"hunt_id": "scarce", "loot_id": "relic", "limit": LIMIT, "given": 3, "reserved": 0, "left": LIMIT - 3}
    wait_until(lambda: json.loads(supplies("--json"))["supplies"] == [reported], 30, "all three to be settled", 0.1)
    head, line = supplies().splitlines()
    assert head.split() == ["hunt", "loot", "limit", "given", "reserved", "left"]
    assert line.split() == ["scarce", "relic", "40", "3", "0", "37"]


def test_a_repeat_with_the_same_key_draws_no_second_unit(own_stack):
    stack = own_stack().start()
    first = run_hunt(stack.http, "scarce", "ann", key="k")
    for _ in range(5):
        again = run_hunt(stack.http, "scarce", "ann", key="k")
        assert again.json["loot"] == first.json["loot"] and again.json["replayed"] is True
    with stack.redis.client() as redis:
        assert redis.call("HLEN", "supply:{scarce:relic}") == 1


@pytest.mark.parametrize("wish, status", [("reject", 422), ("fail", 500), ("loop", 504)])
@pytest.mark.parametrize("keyed", [True, False])
def test_a_unit_drawn_by_a_hunt_without_awards_is_released(own_stack, wish, status, keyed):
    stack = own_stack(settings={"worker.deadline_ms": 500}).start()
    for number in range(5):
        key = f"k{number}" if keyed else None
        assert run_hunt(stack.http, "regret", f"ann-{number}", input={"wish": wish}, key=key).status == status
    with stack.redis.client() as redis:
        wait_until(lambda: redis.call("HLEN", "supply:{regret:cup}") == 0, 20, "every unit to be back")
    for number in range(3):
        assert run_hunt(stack.http, "regret", f"bob-{number}", key="k").json["result"] == {"cup": True}
    assert run_hunt(stack.http, "regret", "eve", key="k").json["result"] == {"cup": False, "why": "gone"}


def test_a_key_reused_after_its_ttl_draws_no_unit(own_stack):
    """The event of that key has its unit already; a second unit would make more than N."""
    stack = own_stack().start()
    assert run_hunt(stack.http, "regret", "ann", key="k").json["result"] == {"cup": True}
    with stack.redis.client() as redis:
        wait_until(lambda: redis.call("HVALS", "supply:{regret:cup}") == ["given"], 20, "the unit to be settled")
        for _ in range(4):
            [record] = redis.call("KEYS", "done:*:ann:regret:k")
            redis.call("DEL", record)  # as its TTL would
            assert run_hunt(stack.http, "regret", "ann", key="k").json["result"] == {"cup": False, "why": "gone"}
    assert held(stack.http, "regret", "ann") == {"cup": 1}


def test_never_more_than_n_are_given_after_kills_of_cores(own_stack):
    stack = own_stack(append_only=True, settings={"worker.queue_deadline_ms": 1000, "worker.deadline_ms": 900}).start()
    hunters = [f"war-{n}" for n in range(200)]
    stages = [(15, 0), (30, 1)]

    def on_answer(count: int) -> None:
        if stages and count >= stages[0][0]:
            os.kill(stack.core_pids()[stages.pop(0)[1]], signal.SIGKILL)

    results = asyncio.run(rush(stack.http, hunters, on_answer=on_answer))
    assert not stages, "both cores were killed"
    stack.huntd.await_ready()
    assert given(stack, hunters) == results["relic"] <= LIMIT
    # Units whose core was killed before its commit are released by the sweep, and can then be given.
    with stack.redis.client() as redis:
        wait_until(lambda: redis.call("ZCARD", "supply_pending:{scarce:relic}") == 0, 60, "every unit to be resolved")
        assert redis.call("HLEN", "supply:{scarce:relic}") == given(stack, hunters)
    late = [f"late-{n}" for n in range(LIMIT)]
    asyncio.run(rush(stack.http, late))
    assert given(stack, hunters) + given(stack, late) == LIMIT
