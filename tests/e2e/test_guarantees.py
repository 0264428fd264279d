# SPDX-License-Identifier: Apache-2.0
"""The guarantees of docs/guarantees.md about Redis: after a kill, after lost writes, and after a failover."""
import json
import shutil
import subprocess

import pytest

from client import held, run_hunt
from harness.huntd_stack import build_folder
from harness.process import wait_until
from test_redis import metric

pytestmark = pytest.mark.kafka
SETTINGS = {"worker.deadline_ms": 5000}  # a busy machine is not what is tested


def give(stack, hunter: str, key: str):
    answer = run_hunt(stack.http, "gold", hunter, key=key)
    assert answer.status == 200, answer
    return answer


def reconcile(stack, wait_s: int) -> dict:
    done = subprocess.run([str(build_folder() / "huntctl"), "-c", str(stack.config), "reconcile", "--json", "--wait", str(wait_s)],
                          capture_output=True, text=True, timeout=wait_s + 60)
    return json.loads(done.stdout)


def row(stack, hunter: str) -> list[str]:
    rows = stack.postgres.sql(f"select loot_count, seen_upto from hunt_session where hunter_id = '{hunter}'")
    return rows[0] if rows else ["0", "0"]


def test_appendfsync_always_keeps_every_200_over_a_kill_of_redis(own_stack):
    stack = own_stack(append_only=True, settings=SETTINGS)
    stack.redis.options = [*stack.redis.options, "--appendfsync", "always"]
    stack.start()
    with stack.redis.client() as redis:
        assert redis.call("CONFIG", "GET", "appendfsync") == ["appendfsync", "always"]
    first = [give(stack, f"ann-{n}", "k") for n in range(50)]
    stack.redis.kill()
    stack.redis.start()
    wait_until(stack.huntd.ready, 30, "huntd")
    for n, answer in enumerate(first):
        assert held(stack.http, "gold", f"ann-{n}") == {"gold": 1}
        again = give(stack, f"ann-{n}", "k")
        assert again.json == {**answer.json, "replayed": True}


class Backup:
    """A copy of Redis' files, to replace its later writes with."""

    def __init__(self, stack):
        self.stack = stack
        self.files = stack.redis.directory / "appendonlydir"
        self.copy = stack.redis.directory / "before"
        shutil.copytree(self.files, self.copy)

    def come_back(self) -> None:
        """As a machine that lost its power under everysec, or a replica that was behind when it was promoted."""
        self.stack.redis.kill()
        shutil.rmtree(self.files)
        shutil.copytree(self.copy, self.files)
        self.stack.redis.start()
        wait_until(self.stack.huntd.ready, 30, "huntd")


def differences(report: dict) -> list[tuple]:
    """(kind, hunter, seqs, loot) of each."""
    return [(found["kind"], found["hunter_id"], found.get("seqs"), found.get("loot")) for found in report["differences"]]


def huntctl(stack, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([str(build_folder() / "huntctl"), "-c", str(stack.config), *words], capture_output=True, text=True, timeout=90)


def restored(stack) -> None:
    done = huntctl(stack, "restore", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_loss_is_named_and_restored(own_stack):
    stack = own_stack(aggregator=True, append_only=True, settings=SETTINGS).start()
    give(stack, "ann", "kept")
    wait_until(lambda: row(stack, "ann") == ["1", "1"], 30, "the row")
    assert reconcile(stack, 10)["agrees"]
    backup = Backup(stack)
    lost = give(stack, "ann", "lost")
    wait_until(lambda: row(stack, "ann") == ["2", "2"], 30, "the row")
    backup.come_back()
    assert held(stack.http, "gold", "ann") == {"gold": 1}
    # Without Kafka nothing has the event any more: the loot is what the row has more.
    assert differences(reconcile(stack, 5)) == [("lost_by_redis", "ann", "2", {"gold": 1})]

    # The key was lost with the loot: a repeat awards again, as another attempt.
    again = give(stack, "ann", "lost")
    assert again.json["replayed"] is False
    assert again.json["loot"][0]["event_id"] != lost.json["loot"][0]["event_id"]
    wait_until(lambda: row(stack, "ann") == ["3", "1"], 30, "the row to count it in its generation")
    assert differences(reconcile(stack, 5)) == [("lost_by_redis", "ann", "2", {"gold": 1})]
    for _ in range(2):  # the second changes nothing
        restored(stack)
        assert held(stack.http, "gold", "ann") == {"gold": 3}
        assert reconcile(stack, 30)["agrees"]


def test_an_award_after_a_loss_is_counted(own_stack):
    stack = own_stack(kafka=True, aggregator=True, append_only=True, settings=SETTINGS).start()
    give(stack, "ben", "kept")
    wait_until(lambda: row(stack, "ben") == ["1", "1"], 30, "the row")
    backup = Backup(stack)
    give(stack, "ben", "lost")
    wait_until(lambda: row(stack, "ben") == ["2", "2"], 30, "the row")
    backup.come_back()
    give(stack, "ben", "another")  # seq 1 of a new generation
    wait_until(lambda: row(stack, "ben") == ["3", "1"], 30, "the row to count it")
    assert held(stack.http, "gold", "ben") == {"gold": 2}
    assert differences(reconcile(stack, 5)) == [("lost_by_redis", "ben", "2", {"gold": 1})]
    restored(stack)
    assert held(stack.http, "gold", "ben") == {"gold": 3}
    give(stack, "ben", "later")
    wait_until(lambda: row(stack, "ben")[0] == "4", 30, "the row to count it")
    assert reconcile(stack, 30)["agrees"]


def test_huntd_leaves_a_replica_and_continues_on_a_primary(own_stack):
    stack = own_stack(settings=SETTINGS).start()
    give(stack, "cleo", "first")
    before = metric(stack, "huntd_redis_reconnects_total")
    with stack.redis.client() as redis:
        redis.call("CONFIG", "SET", "replica-serve-stale-data", "yes")
        redis.call("REPLICAOF", "127.0.0.1", "1")
        answer = run_hunt(stack.http, "gold", "cleo", key="second")
        assert answer.status == 503 and answer.problem in ("redis-unavailable", "outcome-unknown"), answer
        wait_until(lambda: metric(stack, "huntd_redis_reconnects_total") > before, 30, "a new connection")
        redis.call("REPLICAOF", "NO", "ONE")
    wait_until(lambda: run_hunt(stack.http, "gold", "cleo", key="second").status == 200, 30, "a 200")
    assert held(stack.http, "gold", "cleo") == {"gold": 2}
