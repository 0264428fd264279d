# SPDX-License-Identifier: Apache-2.0
"""The commit script on a real Redis, without huntd: generations, room, tombstones, and each way to undo a part of a commit."""
import json
import re

import pytest

from harness.huntd_stack import ROOT
from harness.redis_server import RedisError, RedisServer

HELD, DONE, OUTBOX = KEYS = "held:{b1}:ann:h", "done:{b1}:ann:h:k", "outbox:{b1}"
ZEROS = "0" * 16
LINEAGE, OTHER_LINEAGE = "0123456789abcdef", "fedcba9876543210"
SEVEN_DAYS_MS = 7 * 24 * 3600 * 1000
SCRIPT = re.search(r'commit = R"lua\((.*?)\)lua"', (ROOT / "src" / "core" / "ledger" / "commit_script.h").read_text(), re.S).group(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with RedisServer(tmp_path_factory.mktemp("redis")) as started:
        yield started


@pytest.fixture
def redis(server):
    with server.client() as client:
        client.call("FLUSHALL")
        yield client
    with server.client() as client:
        client.call("ACL", "SETUSER", "default", "+@all", "allkeys")


def attempt(number: int) -> str:
    return f"{number:032x}"


def commit(redis, *loot, lineage=LINEAGE, request=1, expected="", floor=ZEROS, random="5a5a", ttl_ms=60_000, record="v2 r", state=None):
    """`loot` are names, or pairs of a name and its units; `state` is what was read of the state, and what it becomes."""
    arguments = [ttl_ms, record, attempt(request), expected, "ann", lineage, random, floor]
    units = any(isinstance(one, tuple) for one in loot)
    if state:
        arguments += ["@", *state]
    elif units:
        arguments.append("+")
    for name, count in (one if isinstance(one, tuple) else (one, 1) for one in loot):
        arguments += [name, '{"loot_id":"%s","seq":' % name, '"}'] + ([count] if units or state else [])
    return redis.call("EVAL", SCRIPT, 3, *KEYS, *arguments)


def award(redis, *loot, **options) -> str:
    """Commits, and returns the generation; the response is not stored for a next one."""
    reply = commit(redis, *loot, **options)
    assert reply[0] == "committed" and len(reply) == 2 + 2 * len(loot), reply
    redis.call("DEL", DONE)
    return reply[1]


def events(redis) -> list[tuple[str, int, str]]:
    """(generation, seq, loot) of the events in the outbox."""
    found = [json.loads(fields[3]) for _, fields in redis.call("XRANGE", OUTBOX, "-", "+")]
    return [(event["gen"], event["seq"], event["loot_id"]) for event in found]


def everything(redis) -> dict:
    """What is stored but the outbox's last id."""
    return {"held": redis.hash(HELD), "done": redis.call("GET", DONE), "events": events(redis)}


def generation_of(redis) -> str:
    return redis.call("HGET", HELD, "#gen").split(" ")[0]


def sums_hold(redis) -> bool:
    fields = redis.hash(HELD)
    loot = sum(int(count) for name, count in fields.items() if not name.startswith("#"))
    parts = {name: int(fields.get(name, 0)) for name in ("#before", "#seq", "#added", "#taken")}
    return loot == parts["#before"] + parts["#seq"] + parts["#added"] - parts["#taken"]


# --- generations ---------------------------------------------------------------------------------------------

def test_the_first_award_begins_a_generation_and_the_next_ones_stay_in_it(redis):
    before, _ = redis.call("TIME")
    first = award(redis, "gold", "gold", "ruby")
    after, _ = redis.call("TIME")
    assert re.fullmatch("[0-9a-f]{16}", first) and first.endswith("5a5a")
    assert int(before) <= (int(first, 16) >> 16) // 1000 <= int(after)
    assert redis.hash(HELD) == {"#seq": "3", "#gen": f"{first} {LINEAGE}", "gold": "2", "ruby": "1"}
    assert award(redis, "gold", random="ffff") == first
    assert events(redis) == [(first, 1, "gold"), (first, 2, "gold"), (first, 3, "ruby"), (first, 4, "gold")]


def test_a_commit_without_an_award_begins_nothing(redis):
    assert commit(redis) == ["committed", ZEROS]
    assert redis.call("EXISTS", HELD) == 0
    redis.call("DEL", DONE)
    first = award(redis, "gold")
    assert award(redis, lineage=OTHER_LINEAGE) == first and generation_of(redis) == first


@pytest.mark.parametrize("cause", ["lineage", "floor", "older huntd", "restored"])
def test_a_new_generation_keeps_what_was(redis, cause):
    first = award(redis, "gold", "ruby")
    options = {"lineage": OTHER_LINEAGE} if cause == "lineage" else {"floor": first} if cause == "floor" else {}
    if cause in ("older huntd", "restored"):
        redis.call("HDEL", HELD, "#gen")
    second = award(redis, "gold", random="5a5b", **options)
    assert second > first
    was = ZEROS if cause in ("older huntd", "restored") else first
    assert redis.hash(HELD) == {"#seq": "1", "#gen": f"{second} {options.get('lineage', LINEAGE)}", "#before": "2", f"#was:{was}": "2",
                                "gold": "2", "ruby": "1"}
    assert events(redis)[-1] == (second, 1, "gold") and sums_hold(redis)


def test_a_deleted_hash_begins_at_one_again(redis):
    first = award(redis, "gold", "gold")
    redis.call("DEL", HELD)
    second = award(redis, "gold", random="5a5b")
    assert second > first
    assert redis.hash(HELD) == {"#seq": "1", "#gen": f"{second} {LINEAGE}", "gold": "1"}


def test_a_generation_is_above_those_that_the_hash_lists(redis):
    """As after `huntctl restore`, with Redis' clock behind."""
    redis.call("HSET", HELD, "gold", "7", "#before", "7", "#was:7000000000000003", "4", "#was:7000000000000001", "3")
    assert award(redis, "gold") == "7000000000015a5a" and sums_hold(redis)


def test_unknown_fields_are_kept(redis):
    redis.call("HSET", HELD, "#later", "x", "gold", "3", "#before", "3")
    award(redis, "gold")
    award(redis, "gold", lineage=OTHER_LINEAGE)
    assert redis.call("HGET", HELD, "#later") == "x" and redis.call("HGET", HELD, "#before") == "4" and sums_hold(redis)


def test_the_newest_15_generations_are_listed(redis):
    all_of_them = []
    for number in range(20):
        all_of_them.append(award(redis, *["gold"] * (number + 1), lineage=f"{number:016x}"))
    fields = redis.hash(HELD)
    was = {name.removeprefix("#was:"): int(count) for name, count in fields.items() if name.startswith("#was:")}
    assert was == {all_of_them[number]: number + 1 for number in range(4, 19)}
    assert fields["#before"] == str(sum(range(1, 20))) and fields["#seq"] == "20" and sums_hold(redis)


@pytest.mark.parametrize("older, floor, expected", [
    ("7000000000000000", ZEROS, "7000000000015a5a"),  # Redis' clock is behind: the next ms, and random digits
    ("700000ffffffffff", ZEROS, "7000010000005a5a"),  # the carry between the halves of the ms
    ("00000000aaaaaaaa", "7000aaaaaaaaaaaa", "7000aaaaaaab5a5a"),  # the floor is ahead
    ("7000000000050000", "7000000000090000", "70000000000a5a5a"),
    ("7000000000090000", "7000000000050000", "70000000000a5a5a"),
    (None, "00000000ffffffff", None),  # both are behind: the clock decides
])
def test_a_generation_is_above_the_former_one_and_above_the_floor(redis, older, floor, expected):
    if older:
        redis.call("HSET", HELD, "gold", "2", "#seq", "2", "#gen", f"{older} {OTHER_LINEAGE}")
    started = award(redis, "gold", floor=floor)
    assert started == expected if expected else started > "0190000000000000"
    assert award(redis, "gold", floor=floor) == started, "it is above the floor"


@pytest.mark.parametrize("gen", ["", "7", f"{ZEROS}", f"{ZEROS} 12", f"{ZEROS}  {ZEROS}", f"8{ZEROS[1:]} {LINEAGE}", f"{ZEROS}G {LINEAGE}",
                                 f"{'A' * 16} {LINEAGE}"])
def test_a_malformed_generation_is_rejected(redis, gen):
    redis.call("HSET", HELD, "#seq", "1", "gold", "1", "#gen", gen)
    before = everything(redis)
    assert commit(redis, "gold") == ["rejected", f"the #gen of {HELD} is malformed"]
    assert everything(redis) == before


def test_no_generation_is_left(redis):
    redis.call("HSET", HELD, "#seq", "1", "gold", "1", "#gen", f"7fffffffffffffff {OTHER_LINEAGE}")
    before = everything(redis)
    assert commit(redis, "gold") == ["rejected", f"the #gen of {HELD} would be out of range"]
    assert everything(redis) == before


@pytest.mark.parametrize("field, value", [("#seq", "many"), ("#seq", "-1"), ("#seq", "0x10"), ("#seq", str(2**53)), ("#before", "many"),
                                          ("#before", str(2**53 - 1))])
def test_a_number_out_of_range_is_rejected(redis, field, value):
    redis.call("HSET", HELD, "#seq", "1", "gold", "1", field, value)
    before = everything(redis)
    assert commit(redis, "gold") == ["rejected", f"the {field} of {HELD} is out of range"]
    assert everything(redis) == before


# --- what the script read of the hunter -----------------------------------------------------------

def test_expected(redis):
    assert commit(redis, "gold", expected=f"{ZEROS} 1") == ["conflict"]
    first = award(redis, "gold", expected=f"{ZEROS} 0")
    for other in (f"{ZEROS} 0", f"{ZEROS} 1", f"{first} 0", f"{first} 2", f"{'1' * 16} 1"):
        assert commit(redis, "gold", expected=other) == ["conflict"]
    assert award(redis, "gold", expected=f"{first} 1") == first
    # Read before a lineage ended and committed after it: nothing has changed in between.
    second = award(redis, "gold", expected=f"{first} 2", lineage=OTHER_LINEAGE)
    assert commit(redis, "gold", expected=f"{first} 2") == ["conflict"]
    redis.call("DEL", HELD)
    assert commit(redis, "gold", expected=f"{second} 1") == ["conflict"]


# --- responses ----------------------------------------------------------------------------------------------------

def test_a_stored_response_is_replayed_and_a_tombstone_stops_its_attempts(redis):
    assert commit(redis, "gold", record="v2 first")[0] == "committed"
    assert commit(redis, "gold", request=2, record="v2 second") == ["replayed", "v2 first"]
    assert 0 < redis.call("PTTL", DONE) <= 60_000
    redis.call("SET", DONE, f"void {attempt(1)} {attempt(2)}")
    assert commit(redis, "gold", request=1) == ["voided"] == commit(redis, "gold", request=2)
    assert commit(redis, "gold", request=3, ttl_ms=0)[0] == "committed"
    assert redis.call("PTTL", DONE) == -1 and redis.call("HGET", HELD, "gold") == "2"


# --- room -----------------------------------------------------------------------------------------------------------

def fill(redis, loot: int, *others: str) -> None:
    fields = [word for number in range(loot) for word in (f"l{number}", "1")]
    redis.call("HSET", HELD, "#seq", loot, "#gen", f"{'1' * 16} {LINEAGE}", *fields, *others)


def test_the_last_place_is_used_and_no_more(redis):
    fill(redis, 1023, "#before", "0", *[word for number in range(15) for word in (f"#was:{number:016x}", "1")])
    before = everything(redis)
    assert commit(redis, "new", "l5", "new", "newer") == ["full", "newer"]
    assert everything(redis) == before
    award(redis, "new", "l5", "new")
    assert commit(redis, "l5", "newer") == ["full", "newer"]
    award(redis, *[f"l{number}" for number in range(32)])
    assert redis.call("HLEN", HELD) == 1024 + 3 + 15


@pytest.mark.parametrize("loot", [1025, 1100, 5000])
def test_a_hash_of_an_older_huntd_above_the_bound_takes_what_it_has(redis, loot):
    fill(redis, loot)
    assert commit(redis, "l1", "new") == ["full", "new"]
    award(redis, "l1", "l1", "l2", lineage=OTHER_LINEAGE)
    assert redis.call("HGET", HELD, "l1") == "3" and sums_hold(redis)


def test_an_ordinary_commit_executes_few_commands(redis):
    award(redis, "gold")
    redis.call("CONFIG", "RESETSTAT")
    award(redis, "gold", "gold")
    used = [line.partition(":")[0].removeprefix("cmdstat_") for line in redis.call("INFO", "commandstats").splitlines()[1:]]
    assert sorted(name for name in used if name not in ("config|resetstat", "del", "info")) == \
        ["eval", "get", "hincrby", "hlen", "hmget", "set", "xadd"]
    assert redis.call("OBJECT", "ENCODING", HELD) in ("listpack", "ziplist")


# --- awards of several units, and takes -------------------------------------------------------------------------------

def test_units_are_given_and_taken_with_one_event_each(redis):
    first = award(redis, ("iron", 5), ("wood", 1))
    assert redis.hash(HELD) == {"#seq": "2", "#gen": f"{first} {LINEAGE}", "iron": "5", "wood": "1", "#added": "4"}
    award(redis, ("iron", -3), ("wood", -1), ("sword", 1))
    assert redis.hash(HELD) == {"#seq": "5", "#gen": f"{first} {LINEAGE}", "iron": "2", "sword": "1", "#added": "4", "#taken": "6"}
    assert events(redis) == [(first, 1, "iron"), (first, 2, "wood"), (first, 3, "iron"), (first, 4, "wood"), (first, 5, "sword")]
    assert sums_hold(redis)
    second = award(redis, ("iron", 10), "sword", lineage=OTHER_LINEAGE)
    assert redis.hash(HELD) == {"#seq": "2", "#gen": f"{second} {OTHER_LINEAGE}", "#before": "5", f"#was:{first}": "5", "iron": "12",
                                "sword": "2", "#added": "13", "#taken": "6"} and sums_hold(redis)


@pytest.mark.parametrize("loot, lacks", [
    ([("iron", -4)], "iron"), ([("iron", -2), ("iron", -2)], "iron"), ([("wood", -1)], "wood"), ([("sword", 1), ("iron", -3), ("wood", -1)], "wood"),
    ([("iron", 9), ("iron", -4)], "iron"),  # what the run gives is not there to take
    ([("debt", -1)], "debt"), ([("word", -1)], "word"),
])
def test_a_take_of_more_than_is_held_commits_nothing(redis, loot, lacks):
    award(redis, ("iron", 3))
    redis.call("HSET", HELD, "debt", "-2", "word", "many")
    before = everything(redis)
    assert commit(redis, *loot) == ["short", lacks]
    assert everything(redis) == before


def test_a_debt_is_paid_by_awards(redis):
    award(redis, "gold")
    redis.call("HSET", HELD, "iron", "-5", "#taken", "5")
    award(redis, ("iron", 3))
    assert redis.call("HGET", HELD, "iron") == "-2" and commit(redis, ("iron", -1)) == ["short", "iron"]
    award(redis, ("iron", 2))
    assert redis.call("HGET", HELD, "iron") is None and sums_hold(redis)
    award(redis, ("iron", 1))
    award(redis, ("iron", -1))
    assert sums_hold(redis)


@pytest.mark.parametrize("fault", [None, "set", "xadd", "hdel"])
def test_a_plain_award_that_pays_the_last_of_a_debt_leaves_no_field(redis, fault):
    award(redis, "gold")
    redis.call("HSET", HELD, "iron", "-1", "#taken", "1")
    before = redis.hash(HELD)
    if fault:
        redis.call("ACL", "SETUSER", "default", f"-{fault}")
    reply = commit(redis, "gold", "iron")
    redis.call("ACL", "SETUSER", "default", "+@all")
    if fault:
        assert reply[0] == "rejected" and redis.hash(HELD) == before
    else:
        assert reply[0] == "committed" and redis.call("HGET", HELD, "iron") is None and sums_hold(redis)


def test_two_runs_that_take_the_same_iron_do_not_both_commit(redis):
    """With what both have read of the hunter, and without."""
    gen = award(redis, ("iron", 3))
    assert commit(redis, ("iron", -3), "sword", expected=f"{gen} 1")[0] == "committed"
    redis.call("DEL", DONE)
    assert commit(redis, ("iron", -3), "sword", expected=f"{gen} 1", request=2) == ["conflict"]
    assert commit(redis, ("iron", -3), "sword", request=2) == ["short", "iron"]
    assert redis.call("HGET", HELD, "sword") == "1"


def test_loot_that_is_taken_makes_no_room_in_its_own_commit(redis):
    fill(redis, 1024)
    assert commit(redis, ("l5", -1), "new") == ["full", "new"]
    award(redis, ("l5", -1))
    award(redis, "new")
    assert sums_hold(redis)


UNIT_FAULTS = {
    "hget": ("ACL", "-hget"), "hincrby": ("ACL", "-hincrby"), "hdel": ("ACL", "-hdel"), "set": ("ACL", "-set"), "xadd": ("ACL", "-xadd"),
    "the second loot is full": ("HSET", HELD, "cup", str(2**63 - 1)), "#added is full": ("HSET", HELD, "#added", str(2**63 - 1)),
    "#taken is a word": ("HSET", HELD, "#taken", "many"), "the outbox is a list": ("LPUSH", OUTBOX, "x"),
}


@pytest.mark.parametrize("fault", UNIT_FAULTS)
@pytest.mark.parametrize("units", ["first", "later"])
def test_a_part_of_a_commit_of_units_is_undone(redis, fault, units):
    award(redis, *([("iron", 3), ("wood", 7)] if units == "later" else ["iron"] * 3 + ["wood"] * 7))
    redis.call("DEL", OUTBOX)
    kind, *words = UNIT_FAULTS[fault]
    if kind != "ACL":
        redis.call(kind, *words)
    before = redis.hash(HELD)
    if kind == "ACL":
        redis.call("ACL", "SETUSER", "default", *words)
    reply = commit(redis, ("iron", -3), ("gold", 5), ("cup", 2), ("wood", -1))
    redis.call("ACL", "SETUSER", "default", "+@all")
    assert reply[0] == "rejected", reply
    assert redis.hash(HELD) == before


# --- the state ------------------------------------------------------------------------------------------------------

def test_a_state_is_written_if_it_is_as_it_was_read(redis):
    assert commit(redis, state=("-", "aaaa {}")) == ["committed", ZEROS]
    assert redis.hash(HELD) == {"#state": "aaaa {}"}
    redis.call("DEL", DONE)
    for read in ("-", "bbbb"):
        assert commit(redis, "gold", state=(read, "cccc {}")) == ["conflict"]
    gen = award(redis, "gold", ("iron", 3), state=("aaaa", "bbbb {1}"))
    assert redis.hash(HELD) == {"#state": "bbbb {1}", "#seq": "2", "#gen": f"{gen} {LINEAGE}", "gold": "1", "iron": "3", "#added": "2"}
    award(redis, "gold", state=("bbbb", ""))
    assert redis.call("HGET", HELD, "#state") == "bbbb {1}"
    award(redis, "gold", state=("bbbb", "-"), lineage=OTHER_LINEAGE)
    assert redis.call("HGET", HELD, "#state") is None and sums_hold(redis)
    assert commit(redis, "gold", state=("bbbb", "")) == ["conflict"]
    award(redis, "gold", state=("-", "-"))


def test_a_state_is_kept_by_commits_that_do_not_ask_for_it(redis):
    award(redis, "gold", state=("-", "aaaa {}"))
    award(redis, "gold", lineage=OTHER_LINEAGE)
    award(redis, ("gold", -1))
    assert redis.call("HGET", HELD, "#state") == "aaaa {}" and sums_hold(redis)


@pytest.mark.parametrize("former", [None, "aaaa {}"])
@pytest.mark.parametrize("new", ["bbbb {}", "-"])
@pytest.mark.parametrize("fault", ["set", "xadd", "hset", "hdel"])
def test_a_state_is_put_back_if_the_commit_fails_half_way(redis, former, new, fault):
    award(redis, "gold")
    if former:
        redis.call("HSET", HELD, "#state", former)
    before = redis.hash(HELD)
    redis.call("ACL", "SETUSER", "default", f"-{fault}")
    reply = commit(redis, "gold", state=(former.split()[0] if former else "-", new))
    redis.call("ACL", "SETUSER", "default", "+@all")
    if reply[0] == "committed":
        assert fault == "hset" and new == "-"
        return
    assert reply[0] == "rejected", reply
    assert redis.hash(HELD) == before


@pytest.mark.parametrize("denied", [["set"], ["xadd"], ["hdel"]])
def test_a_removed_state_needs_no_command_to_put_it_back(redis, denied):
    award(redis, "gold", state=("-", "aaaa {}"))
    before = redis.hash(HELD), events(redis)
    redis.call("ACL", "SETUSER", "default", "-hset", *(f"-{name}" for name in denied))
    reply = commit(redis, "gold", state=("aaaa", "-"))
    redis.call("ACL", "SETUSER", "default", "+@all")
    assert reply[0] == "rejected", reply
    assert (redis.hash(HELD), events(redis)) == before


# --- a Redis without memory ------------------------------------------------------------------------------------------

@pytest.fixture
def full(redis):
    """Makes Redis reject what needs memory."""
    yield lambda: redis.call("CONFIG", "SET", "maxmemory", "1")
    redis.call("CONFIG", "SET", "maxmemory", "0")


@pytest.mark.parametrize("case", ["a state", "a state again", "a state that goes", "a state and an award", "a first award", "a next award", "a take",
                                  "a generation", "no award"])
@pytest.mark.parametrize("tombstone", [False, True], ids=["", "after a tombstone"])
def test_a_redis_without_memory_commits_nothing(redis, full, case, tombstone):
    if case not in ("a state", "a first award", "a state and an award"):
        award(redis, ("iron", 3), state=("-", "aaaa {}"))
    if tombstone:
        redis.call("SET", DONE, f"void {attempt(7)}")
    loot, options = {"a state": ([], {"state": ("-", "bbbb {1}")}), "a state again": ([], {"state": ("aaaa", "bbbb {1}")}),
                     "a state that goes": ([], {"state": ("aaaa", "-")}), "a state and an award": (["gold"], {"state": ("-", "bbbb {1}")}),
                     "a first award": (["gold"], {}), "a next award": (["gold"], {}), "a take": ([("iron", -3)], {}),
                     "a generation": (["gold"], {"lineage": OTHER_LINEAGE}), "no award": ([], {})}[case]
    before = everything(redis)
    full()
    reply = commit(redis, *loot, **options)
    assert reply[0] == "rejected" and "OOM" in reply[1], reply
    assert everything(redis) == before, "not even a tombstone"
    redis.call("CONFIG", "SET", "maxmemory", "0")
    assert commit(redis, *loot, **options)[0] == "committed"


# --- a commit that Redis rejects half-way ---------------------------------------------------------------------------

def prepare(redis, state: str) -> dict:
    """Brings the hash into a state, and returns the options of a commit that begins a generation, or not."""
    if state == "new":
        return {}
    first = award(redis, "gold", "ruby")
    if state == "the same generation":
        return {}
    if state == "older huntd":
        redis.call("HDEL", HELD, "#gen")
        redis.call("HSET", HELD, "#before", "0")
        return {}
    if state == "the second generation":
        return {"lineage": OTHER_LINEAGE}
    if state == "nothing since":
        redis.call("HSET", HELD, "#seq", "0", "#before", "2")
        return {"floor": first}
    for number in range(17):
        award(redis, "gold", lineage=f"{number:016x}")
    assert state == "many generations"
    return {"lineage": OTHER_LINEAGE}


STATES = ["new", "the same generation", "older huntd", "the second generation", "nothing since", "many generations"]
# What Redis rejects, and whether the attempt had stored its response by then.
FAULTS = {
    "hmget": (("ACL", "-hmget"), False),
    "hlen": (("ACL", "-hlen"), False),
    "hset": (("ACL", "-hset"), False),
    "hdel": (("ACL", "-hdel"), False),
    "hkeys": (("ACL", "-hkeys"), False),
    "time": (("ACL", "-time"), False),
    "hincrby": (("ACL", "-hincrby"), False),
    "set": (("ACL", "-set"), False),
    "xadd": (("ACL", "-xadd"), True),
    "the second loot is a word": (("HSET", HELD, "cup", "many"), False),
    "the second loot is full": (("HSET", HELD, "cup", str(2**63 - 1)), False),
    "the outbox is a list": (("LPUSH", OUTBOX, "x"), True),
    "the outbox takes one more": (("XADD", OUTBOX, f"{2**64 - 1}-{2**64 - 2}", "k", "x", "v", '{"gen":0,"seq":0,"loot_id":0}'), True),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("tombstone", [False, True], ids=["", "after a tombstone"])
def test_a_part_of_a_commit_is_undone(redis, state, fault, tombstone):
    options = prepare(redis, state)
    redis.call("DEL", OUTBOX)
    earlier = f"void {attempt(7)}" if tombstone else None
    if tombstone:
        redis.call("SET", DONE, earlier)
    (kind, *words), stored = FAULTS[fault]
    if kind != "ACL":
        redis.call(kind, *words)
    listed = fault != "the outbox is a list"
    before = redis.hash(HELD), events(redis) if listed else None
    if kind == "ACL":
        redis.call("ACL", "SETUSER", "default", *words)
    reply = commit(redis, "gold", "new", "cup", **options)
    redis.call("ACL", "SETUSER", "default", "+@all")
    if reply[0] == "committed":
        assert {"hset": state == "the same generation", "hkeys": state in ("new", "the same generation"),
                "time": state == "the same generation", "hdel": state == "the same generation"}[fault]
        return
    assert reply[0] == "rejected", reply
    after = redis.hash(HELD), events(redis) if listed else None
    assert after == before
    expected = f"{earlier or 'void'} {attempt(1)}" if stored else earlier
    assert redis.call("GET", DONE) == expected
    if stored:
        assert SEVEN_DAYS_MS - 60_000 < redis.call("PTTL", DONE) <= SEVEN_DAYS_MS
        assert commit(redis, "gold") == ["voided"]
    # Another attempt commits all of it.
    redis.call("DEL", OUTBOX)
    redis.call("HDEL", HELD, "cup")
    assert commit(redis, "gold", "new", "cup", request=2, **options)[0] == "committed" and len(events(redis)) == 3


def test_a_torn_commit_says_so(redis):
    award(redis, "gold")
    redis.call("DEL", OUTBOX)
    redis.call("XADD", OUTBOX, f"{2**64 - 1}-{2**64 - 2}", "k", "x", "v", "{}")  # one more has room
    redis.call("ACL", "SETUSER", "default", "-xdel")
    assert commit(redis, "gold", "gold")[0] == "torn"


def test_a_tombstone_lists_64_attempts_the_newest_last(redis):
    redis.call("LPUSH", OUTBOX, "x")
    for number in range(1, 71):
        assert commit(redis, "gold", request=number)[0] == "rejected"
    assert redis.call("GET", DONE) == " ".join(["void", *(attempt(number) for number in range(7, 71))])
    redis.call("DEL", OUTBOX)
    assert commit(redis, "gold", request=70) == ["voided"] == commit(redis, "gold", request=7)
    assert commit(redis, "gold", request=71)[0] == "committed"


def test_a_forbidden_script_changes_nothing(redis):
    redis.call("ACL", "SETUSER", "default", "-eval")
    with pytest.raises(RedisError, match="NOPERM"):
        commit(redis, "gold")
