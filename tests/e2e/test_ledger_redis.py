# SPDX-License-Identifier: Apache-2.0
"""The ledger keeps its promises if Redis forbids a command, evicts, is a replica, or closes a connection (decision 27)."""
import contextlib
import json
import re
import signal
import threading
import time

import pytest

from client import call, held, run_hunt
from harness.huntd_stack import ROOT, build_folder, http_get
from harness.kafka_server import start_kafka
from harness.process import wait_until

# Every command that huntd needs: its scripts', and those that it sends itself.
NEEDED = ["get", "set", "hget", "hmget", "hset", "hincrby", "hdel", "hlen", "hexists", "hkeys", "hscan", "hgetall", "xadd", "xdel",
          "xlen", "xrange", "zadd", "zrem", "zscore", "zrangebyscore", "sadd", "srem", "scard", "sismember", "sscan", "pexpire", "pttl",
          "time", "hsetnx", "info", "echo", "evalsha", "script|load"]
SHARED_SLOT_KEYS = ["held", "done", "outbox", "supply", "supply_pending", "supply_limit", "supplies", "supplies_drawn"]
SINGLE_KEYS = ["supplies", "hunts", "seed_secret"]


def ready(stack) -> tuple[int, str]:
    """Status and body of /readyz."""
    try:
        return http_get(stack.admin, "/readyz")
    except OSError:
        return 0, ""


def await_not_ready(stack, *words: str, timeout_s: float = 60) -> str:
    """Waits until /readyz is not ready for a reason with all these words, and returns its body."""
    def found():
        status, body = ready(stack)
        return body if status == 503 and all(word.lower() in body.lower() for word in words) else None
    return wait_until(found, timeout_s, f"/readyz to be 503 and to name {words}; it is {ready(stack)}")


def bucket_tag(stack, hunter: str) -> str:
    """Like {b91}: found by a hunt that leaves nothing else of interest behind."""
    run_hunt(stack.http, "echo", hunter, key="find-the-bucket")
    with stack.redis.client() as redis:
        [key] = redis.call("KEYS", f"done:*:{hunter}:echo:find-the-bucket")
    return key.split(":")[1]


def given(stack, hunter: str, hunt: str) -> tuple[dict[str, int], list[dict]]:
    """What the hunter holds (with #seq, without #gen) and the hunter's events in the outbox, read from Redis itself."""
    with stack.redis.client() as redis:
        keys = redis.call("KEYS", f"held:*:{hunter}:{hunt}")
        holds = {loot: int(count) for loot, count in redis.hash(keys[0]).items() if loot != "#gen"} if keys else {}
        events = []
        for key in redis.call("KEYS", "outbox:*"):
            for _, fields in redis.call("XRANGE", key, "-", "+"):
                event = json.loads(fields[3])
                if event["hunter_id"] == hunter and event["hunt_id"] == hunt:
                    events.append(event)
    return holds, events


def assert_whole(stack, hunter: str, hunt: str, expected: dict[str, int]) -> None:
    """Exactly this loot, and for each unit one event, with the seqs 1, 2, 3 ..."""
    holds, events = given(stack, hunter, hunt)
    seq = holds.pop("#seq", 0)
    assert {loot: count for loot, count in holds.items() if count} == expected
    assert seq == sum(expected.values()) and sorted(event["seq"] for event in events) == list(range(1, seq + 1))
    assert len({event["event_id"] for event in events}) == len(events)


def acl(stack, *rules: str) -> None:
    with stack.redis.client() as redis:
        redis.call("ACL", "SETUSER", "default", *rules)


def run_until_given(stack, hunt: str, hunter: str, key: str, input=None):
    """The first 200 to this key, asked for again and again as a client does."""
    def attempt():
        answer = run_hunt(stack.http, hunt, hunter, key=key, input=input)
        return answer if answer.status == 200 else None
    return wait_until(attempt, 30, f"{hunt} to be given")


# --- a command that Redis rejects in the middle of a script --------------------------------------------------

