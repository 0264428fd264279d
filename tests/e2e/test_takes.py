# SPDX-License-Identifier: Apache-2.0
"""Awards of several units, takes and hunt.state(): through huntd, Redis, Kafka and the table, over races, losses and a purge."""
import json
import shutil
import threading
from collections import Counter

import pytest

from client import held, run_hunt
from conftest import PATIENT
from harness.huntd_stack import ROOT
from harness.process import wait_until
from harness.several_hosts import Hosts
from huntctl_runs import SHORT
from test_guarantees import Backup, differences, huntctl, reconcile, restored

pytestmark = pytest.mark.kafka
SETTINGS = {"worker.deadline_ms": 5000}  # a busy machine is not what is tested
DIARY = """return function(hunt)
  local state = hunt.state()
  state.visits = (state.visits or 0) + 1
  if hunt.input == "award" then hunt.award("page-" .. state.visits) end
  if hunt.input == "clear" then for name in pairs(state) do state[name] = nil end end
  if hunt.input == "large" then state.text = ("x"):rep(4096) end
  if hunt.input == "reject" then hunt.reject("no") end
  return state.visits
end
"""


@pytest.fixture
def hunts(tmp_path):
    folder = tmp_path / "hunts"
    folder.mkdir()
    shutil.copy(ROOT / "lua" / "smithy.lua", folder)
    (folder / "diary.lua").write_text(DIARY)
    return folder


def find(stack, hunter: str, *, iron: int, wood: int = 1) -> None:
    """Until the hunter has so much."""
    while (has := held(stack.http, "smithy", hunter)).get("iron", 0) < iron or has.get("wood", 0) < wood:
        assert run_hunt(stack.http, "smithy", hunter).status == 200


def make(http, hunter: str, key: str | None = None):
    return run_hunt(http, "smithy", hunter, input={"make": "sword"}, key=key)


def row(stack, hunter: str) -> dict | None:
    rows = stack.postgres.sql(f"select loot, loot_count from hunt_session where hunter_id = '{hunter}'")
    if not rows:
        return None
    loot = json.loads(rows[0][0])
    assert sum(loot.values()) == int(rows[0][1])
    return loot


def counted(stack, hunter: str) -> None:
    wait_until(lambda: row(stack, hunter) == held(stack.http, "smithy", hunter), 60, "the table to have what the hunter holds", 0.1)


@pytest.mark.parametrize("kafka", [False, True], ids=["outbox", "kafka"])
def test_a_craft_takes_and_gives_at_once_and_the_stores_agree(own_stack, hunts, kafka):
    stack = own_stack(aggregator=True, kafka=kafka, hunts=hunts, settings=SETTINGS).start()
    poor = make(stack.http, "ann")
    assert (poor.status, poor.problem) == (422, "rejected") and poor.json["detail"] == "a sword needs 3 iron, and you have 0"
    find(stack, "ann", iron=3)
    before = held(stack.http, "smithy", "ann")
    answer = make(stack.http, "ann", "k").json
    assert [(one["loot_id"], one.get("count")) for one in answer["loot"]] == [("sword", None)]
    assert [(one["loot_id"], one["count"]) for one in answer["taken"]] == [("iron", 3), ("wood", 1)]
    assert make(stack.http, "ann", "k").json == {**answer, "replayed": True}
    expected = {"iron": before["iron"] - 3, "wood": before["wood"] - 1, "sword": 1}
    assert held(stack.http, "smithy", "ann") == {name: count for name, count in expected.items() if count > 0}
    counted(stack, "ann")
    assert reconcile(stack, 30)["agrees"]


