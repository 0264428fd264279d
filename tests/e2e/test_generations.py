# SPDX-License-Identifier: Apache-2.0
"""A ledger that has lost awards goes on: what is awarded next is counted (decision 29). Closed hunts, floors, and the most that a
hunter may hold."""
import json
import threading
import time

import pytest

from client import call, held, hunters_of, run_hunt
from harness.process import wait_until
from harness.stores import held_in
from test_ledger_redis import ShiftedClock, acl, await_not_ready, own_hunts

ZEROS = "0" * 16


def give(stack, hunter: str, times: int = 1, hunt: str = "gold") -> None:
    for _ in range(times):
        answer = run_hunt(stack.http, hunt, hunter)
        assert answer.status == 200, answer


def counted(stack, hunter: str, hunt: str = "gold") -> int:
    rows = stack.postgres.sql(f"select loot_count from hunt_session where hunter_id = '{hunter}' and hunt_id = '{hunt}'")
    return int(rows[0][0]) if rows else 0


def await_counted(stack, hunter: str, count: int) -> None:
    wait_until(lambda: counted(stack, hunter) >= count, 30, f"{count} awards of {hunter} to be counted")
    assert counted(stack, hunter) == count
    assert stack.metric('hunt_aggregator_dead_letters_total', stack.aggregator_address) == 0


def of(stack, hunter: str, hunt: str = "gold"):
    with stack.redis.client() as redis:
        return held_in(redis).get((hunter, hunt))


def delete_held(stack, hunter: str) -> None:
    with stack.redis.client() as redis:
        [key] = redis.keys(f"held:*:{hunter}:gold")
        assert redis.call("DEL", key) == 1


def events_in_outbox(stack) -> list[dict]:
    with stack.redis.client() as redis:
        return [json.loads(fields[3]) for key in redis.keys("outbox:*") for _, fields in redis.call("XRANGE", key, "-", "+")]


def set_state(stack, hunt: str, state: str) -> None:
    with stack.redis.client() as redis:
        redis.call("HSET", "hunts", hunt, state)


# --- losses ------------------------------------------------------------------------------------------------------

def test_what_is_awarded_after_held_was_deleted_is_counted(own_stack):
    stack = own_stack(aggregator=True).start()
    give(stack, "ann", 3)
    await_counted(stack, "ann", 3)
    first = of(stack, "ann").generation
    delete_held(stack, "ann")
    give(stack, "ann", 2)
    await_counted(stack, "ann", 5)
    now = of(stack, "ann")
    assert now.generation > first and (now.seq, now.before, now.was) == (2, 0, {})
    assert held(stack.http, "gold", "ann") == {"gold": 2}


def test_what_is_awarded_after_flushall_is_counted(own_stack):
    stack = own_stack(aggregator=True).start()
    for hunter in ("ann", "bob"):
        give(stack, hunter, 2)
        await_counted(stack, hunter, 2)
    with stack.redis.client() as redis:
        redis.call("FLUSHALL")
    for hunter in ("ann", "bob", "cid"):
        give(stack, hunter, 2)
        await_counted(stack, hunter, 2 if hunter == "cid" else 4)
    assert stack.metric("huntd_redis_lineage_changes_total") == 0, "it is the same server"


def test_what_is_awarded_after_redis_has_returned_from_an_older_file_is_counted(own_stack):
    stack = own_stack(aggregator=True).start()
    give(stack, "ann", 2)
    stack.redis.save_in_background()
    first = of(stack, "ann").generation
    give(stack, "ann", 3)
    await_counted(stack, "ann", 5)
    stack.redis.kill()
    stack.redis.start()
    stack.huntd.await_ready()
    assert held(stack.http, "gold", "ann") == {"gold": 2}
    give(stack, "ann", 2)  # seqs 1 and 2; 3 and 4 of the former generation were counted
    await_counted(stack, "ann", 7)
    now = of(stack, "ann")
    assert now.generation > first and (now.seq, now.before, now.was) == (2, 2, {first: 2})
    # Once per core, and not for each commit.
    wait_until(lambda: stack.metric("huntd_redis_lineage_changes_total") >= 2, 30, "each core to notice it")
    give(stack, "ann", 2)
    assert stack.metric("huntd_redis_lineage_changes_total") == 2
    assert stack.huntd.log_text().count("may have lost its newest awards") == 2


