# SPDX-License-Identifier: Apache-2.0
"""A shared supply of N: never more than N are given, despite retries and kills, and the script learns when it is used up."""
import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter

import pytest

from client import AsyncConnection, held, run_hunt
from conftest import HUNTS
from faults.redis_proxy import RedisProxy
from harness.huntd_stack import ROOT, build_folder
from harness.process import wait_until
from test_ledger_redis import ShiftedClock

LIMIT = 40  # hunts/scarce.lua
CUPS = "supply:{regret:cup}"  # of 3: hunts/regret.lua
CUPS_PENDING = "supply_pending:{regret:cup}"
SHARDS = 64
STALE_S = 30  # how old a reservation is that a sweep resolves
SWEEP_S = 5   # between two sweeps of a core
DAY_MS = 24 * 3600 * 1000


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
    reported = {"hunt_id": "scarce", "loot_id": "relic", "limit": LIMIT, "given": 3, "before": 0, "reserved": 0,
                "left": LIMIT - 3}
    wait_until(lambda: json.loads(supplies("--json"))["supplies"] == [reported], 30, "all three to be settled", 0.1)
    head, line = supplies().splitlines()
    assert head.split() == ["hunt", "loot", "limit", "given", "restored", "reserved", "left"]
    assert line.split() == ["scarce", "relic", "40", "3", "0", "0", "37"]
    with stack.redis.client() as redis:
        # As a restore does; and a name that an older huntd has left.
        redis.call("HSET", "supply:{scarce:relic}", "#before", 5)
        redis.call("SADD", "supplies", "older:cup")
        redis.call("HSET", "supply:{older:cup}", "e", "given")
    assert json.loads(supplies("--json"))["supplies"] == [
        {"hunt_id": "older", "loot_id": "cup", "limit": None, "given": 1, "before": 0, "reserved": 0, "left": None},
        {**reported, "given": 8, "before": 5, "left": LIMIT - 8}]


def look(stack) -> int:
    return run_hunt(stack.http, "left", "eve", input="look").json["result"]


def test_hunt_left_counts_what_is_given_and_what_this_run_has_reserved(stack):
    for left in (5, 4):
        answer = run_hunt(stack.http, "left", f"ann-{left}")
        assert answer.json["result"] == {"before": left, "given": True, "after": left - 1}
    rejected = run_hunt(stack.http, "left", "bob", input="reject")
    assert (rejected.status, rejected.json["detail"]) == (422, "2")
    wait_until(lambda: look(stack) == 3, 20, "the unit of the rejected run to be back")
    for left in (3, 2, 1):
        assert run_hunt(stack.http, "left", f"ann-{left}").json["result"]["before"] == left
    assert run_hunt(stack.http, "left", "late").json["result"] == {"before": 0, "given": False, "after": 0}
    with stack.redis.client() as redis:
        assert redis.call("HLEN", "supply:{left:mug}") == 5


def test_hunt_left_writes_nothing(own_stack):
    stack = own_stack().start()
    assert look(stack) == 5
    with stack.redis.client() as redis:
        assert redis.call("KEYS", "suppl*") == []


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
    stack = own_stack().start()
    for number in range(5):
        key = f"k{number}" if keyed else None
        assert run_hunt(stack.http, "regret", f"ann-{number}", input={"wish": wish}, key=key).status == status
    with stack.redis.client() as redis:
        wait_until(lambda: redis.call("HLEN", "supply:{regret:cup}") == 0, 20, "every unit to be back")
    for number in range(3):
        assert run_hunt(stack.http, "regret", f"bob-{number}", key="k").json["result"] == {"cup": True}
    assert run_hunt(stack.http, "regret", "eve", key="k").json["result"] == {"cup": False, "why": "gone"}


def test_a_key_used_again_after_its_ttl_is_a_new_request(own_stack):
    """It draws a unit of its own and awards an event of its own, as long as units are left."""
    stack = own_stack().start()
    events = set()
    with stack.redis.client() as redis:
        for left in (2, 1, 0):
            answer = run_hunt(stack.http, "regret", "ann", key="k")
            assert answer.json["result"] == {"cup": True}
            events.add(answer.json["loot"][0]["event_id"])
            wait_until(lambda: redis.call("HVALS", CUPS) == ["given"] * (3 - left), 20, "the unit to be settled")
            [record] = redis.call("KEYS", "done:*:ann:regret:k")
            redis.call("DEL", record)  # as its TTL would
        assert run_hunt(stack.http, "regret", "ann", key="k").json["result"] == {"cup": False, "why": "gone"}
        assert set(redis.hash(CUPS)) == events
    assert held(stack.http, "regret", "ann") == {"cup": 3}


