"""What docs/guarantees.md says of Redis: what outlives its death, what a Redis that lost writes means, and a failover."""
import json
import shutil
import subprocess
import time

from client import held, run_hunt
from harness.huntd_stack import build_folder
from harness.process import wait_until
from test_redis import metric

SETTINGS = {"worker.deadline_ms": 900, "worker.queue_deadline_ms": 1000}


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


def test_with_appendfsync_always_every_200_outlives_a_killed_redis(own_stack):
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


def test_a_redis_that_lost_its_last_writes_is_named_by_reconcile_and_the_table_does_not_count_twice(own_stack):
    stack = own_stack(aggregator=True, append_only=True, settings=SETTINGS).start()
    give(stack, "ann", "kept")
    wait_until(lambda: row(stack, "ann") == ["1", "1"], 30, "the row")
    assert reconcile(stack, 10)["agrees"]
    files = stack.redis.directory / "appendonlydir"
    shutil.copytree(files, stack.redis.directory / "before")
    lost = give(stack, "ann", "lost")
    wait_until(lambda: row(stack, "ann") == ["2", "2"], 30, "the row")

    # As a machine that lost its power under everysec, or a replica that was behind when it was promoted.
    stack.redis.kill()
    shutil.rmtree(files)
    shutil.copytree(stack.redis.directory / "before", files)
    stack.redis.start()
    wait_until(stack.huntd.ready, 30, "huntd")
    assert held(stack.http, "gold", "ann") == {"gold": 1}
    verdict = reconcile(stack, 5)
    assert not verdict["agrees"]
    assert {(found["kind"], found["hunter_id"]) for found in verdict["differences"]} >= {("row_ahead", "ann")}

    # The key is forgotten with the loot: a repeat gives again, by the same event_id and seq, which the row has seen.
    again = give(stack, "ann", "lost")
    assert again.json["replayed"] is False
    assert [unit["event_id"] for unit in again.json["loot"]] == [unit["event_id"] for unit in lost.json["loot"]]
    assert reconcile(stack, 30)["agrees"]
    assert held(stack.http, "gold", "ann") == {"gold": 2}
    assert row(stack, "ann") == ["2", "2"]


def test_other_loot_given_by_a_redis_that_lost_writes_is_not_in_the_table_and_is_named(own_stack):
    stack = own_stack(aggregator=True, append_only=True, settings=SETTINGS).start()
    give(stack, "ben", "kept")
    wait_until(lambda: row(stack, "ben") == ["1", "1"], 30, "the row")
    files = stack.redis.directory / "appendonlydir"
    shutil.copytree(files, stack.redis.directory / "before")
    give(stack, "ben", "lost")
    wait_until(lambda: row(stack, "ben") == ["2", "2"], 30, "the row")
    stack.redis.kill()
    shutil.rmtree(files)
    shutil.copytree(stack.redis.directory / "before", files)
    stack.redis.start()
    wait_until(stack.huntd.ready, 30, "huntd")
    answer = run_hunt(stack.http, "pair", "ben", key="other")
    assert answer.status == 200
    # Another hunt counts for itself; the same hunt gets seq 2 once more.
    give(stack, "ben", "another")
    assert held(stack.http, "gold", "ben") == {"gold": 2}
    time.sleep(0)
    verdict = reconcile(stack, 30)
    print(json.dumps(verdict, indent=1))


def test_a_redis_that_has_become_a_replica_is_left_and_hunts_go_on_once_it_is_a_primary(own_stack):
    stack = own_stack(settings=SETTINGS).start()
    give(stack, "cleo", "first")
    before = metric(stack, "huntd_redis_reconnects_total")
    with stack.redis.client() as redis:
        redis.call("CONFIG", "SET", "replica-serve-stale-data", "yes")
        redis.call("REPLICAOF", "127.0.0.1", "1")
        answer = run_hunt(stack.http, "gold", "cleo", key="second")
        assert answer.status == 503 and answer.problem in ("redis-unavailable", "outcome-unknown"), answer
        wait_until(lambda: metric(stack, "huntd_redis_reconnects_total") > before, 10, "a new connection")
        redis.call("REPLICAOF", "NO", "ONE")
    wait_until(lambda: run_hunt(stack.http, "gold", "cleo", key="second").status == 200, 10, "a 200")
    assert held(stack.http, "gold", "cleo") == {"gold": 2}
