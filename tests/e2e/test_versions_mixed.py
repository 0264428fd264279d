# SPDX-License-Identifier: Apache-2.0
"""Two versions of huntd on the same stores, one after the other and beside each other, in both orders: each reads the records, the
outbox, the topic, the table and the saved scripts that the other has written, and a worker of one serves a core of the other.

`./dev test upgrade [REVISION]` builds the other version; HUNTD_PREVIOUS_BUILD is its folder (docs/operations.md, "What may be mixed").
"""
import functools
import json
import pathlib
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from client import Answer, held, run_hunt
from conftest import HUNTS
from harness.huntd_stack import HuntdServer, build_folder, write_config
from harness.ports import reserve_port
from harness.previous_build import previous_build
from harness.process import ServerFailed, wait_until
from harness.stores import held_in, in_kafka, in_postgres, in_redis

PREVIOUS, REASON = previous_build()
pytestmark = [pytest.mark.long(reason="needs the programs of another version: ./dev test upgrade"), pytest.mark.kafka,
              pytest.mark.skipif(PREVIOUS is None, reason=REASON)]
BUILDS = {"previous": PREVIOUS, "current": build_folder()}
ORDERS = [("previous", "current"), ("current", "previous")]
HUNTERS = [f"hunter-{number}" for number in range(12)]
SCRIPTS = ("gold", "pair", "mixed", "scarce", "reject", "echo")
RELICS = 40  # the limit in scarce.lua
AGREED_WITHIN_S = 120
both_orders = pytest.mark.parametrize("first, second", ORDERS, ids=[f"{first}-first" for first, _ in ORDERS])


def run(server, version: str) -> None:
    """Starts this version of huntd or of hunt-aggregator, after the one that runs has ended in its orderly way."""
    if server.running:
        assert server.stop() == 0, server.log_tail()
    program = BUILDS[version] / server.name
    server.command = lambda: [str(program), "-c", str(server.config)]
    server.start()
    assert pathlib.Path(f"/proc/{server.pid}/exe").resolve() == program.resolve()


@functools.lru_cache(maxsize=None)
def schema_of(version: str) -> int:
    done = subprocess.run([str(BUILDS[version] / "hunt-aggregator"), "--version"], capture_output=True, text=True, check=True)
    return int(re.search(r"schema (\d+)", done.stdout)[1])


def merger(version: str) -> str:
    """This version, or the other one if its schema version is higher: an older hunt-aggregator merges nothing into a newer schema."""
    newest = max(BUILDS, key=schema_of)
    if schema_of(version) == schema_of(newest):
        return version
    print(f"hunt-aggregator of {version} has schema version {schema_of(version)}, {newest} has {schema_of(newest)} and merges alone")
    return newest


class Played:
    """Every response to a request with a key, and what it awarded."""

    def __init__(self):
        self.answers: dict[tuple[str, str, str], Answer] = {}  # by hunt, hunter, key

    @property
    def events(self) -> set[str]:
        return {item["event_id"] for answer in self.answers.values() if answer.status == 200 for item in answer.json["loot"]}

    def play(self, address: str, turn: str) -> None:
        """Each hunter plays each hunt once, with keys of this turn."""
        for hunter in HUNTERS:
            for hunt in SCRIPTS:
                answer = run_hunt(address, hunt, hunter, key=turn, input={"turn": turn})
                assert answer.status == (422 if hunt == "reject" else 200), (hunt, hunter, turn, answer)
                assert answer.status == 422 or answer.json["replayed"] is False
                self.answers[hunt, hunter, turn] = answer

    def repeat(self, address: str) -> None:
        """Every request once more gets the response that it had, whichever version stored it."""
        for (hunt, hunter, turn), first in self.answers.items():
            again = run_hunt(address, hunt, hunter, key=turn, input={"turn": turn})
            expected = first.json if first.status == 422 else {**first.json, "replayed": True}
            assert (again.status, again.json) == (first.status, expected), (hunt, hunter, turn)
            assert again.headers.get("hunt-bundle") == first.headers.get("hunt-bundle")
        # The same key with another body is not the same request for either version.
        hunt, hunter, turn = next(iter(self.answers))
        assert run_hunt(address, hunt, hunter, key=turn, input={"turn": "another"}).problem == "key-reused"


def ledger(stack) -> dict:
    return {session: loot for session, loot in in_redis(stack)[0].items() if loot}


def await_agreed(stack, played: Played) -> None:
    """The table gets what the ledger has, the outbox gets empty, and nothing is a dead letter."""
    wanted = ledger(stack)
    assert sum(loot.total() for loot in wanted.values()) == len(played.events)
    try:
        wait_until(lambda: in_postgres(stack) == wanted and stack.outbox_length() == 0, AGREED_WITHIN_S, "the table", poll_s=0.2)
    except TimeoutError:
        versions = stack.postgres.sql("select max(version) from hunt_schema_version")
        pytest.fail(f"this version of hunt-aggregator did not merge what the other version of huntd wrote within {AGREED_WITHIN_S} s; "
                    f"{stack.outbox_length()} events are in the outbox, the schema version is {versions[0][0]}:\n"
                    f"{stack.aggregator.log_tail()}")
    assert stack.metric("hunt_aggregator_dead_letters_total", stack.aggregator_address) == 0