def test_never_more_than_n_are_given_after_kills_of_cores(own_stack):
    stack = own_stack(append_only=True, settings={"worker.queue_deadline_ms": 1000, "worker.deadline_ms": 900,
                                                   "http.request_deadline_ms": 12_000})
    clock = ShiftedClock(stack)
    stack.huntd.environment = stack.redis.environment
    stack.start()
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
    clock.set(STALE_S + 1)
    with stack.redis.client() as redis:
        wait_until(lambda: redis.call("ZCARD", "supply_pending:{scarce:relic}") == 0, 90, "every unit to be resolved")
        assert redis.call("HLEN", "supply:{scarce:relic}") == given(stack, hunters)
    late = [f"late-{n}" for n in range(LIMIT)]
    asyncio.run(rush(stack.http, late))
    assert given(stack, hunters) + given(stack, late) == LIMIT


# --- one step is lost ----------------------------------------------------------------------------

def sha1_of_scripts() -> dict[str, str]:
    """The scripts of the ledger by the name that EVALSHA has for them."""
    found = {}
    for header in ("supply_scripts.h", "commit_script.h"):
        text = (ROOT / "src" / "core" / "ledger" / header).read_text()
        for name, script in re.findall(r'const char\* (\w+) = R"lua\((.*?)\)lua"', text, re.DOTALL):
            found[hashlib.sha1(script.encode()).hexdigest()] = name
    assert {"reserve", "commit", "settle", "expire_record", "release", "resolve"} <= set(found.values())
    return found


class StepProxy(RedisProxy):
    """Calls before(name of the script) once per execution that huntd sends. It returns "lose" to reset the connection
    instead, or "cut" to reset it once Redis has executed the script."""

    def __init__(self, redis_port: int):
        super().__init__(redis_port)
        self.names = sha1_of_scripts()
        self.before = lambda name: None
        self.seen: list[str] = []
        self._mute = False  # huntd has one connection

    async def _commands(self, reader, redis_writer) -> None:
        while data := await reader.read(1 << 20):
            wish = None
            for sha1 in re.findall(rb"EVALSHA\r\n\$40\r\n([0-9a-f]{40})", data):
                if name := self.names.get(sha1.decode()):
                    self.seen.append(name)
                    wish = wish or await asyncio.to_thread(self.before, name)
            if wish == "lose":
                raise EOFError
            self._mute = wish == "cut"
            redis_writer.write(data)
            await redis_writer.drain()
            if wish == "cut":
                await asyncio.sleep(0.2)  # Redis executes what it has got; its replies are thrown away
                self._mute = False
                raise EOFError

    async def _replies(self, redis_reader, writer) -> None:
        while data := await redis_reader.read(65536):
            if not self._mute:
                writer.write(data)
                await writer.drain()
        raise EOFError


@pytest.fixture
def stepped(own_stack, tmp_path):
    """A stack of one core whose commands to Redis pass a StepProxy. Each of regret0 to regret9 is as hunts/regret.lua."""
    hunts = tmp_path / "hunts"
    shutil.copytree(HUNTS, hunts)
    for number in range(10):
        shutil.copy(hunts / "regret.lua", hunts / f"regret{number}.lua")
    stack = own_stack(cores=1, hunts=hunts, settings={"worker.queue_deadline_ms": 2000, "worker.deadline_ms": 2500, "http.request_deadline_ms": 5000})
    proxy = StepProxy(int(stack.redis.port))
    proxy.start()
    stack.settings["redis.address"] = proxy.address
    yield stack.start(), proxy
    proxy.stop()


def make_stale(redis, supply: str = "regret:cup") -> None:
    """The reservations of this supply look a day old, so that the next sweep resolves them."""
    for event in redis.call("ZRANGE", f"supply_pending:{{{supply}}}", 0, -1):
        redis.call("ZADD", f"supply_pending:{{{supply}}}", "XX", int(time.time() * 1000) - DAY_MS, event)
    for shard in redis.keys("supplies_drawn:*"):
        redis.call("ZADD", shard, "XX", int(time.time() * 1000) - DAY_MS, supply)


def leave_a_stale_unit(redis) -> None:
    """Of a request that has been gone for a day."""
    redis.call("HSET", CUPS, "lost", f"pending {'1' * 32} bob k")
    redis.call("ZADD", CUPS_PENDING, int(time.time() * 1000) - DAY_MS, "lost")


