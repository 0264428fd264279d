# SPDX-License-Identifier: Apache-2.0
"""Redis loses writes that it had acknowledged (docs/guarantees.md "When Redis has lost writes"). Each scenario says what Redis has
left; faults/losses.py checks the rest: reconcile names exactly what was lost, restore gives it back, and no award of before or after
the loss is missing in the table or counted twice."""
import time

from client import held, run_hunt
from faults.invariants import SUPPLY
from faults.losses import Loss, restore_under_load
from faults.scenario import scenario
from faults.scenarios.redis import UNAVAILABLE
from harness.redis_server import redis_on_file
from harness.stores import held_in

LAG_S = 1.0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def await_sold_out(run) -> None:
    """Then no unit is reserved when Redis loses it, so that exactly those that were given can be given again."""
    with run.stack.redis.client() as redis:
        for (hunt, loot_id), limit in SUPPLY.items():
            name = f"{{{hunt}:{loot_id}}}"
            run.await_(lambda name=name, limit=limit: redis.call("HLEN", f"supply:{name}") == limit
                       and redis.call("ZCARD", f"supply_pending:{name}") == 0, 60, f"{name} to be sold out")


@scenario(may_see=UNAVAILABLE, stack={"append_only": False})
def redis_restored_from_an_older_file(run):
    """BGSAVE under load, more load, SIGKILL, and a start from that file, as an operator restores a backup: Redis has lost all since
    the file (docs/guarantees.md "Redis: how durable a 200 is"). huntd notices another lineage and begins new generations, so no seq is
    given out twice, and every award since is counted (docs/formats/redis.md)."""
    redis = run.stack.redis
    older = redis.directory / "older.rdb"
    redis.save_in_background(older)
    run.load.await_answers(int(run.span(600, 150)))
    await_sold_out(run)
    redis.kill()
    with redis_on_file(run.stack.directory / "older", older) as look, look.client() as client:
        run.lost(Loss.to("an older file", _now_ms(), client))
    redis.start()
    run.lifted()
    run.stack.await_ready()
    run.load.await_answers(int(run.span(600, 150)))


@scenario(may_see=UNAVAILABLE, stack={"proxied_redis": True})
def failed_over_to_a_lagging_replica(run):
    """The primary dies, and its replica, a second behind, is promoted at the same address: all that it had not received is lost
    (redis.io, replication; docs/guarantees.md "Replicas and failover"). huntd notices another lineage at its next connection; a
    commit whose reply was lost with the primary is not sent to the new one (docs/formats/redis.md), and ends with outcome-unknown."""
    stack = run.stack
    replica = stack.start_replica(LAG_S)
    run.load.await_answers(int(run.span(600, 200)))
    await_sold_out(run)
    stack.kill_primary(replica)
    with replica.client() as client:
        run.lost(Loss.to("failover", _now_ms(), client))
    stack.fail_over(replica)
    run.lifted()
    stack.await_ready()
    run.load.await_answers(int(run.span(600, 150)))


@scenario(may_see=UNAVAILABLE, stack={"sentinels": True})
def sentinel_failover(run):
    """The primary dies, and three sentinels promote its replica, a second behind: all that it had not received is lost (redis.io,
    "Sentinel": replication is asynchronous; docs/guarantees.md "Replicas and failover"). huntd, the aggregator and huntctl ask the
    sentinels and find it; another lineage is noticed, and what was lost is named and restored."""
    stack = run.stack
    run.load.await_answers(int(run.span(600, 200)))
    await_sold_out(run)
    stack.delay(stack.replica, LAG_S)
    run.load.await_answers(int(run.span(150, 100)))
    stack.kill_primary(stack.replica)
    with stack.replica.client() as client:
        run.lost(Loss.to("failover by Sentinel", _now_ms(), client))
        run.expect(client.call("ROLE")[0] == "slave", "this is what it had before it was promoted")
    stack.await_promoted(stack.replica)
    run.lifted()
    stack.await_ready()
    run.load.await_answers(int(run.span(600, 150)))


@scenario()
def flushall_and_restore(run):
    """FLUSHALL, by mistake, under load: hunters go on and see no error, with nothing that they held. huntctl restore brings it back
    while they play: it skips a hunter whose newest awards the table has not counted yet, says so, and exits 1; run again it
    finishes (docs/operations.md "After Redis lost data"). What was awarded meanwhile stays."""
    stack = run.stack
    hunter = "flushed"
    run.other_hunters.add(hunter)
    for number in range(3):
        run.expect(run_hunt(stack.http, "gold", hunter, key=f"f{number}").status == 200, "an award before")
    await_sold_out(run)
    with stack.redis.client() as redis:
        redis.call("MULTI")
        redis.call("TIME")
        redis.call("FLUSHALL")
        (seconds, micros), _ = redis.call("EXEC")
    run.lost(Loss("FLUSHALL", int(seconds) * 1000 + int(micros) // 1000))
    run.expect(held(stack.http, "gold", hunter) == {}, "the loot is gone")
    run.go_on_for(run.span(5, 2))
    tries = restore_under_load(run)
    run.lifted()
    run.checks.append(lambda _, report: report.figures.update({"restores": tries}))
    run.expect(held(stack.http, "gold", hunter) == {"gold": 3}, "the loot is back")
    answer = run_hunt(stack.http, "gold", hunter, key="after")
    run.expect(answer.status == 200 and answer.json["result"]["before"] == 3, f"the hunt reads what was restored: {answer}")
    with stack.redis.client() as redis:
        of_hunter = held_in(redis)[hunter, "gold"]
    run.expect((of_hunter.before, of_hunter.seq) == (3, 1), f"a generation of its own after the restore: {of_hunter}")
    run.load.await_answers(int(run.span(300, 100)))