def test_a_restart_that_lost_nothing_begins_a_generation_and_counts_on(own_stack):
    stack = own_stack(aggregator=True, append_only=True).start()
    for restarts in range(3):
        give(stack, "ann", 2)
        await_counted(stack, "ann", 2 * (restarts + 1))
        stack.redis.kill()
        stack.redis.start()
        stack.huntd.await_ready()
    give(stack, "ann")
    await_counted(stack, "ann", 7)
    now = of(stack, "ann")
    assert (now.seq, now.before, sorted(now.was.values()), now.loot["gold"]) == (1, 6, [2, 2, 2], 7)


def test_a_commit_without_a_reply_is_not_repeated_on_another_lineage(own_stack):
    """It may have been executed and lost, with its events already on their way."""
    stack = own_stack(cores=1).start()
    give(stack, "bob", hunt="pair")
    runs = stack.metric("huntd_worker_runs_total")
    with stack.redis.client() as redis:
        redis.call("CLIENT", "PAUSE", 60_000, "WRITE")
    answers = []
    player = threading.Thread(target=lambda: answers.append(run_hunt(stack.http, "pair", "ann")))
    player.start()
    wait_until(lambda: stack.metric("huntd_worker_runs_total") > runs and stack.redis.info("clients")["blocked_clients"] != "0", 30,
               "the commit to wait in Redis")
    stack.redis.kill()
    stack.redis.start()
    player.join(60)
    stack.huntd.await_ready()
    [answer] = answers
    assert answer.status == 424 and answer.problem == "outcome-unknown", answer
    assert held(stack.http, "pair", "ann") == {}
    # The client asks with the request_id as the key, and has it once.
    again = run_hunt(stack.http, "pair", "ann", key=answer.json["request_id"])
    assert again.status == 200 and again.json["replayed"] is False
    assert held(stack.http, "pair", "ann") == {"shield": 1, "sword": 1}


def test_a_script_may_read_before_a_new_lineage_and_award_after_it(own_stack):
    """What the hunter holds has not changed, so there is no conflict, although another generation begins."""
    stack = own_stack(append_only=True).start()
    give(stack, "ann", 2)
    stack.redis.kill()
    stack.redis.start()
    stack.huntd.await_ready()
    answer = run_hunt(stack.http, "gold", "ann")
    assert answer.status == 200 and answer.json["result"] == {"before": 2}


def test_a_hash_that_is_put_back_without_its_marker_is_counted(own_stack):
    """docs/operations.md, "After Redis lost data": how one key is restored by hand."""
    stack = own_stack(aggregator=True).start()
    give(stack, "ann", 2)
    with stack.redis.client() as redis:
        [key] = redis.keys("held:*:ann:gold")
        # DUMP is binary, so the copy stays within Redis.
        assert redis.call("COPY", key, "backup") == 1
    give(stack, "ann", 3)
    await_counted(stack, "ann", 5)
    with stack.redis.client() as redis:
        redis.call("MULTI")
        redis.call("COPY", "backup", key, "REPLACE")
        redis.call("HDEL", key, "#gen")
        assert redis.call("EXEC") == [1, 1]
    give(stack, "ann", 4)
    await_counted(stack, "ann", 9)


# --- Redis' clock goes back ---------------------------------------------------------------------------------------