def await_resolved(redis, *hunts: str) -> None:
    """No unit of the cups of these hunts is reserved."""
    def resolved():
        for hunt in hunts:
            make_stale(redis, f"{hunt}:cup")
        return not any(redis.call("ZCARD", f"supply_pending:{{{hunt}:cup}}") for hunt in hunts)
    wait_until(resolved, 90, "every unit to be resolved", 1)


def assert_settled(redis, hunt: str, given: int) -> None:
    """So many units are given, none is reserved, and no record stays for ever."""
    assert redis.call("HVALS", f"supply:{{{hunt}:cup}}") == ["given"] * given, hunt
    records = list(redis.keys(f"done:*:{hunt}:*"))
    assert records and all(redis.call("PTTL", record) > 0 for record in records), records


def lose_a_step(stack, proxy, hunt: str, step: str, end: str, keyed: bool) -> None:
    """ann gets a cup, and one step after its commit is lost."""
    script, turn = ("settle", 2) if step == "given" else (step, 1)
    turns = Counter()

    def before(name: str):
        turns[name] += 1
        return end if name == script and turns[name] == turn else None
    proxy.before = before
    assert run_hunt(stack.http, hunt, "ann", key="k" if keyed else None).json["result"] == {"cup": True}, (step, end, keyed)
    wait_until(lambda: turns[script] >= turn, 30, f"{script} to be lost")
    time.sleep(0.5)
    stack.huntd.await_ready()


def test_a_lost_step_of_a_settle_leaves_its_unit_to_the_sweep(stepped):
    """Whether Redis has executed the step or not: the unit is given once, and the record gets its TTL."""
    stack, proxy = stepped
    steps = [("settle", "lose", True), ("settle", "cut", True), ("expire_record", "lose", True), ("expire_record", "cut", True),
             ("given", "lose", True), ("given", "cut", True), ("expire_record", "lose", False)]
    hunts = {f"regret{number}": step for number, step in enumerate(steps)}  # one sweep for them all
    with stack.redis.client() as redis:
        for hunt, step in hunts.items():
            lose_a_step(stack, proxy, hunt, *step)
            assert redis.call("HLEN", f"supply:{{{hunt}:cup}}") == 1, step
        await_resolved(redis, *hunts)
        for hunt, step in hunts.items():
            assert_settled(redis, hunt, given=1)
            assert held(stack.http, hunt, "ann") == {"cup": 1}, step
            results = [run_hunt(stack.http, hunt, f"bob-{n}", key="k").json["result"]["cup"] for n in range(3)]
            assert results == [True, True, False], step


def test_script_flush_before_each_script_loses_and_doubles_no_unit(stepped):
    stack, proxy = stepped
    flushed = Counter()

    def before(name: str):
        # Before every second one: NOSCRIPT, a load, and the script again.
        flushed[name] += 1
        if flushed[name] % 2 == 1:
            stack.redis.call("SCRIPT", "FLUSH")
    proxy.before = before

    def at_rest() -> bool:
        """No step of an earlier hunt or of a sweep is left: it may flush between a load and the second try."""
        seen = len(proxy.seen)
        time.sleep(0.2)
        return len(proxy.seen) == seen

    def insist(hunter: str, wish=None):
        """A sweep may begin nevertheless: then nothing is executed."""
        wait_until(at_rest, 20, "the steps of earlier hunts")

        def answered():
            answer = run_hunt(stack.http, "regret", hunter, input={"wish": wish} if wish else None, key="k")
            return None if answer.status == 503 else answer
        return wait_until(answered, 20, f"a response to {hunter}")
    with stack.redis.client() as redis:
        for n in range(4):
            assert insist(f"ann-{n}", "reject").status == 422
        leave_a_stale_unit(redis)  # for the scripts of the sweep
        await_resolved(redis, "regret")
        assert redis.call("HLEN", CUPS) == 0
        assert [insist(f"bob-{n}").json["result"]["cup"] for n in range(5)] == [True, True, True, False, False]
        await_resolved(redis, "regret")
        assert_settled(redis, "regret", given=3)
    assert sum(held(stack.http, "regret", f"bob-{n}").get("cup", 0) for n in range(5)) == 3
    assert {"enlist", "reserve", "commit", "settle", "expire_record", "release", "drawn_supplies", "stale_units", "resolve"} <= set(flushed)


def flush_before(stack, proxy, flushed: str | None) -> None:
    """Redis loses its scripts each time before it gets this one."""
    def before(name: str):
        if name == flushed:
            stack.redis.call("SCRIPT", "FLUSH")
    proxy.before = before
    proxy.seen.clear()


