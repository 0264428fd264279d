# SPDX-License-Identifier: Apache-2.0
"""Several addresses of Redis, and Sentinel: the primary is found, and followed when it fails over."""
import json
import signal
import threading
import time

import pytest

from aggregator_pipeline import PATIENCE_S
from client import held, run_hunt
from config_faults import assert_redis_fault
from harness.huntd_stack import http_get
from harness.process import wait_until
from harness.redis_server import RedisServer
from harness.sentinel_server import PRIMARY, await_acquainted, await_primary, start_sentinels
from huntctl_runs import done, run
from test_redis_login import write_secret

HUNTERS = [f"hunter-{number}" for number in range(8)]


def status(stack) -> dict:
    return json.loads(http_get(stack.admin, "/status.json")[1])


def redis_addresses(stack) -> set[str]:
    return {core["redis"]["address"] for core in status(stack)["cores"]}


def await_reason(stack, words: str) -> None:
    def found() -> bool:
        try:
            return words in http_get(stack.admin, "/readyz")[1]
        except OSError:
            return False
    wait_until(found, 60, f"/readyz to say: {words}")
    assert words in run(stack.config, "status", "--admin", stack.admin).stdout


def replica_of(stack, servers, directory, **options) -> RedisServer:
    """A replica of the stack's Redis that has all of its data."""
    replica = RedisServer(directory / "replica", append_only=True, **options)
    servers.append(replica)
    replica.start()
    stack.redis.call("CONFIG", "SET", "repl-diskless-sync-delay", "0")
    replica.follow(int(stack.redis.port))
    return replica


class Watched:
    """A stack whose Redis has a replica and sentinels."""

    def __init__(self, stack, servers, directory, **options):
        self.stack = stack
        stack.redis.start()
        self.replica = replica_of(stack, servers, directory)
        self.sentinels = start_sentinels(directory, stack.redis, **options)
        servers.extend(self.sentinels)
        del stack.settings["redis.address"]
        stack.settings["redis.sentinels"] = [each.address for each in self.sentinels]

    def start(self, **changes):
        await_acquainted(self.sentinels)
        if self.stack.postgres:
            self.stack.postgres.start()
        self.stack.set(**changes)
        self.stack.huntd.start()
        if self.stack.aggregator:
            self.stack.aggregator.start()
        return self

    def await_moved(self) -> None:
        """Until the replica is the primary of all sentinels and of huntd."""
        await_primary(self.sentinels, int(self.replica.port))
        wait_until(lambda: redis_addresses(self.stack) == {self.replica.address}, 60, "huntd to be connected to the new primary")
        self.stack.huntd.await_ready()


@pytest.fixture
def watched(own_stack, servers, tmp_path):
    def make(aggregator=False, **options):
        return Watched(own_stack(append_only=True, aggregator=aggregator), servers, tmp_path, **options)
    return make