def reconcile(stack, version: str) -> None:
    """This version's huntctl finds no difference between the stores."""
    done = subprocess.run([str(BUILDS[version] / "huntctl"), "-c", str(stack.config), "reconcile", "--json", "--wait", "60"],
                          capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, f"huntctl of {version}: {done.stdout}{done.stderr}"
    assert json.loads(done.stdout)["differences"] == []


def check_seqs(stack, played: Played) -> None:
    """No version has started another generation, and the supply was given once."""
    with stack.redis.client() as redis:
        found = held_in(redis)
    for session, of_one in found.items():
        assert (of_one.before, of_one.was) == (0, {}), (session, of_one)
        assert of_one.seq == of_one.loot.total(), (session, of_one)
    relics = sum(of_one.loot["relic"] for of_one in found.values())
    turns = len(played.answers) // (len(HUNTERS) * len(SCRIPTS))
    assert relics == min(RELICS, turns * len(HUNTERS))


@both_orders
@pytest.mark.parametrize("with_kafka", [False, True], ids=["outbox", "topic"])
def test_each_version_reads_what_the_other_has_written(own_stack, first, second, with_kafka):
    """N, N+1, N: records, held, outbox or topic, and table."""
    stack = own_stack(kafka=with_kafka, aggregator=True, settings={"kafka.sweep_after_s": 2})
    stack.start_stores()
    played = Played()
    # The first version's events wait, and are merged by the other version's aggregator.
    run(stack.huntd, first)
    played.play(stack.http, "a")
    run(stack.huntd, second)
    run(stack.aggregator, merger(second))
    await_agreed(stack, played)
    played.repeat(stack.http)
    played.play(stack.http, "b")
    run(stack.aggregator, merger(first))
    played.play(stack.http, "c")
    await_agreed(stack, played)
    # Back to the first version, which finds what the second one has stored.
    run(stack.huntd, first)
    played.repeat(stack.http)
    played.play(stack.http, "d")
    await_agreed(stack, played)
    run(stack.aggregator, merger(second))
    played.play(stack.http, "e")
    await_agreed(stack, played)
    check_seqs(stack, played)
    if with_kafka:
        assert {record.event["event_id"] for record in in_kafka(stack)} == played.events
    for version in (first, second):
        reconcile(stack, version)


def test_hosts_of_two_versions_share_a_ledger(own_stack, servers):
    """As while a fleet is upgraded one host after the other."""
    stack = own_stack(aggregator=True)
    stack.start_stores()
    ports = [reserve_port(), reserve_port()]
    config = stack.directory / "other" / "huntd.toml"
    write_config(config, {**stack.settings, "http.listen": ports[0].address, "admin.listen": ports[1].address})
    other = HuntdServer(config.parent, config, ports[1].address)
    other.ports = ports
    servers.append(other)
    run(stack.huntd, "current")
    run(other, "previous")
    run(stack.aggregator, merger("current"))
    played = Played()
    addresses = [stack.http, ports[0].address]
    for turn in "abcd":
        played.play(addresses[0], turn)
        played.repeat(addresses[1])
        addresses.reverse()
    await_agreed(stack, played)
    # The same request at both hosts at once is awarded once, and both get its response.
    with ThreadPoolExecutor(2) as pool:
        for number in range(50):
            both = list(pool.map(lambda address, hunter=f"both-{number}": run_hunt(address, "gold", hunter, key="k"), addresses))
            assert [answer.status for answer in both] == [200, 200]
            assert both[0].json["loot"] == both[1].json["loot"]
            assert held(addresses[0], "gold", f"both-{number}") == held(addresses[1], "gold", f"both-{number}") == {"gold": 1}
    check_seqs(stack, played)
    for version in BUILDS:
        reconcile(stack, version)


@both_orders
def test_a_worker_serves_a_core_of_the_other_version_or_nothing_starts(own_stack, first, second):
    """hunt_worker and huntd belong together. If the version of their frames is the same, a mix works; else nothing starts."""
    stack = own_stack(settings={"worker.binary": str(BUILDS[second] / "hunt_worker")})
    stack.start_stores()
    played = Played()
    try:
        run(stack.huntd, first)
    except ServerFailed:
        assert stack.huntd.stop() in (1, 78), stack.huntd.log_tail()
        assert "worker" in stack.huntd.log_tail()
        with stack.redis.client() as redis:
            assert list(redis.keys("held:*")) == []
        return
    played.play(stack.http, "a")
    played.repeat(stack.http)
    check_seqs(stack, played)
    assert sum(loot.total() for loot in ledger(stack).values()) == len(played.events)


@both_orders
def test_the_scripts_that_one_version_saved_are_served_by_the_other(own_stack, tmp_path, first, second):
    hunts = tmp_path / "hunts"
    shutil.copytree(HUNTS, hunts)
    state = tmp_path / "state"
    state.mkdir()
    stack = own_stack(hunts=hunts, settings={"hunts.state_dir": str(state)})
    stack.start_stores()
    run(stack.huntd, first)
    bundle = run_hunt(stack.http, "gold", "ada").headers["hunt-bundle"]
    wait_until(lambda: any(path.suffix == ".bundle" for path in state.iterdir()), 30, "the scripts to be saved")
    (hunts / "gold.lua").write_text("return function(hunt)\n  x x\nend\n")
    run(stack.huntd, second)
    answer = run_hunt(stack.http, "gold", "ada")
    assert (answer.status, answer.headers["hunt-bundle"]) == (200, bundle)
    assert held(stack.http, "gold", "ada") == {"gold": 2}
