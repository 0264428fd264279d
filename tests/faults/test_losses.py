# SPDX-License-Identifier: Apache-2.0
"""The checks of losses, seasons and generations can fail: what was lost, what reconcile names, keys, seqs and supplies."""
from collections import Counter
from types import SimpleNamespace

import pytest

from faults import losses
from faults.invariants import Report, Stores, check_awards, check_counts, check_supplies, check_truth, holes
from faults.load import Client, Request, Responses
from faults.losses import Loss, changed_answers, check_named, is_lost, named, not_restored, others, seqs_of
from harness.stores import NO_GENERATION, Held, Record, held_of_fields

AT_MS = 0x1000


def generation(ms: int, number: int = 0) -> str:
    return f"{(ms << 16) + number:016x}"


OLD, NEW = generation(AT_MS - 5), generation(AT_MS + 5)
ANN, GOLD = ("ann", "gold"), {"gold": 1}


def record(seq: int, gen: str = OLD, *, hunter: str = "ann", hunt: str = "gold", loot: str = "gold", supply: bool = False) -> Record:
    event = {"event_id": f"{hunter} {hunt} {gen} {seq}", "hunter_id": hunter, "hunt_id": hunt, "loot_id": loot, "seq": seq, "gen": gen,
             "timestamp": 0, "bundle": "b"}
    return Record({**event, "supply": True} if supply else event, 0, 0, 0)


def held(gen: str, seq: int, **was: int) -> Held:
    before = sum(was.values())
    return Held(Counter({"gold": seq + before}), gen, seq, before, {name.removeprefix("g"): value for name, value in was.items()})


def test_a_hash_is_read_with_the_fields_of_its_generations():
    read = held_of_fields({"gold": "7", "#seq": "2", "#gen": f"{NEW} {'a' * 16}", "#before": "5", f"#was:{OLD}": "4", "#later": "x"})
    assert read == Held(Counter(gold=7), NEW, 2, 5, {OLD: 4})
    assert read.reached == {OLD: 4, NEW: 2}
    assert held_of_fields({"gold": "3", "#seq": "3"}).reached == {NO_GENERATION: 3}
    assert held_of_fields({"gold": "3", "#seq": "0", "#before": "3", f"#was:{OLD}": "3"}).reached == {OLD: 3}


@pytest.mark.parametrize("of_one, seqs, wrong", [
    (held(NEW, 2), {NEW: {1, 2}}, None),
    (held(NEW, 2, **{f"g{OLD}": 3}), {NEW: {1, 2}, OLD: {1, 2, 3}}, None),
    (held(NEW, 2), {NEW: {1}}, ([2], [])),
    (held(NEW, 2), {NEW: {1, 2, 3}}, ([], [3])),
    (held(NEW, 1, **{f"g{OLD}": 1}), {NEW: {1}}, ([1], [])),
    (held(NEW, 1), {NEW: {1}, OLD: {1}}, ([], [1])),
    (held(NEW, 1, **{f"g{generation(AT_MS, n)}": 1 for n in range(15)}),
     {NEW: {1}, OLD: {1}, **{generation(AT_MS, n): {1} for n in range(15)}}, None),  # the 17th is not named any more
])
def test_a_hole_in_a_generation_is_found(of_one, seqs, wrong):
    found = holes({ANN: of_one}, {(*ANN, gen): of_gen for gen, of_gen in seqs.items()})
    assert [place[3:] for place in found] == ([wrong] if wrong else [])


def test_what_the_older_file_has_is_not_lost():
    loss = Loss("it", AT_MS, {ANN: held(OLD, 2)})
    assert [is_lost([loss], record(seq)) for seq in (1, 2, 3)] == [False, False, True]
    assert not is_lost([loss], record(1, NEW)), "awarded after the loss"
    assert is_lost([loss], record(1, hunter="bob")), "the file does not have bob"
    assert not_restored([record(3)], {ANN: held(OLD, 2)}) == [record(3)]
    assert not_restored([record(3)], {ANN: held(NEW, 1, **{f"g{OLD}": 3})}) == []


def difference(seqs: str, loot: dict, *, kind: str = losses.NAMED, hunter: str = "ann", gen: str = OLD) -> dict:
    return {"kind": kind, "hunter_id": hunter, "hunt_id": "gold", "detail": "…", "generation": gen, "seqs": seqs, "loot": loot}


def report_on(*differences: dict) -> Report:
    report, reported = Report(), {"differences": list(differences)}
    check_named(named(reported), losses.loot_named(reported), [record(2), record(3)], report)
    return report


def test_reconcile_must_name_exactly_what_was_lost():
    assert seqs_of("2, 4 to 6") == {2, 4, 5, 6}
    assert not report_on(difference("2 to 3", {"gold": 2})).violations
    assert "does not name" in report_on(difference("2", {"gold": 1})).violations[0]
    assert "does not name" in report_on().violations[0]
    assert "that are none" in report_on(difference("2 to 4", {"gold": 3})).violations[0]
    assert "that are none" in report_on(difference("2 to 3", {"gold": 2}), difference("1", {"gold": 1}, gen=NEW)).violations[0]
    assert "named otherwise" in report_on(difference("2 to 3", {"gem": 2})).violations[0]


def test_a_difference_that_no_loss_explains_is_found():
    reported = {"differences": [difference("2", GOLD), difference("", {}, kind="supply_lost"), difference("", {}, kind="row_ahead")]}
    assert len(others(reported, {"gold"})) == 1 and "row_ahead" in others(reported, {"gold"})[0]
    assert len(others(reported, set())) == 2


def answers(*of_key: tuple[str, str]) -> Responses:
    """Of one key: (generation, event_id) each."""
    return Responses(by_key={("ann", "gold", "k"): {(200, (("gold", event_id),)) for _, event_id in of_key}})