def test_a_generation_is_greater_than_the_former_one_if_the_clock_goes_back(own_stack):
    stack = own_stack(cores=1, aggregator=True, append_only=True)
    clock = ShiftedClock(stack)
    stack.start_stores()
    stack.aggregator.start()
    clock.set(7200)
    stack.huntd.start()
    give(stack, "ann", 2)
    first = of(stack, "ann").generation
    clock.set(0)
    stack.redis.kill()
    stack.redis.start()
    stack.huntd.await_ready()
    give(stack, "ann")
    # The next millisecond, not two hours less; its last 16 bits are random.
    assert int(of(stack, "ann").generation, 16) >> 16 == (int(first, 16) >> 16) + 1
    await_counted(stack, "ann", 3)
    # The hash itself is lost: the generation is smaller than one that was counted.
    delete_held(stack, "ann")
    give(stack, "ann", 2)
    assert of(stack, "ann").generation < first
    await_counted(stack, "ann", 5)


# --- a key that is used again -------------------------------------------------------------------------------------

def test_a_key_whose_record_has_expired_gives_another_event(own_stack):
    stack = own_stack(aggregator=True).start()
    first = run_hunt(stack.http, "gold", "ann", key="k")
    await_counted(stack, "ann", 1)
    with stack.redis.client() as redis:
        [record] = redis.keys("done:*:ann:gold:k")
        redis.call("PEXPIRE", record, 1)
        wait_until(lambda: redis.call("EXISTS", record) == 0, 10, "the record to expire")
    again = run_hunt(stack.http, "gold", "ann", key="k")
    assert again.status == 200 and again.json["replayed"] is False
    assert again.json["loot"][0]["event_id"] != first.json["loot"][0]["event_id"]
    await_counted(stack, "ann", 2)


def test_a_limited_award_with_a_key_used_again_is_another_unit(own_stack):
    stack = own_stack().start()
    for taken in (1, 2):
        answer = run_hunt(stack.http, "scarce", "ann", key="k")
        assert answer.json["result"] == {"relic": True}
        with stack.redis.client() as redis:
            wait_until(lambda: list(redis.hash("supply:{scarce:relic}").values()) == ["given"] * taken, 10, "the unit to be given")
            [record] = redis.keys("done:*:ann:scarce:k")
            redis.call("DEL", record)
    assert [event["supply"] for event in events_in_outbox(stack)] == [True, True]


# --- two hosts ----------------------------------------------------------------------------------------------------

@pytest.fixture
def two_hosts(own_stack):
    one = own_stack().start()
    two = own_stack(settings={"redis.address": one.redis.address})
    two.set()
    two.huntd.start()
    return one, two


def test_two_hosts_stay_in_one_generation(two_hosts):
    one, two = two_hosts
    for _ in range(5):
        give(one, "ann")
        give(two, "ann")
    assert sorted((event["gen"], event["seq"]) for event in events_in_outbox(one)) == \
        [(of(one, "ann").generation, seq) for seq in range(1, 11)]


def test_a_floor_reaches_each_core_of_each_host(two_hosts):
    one, two = two_hosts
    hunters = [f"h{number}" for number in range(8)]  # on both cores
    for hunter in hunters:
        give(one, hunter)
    probes = [(host, *hunters_of(host.http, core, 1, f"probe-{number}")) for number, host in enumerate(two_hosts) for core in (0, 1)]
    for _, probe in probes:
        give(one, probe)
    floor = max(of(one, hunter).generation for hunter in [*hunters, *(probe for _, probe in probes)])
    set_state(one, "gold", f"open {floor}")
    for host, probe in probes:  # a core asks for the states every second, while requests come
        wait_until(lambda: give(host, probe) or of(one, probe).generation > floor, 30, "the core to read the floor", 0.1)
    for hunter in hunters:
        give(two, hunter)
        give(one, hunter)
        now = of(one, hunter)
        assert now.generation > floor and (now.seq, now.before) == (2, 1), hunter