def test_scripts_that_are_flushed_again_and_again_leave_the_unit_to_the_sweep(stepped):
    """The second NOSCRIPT ends the step."""
    stack, proxy = stepped
    states = {"settle": "pending", "expire_record": "settling"}  # of the unit, without the script
    hunts = dict(zip(("regret0", "regret1"), states))
    with stack.redis.client() as redis:
        for hunt, flushed in hunts.items():
            flush_before(stack, proxy, flushed)
            assert run_hunt(stack.http, hunt, "ann", key="k").json["result"] == {"cup": True}
            wait_until(lambda flushed=flushed: proxy.seen.count(flushed) >= 2, 30, f"{flushed} to be sent twice")
            time.sleep(0.5)
            flush_before(stack, proxy, None)
            [state] = redis.call("HVALS", f"supply:{{{hunt}:cup}}")
            assert state.split(" ")[0] == states[flushed]
            [record] = redis.keys(f"done:*:ann:{hunt}:k")
            assert redis.call("PTTL", record) == -1
        await_resolved(redis, *hunts)
        for hunt in hunts:
            assert_settled(redis, hunt, given=1)


def test_a_settle_that_comes_after_a_release_gives_no_unit_more(stepped):
    """The unit is gone when the settle arrives: it may have been given to another hunter meanwhile."""
    stack, proxy = stepped
    released = []

    def before(name: str):
        if name == "settle" and not released:
            with stack.redis.client() as redis:
                released.extend(redis.call("HKEYS", CUPS))
                redis.call("HDEL", CUPS, *released)
                redis.call("ZREM", CUPS_PENDING, *released)
    proxy.before = before
    assert run_hunt(stack.http, "regret", "ann", key="k").json["result"] == {"cup": True}
    wait_until(lambda: "an awarded unit is missing from its supply" in stack.huntd.log_text(), 30, "huntd to log it")
    results = [run_hunt(stack.http, "regret", f"bob-{n}", key="k").json["result"]["cup"] for n in range(4)]
    assert results == [True, True, True, False]
    with stack.redis.client() as redis:
        await_resolved(redis, "regret")
        assert_settled(redis, "regret", given=3)
        assert not set(released) & set(redis.hash(CUPS))


def test_an_attempt_that_a_sweep_has_voided_commits_nothing(stepped):
    """The commit is sent only after the sweep has released its unit."""
    stack, proxy = stepped
    voided = []

    def before(name: str):
        if name == "commit" and not voided:
            voided.append(name)
            with stack.redis.client() as redis:
                [state] = redis.call("HVALS", CUPS)
                request, hunter, key = state.split(" ")[1:]
                bucket = next(iter(redis.keys("done:*:probe:echo:k"))).split(":")[1]
                redis.call("SET", f"done:{bucket}:{hunter}:regret:{key}", f"void {'0' * 32} {request}", "PX", 60000)
                redis.call("DEL", CUPS, CUPS_PENDING)
    # The hunter of the next request has the bucket of this one: they are the same.
    run_hunt(stack.http, "echo", "probe", key="k")
    proxy.before = before
    answer = run_hunt(stack.http, "regret", "probe", key="k")
    assert voided and answer.status in (409, 503), answer
    assert held(stack.http, "regret", "probe") == {}
    with stack.redis.client() as redis:
        wait_until(lambda: redis.call("HLEN", CUPS) == 0, 20, "every unit to be back")


# --- many supplies -------------------------------------------------------------------------------

VAULT = """-- Awards gold and a coupon, and code-N, of which there is one; N is the input's n.
return function(hunt)
  hunt.award("gold")
  hunt.award("coupon", { limit = 9 })
  local code = hunt.award("code-" .. hunt.input.n, { limit = 1 })
  return { code = code }
end
"""