def test_two_hosts_do_not_spend_the_same_iron_twice(tmp_path, hunts):
    hosts = Hosts(tmp_path / "hosts", 2, settings={**PATIENT, **SETTINGS, "worker.isolation": "batch"}, cores=1, hunts=hunts)
    try:
        hosts.start()
        first = hosts.all[0]
        for round_number in range(6):
            hunter = f"ann-{round_number}"
            find(first, hunter, iron=6, wood=2)
            before = held(first.http, "smithy", hunter)
            statuses, go = [], threading.Barrier(8)

            def forge(http, name=hunter, ended=statuses, start=go):
                start.wait()
                ended.append(make(http, name).status)
            threads = [threading.Thread(target=forge, args=(hosts.all[i % 2].http,)) for i in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            now = Counter(held(first.http, "smithy", hunter))
            swords = statuses.count(200)
            assert set(statuses) <= {200, 422, 503} and 1 <= swords <= min(before["iron"] // 3, before["wood"])
            assert now == +Counter({"iron": before["iron"] - 3 * swords, "wood": before["wood"] - swords, "sword": swords}), statuses
    finally:
        hosts.kill()


def test_a_lost_take_is_named_and_restored_and_iron_spent_twice_is_owed(own_stack, hunts):
    stack = own_stack(aggregator=True, append_only=True, hunts=hunts, settings=SETTINGS).start()
    find(stack, "ben", iron=3)
    counted(stack, "ben")
    before = held(stack.http, "smithy", "ben")
    assert reconcile(stack, 30)["agrees"]
    backup = Backup(stack)
    assert make(stack.http, "ben", "lost").status == 200
    after = held(stack.http, "smithy", "ben")
    counted(stack, "ben")
    backup.come_back()
    assert held(stack.http, "smithy", "ben") == before
    [(kind, hunter, _, loot)] = differences(reconcile(stack, 5))
    assert (kind, hunter, loot) == ("lost_by_redis", "ben", {"iron": -3, "sword": 1, "wood": -1})
    # The key was lost too: the repeat pays with the same iron.
    assert make(stack.http, "ben", "lost").json["replayed"] is False
    wait_until(lambda: row(stack, "ben").get("sword") == 2, 60, "the second sword in the table", 0.1)
    for _ in range(2):
        restored(stack)
        assert reconcile(stack, 30)["agrees"]
    owed = {name: count - (before[name] - after.get(name, 0)) for name, count in Counter(after).items() if name != "sword"}
    assert held(stack.http, "smithy", "ben") == {**{name: count for name, count in owed.items() if count > 0}, "sword": 2}
    assert row(stack, "ben")["iron"] == before["iron"] - 6
    # What is owed is paid before anything can be taken again.
    assert make(stack.http, "ben").status == 422
    find(stack, "ben", iron=1)
    counted(stack, "ben")
    assert reconcile(stack, 30)["agrees"]


def test_a_state_is_stored_with_the_awards_and_only_then(own_stack, hunts):
    stack = own_stack(hunts=hunts, settings=SETTINGS).start()

    def visit(input=None, **more):
        return run_hunt(stack.http, "diary", "ann", input=input, **more)
    assert [visit().json["result"] for _ in range(3)] == [1, 2, 3]
    assert visit("reject", key="r").status == 422
    assert visit("large").json["detail"] == "diary.lua: the table of hunt.state() is longer than 4096 bytes of JSON"
    answer = visit("award", key="k").json
    assert (answer["result"], answer["loot"][0]["loot_id"]) == (4, "page-4")
    assert visit("award", key="k").json == {**answer, "replayed": True}
    assert held(stack.http, "diary", "ann") == {"page-4": 1}
    [key] = stack.redis.call("KEYS", "held:*:ann:diary")
    assert stack.redis.call("HGET", key, "#state").split(" ", 1)[1] == '{"visits":4}'
    assert visit("clear").json["result"] is None
    assert stack.redis.call("HEXISTS", key, "#state") == 0 and visit().json["result"] == 1
    stack.redis.call("HSET", key, "#state", "x {")
    assert visit().problem == "script-failed" and "delete the field #state" in visit().json["detail"]


def test_a_purge_and_a_deletion_take_the_state_along(own_stack, hunts):
    stack = own_stack(aggregator=True, hunts=hunts, 
                      settings={**SHORT, "worker.deadline_ms": 2000}).start()
    for hunter in ("ann", "ben"):
        for _ in range(2):
            assert run_hunt(stack.http, "diary", hunter, input="award").status == 200
    wait_until(lambda: stack.outbox_length() == 0, 30, "the events to be merged", 0.1)
    assert huntctl(stack, "forget", "ann", "--yes").returncode == 0
    assert run_hunt(stack.http, "diary", "ann").json["result"] == 1
    assert run_hunt(stack.http, "diary", "ben").json["result"] == 3
    assert huntctl(stack, "hunt", "close", "diary").returncode == 0
    done = huntctl(stack, "hunt", "purge", "diary", "--yes", "--wait", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    assert huntctl(stack, "hunt", "open", "diary").returncode == 0
    for hunter in ("ann", "ben"):
        wait_until(lambda name=hunter: run_hunt(stack.http, "diary", name).json.get("result") == 1, 30, "the hunt to be open", 0.1)


def test_an_award_of_one_unit_sends_what_it_did_before_there_were_units(own_stack, hunts):
    """By Redis' own log: the words of the commit, and the commands of a run that uses neither takes nor a state."""
    (hunts / "plain.lua").write_text('return function(hunt) hunt.award("coin") hunt.award("gem", {count = 1}) end')
    stack = own_stack(hunts=hunts, settings=SETTINGS, cores=1).start()

    def words_of(hunt, **more):
        with stack.redis.client() as redis:
            redis.call("CONFIG", "SET", "slowlog-log-slower-than", "0")
            redis.call("SLOWLOG", "RESET")
            assert run_hunt(stack.http, hunt, "ann", **more).status == 200
            entries = [entry[3] for entry in redis.call("SLOWLOG", "GET", "128")]
            redis.call("CONFIG", "SET", "slowlog-log-slower-than", "-1")
        [commit] = [words for words in entries if words[0].upper() == "EVALSHA"]
        # The log has the commands of the script too.
        asked = [words for words in entries if words[0].upper() == "HSCAN" or (words[0].upper() == "HGET" and "#state" in words)]
        return commit, asked
    run_hunt(stack.http, "plain", "ann")  # loads the script
    commit, asked = words_of("plain")
    assert asked == [] and len(commit) == 3 + 3 + 8 + 2 * 3
    assert [commit[14], commit[17]] == ["coin", "gem"] and "kind" not in "".join(commit)
    # What the others cost: one question each, and the words of the units.
    commit, asked = words_of("diary", input="award")
    assert len(asked) == 2 and commit[14] == "@" and len(commit) == 3 + 3 + 8 + 3 + 4
    find(stack, "ann", iron=3)
    commit, asked = words_of("smithy", input={"make": "sword"})
    assert len(asked) == 1 and commit[14] == "+" and len(commit) == 3 + 3 + 8 + 1 + 3 * 4