def test_a_closed_hunt_awards_nothing_on_any_core(two_hosts):
    one, _ = two_hosts
    hunters = [f"h{number}" for number in range(8)]
    first = {hunter: run_hunt(one.http, "gold", hunter, key="k").json for hunter in hunters}
    set_state(one, "gold", f"closed {ZEROS} 1764000000000")
    for host in two_hosts:
        for hunter in hunters:
            wait_until(lambda: run_hunt(host.http, "gold", hunter).status == 409, 30, "the hunt to be closed")
    before = {hunter: of(one, hunter).seq for hunter in hunters}
    for host in two_hosts:
        for hunter in hunters:
            for key in (None, "new"):
                answer = run_hunt(host.http, "gold", hunter, key=key)
                assert answer.status == 409 and answer.problem == "hunt-closed"
                assert answer.json["detail"] == "nothing was awarded: the hunt is closed"
            assert run_hunt(host.http, "gold", hunter, key="k").json == {**first[hunter], "replayed": True}
            assert held(host.http, "gold", hunter)["gold"] >= 1
            assert run_hunt(host.http, "echo", hunter).status == 200
    assert {hunter: of(one, hunter).seq for hunter in hunters} == before
    assert one.metric('huntd_hunts_total{outcome="closed"}') >= 16
    set_state(one, "gold", f"open {ZEROS}")
    for host in two_hosts:
        for hunter in hunters:
            wait_until(lambda: run_hunt(host.http, "gold", hunter).status == 200, 30, "the hunt to be open")


def test_a_hunt_that_is_closed_while_its_script_runs_is_not_committed(own_stack, tmp_path):
    text = """return function(hunt)
  local sum = 0
  for i = 1, 400000000 do sum = sum + i % 7 end
  hunt.award("gold")
  return sum
end
"""
    stack = own_stack(cores=1, hunts=own_hunts(tmp_path, long=text, idle="return function() end"),
                      settings={"worker.deadline_ms": 10_000, "http.request_deadline_ms": 40_000}).start()
    answers = []
    player = threading.Thread(target=lambda: answers.append(call(stack.http, "POST", "/v1/hunts/long/hunters/ann", timeout_s=60)))
    player.start()
    wait_until(lambda: stack.metric("huntd_workers_live") > 0, 20, "the script to run")
    set_state(stack, "long", f"closed {ZEROS} 1")
    # A core asks for the states while requests come.
    while player.is_alive():
        run_hunt(stack.http, "idle", "bob")
        player.join(0.3)
    [answer] = answers
    if answer.status == 504:
        pytest.skip("the machine is too slow for this script")
    assert answer.status == 409 and answer.problem == "hunt-closed", answer
    assert of(stack, "ann", "long") is None


@pytest.mark.parametrize("state", ["paused 0000000000000000", "closed", "open 8000000000000000", ""])
def test_a_hunt_of_an_unreadable_state_is_closed(own_stack, state):
    stack = own_stack(cores=1)
    stack.start_stores()
    set_state(stack, "gold", state)
    stack.huntd.start()
    assert run_hunt(stack.http, "gold", "ann").problem == "hunt-closed"
    assert run_hunt(stack.http, "pair", "ann").status == 200
    assert "the state of a hunt can't be read" in stack.huntd.log_text()


def test_a_core_with_a_stale_copy_commits_nothing(own_stack):
    stack = own_stack(cores=1).start()
    give(stack, "ann")
    acl(stack, "-hgetall")
    since = time.monotonic()  # no core can read the states any more
    give(stack, "ann")  # with the copy that the core has
    last = since

    def rejected():
        nonlocal last
        asked = time.monotonic()
        answer = run_hunt(stack.http, "gold", "ann")
        if answer.status == 503:
            return answer
        last = asked
        return None
    answer = wait_until(rejected, 60, "the copy to be stale", 0.2)
    assert last - since < 15, "no commit with a copy older than 10 s"
    assert answer.problem == "redis-unavailable" and answer.json["detail"].startswith("nothing was awarded")
    seq = of_without_hgetall(stack)
    assert run_hunt(stack.http, "gold", "ann").status == 503
    assert of_without_hgetall(stack) == seq
    acl(stack, "+hgetall")
    wait_until(lambda: run_hunt(stack.http, "gold", "ann").status == 200, 30, "hunts again")