@pytest.mark.parametrize("hunt, loot", [("gold", {"gold": 1}), ("pair", {"sword": 1, "shield": 1})])
@pytest.mark.parametrize("missing", ["-set", "-xadd", "-hincrby", "-hset", "-hdel", "-hmget", "-hlen", "-time", "-get", "-evalsha"])
def test_a_command_forbidden_after_the_connect_gives_nothing_or_all(own_stack, missing, hunt, loot):
    stack = own_stack().start()
    acl(stack, missing)
    given_at = []
    for number in range(3):
        answer = run_hunt(stack.http, hunt, "ann", key="k")
        assert answer.status in (200, 503), answer
        if answer.status == 200:
            given_at.append(number)
    acl(stack, "+@all")
    assert_whole(stack, "ann", hunt, loot if given_at else {})
    run_until_given(stack, hunt, "ann", "k")
    assert_whole(stack, "ann", hunt, loot)


@pytest.mark.parametrize("missing", ["-set", "-xadd"])
def test_a_forbidden_command_without_a_key_gives_what_was_reported(own_stack, missing):
    stack = own_stack().start()
    acl(stack, missing)
    reported = sum(run_hunt(stack.http, "gold", "ann").status == 200 for _ in range(3))
    acl(stack, "+@all")
    assert_whole(stack, "ann", "gold", {"gold": reported} if reported else {})


@pytest.mark.parametrize("rules", [("resetkeys", "~held:*", "~done:*"), ("resetkeys", "~held:*", "~outbox:*"),
                                   ("resetkeys", "~done:*", "~outbox:*")], ids=["no-outbox", "no-done", "no-held"])
def test_keys_forbidden_after_the_connect_give_nothing_or_all(own_stack, rules):
    stack = own_stack().start()
    acl(stack, *rules)
    reported = sum(run_hunt(stack.http, "gold", "ann").status == 200 for _ in range(3))
    acl(stack, "allkeys")
    assert_whole(stack, "ann", "gold", {"gold": reported} if reported else {})


@pytest.mark.parametrize("key, command", [
    ("outbox:{tag}", ("LPUSH", "x")),  # XADD: WRONGTYPE
    ("held:{tag}:ann:pair", ("SET", "x")),  # HINCRBY: WRONGTYPE
    ("done:{tag}:ann:pair:k", ("HSET", "a", "b")),  # GET: WRONGTYPE
    ("held:{tag}:ann:pair", ("HSET", "shield", "many")),  # the second HINCRBY: not an integer
    ("held:{tag}:ann:pair", ("HSET", "shield", str(2**63 - 1))),  # the second HINCRBY: overflow
    ("held:{tag}:ann:pair", ("HSET", "#seq", "many")),
    ("outbox:{tag}", ("XADD", f"{2**64 - 1}-{2**64 - 1}", "k", "x")),  # XADD: no id is left
], ids=["outbox-is-a-list", "held-is-a-string", "done-is-a-hash", "count-is-a-word", "count-is-full", "seq-is-a-word",
        "outbox-is-full"])
@pytest.mark.parametrize("keyed", [True, False])
def test_a_key_of_the_wrong_kind_gives_nothing_and_damages_nothing(own_stack, key, command, keyed):
    stack = own_stack().start()
    tag = bucket_tag(stack, "ann")
    key = key.replace("{tag}", tag)
    with stack.redis.client() as redis:
        redis.call(command[0], key, *command[1:])
        before = redis.call("TYPE", key), redis.call("OBJECT", "ENCODING", key)
    statuses = [run_hunt(stack.http, "pair", "ann", key="k" if keyed else None).status for _ in range(3)]
    if key.startswith("done") and not keyed:
        assert statuses == [200, 200, 200]
        return
    assert all(status in (500, 503) for status in statuses), statuses
    with stack.redis.client() as redis:
        assert (redis.call("TYPE", key), redis.call("OBJECT", "ENCODING", key)) == before
        redis.call("DEL", key)
    assert_whole(stack, "ann", "pair", {})
    run_until_given(stack, "pair", "ann", "after")
    assert_whole(stack, "ann", "pair", {"sword": 1, "shield": 1})