@pytest.mark.parametrize("of_key, found_losses, floors, wrong", [
    ([(OLD, "a")], [], {}, False),
    ([(OLD, "a"), (NEW, "b")], [], {}, True),
    ([(OLD, "a"), (NEW, "b")], [Loss("it", AT_MS)], {}, False),
    ([(OLD, "a"), (OLD, "b")], [Loss("it", AT_MS)], {}, True),
    ([(OLD, "a"), (NEW, "b"), (NEW, "c")], [Loss("it", AT_MS)], {}, True),
    ([(OLD, "a"), (NEW, "b")], [Loss("it", AT_MS, keys=frozenset({("ann", "gold", "k")}))], {}, True),
    ([(OLD, "a"), (NEW, "b")], [], {"gold": OLD}, False),
    ([(OLD, "a"), (NEW, "b")], [], {"pair": OLD}, True),
    ([(OLD, "a"), ("", "b")], [Loss("it", AT_MS)], {}, True),  # an award that no event has
])
def test_a_key_with_two_answers_needs_a_loss_or_a_purge_between_them(of_key, found_losses, floors, wrong):
    generations = {event_id: gen for gen, event_id in of_key if gen}
    assert bool(changed_answers(answers(*of_key), generations, found_losses, floors)) == wrong


def test_a_rejection_and_an_award_for_one_key_contradict_each_other():
    responses = Responses(by_key={("ann", "gold", "k"): {(422, ()), (200, (("gold", "a"),))}})
    assert changed_answers(responses, {"a": NEW}, [Loss("it", AT_MS)], {})


def stores_of(*records: Record, of_held: dict = None, past=(), table=None, archive=None) -> Stores:
    def by_id(some):
        return {each.event["event_id"]: each for each in some}
    return Stores(of_held or {}, [*past, *records], by_id(records), by_id(past), table or {}, archive or {}, {})


def a_run(responses: Responses = None, found_losses=()):
    clients = [Client("hunter", ["ann"], None)]
    return SimpleNamespace(load=SimpleNamespace(responses=responses or Responses(bundles={"b"}), clients=clients),
                           losses=list(found_losses), other_loot={}, other_hunters=set())


def violations(check, run, stores: Stores) -> list[str]:
    report = Report()
    check(run, stores, report)
    return report.violations


def test_awards_of_a_purged_season_are_compared_with_the_archive():
    of_held = {ANN: held(NEW, 1)}
    responses = Responses(bundles={"b"})
    for each in (record(1), record(1, NEW)):
        responses.events[each.event["event_id"]] = (*ANN, "gold")
    right = stores_of(record(1, NEW), past=[record(1)], of_held=of_held, table={ANN: Counter(GOLD)}, archive={ANN: Counter(GOLD)})
    for check in (check_awards, check_counts, check_truth):
        assert not violations(check, a_run(responses), right)
    lost = stores_of(record(1, NEW), past=[record(1)], of_held=of_held, table={ANN: Counter(GOLD)})
    assert any("archive" in violation for violation in violations(check_counts, a_run(responses), lost))
    counted_again = stores_of(record(1, NEW), past=[record(1)], of_held=of_held, table={ANN: Counter(gold=2)},
                              archive={ANN: Counter(GOLD)})
    assert any("hunt_session" in violation for violation in violations(check_counts, a_run(responses), counted_again))


def test_an_award_that_the_restore_forgot_is_found():
    found = violations(check_counts, a_run(found_losses=[Loss("it", AT_MS)]),
                       stores_of(record(1), record(1, NEW), of_held={ANN: held(NEW, 1)}, table={ANN: Counter(gold=2)}))
    assert any("2 distinct events for 1 awards" in violation for violation in found)
    assert any("differs from Redis" in violation for violation in found)


def relics(count: int, gen: str) -> list[Record]:
    return [record(seq, gen, hunt="scarce", loot="relic", supply=True) for seq in range(1, count + 1)]


def test_too_many_units_of_a_supply_are_found():
    assert not violations(check_supplies, a_run(), stores_of(*relics(40, OLD)))
    assert violations(check_supplies, a_run(), stores_of(*relics(41, OLD)))
    assert violations(check_supplies, a_run(), stores_of(*relics(30, OLD), *relics(11, NEW)))
    lost_all = [Loss("it", AT_MS)]
    assert not violations(check_supplies, a_run(found_losses=lost_all), stores_of(*relics(40, OLD), *relics(40, NEW)))
    assert violations(check_supplies, a_run(found_losses=lost_all), stores_of(*relics(40, OLD), *relics(41, NEW)))
    kept_ten = [Loss("it", AT_MS, {("ann", "scarce"): held(OLD, 10)})]
    assert not violations(check_supplies, a_run(found_losses=kept_ten), stores_of(*relics(40, OLD), *relics(30, NEW)))
    assert violations(check_supplies, a_run(found_losses=kept_ten), stores_of(*relics(40, OLD), *relics(31, NEW)))
    assert violations(check_supplies, a_run(), stores_of(past=relics(41, OLD)))


def test_loot_that_no_response_has_is_found():
    of_held = {ANN: held(NEW, 1)}
    assert any(violation.startswith("I4") for violation in violations(check_truth, a_run(), stores_of(record(1, NEW), of_held=of_held)))
    responses = Responses(bundles={"b"})
    responses.unknown[ANN] = 1
    assert not violations(check_truth, a_run(responses), stores_of(record(1, NEW), of_held=of_held))
    responses.unanswered.append(Request("gold", "ann", "k"))
    assert any("never got a response" in violation
               for violation in violations(check_truth, a_run(responses), stores_of(record(1, NEW), of_held=of_held)))
