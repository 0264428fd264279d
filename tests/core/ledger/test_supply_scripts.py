# SPDX-License-Identifier: Apache-2.0
"""Each script of supply_scripts.h by itself, on a real Redis: what it changes, and what it replies."""
import re

import pytest

from harness.huntd_stack import ROOT
from harness.redis_server import RedisServer

SUPPLY, PENDING, LIMIT = "supply:{hunt:cup}", "supply_pending:{hunt:cup}", "supply_limit:{hunt:cup}"
DONE, SUPPLIES, SHARD = "done:{b1}:ann:hunt:k", "supplies:{hunt}", "supplies_drawn:{p7}"
ANN = "r1 ann k"
BOB = "r2 bob k"
WEEK_MS = 7 * 24 * 3600 * 1000
NAMES = ("enlist", "reserve", "taken_units", "settle", "expire_record", "release", "stale_units", "resolve", "drawn_supplies", "remove_drawn")


def script_texts() -> dict[str, str]:
    header = (ROOT / "src" / "core" / "ledger" / "supply_scripts.h").read_text()
    return dict(re.findall(r'const char\* (\w+) = R"lua\((.*?)\)lua"', header, re.DOTALL))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Scripts:
    """scripts.reserve([keys], arguments ...): one execution."""

    def __init__(self, redis):
        self.redis = redis
        self.texts = script_texts()

    def __getattr__(self, name):
        def run(keys, *arguments):
            return self.redis.call("EVAL", self.texts[name], len(keys), *keys, *arguments)
        return run

    def reserve_one(self, event: str, owner: str, limit: int = 3, enlisted: str = "1") -> int:
        return self.reserve([SUPPLY, PENDING, LIMIT], event, limit, owner, enlisted)

    def settle_one(self, event: str, owner: str, to: str) -> int:
        return self.settle([SUPPLY, PENDING], event, owner, to)

    def release_one(self, event: str, owner: str) -> int:
        return self.release([SUPPLY, PENDING], event, owner)

    def stale(self, age_ms: int, count_max: int = 100):
        return self.stale_units([SUPPLY, PENDING], age_ms, count_max)

    def units(self) -> dict[str, str]:
        return self.redis.hash(SUPPLY)

    def pending(self) -> list[str]:
        return self.redis.call("ZRANGE", PENDING, 0, -1)


@pytest.fixture
def scripts(server):
    with server.client() as redis:
        redis.call("FLUSHALL")
        yield Scripts(redis)


def test_the_header_has_these_scripts(scripts):
    assert tuple(scripts.texts) == NAMES


# --- enlist --------------------------------------------------------------------------------------

def test_a_hunt_enlists_so_many_supplies_and_no_more(scripts):
    assert [scripts.enlist([SUPPLIES], f"loot{n}", 3) for n in range(5)] == [1, 1, 1, 0, 0]
    assert scripts.redis.call("SCARD", SUPPLIES) == 3
    assert scripts.enlist([SUPPLIES], "loot1", 3) == 1, "one that is noted may be drawn on again"
    assert scripts.enlist([SUPPLIES], "loot4", 3) == 0


# --- reserve -------------------------------------------------------------------------------------

def test_units_are_reserved_up_to_the_limit(scripts):
    assert [scripts.reserve_one(f"e{n}", ANN) for n in range(5)] == [1, 1, 1, 0, 0]
    assert scripts.units() == {f"e{n}": "pending " + ANN for n in range(3)}
    assert sorted(scripts.pending()) == ["e0", "e1", "e2"]
    assert scripts.redis.call("GET", LIMIT) == "3"


def test_the_same_reservation_again_takes_no_second_unit(scripts):
    assert [scripts.reserve_one("e", ANN, limit=1) for _ in range(3)] == [1, 1, 1]
    assert scripts.units() == {"e": "pending " + ANN}


def test_the_unit_of_another_attempt_is_not_taken_over(scripts):
    assert scripts.reserve_one("e", ANN) == 1
    assert scripts.reserve_one("e", BOB) == 0
    assert scripts.units() == {"e": "pending " + ANN}


@pytest.mark.parametrize("before, granted", [(0, 3), (2, 1), (3, 0), (9, 0)])
def test_units_given_before_a_restore_count_against_the_limit(scripts, before, granted):
    scripts.redis.call("HSET", SUPPLY, "#before", before)
    assert sum(scripts.reserve_one(f"e{n}", ANN) for n in range(5)) == granted