def of_without_hgetall(stack) -> int:
    with stack.redis.client() as redis:
        [key] = redis.keys("held:*:ann:gold")
        return int(redis.call("HGET", key, "#seq"))


def test_a_user_who_may_not_read_the_states_is_found_at_the_connect(own_stack):
    stack = own_stack()
    stack.start_stores()
    acl(stack, "resetkeys", "~held:*", "~done:*", "~outbox:*", "~supply:*", "~supply_pending:*", "~supply_limit:*", "~supplies:*",
        "~supplies_drawn:*", "~supplies", "~seed_secret")
    stack.huntd.launch()
    await_not_ready(stack, "HGETALL hunts")


# --- the most that a hunter may hold --------------------------------------------------------------------------------

MANY = """return function(hunt)
  for i = hunt.input.first, hunt.input.last do hunt.award("item-" .. i) end
  return { awarded = hunt.input.last - hunt.input.first + 1 }
end
"""
READS = """return function(hunt)
  local count = 0
  for _ in pairs(hunt.held()) do count = count + 1 end
  hunt.award("item-1")
  return count
end
"""


@pytest.fixture
def collectors(own_stack, tmp_path):
    folder = own_hunts(tmp_path, many=MANY + "\n", reads="return function() end")
    # The same hunt, so that it reads what the other version awarded.
    (folder / "many.lua").write_text(f"local many = (function() {MANY} end)()\nlocal reads = (function() {READS} end)()\n"
                                     "return function(hunt) if hunt.input.read then return reads(hunt) end return many(hunt) end\n")
    return own_stack(cores=1, hunts=folder).start()


def collect(stack, first: int, last: int):
    return run_hunt(stack.http, "many", "ann", input={"first": first, "last": last})


def test_a_hunter_with_1024_loots_gets_no_other_and_is_not_stuck(collectors):
    stack = collectors
    for first in range(1, 1024, 32):
        assert collect(stack, first, first + 31).status == 200
    answer = collect(stack, 1020, 1025)
    assert answer.status == 409 and answer.problem == "held-full"
    assert answer.json["detail"] == ("nothing was awarded: ann would hold more than 1024 different loot_ids in many; "
                                     "no room for item-1025")
    assert collect(stack, 993, 1024).status == 200
    loot = held(stack.http, "many", "ann")
    assert len(loot) == 1024 and loot["item-1"] == 1 and loot["item-1024"] == 2
    answer = run_hunt(stack.http, "many", "ann", input={"read": True})
    assert answer.status == 200 and answer.json["result"] == 1024
    assert stack.metric('huntd_hunts_total{outcome="held_full"}') == 1


@pytest.mark.parametrize("loots", [1025, 3000, 300_000])
def test_a_hunter_with_more_of_an_older_huntd_is_not_stuck(collectors, loots):
    stack = collectors
    assert collect(stack, 1, 1).status == 200
    with stack.redis.client() as redis:
        [key] = redis.keys("held:*:ann:many")
        for first in range(2, loots + 1, 10_000):  # a busy machine needs long for all in one
            redis.call("EVAL", "for i = ARGV[1], ARGV[2] do redis.call('HSET', KEYS[1], 'item-' .. i, 1) end", 1, key,
                       first, min(first + 9999, loots))
        redis.call("HINCRBY", key, "#before", loots - 1)
    connections = stack.metric("huntd_redis_reconnects_total")
    answer = call(stack.http, "GET", "/v1/hunts/many/hunters/ann")
    assert answer.status == 409 and answer.problem == "held-full"
    answer = run_hunt(stack.http, "many", "ann", input={"read": True})
    assert answer.status == 409 and answer.problem == "held-full"
    assert answer.json["detail"].startswith("nothing was awarded: ann holds more than 1024")
    assert collect(stack, 1, 32).status == 200, "what the hunter has already may be awarded"
    assert collect(stack, loots, loots + 1).problem == "held-full"
    assert stack.metric("huntd_redis_reconnects_total") == connections, "the link was not dropped"
    assert collect(stack, 1, 1).status == 200
