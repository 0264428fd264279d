# SPDX-License-Identifier: Apache-2.0
"""The hunts in lua/ as a player meets them: over HTTP, with a real ledger."""
import concurrent.futures

from client import held, run_hunt

STACK = {"hunts": None, "settings": {"worker.deadline_ms": 2000, "worker.queue_deadline_ms": 10000,
                                     "http.request_deadline_ms": 30000}}  # lua/


def loot_of(answer) -> list[str]:
    assert answer.status == 200, answer
    return [item["loot_id"] for item in answer.json["loot"]]


def test_goblin_hoard_gives_one_loot_a_run(stack):
    for _ in range(5):
        answer = run_hunt(stack.http, "goblin-hoard", "ada")
        assert loot_of(answer) == [answer.json["result"]["found"]]
    assert sum(held(stack.http, "goblin-hoard", "ada").values()) == 5


def test_sunken_chest_opens_once_even_for_many_requests_at_the_same_time(stack):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: run_hunt(stack.http, "sunken-chest", "ada"), range(16)))
    assert sorted(answer.status for answer in answers) == [200] + [422] * 15
    assert held(stack.http, "sunken-chest", "ada") == {"chest-key": 1, "pearl": 3, "captains-log": 1}


def test_campfire_gives_its_ember_once_a_day(stack):
    first = run_hunt(stack.http, "campfire", "ada")
    again = run_hunt(stack.http, "campfire", "ada")
    # Midnight may fall between the two.
    assert first.json["result"]["streak"] == 1 and "ember" in loot_of(first)
    assert again.json["result"]["streak"] in (1, 2)
    assert held(stack.http, "campfire", "ada")["ember"] == again.json["result"]["streak"]


def test_seven_runes_crowns_once(stack):
    crowned = 0
    for _ in range(120):  # all but one of 15 million hunters are done by then
        crowned += run_hunt(stack.http, "seven-runes", "ada").json["result"]["crowned"]
    holds = held(stack.http, "seven-runes", "ada")
    assert crowned == 1 and holds["rune-crown"] == 1
    assert len(holds) == 8 and sum(holds.values()) == 121


def test_sphinx_asks_rejects_and_rewards(stack):
    riddle = run_hunt(stack.http, "sphinx", "ada").json["result"]["riddle"]
    wrong = run_hunt(stack.http, "sphinx", "ada", input={"answer": "a sword"})
    assert (wrong.status, wrong.problem) == (422, "rejected")
    assert wrong.json["detail"] == "the sphinx shakes her head"
    answers = {"bed": "river", "behind": "footsteps", "mouth and": "echo"}
    right = next(answer for word, answer in answers.items() if word in riddle)
    assert loot_of(run_hunt(stack.http, "sphinx", "ada", input={"answer": right})) == ["sphinx-feather"]


def test_golden_ticket_gives_a_hundred_and_not_one_more(stack):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: run_hunt(stack.http, "golden-ticket", f"h{i}"), range(130)))
    given = [loot_of(answer) for answer in answers]
    assert given.count(["golden-ticket"]) == 100
    assert given.count(["chocolate-bar"]) == 30
    late = run_hunt(stack.http, "golden-ticket", "late").json["result"]
    assert (late["won"], late["why"]) == (False, "gone")


def test_too_much_loot_for_held_is_an_error_and_not_truncated(stack):
    run_hunt(stack.http, "sunken-chest", "rich")
    [key] = stack.redis.call("KEYS", "held:*:rich:sunken-chest")
    for i in range(1024):
        stack.redis.call("HSET", key, f"extra-{i}", 1)
    answer = run_hunt(stack.http, "sunken-chest", "rich")
    assert (answer.status, answer.problem) == (409, "held-full")
    assert answer.json["detail"].startswith("nothing was awarded") and "1024" in answer.json["detail"]