@pytest.mark.parametrize("missing", NEEDED)
def test_a_user_without_a_needed_command_is_found_at_the_connect(own_stack, missing):
    stack = own_stack()
    stack.start_stores()
    acl(stack, f"-{missing}")
    stack.huntd.launch()
    await_not_ready(stack, missing.partition("|")[0])
    wait_until(lambda: missing.partition("|")[0] in stack.huntd.log_text().lower(), 30, "the log to name the command")
    assert run_hunt(stack.http, "gold", "ann", key="k").status == 503
    acl(stack, "+@all")
    stack.huntd.await_ready()
    run_until_given(stack, "gold", "ann", "k")
    assert_whole(stack, "ann", "gold", {"gold": 1})


@pytest.mark.parametrize("prefix", SHARED_SLOT_KEYS)
def test_a_user_without_a_kind_of_key_is_found_at_the_connect(own_stack, prefix):
    stack = own_stack()
    stack.start_stores()
    rest = [name for name in SHARED_SLOT_KEYS if name != prefix]
    acl(stack, "resetkeys", *(f"~{name}:*" for name in rest), *(f"~{name}" for name in SINGLE_KEYS))
    stack.huntd.launch()
    await_not_ready(stack, f"{prefix}:")
    assert run_hunt(stack.http, "scarce", "ann", key="k").status == 503


def test_the_check_at_the_connect_leaves_nothing_behind(own_stack):
    stack = own_stack().start()
    with stack.redis.client() as redis:
        redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        stack.huntd.await_ready()
        assert run_hunt(stack.http, "echo", "ann").status == 200
        assert redis.call("KEYS", "*huntd-probe*") == []
        assert redis.call("DBSIZE") <= 1, "only the secret of hunt.random()"


# --- the sequence marker's command -----------------------------------------------------------------------------

def test_a_user_without_echo_does_not_make_the_link_flap(own_stack):
    """Three calls: none claims more or less than was awarded, and there are few new connections meanwhile."""
    stack = own_stack(cores=1, settings={"http.request_deadline_ms": 2000, "worker.deadline_ms": 1000,
                                         "worker.queue_deadline_ms": 200}).start()
    acl(stack, "-echo")
    started = time.monotonic()
    statuses = [run_hunt(stack.http, "gold", "ann") for _ in range(3)]
    reconnects, took_s = stack.metric("huntd_redis_reconnects_total"), time.monotonic() - started
    unknown = sum(answer.problem == "outcome-unknown" for answer in statuses)
    reported = sum(answer.status == 200 for answer in statuses)
    acl(stack, "+@all")
    stack.huntd.await_ready()
    assert unknown <= 1, "once it is known that ECHO is missing, no commit is sent"
    gold = held(stack.http, "gold", "ann").get("gold", 0)
    assert reported <= gold <= reported + unknown
    # With back-off: at once, after 50 ms, then each after twice the time, up to 2 s of which half is random.
    assert reconnects < 16 + took_s


# --- a Redis that evicts ---------------------------------------------------------------------------------------

POLICIES = ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_redis_that_evicts_is_not_used(own_stack, policy):
    stack = own_stack()
    stack.redis.options = (*stack.redis.options, "--maxmemory-policy", policy, "--maxmemory", "100mb")
    stack.start_stores()
    stack.huntd.launch()
    await_not_ready(stack, "maxmemory-policy", policy, "noeviction")
    wait_until(lambda: "maxmemory-policy" in stack.huntd.log_text(), 30, "the log to name it")
    answer = run_hunt(stack.http, "gold", "ann", key="k")
    assert answer.status == 503 and answer.problem == "redis-unavailable"
    assert given(stack, "ann", "gold") == ({}, [])
    with stack.redis.client() as redis:
        redis.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    stack.huntd.await_ready()  # no restart is needed
    assert run_hunt(stack.http, "gold", "ann", key="k").status == 200