class Play:
    """Hunts of each hunter, one after another, each with a key that is repeated until its response is 200."""

    def __init__(self, address: str):
        self.address = address
        self.done = {hunter: 0 for hunter in HUNTERS}
        self.problems: set[str] = set()
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._play, args=(hunter,)) for hunter in HUNTERS]
        for thread in self._threads:
            thread.start()

    def _play(self, hunter: str) -> None:
        while not self._ending.is_set():
            key = f"k{self.done[hunter]}"
            give_up_at = time.monotonic() + 90
            while (answer := run_hunt(self.address, "gold", hunter, key=key)).status != 200:
                self.problems.add(answer.problem)
                assert time.monotonic() < give_up_at, answer
                time.sleep(0.02)
            self.done[hunter] += 1

    def await_more(self, count: int = 10) -> None:
        wanted = {hunter: played + count for hunter, played in self.done.items()}
        wait_until(lambda: all(self.done[hunter] >= wanted[hunter] for hunter in HUNTERS), 90, "more hunts")

    def end(self) -> dict[str, int]:
        """The number of 200s by hunter."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        return self.done


# --- several addresses ------------------------------------------------------------------------------------------------

def test_of_several_addresses_the_primary_is_found_and_followed(own_stack, servers, tmp_path):
    stack = own_stack(append_only=True)
    stack.redis.start()
    replica = replica_of(stack, servers, tmp_path)
    stack.settings["redis.address"] = ["127.0.0.1:1", replica.address, stack.redis.address]
    stack.set()
    stack.huntd.start()
    assert redis_addresses(stack) == {stack.redis.address}
    assert run_hunt(stack.http, "gold", "ann", key="a").status == 200
    wait_until(lambda: replica.call("DBSIZE") == stack.redis.call("DBSIZE"), 30, "the replica to have it")
    stack.redis.kill()
    await_reason(stack, f"127.0.0.1:1: nothing listens there (connect: Connection refused); {replica.address}: the server is a replica")
    replica.promote()
    stack.huntd.await_ready()
    assert redis_addresses(stack) == {replica.address}
    assert run_hunt(stack.http, "gold", "ann", key="a").json["replayed"] is True
    assert json.loads(done(stack.config, "supplies", "--json")) is not None, "huntctl skips the replica too"


@pytest.mark.parametrize("lines, words", [
    ('address = []', "redis.address: must be 1 to 16 texts, not 0"),
    ('address = ["127.0.0.1:1", "127.0.0.1:1"]', 'redis.address: has "127.0.0.1:1" twice'),
    ('sentinels = ["unix:/x"]', "redis.sentinels: must be HOST:PORT, not a unix socket"),
    ('sentinels = ["127.0.0.1:26379"]\naddress = "127.0.0.1:1"', "redis.address: has no effect, because redis.sentinels is set"),
    ('sentinel_primary = ""', "redis.sentinel_primary: must not be empty"),
    ('sentinel_user = "x"', "redis.sentinel_user: needs redis.sentinel_password_file")])
def test_faults_of_the_config_are_named(tmp_path, huntd_program, lines, words):
    assert_redis_fault(huntd_program, tmp_path, lines, words)


# --- Sentinel ---------------------------------------------------------------------------------------------------------

def test_a_planned_failover_is_followed_and_nothing_is_awarded_twice(watched):
    hosts = watched().start()
    stack = hosts.stack
    assert redis_addresses(stack) == {stack.redis.address}
    play = Play(stack.http)
    play.await_more()
    # Without its replica the former primary accepts no write, so that little is lost (docs/operations.md "Sentinel").
    stack.redis.call("CONFIG", "SET", "min-replicas-to-write", "1")
    hosts.sentinels[0].call("SENTINEL", "FAILOVER", PRIMARY)
    hosts.await_moved()
    play.await_more()
    counts = play.end()
    # What the former primary acknowledged last may be lost; nothing is there twice.
    for hunter, count in counts.items():
        assert count - 1 <= held(stack.http, "gold", hunter).get("gold", 0) <= count
    assert play.problems <= {"redis-unavailable", "outcome-unknown", "overloaded"}
    assert stack.metric("huntd_redis_lineage_changes_total") == 2


def test_the_replica_takes_over_from_a_primary_that_is_killed(watched):
    hosts = watched(aggregator=True).start()
    stack = hosts.stack
    play = Play(stack.http)
    play.await_more()
    stack.redis.kill()
    hosts.await_moved()
    play.await_more()
    counts = play.end()
    for hunter, count in counts.items():
        assert count - 1 <= held(stack.http, "gold", hunter)["gold"] <= count
    with hosts.replica.client() as redis:
        wait_until(lambda: sum(redis.call("XLEN", key) for key in redis.keys("outbox:*")) == 0, PATIENCE_S, "the events to be merged", 0.1)
    rows = dict(stack.postgres.sql("SELECT hunter_id, (loot->>'gold')::int FROM hunt_session"))
    for hunter, count in counts.items():
        assert held(stack.http, "gold", hunter)["gold"] <= int(rows[hunter]) <= count + 1
    # A lost award is named and given back; both are done by way of the sentinels.
    done(stack.config, "restore", "--yes", "--wait", "60")
    done(stack.config, "reconcile", "--wait", "60")


def test_a_primary_that_is_stopped_is_left_while_its_connections_stay(watched):
    """It does not know that it has been replaced, and its connections do not end."""
    hosts = watched().start()
    stack = hosts.stack
    assert run_hunt(stack.http, "gold", "ann", key="a").status == 200
    stack.redis.call("WAIT", 1, 5000)
    stack.redis.signal(signal.SIGSTOP)
    try:
        hosts.await_moved()
        assert run_hunt(stack.http, "gold", "ann", key="a").json["replayed"] is True
    finally:
        stack.redis.signal(signal.SIGCONT)
    wait_until(lambda: stack.redis.info("replication")["role"] == "slave", 60, "the former primary to be a replica")
    assert run_hunt(stack.http, "gold", "ann", key="b").status == 200
    assert redis_addresses(stack) == {hosts.replica.address}


def test_hunts_go_on_without_sentinels_and_one_is_enough(watched):
    hosts = watched().start()
    stack = hosts.stack
    for sentinel in hosts.sentinels:
        sentinel.stop()
    wait_until(lambda: "no majority of the sentinels names one primary" in stack.huntd.log_text(), 60, "the warning")
    assert run_hunt(stack.http, "gold", "ann").status == 200
    stack.redis.call("CLIENT", "KILL", "TYPE", "normal")
    await_reason(stack, f"sentinel {hosts.sentinels[0].address}: nothing listens there")
    assert run_hunt(stack.http, "gold", "ann").problem == "redis-unavailable"
    rejected = run(stack.config, "supplies")
    assert rejected.returncode != 0 and f"sentinel {hosts.sentinels[2].address}" in rejected.stderr, rejected
    hosts.sentinels[2].start()
    stack.huntd.await_ready()
    assert run_hunt(stack.http, "gold", "ann").status == 200
    done(stack.config, "supplies")


def test_a_name_that_the_sentinels_do_not_know_is_the_reason(watched):
    hosts = watched()
    stack = hosts.stack
    stack.set(redis__sentinel_primary="other")
    stack.huntd.launch()
    await_reason(stack, f"sentinel {hosts.sentinels[0].address}: it knows no primary other (redis.sentinel_primary)")


def test_sentinels_with_a_password_are_asked(watched, tmp_path):
    hosts = watched(lines=("requirepass watch",))
    stack = hosts.stack
    wrong = write_secret(tmp_path / "sentinel-password", "wrong")
    stack.set(redis__sentinel_password_file=wrong)
    stack.huntd.launch()
    await_reason(stack, f"sentinel {hosts.sentinels[0].address}: wrong password: see redis.sentinel_password_file (WRONGPASS")
    write_secret(tmp_path / "sentinel-password", "watch")
    stack.huntd.await_ready()
    assert run_hunt(stack.http, "gold", "ann").status == 200
    done(stack.config, "supplies")