def test_the_supply_above_the_bound_of_a_hunt_ends_the_run_and_gives_nothing(own_stack, tmp_path):
    (tmp_path / "hunts").mkdir()
    (tmp_path / "hunts" / "vault.lua").write_text(VAULT)
    stack = own_stack(hunts=tmp_path / "hunts").start()
    with stack.redis.client() as redis:
        assert run_hunt(stack.http, "vault", "ann", input={"n": 1}).json["result"] == {"code": True}
        assert sorted(redis.call("SMEMBERS", "supplies:{vault}")) == ["code-1", "coupon"]
        redis.call("SADD", "supplies:{vault}", *(f"code-{n}" for n in range(1, 1000)))
        assert redis.call("SCARD", "supplies:{vault}") == 1000
        assert run_hunt(stack.http, "vault", "bob", input={"n": 999}).json["result"] == {"code": True}
        for key in (None, "k"):
            rejected = run_hunt(stack.http, "vault", "eve", input={"n": 1000}, key=key)
            assert (rejected.status, rejected.problem) == (409, "supplies-full")
            assert "vault has drawn on 1000 supplies already" in rejected.json["detail"]
        assert held(stack.http, "vault", "eve") == {}
        wait_until(lambda: redis.call("HLEN", "supply:{vault:coupon}") == 2, 20, "eve's coupons to be back")
        assert redis.call("EXISTS", "supply:{vault:code-1000}", "supply_pending:{vault:code-1000}") == 0
        assert redis.call("SCARD", "supplies:{vault}") == 1000
        # A supply that an older huntd drew on is none too many.
        redis.call("SADD", "supplies", "vault:code-1000")
        assert run_hunt(stack.http, "vault", "eve", input={"n": 1000}).json["result"] == {"code": True}


def calls(redis) -> Counter:
    """How often each command was executed, scripts' commands too (INFO commandstats)."""
    stats = re.findall(r"cmdstat_([^:\r\n]+):calls=(\d+)", redis.call("INFO", "commandstats"))
    return Counter({name: int(count) for name, count in stats})


def await_sweep(redis) -> Counter:
    """calls() from here to the end of a sweep: of a host of one core, which asks each shard once."""
    redis.call("CONFIG", "RESETSTAT")

    def swept():
        counted = calls(redis)
        return counted if counted["zrangebyscore"] >= SHARDS else None
    return wait_until(swept, 60, "a sweep")


def test_supplies_without_a_reservation_cost_an_idle_host_nothing(own_stack):
    """20,000 of them: a sweep asks 64 shards and no supply."""
    stack = own_stack(cores=1)
    stack.start_stores()
    with stack.redis.client() as redis:
        for hunt in range(20):
            redis.call("SADD", f"supplies:{{old{hunt}}}", *(f"code-{n}" for n in range(1000)))
            for n in range(1000):
                redis.call("HSET", f"supply:{{old{hunt}:code-{n}}}", "e", "given")
        stack.huntd.start()
        wait_until(lambda: calls(redis)["sscan"] > 0, 30, "the first sweep")
        await_sweep(redis)  # the rest of it, or the next one
        since_s = time.monotonic()
        counted = await_sweep(redis)
        took_s = time.monotonic() - since_s
    sweeps_max = took_s // SWEEP_S + 2
    assert counted["zrangebyscore"] <= sweeps_max * SHARDS and counted["evalsha"] <= sweeps_max * SHARDS, (counted, took_s)
    for command in ("smembers", "sscan", "sismember", "hlen", "hget", "zcard", "zscore", "zrem"):
        assert counted[command] == 0, (command, counted)


def test_the_set_of_an_older_huntd_is_moved_once(own_stack):
    """Also the units that it has left behind are resolved."""
    stack = own_stack(cores=1)
    stack.start_stores()
    names = [f"old{n % 3}:code-{n}" for n in range(300)]
    with stack.redis.client() as redis:
        redis.call("SADD", "supplies", *names)
        redis.call("HSET", "supply:{old1:code-1}", "e1", f"retaken {'1' * 32} ann k")
        redis.call("ZADD", "supply_pending:{old1:code-1}", int(time.time() * 1000) - DAY_MS, "e1")
        stack.huntd.start()
        wait_until(lambda: redis.call("EXISTS", "supplies") == 0, 30, "the names to be moved")
        assert [redis.call("SCARD", f"supplies:{{old{hunt}}}") for hunt in range(3)] == [100, 100, 100]
        wait_until(lambda: redis.call("EXISTS", "supply:{old1:code-1}") == 0, 60, "the unit to be released")
        assert redis.call("GET", next(iter(redis.keys("done:*:ann:old1:k")))) == f"void {'1' * 32}"
        wait_until(lambda: not list(redis.keys("supplies_drawn:*")), 60, "no supply to be visited again")
        assert await_sweep(redis)["sscan"] == 0


def test_a_supply_that_never_rests_gets_its_stale_units_back(own_stack):
    """Its latest reservation is always a moment ago."""
    stack = own_stack().start()
    with stack.redis.client() as redis:
        run_hunt(stack.http, "regret", "ann")
        leave_a_stale_unit(redis)
        number = iter(range(10**6))

        def released():
            run_hunt(stack.http, "regret", f"hunter-{next(number)}", input={"wish": "reject"})
            return redis.call("HEXISTS", CUPS, "lost") == 0
        wait_until(released, 60, "the unit to be released", 0.5)