@pytest.mark.parametrize("policy", ["volatile-ttl", "volatile-lru", "allkeys-lfu"])
def test_a_key_is_never_given_twice_because_redis_evicted_it(own_stack, policy):
    stack = own_stack()
    stack.redis.options = (*stack.redis.options, "--maxmemory-policy", policy, "--maxmemory", "3mb")
    stack.start_stores()
    stack.huntd.launch()
    wait_until(lambda: ready(stack)[0], 30, "the admin port")
    first = []
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: first.append(run_hunt(stack.http, "gold", "ann", key="k")) or first[-1].status == 200, 5, "")
    with stack.redis.client() as redis:
        for number in range(400):
            redis.call("SET", f"other:{number}", "x" * 10_000, "EX", 864_000)
    again = [run_hunt(stack.http, "gold", "ann", key="k") for _ in range(2)]
    new = [answer for answer in (*first, *again) if answer.status == 200 and not answer.json["replayed"]]
    assert len(new) <= 1, f"given {len(new)} times under one key"


@pytest.mark.parametrize("reconnect", [True, False], ids=["reconnect", "without a reconnect"])
def test_a_redis_that_starts_to_evict_is_noticed(own_stack, reconnect):
    stack = own_stack().start()
    with stack.redis.client() as redis:
        redis.call("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru")
        if reconnect:
            redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await_not_ready(stack, "maxmemory-policy", "allkeys-lru")
    # Each core notices by itself.
    wait_until(lambda: run_hunt(stack.http, "gold", "ann").status == 503, 30, "the owner core to notice")
    with stack.redis.client() as redis:
        redis.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    stack.huntd.await_ready()


def test_eviction_can_be_allowed_and_is_then_logged(own_stack):
    stack = own_stack(settings={"redis.allow_eviction": True})
    stack.redis.options = (*stack.redis.options, "--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb")
    stack.start()
    wait_until(lambda: "maxmemory-policy" in stack.huntd.log_text(), 30, "the log to name it")
    assert run_hunt(stack.http, "gold", "ann").status == 200


@pytest.mark.parametrize("when", ["at the start", "after a reconnect"])
def test_a_replica_is_not_used_and_the_reason_is_named(own_stack, when):
    stack = own_stack()
    stack.start_stores()
    replica_of = ("REPLICAOF", "127.0.0.1", int(stack.ports[2]))  # no process listens there
    with stack.redis.client() as redis:
        if when == "at the start":
            redis.call(*replica_of)
            stack.huntd.launch()
        else:
            stack.huntd.start()
            redis.call(*replica_of)
            redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await_not_ready(stack, "replica")
        redis.call("REPLICAOF", "NO", "ONE")
    stack.huntd.await_ready()
    run_until_given(stack, "gold", "ann", "k")


def test_a_redis_without_room_is_distinguished_from_one_that_is_down(own_stack):
    """OOM: noeviction and full. Nothing can be committed, so huntd is not ready and says so."""
    stack = own_stack()
    stack.redis.options = (*stack.redis.options, "--maxmemory", "1")
    stack.start_stores()
    stack.huntd.launch()
    await_not_ready(stack, "OOM")
    with stack.redis.client() as redis:
        redis.call("CONFIG", "SET", "maxmemory", "0")
    stack.huntd.await_ready()


def test_hunts_are_rejected_before_redis_is_full(own_stack):
    stack = own_stack(settings={"redis.memory_max_percent": 60}).start()
    first = run_hunt(stack.http, "gold", "ann", key="k")
    assert first.status == 200
    used = stack.metric("huntd_redis_memory_used_bytes") / 2  # of two cores
    assert used > 0 and stack.metric("huntd_redis_memory_max_bytes") == 0
    with stack.redis.client() as redis:
        redis.call("CONFIG", "SET", "maxmemory", int(used / 0.7))
        await_not_ready(stack, "redis.memory_max_percent = 60")
        # Each core notices by itself.
        wait_until(lambda: run_hunt(stack.http, "gold", "ann").status == 503, 30, "the owner core to notice")
        assert run_hunt(stack.http, "gold", "ann", key="new").problem == "redis-unavailable"
        assert run_hunt(stack.http, "gold", "ann", key="k").json == {**first.json, "replayed": True}
        redis.call("CONFIG", "SET", "maxmemory", int(used * 10))
    stack.huntd.await_ready()
    assert run_hunt(stack.http, "gold", "ann", key="new").status == 200


# --- a connection that Redis closes ---------------------------------------------------------------------------