def test_a_malformed_number_of_units_before_is_an_error_and_grants_nothing(scripts):
    scripts.redis.call("HSET", SUPPLY, "#before", "many")
    with pytest.raises(Exception, match="arithmetic|nil"):
        scripts.reserve_one("e", ANN)
    assert scripts.units() == {"#before": "many"}


def test_a_supply_that_is_new_is_enlisted_first(scripts):
    assert scripts.reserve_one("e", ANN, enlisted="0") == 2
    assert scripts.redis.call("DBSIZE") == 0
    assert scripts.reserve_one("e", ANN, enlisted="1") == 1
    assert scripts.reserve_one("e2", ANN, enlisted="0") == 1


# --- taken_units -----------------------------------------------------------------------------------

def test_units_of_each_state_are_taken_and_released_ones_are_not(scripts):
    assert scripts.taken_units([SUPPLY]) == 0
    for n in range(3):
        scripts.reserve_one(f"e{n}", ANN)
    scripts.settle_one("e0", ANN, "settling")
    scripts.settle_one("e0", ANN, "given")
    scripts.settle_one("e1", ANN, "settling")
    assert scripts.taken_units([SUPPLY]) == 3
    scripts.release_one("e2", ANN)
    assert scripts.taken_units([SUPPLY]) == 2
    scripts.redis.call("HSET", SUPPLY, "#before", 7)
    assert scripts.taken_units([SUPPLY]) == 9, "units given before a restore count too"


# --- settle, release -----------------------------------------------------------------------------

def test_a_unit_goes_from_pending_to_settling_to_given(scripts):
    scripts.reserve_one("e", ANN)
    assert scripts.settle_one("e", ANN, "settling") == 1
    assert scripts.units() == {"e": "settling " + ANN} and scripts.pending() == ["e"]
    assert scripts.settle_one("e", ANN, "settling") == 1
    assert scripts.release_one("e", ANN) == 0, "an awarded unit does not go back"
    assert scripts.settle_one("e", ANN, "given") == 1
    assert scripts.units() == {"e": "given"} and scripts.pending() == []
    for to in ("settling", "given"):
        assert scripts.settle_one("e", ANN, to) == 1
    assert scripts.units() == {"e": "given"}


@pytest.mark.parametrize("to", ["settling", "given"])
def test_a_late_settle_creates_no_unit(scripts, to):
    """Else a supply of N would give N + 1: the released unit is another hunter's."""
    scripts.reserve_one("e", ANN, limit=1)
    assert scripts.release_one("e", ANN) == 1
    assert scripts.reserve_one("other", BOB, limit=1) == 1
    assert scripts.settle_one("e", ANN, to) == 0
    assert scripts.units() == {"other": "pending " + BOB}


@pytest.mark.parametrize("to", ["settling", "given"])
def test_only_the_owner_settles(scripts, to):
    scripts.reserve_one("e", ANN)
    assert scripts.settle_one("e", BOB, to) == 0
    assert scripts.units() == {"e": "pending " + ANN}


def test_only_the_owner_releases(scripts):
    scripts.reserve_one("e", ANN)
    assert scripts.release_one("e", BOB) == 0
    assert scripts.release_one("e", ANN) == 1
    assert scripts.units() == {} and scripts.pending() == []
    assert scripts.release_one("e", ANN) == 0


def test_a_unit_that_an_older_huntd_took_over_is_settled_and_released_as_pending(scripts):
    for event, step in (("e1", lambda: scripts.settle_one("e1", ANN, "given")), ("e2", lambda: scripts.release_one("e2", ANN))):
        scripts.redis.call("HSET", SUPPLY, event, "retaken " + ANN)
        scripts.redis.call("ZADD", PENDING, 1, event)
        assert step() == 1
    assert scripts.units() == {"e1": "given"} and scripts.pending() == []


# --- the record ----------------------------------------------------------------------------------

def test_only_a_record_without_a_ttl_gets_one(scripts):
    assert scripts.expire_record([DONE], 1000) == 1
    assert scripts.redis.call("EXISTS", DONE) == 0
    scripts.redis.call("SET", DONE, "v2 0 200 b e1")
    assert scripts.expire_record([DONE], 90000) == 1
    assert 80000 < scripts.redis.call("PTTL", DONE) <= 90000
    assert scripts.expire_record([DONE], 1000) == 1
    assert scripts.redis.call("PTTL", DONE) > 80000