CALLS = {
    "without a key": lambda stack, n: run_hunt(stack.http, "gold", f"ann-{n}"),
    "with a key": lambda stack, n: run_hunt(stack.http, "gold", f"ann-{n}", key="k"),
    "of a supply": lambda stack, n: run_hunt(stack.http, "scarce", f"ann-{n}", key="k"),
    "read": lambda stack, n: call(stack.http, "GET", f"/v1/hunts/gold/hunters/ann-{n}"),
}


@pytest.mark.parametrize("kind", CALLS)
def test_a_call_right_after_redis_closed_the_connection_is_answered(own_stack, kind):
    stack = own_stack().start()
    statuses = []
    with stack.redis.client() as redis:
        for number in range(20):
            redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            statuses.append(CALLS[kind](stack, number).status)
            stack.huntd.await_ready()
    assert statuses == [200] * 20


def test_many_calls_at_once_outlive_a_closed_connection(own_stack):
    stack = own_stack().start()
    statuses, lock, go = [], threading.Lock(), threading.Barrier(31)

    def play(number):
        go.wait()
        status = run_hunt(stack.http, "gold", f"ann-{number}").status
        with lock:
            statuses.append(status)

    threads = [threading.Thread(target=play, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    with stack.redis.client() as redis:
        redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        go.wait()
        for thread in threads:
            thread.join()
    assert statuses == [200] * 30


def test_redis_may_close_idle_connections(own_stack):
    """`timeout` of redis.conf."""
    stack = own_stack(cores=1).start()
    with stack.redis.client() as redis:
        redis.call("CONFIG", "SET", "timeout", "1")
    for number in range(3):
        before = stack.metric("huntd_redis_reconnects_total")
        wait_until(lambda: stack.metric("huntd_redis_reconnects_total") > before, 30, "Redis to close the connection", 0.001)
        assert run_hunt(stack.http, "gold", f"ann-{number}").status == 200


def test_a_redis_that_is_down_is_reported_at_once(own_stack):
    """Calls wait for the first reconnect only, so they do not pile up behind a Redis that is not there."""
    stack = own_stack(settings={"http.request_deadline_ms": 30_000}).start()
    stack.redis.kill()
    wait_until(lambda: ready(stack)[0] == 503, 30, "huntd not to be ready")
    answer = call(stack.http, "POST", "/v1/hunts/gold/hunters/ann", timeout_s=20)  # well below the deadline
    assert answer.status == 503 and answer.problem == "redis-unavailable"


# --- a stored response outlives its script -------------------------------------------------------------------

def own_hunts(tmp_path, **texts):
    folder = tmp_path / "hunts"
    folder.mkdir()
    for name, text in texts.items():
        (folder / f"{name}.lua").write_text(text)
    return folder


@pytest.mark.parametrize("restart", [False, True], ids=["reload", "restart"])
@pytest.mark.parametrize("text, status", [('return function(hunt) hunt.award("gold") end', 200),
                                          ('return function(hunt) hunt.reject("no") end', 422)], ids=["200", "422"])
def test_a_stored_response_outlives_its_script(own_stack, tmp_path, restart, text, status):
    folder = own_hunts(tmp_path, old=text, stays="return function(hunt) end")
    stack = own_stack(hunts=folder).start()
    first = run_hunt(stack.http, "old", "ann", key="k")
    assert first.status == status
    (folder / "old.lua").unlink()
    if restart:
        stack.huntd.restart()
    else:
        stack.huntd.signal(signal.SIGHUP)
        wait_until(lambda: run_hunt(stack.http, "old", "bob").status == 404, 20, "the script to be gone on bob's core")
        wait_until(lambda: all(run_hunt(stack.http, "old", f"b{n}").status == 404 for n in range(8)), 20, "and on all")
    again = run_hunt(stack.http, "old", "ann", key="k")
    assert again.status == status
    if status == 200:
        assert again.json == {**first.json, "replayed": True}
    other_body = run_hunt(stack.http, "old", "ann", key="k", input={"other": 1})
    assert other_body.status == 409 and other_body.problem == "key-reused"
    new_key = run_hunt(stack.http, "old", "ann", key="k2")
    assert new_key.status == 404 and new_key.problem == "no-such-hunt"


# --- what is reported of a key whose outcome is not known ------------------------------------------------------------

def claims_nothing_of_the_key(answer) -> bool:
    """It does not claim of the key that nothing was awarded, and names what to do."""
    detail = answer.json.get("detail", "")
    return "same Idempotency-Key" in detail and not detail.startswith("nothing was")


@pytest.fixture
def unknown_key(own_stack):
    """A stack on which the outcome of ann's key "k" is unknown: the commit waits in Redis."""
    stack = own_stack(cores=1, append_only=True,
                      settings={"http.request_deadline_ms": 1500, "worker.deadline_ms": 1000,
                                "worker.queue_deadline_ms": 200, "worker.max_live": 1, "worker.queue_max": 1}).start()
    with stack.redis.client() as redis:
        redis.call("CLIENT", "PAUSE", 60_000, "WRITE")

    def unknown():  # on a busy machine the worker may start too late: then nothing was sent
        answer = run_hunt(stack.http, "gold", "ann", key="k")
        return answer if answer.problem == "outcome-unknown" else None
    answer = wait_until(unknown, 30, "a commit that waits in Redis")
    assert answer.status == 503 and "same Idempotency-Key" in answer.json["detail"]
    return stack


def test_a_key_of_unknown_outcome_while_redis_is_down(unknown_key):
    stack = unknown_key
    stack.redis.kill()
    wait_until(lambda: ready(stack)[0] == 503, 30, "huntd not to be ready")
    answer = run_hunt(stack.http, "gold", "ann", key="k")
    assert answer.status == 503 and claims_nothing_of_the_key(answer), answer.json


def test_a_key_of_unknown_outcome_while_the_host_is_overloaded(unknown_key):
    stack = unknown_key
    with stack.redis.client() as redis:
        redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # with the commit that waits
        redis.call("CLIENT", "UNPAUSE")
    stack.huntd.await_ready()
    ended = threading.Event()

    def keep_busy(hunter: str):  # rejected at once, the hunter comes again at once: the queue stays full
        while not ended.wait(0.002):
            run_hunt(stack.http, "forever", hunter)
    threads = [threading.Thread(target=keep_busy, args=(f"bob-{n}",)) for n in range(12)]
    for thread in threads:
        thread.start()
    try:
        def overloaded(hunter: str, key: str | None):
            answer = run_hunt(stack.http, "gold", hunter, key=key)
            return answer if answer.status == 503 and answer.problem == "overloaded" else None
        wait_until(lambda: overloaded("eve", None), 30, "an overloaded host")
        answer = wait_until(lambda: overloaded("ann", "k"), 30, "a key that finds an overloaded host")
        assert claims_nothing_of_the_key(answer), answer.json
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_a_key_of_unknown_outcome_whose_record_cannot_be_read(unknown_key):
    stack = unknown_key
    acl(stack, "-get")
    answer = run_hunt(stack.http, "gold", "ann", key="k")
    assert answer.status == 503 and claims_nothing_of_the_key(answer), answer.json


@pytest.mark.parametrize("hunt", ["gold", "no-such"])
def test_a_call_without_a_key_is_informed_that_nothing_was_awarded(own_stack, hunt):
    stack = own_stack().start()
    stack.redis.kill()
    wait_until(lambda: ready(stack)[0] == 503, 30, "huntd not to be ready")
    answer = run_hunt(stack.http, hunt, "ann")
    assert answer.problem == ("no-such-hunt" if hunt == "no-such" else "redis-unavailable")
    if hunt == "gold":
        assert "nothing was" in answer.json["detail"]


# --- Redis' clock goes back ---------------------------------------------------------------------------------------------

class ShiftedClock:
    """The wall clock of a stack's Redis, ahead of the machine's by `ahead_s` (tests/harness/shift_clock.c)."""

    def __init__(self, stack):
        stack.directory.mkdir(parents=True, exist_ok=True)
        self._file = stack.directory / "clock-ahead-s"
        self.set(0)
        library = build_folder() / "tests" / "harness" / "shift_clock.so"
        if not library.exists():
            library = build_folder() / "shift_clock.so"
        stack.redis.environment = {"LD_PRELOAD": str(library), "HUNTD_TEST_CLOCK": str(self._file)}

    def set(self, seconds: int) -> None:
        with open(self._file, "r+b" if self._file.exists() else "wb") as file:
            file.write(seconds.to_bytes(8, "little", signed=True))


@pytest.mark.parametrize("ahead_s", [7200, 3600 * 24 * 400])
@pytest.mark.parametrize("again", [False, True], ids=["given while it was ahead", "given after it was right again"])
def test_events_stamped_in_the_future_are_emitted(own_stack, tmp_path, again, ahead_s):
    stack = own_stack(cores=1, append_only=True, settings={"kafka.bootstrap": "127.0.0.1:1", "kafka.sweep_after_s": 1,
                                                           "kafka.delivery_timeout_ms": 1000})
    clock = ShiftedClock(stack)
    stack.start_stores()
    clock.set(ahead_s)
    stack.huntd.start()
    assert run_hunt(stack.http, "gold", "ann").status == 200
    clock.set(0)
    if again:
        assert run_hunt(stack.http, "gold", "ann").status == 200
    stack.huntd.kill()  # what it had in memory is gone; the outbox is what is left
    with start_kafka(tmp_path / "kafka", build_folder() / "mock_kafka", mock=True) as kafka:
        stack.set(kafka__bootstrap=kafka.bootstrap)
        stack.huntd.start()
        wait_until(lambda: stack.outbox_length() == 0, 60, "the outbox to empty", 0.1)
        stack.huntd.stop()


# Spins if it is asked to, so that it is caught between its draw and its end.
SLOW_CUP = """return function(hunt)
  local given, why = hunt.award("cup", { limit = 1 })
  while hunt.input and hunt.input.spin do end
  return { cup = given, why = why }
end
"""


@pytest.fixture
def drawn(own_stack, tmp_path):
    """A stack of which ann has drawn the one cup, and whose script still runs; and Redis' clock."""
    made = []

    def make(ahead_s: int = 0, **settings):
        stack = own_stack(cores=1, append_only=True, hunts=own_hunts(tmp_path, cup=SLOW_CUP),
                          settings={"worker.deadline_ms": 10_000, "http.request_deadline_ms": 30_000, "worker.max_live": 4,
                                    "redis.idempotency_ttl_s": 60, **settings})
        clock = ShiftedClock(stack)
        clock.set(ahead_s)
        stack.start()

        def play():
            with contextlib.suppress(OSError, EOFError):  # a test may kill huntd meanwhile
                run_hunt(stack.http, "cup", "ann", input={"spin": True}, key="k")
        thread = threading.Thread(target=play)
        thread.start()
        made.append(thread)
        with stack.redis.client() as redis:
            wait_until(lambda: redis.call("HLEN", "supply:{cup:cup}") == 1, 20, "ann's draw", 0.001)
        return stack, clock

    yield make
    for thread in made:
        thread.join(60)


def test_a_reservation_stamped_in_the_future_goes_back(drawn):
    stack, clock = drawn(ahead_s=7200)
    stack.huntd.kill()
    clock.set(0)
    stack.huntd.start()
    with stack.redis.client() as redis:
        wait_until(lambda: redis.call("HLEN", "supply:{cup:cup}") == 0, 60, "the unit to be back", 0.1)
    assert run_hunt(stack.http, "cup", "bob", key="k").json["result"]["cup"] is True


# --- the ACL rule of the documents -----------------------------------------------------------------------------------

def test_the_documented_acl_rule_is_enough_for_huntd(own_stack):
    [rules] = re.findall(r"^ACL SETUSER huntd reset resetchannels on >PASSWORD (.+)$", (ROOT / "docs" / "operations.md").read_text(), re.M)
    stack = own_stack()
    stack.start_stores()
    acl(stack, *rules.split())
    stack.huntd.start()
    for hunt in ("gold", "pair", "scarce"):
        first = run_hunt(stack.http, hunt, "ann", key="k")
        assert first.status == 200
        assert run_hunt(stack.http, hunt, "ann", key="k").json == {**first.json, "replayed": True}
    assert held(stack.http, "pair", "ann") == {"sword": 1, "shield": 1}