def resolve(scripts, event: str, request: str) -> int:
    return scripts.resolve([DONE], event, request, WEEK_MS, 64)


def test_an_event_that_the_record_names_was_committed(scripts):
    scripts.redis.call("SET", DONE, 'v2 0 200 b {"event_id":"e1"}')
    assert resolve(scripts, "e1", "r1") == 1
    assert resolve(scripts, "e2", "r2") == 0
    assert scripts.redis.call("GET", DONE).startswith("v2 ")
    # Another unit of the request may be resolved much later.
    assert WEEK_MS - 60000 < scripts.redis.call("PTTL", DONE) <= WEEK_MS


def test_a_record_that_lasts_longer_is_not_shortened(scripts):
    scripts.redis.call("SET", DONE, "v2 0 200 b e1", "PX", 2 * WEEK_MS)
    assert resolve(scripts, "e1", "r1") == 1
    assert scripts.redis.call("PTTL", DONE) > WEEK_MS


def test_each_attempt_that_did_not_commit_is_listed_in_the_tombstone(scripts):
    assert [resolve(scripts, f"e{n}", f"r{n}") for n in range(3)] == [0, 0, 0]
    assert scripts.redis.call("GET", DONE) == "void r0 r1 r2"
    assert WEEK_MS - 60000 < scripts.redis.call("PTTL", DONE) <= WEEK_MS
    resolve(scripts, "e1", "r1")
    assert scripts.redis.call("GET", DONE) == "void r0 r2 r1", "once, the newest last"


def test_a_tombstone_lists_the_newest_64_attempts(scripts):
    for n in range(70):
        resolve(scripts, f"e{n}", f"r{n}")
    assert scripts.redis.call("GET", DONE).split(" ") == ["void", *(f"r{n}" for n in range(6, 70))]


# --- the sweep -----------------------------------------------------------------------------------

def test_stale_units_come_with_their_states_and_fresh_ones_only_count(scripts):
    assert scripts.stale(1000) == [0]
    for event, owner in (("e1", ANN), ("e2", BOB), ("e3", ANN)):
        scripts.reserve_one(event, owner)
    assert scripts.stale(60000) == [1]
    for number, event in enumerate(("e1", "e2", "e3")):
        scripts.redis.call("ZADD", PENDING, 1000 + number, event)  # long ago
    scripts.settle_one("e2", BOB, "settling")
    scripts.settle_one("e3", ANN, "given")
    assert scripts.stale(60000) == [1, "e1", "pending " + ANN, "e2", "settling " + BOB]
    assert scripts.stale(60000, 1) == [1, "e1", "pending " + ANN]
    scripts.release_one("e1", ANN)
    scripts.settle_one("e2", BOB, "given")
    assert scripts.stale(60000) == [0]


def test_units_that_redis_clock_puts_into_the_future_are_stale(scripts):
    scripts.reserve_one("e", ANN)
    now_ms = float(scripts.redis.call("ZSCORE", PENDING, "e"))
    scripts.redis.call("ZADD", PENDING, now_ms + 3_600_000, "e")
    assert scripts.stale(60000) == [1, "e", "pending " + ANN]


def test_an_entry_without_a_unit_is_removed(scripts):
    scripts.redis.call("HSET", SUPPLY, "e1", "given")
    scripts.redis.call("ZADD", PENDING, 1, "e1")
    scripts.redis.call("ZADD", PENDING, 1, "e2")
    assert scripts.stale(1000) == [0]
    assert scripts.pending() == []


def test_a_supply_leaves_its_shard_only_if_it_was_not_drawn_on_since(scripts):
    for n in range(5):
        scripts.redis.call("ZADD", SHARD, 1764000000000 + n, f"hunt:cup{n}")
    page = scripts.drawn_supplies([SHARD], 1764000000003, 1, 2)
    assert page == ["hunt:cup1", "1764000000001", "hunt:cup2", "1764000000002"]
    assert len(scripts.drawn_supplies([SHARD], "+inf", 0, 100)) == 10
    scripts.redis.call("ZADD", SHARD, 1764000009000, "hunt:cup1")
    assert scripts.remove_drawn([SHARD], *page[0:2]) == 0
    assert scripts.remove_drawn([SHARD], *page[2:4]) == 1
    assert scripts.remove_drawn([SHARD], *page[2:4]) == 0
    assert scripts.redis.call("ZRANGE", SHARD, 0, -1) == ["hunt:cup0", "hunt:cup3", "hunt:cup4", "hunt:cup1"]
