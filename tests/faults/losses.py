# SPDX-License-Identifier: Apache-2.0
"""Losses: moments at which Redis lost writes that it had acknowledged (docs/guarantees.md "When Redis has lost writes").

A scenario that makes Redis lose writes declares it with run.lost(Loss(...)), from what Redis has afterwards. Then, when the load
has ended: huntctl reconcile names exactly the lost awards (`lost_by_redis`) and nothing else; huntctl restore gives them back, and
a second restore changes nothing; reconcile agrees. The invariants hold after that, for the awards of before and after alike.

An award is of before a loss if its generation started before it: a Redis that has lost writes starts a new generation with the next
commit of each hash.
"""
import json
import subprocess
from collections import Counter
from dataclasses import dataclass, field

from harness.huntd_stack import build_folder
from harness.process import wait_until
from harness.redis_server import RedisClient
from harness.stores import NO_GENERATION, Held, Record, held_in, in_kafka

NAMED = "lost_by_redis"  # the kind of difference
GENERATION_MS_BITS = 16  # the milliseconds of a generation are above these
COUNTED_WITHIN_S = 60
RESTORED_WITHIN_S = 60
LIST_ALL = 1_000_000

Session = tuple[str, str]  # hunter, hunt


@dataclass
class Loss:
    """`at_ms`: when, by Redis' clock. The rest is what Redis had right after it."""
    name: str
    at_ms: int
    held: dict[Session, Held] = field(default_factory=dict)
    keys: frozenset[tuple[str, str, str]] = frozenset()  # (hunter, hunt, Idempotency-Key) of each stored response
    hunters: frozenset[str] | None = None  # of whom it has lost something; None: of any

    @classmethod
    def to(cls, name: str, at_ms: int, redis: RedisClient) -> "Loss":
        """A loss of all that `redis` does not have."""
        keys = set()
        for key in redis.keys("done:*"):
            if not (redis.call("GET", key) or "void ").startswith("void "):
                _, _, hunter, hunt, of_request = key.split(":", 4)
                keys.add((hunter, hunt, of_request))
        return cls(name, at_ms, held_in(redis), frozenset(keys))

    def is_after(self, generation: str) -> bool:
        return int(generation, 16) >> GENERATION_MS_BITS < self.at_ms

    def has(self, record: Record) -> bool:
        """Whether Redis still had this award after the loss."""
        if self.hunters is not None and record.session[0] not in self.hunters:
            return True
        return self.held.get(record.session, Held()).reached.get(record.generation, 0) >= record.seq


def history_of(losses: list[Loss], generation: str) -> int:
    """How many losses came before this generation."""
    return sum(not loss.is_after(generation) for loss in losses)


def is_lost(losses: list[Loss], record: Record) -> bool:
    return any(loss.is_after(record.generation) and not loss.has(record) for loss in losses)


def by_generation(records) -> dict[tuple[str, str, str], set[int]]:
    """{(hunter, hunt, generation): seqs}"""
    found: dict[tuple[str, str, str], set[int]] = {}
    for record in records:
        found.setdefault((*record.session, record.generation), set()).add(record.seq)
    return found


def not_restored(lost: list[Record], held: dict[Session, Held]) -> list[Record]:
    """Of the lost awards, those that Redis does not know again by now: `#was:` of their generation is not as great."""
    return [record for record in lost if held.get(record.session, Held()).reached.get(record.generation, 0) < record.seq]


# --- what reconcile says ----------------------------------------------------------------------------------------------
def huntctl(stack, *words: str, timeout_s: float = 150) -> subprocess.CompletedProcess:
    return subprocess.run([str(build_folder() / "huntctl"), "-c", str(stack.config), *words], capture_output=True, text=True,
                          timeout=timeout_s)


def reconcile(stack, wait_s: int = 0) -> dict:
    wait = ["--wait", str(wait_s)] if wait_s else []
    done = huntctl(stack, "reconcile", "--json", "--list", str(LIST_ALL), *wait, timeout_s=wait_s + 60)
    if not done.stdout:
        raise AssertionError(f"huntctl reconcile ended with {done.returncode}: {done.stderr}")
    report = json.loads(done.stdout)
    if "differences" not in report:
        raise AssertionError(f"huntctl reconcile ended with {done.returncode}: {report}")
    return report


def seqs_of(text: str) -> set[int]:
    """The seqs of "3", "4 to 7, 9"."""
    found: set[int] = set()
    for part in text.split(", "):
        first, _, last = part.partition(" to ")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def named(report: dict) -> dict[tuple[str, str, str], set[int]]:
    """{(hunter, hunt, generation): seqs} of what reconcile says that Redis has lost."""
    found: dict[tuple[str, str, str], set[int]] = {}
    for difference in report["differences"]:
        if difference["kind"] == NAMED:
            which = (difference["hunter_id"], difference["hunt_id"], difference.get("generation", NO_GENERATION))
            found.setdefault(which, set()).update(seqs_of(difference["seqs"]))
    return found


def loot_named(report: dict) -> dict[Session, Counter]:
    """{(hunter, hunt): Counter of loot_id} of what reconcile says that Redis has lost."""
    found: dict[Session, Counter] = {}
    for difference in report["differences"]:
        if difference["kind"] == NAMED:
            found.setdefault((difference["hunter_id"], difference["hunt_id"]), Counter()).update(difference["loot"])
    return found


def others(report: dict, lost_supplies: set[str]) -> list[str]:
    """Differences that no loss explains. A supply of `lost_supplies` (hunts) lacks the units of its lost awards."""
    return texts([each for each in report["differences"] if each["kind"] != NAMED
                  and not (each["kind"] == "supply_lost" and each["hunt_id"] in lost_supplies)])


def texts(differences: list[dict]) -> list[str]:
    return [f"{each['kind']} hunter {each['hunter_id']} hunt {each['hunt_id']}: {each['detail']}" for each in differences]


def settle(run, report) -> None:
    """In the place of invariants.settle(): the outbox is empty, and the load has ended."""
    stack = run.stack
    records = in_kafka(stack)
    lost = [record for record in {record.event["event_id"]: record for record in records}.values()
            if is_lost(run.losses, record)]
    report.expect("loss", bool(lost), "nothing was lost, so nothing was tried")
    with stack.redis.client() as redis:
        missing = not_restored(lost, held_in(redis))
    supplies = {record.event["hunt_id"] for record in lost if record.event.get("supply")}
    try:
        wait_until(lambda: not others(reconcile(stack), supplies), COUNTED_WITHIN_S, "the table to be up to date", poll_s=1)
    except TimeoutError:
        pass  # what still differs is reported below
    reported = reconcile(stack)
    report.none("loss", others(reported, supplies), "differences that are not a loss")
    check_named(named(reported), loot_named(reported), missing, report)
    restore(stack, report)
    report.figures.update(lost=len(lost), lost_until_the_end=len(missing))


def check_named(reported: dict, loot: dict, missing: list[Record], report) -> None:
    """What reconcile has named is exactly what is missing."""
    expected = by_generation(missing)
    report.none("loss", [(which, sorted(seqs)) for which, seqs in expected.items() if seqs - reported.get(which, set())],
                 "losses that huntctl reconcile does not name")
    report.none("loss", [(which, sorted(seqs - expected.get(which, set()))) for which, seqs in reported.items()
                          if seqs - expected.get(which, set())], "losses that huntctl reconcile names, and that are none")
    wanted: dict[Session, Counter] = {}
    for record in missing:
        wanted.setdefault(record.session, Counter())[record.event["loot_id"]] += 1
    report.none("loss", [(who, dict(loot.get(who, {})), dict(wanted.get(who, {}))) for who in loot.keys() | wanted.keys()
                          if loot.get(who, Counter()) != wanted.get(who, Counter())], "sessions whose lost loot is named otherwise")


def restore(stack, report) -> None:
    """huntctl restore gives back what was lost; a second one changes nothing; then the stores agree."""
    first = huntctl(stack, "restore", "--yes")
    report.expect("loss", first.returncode == 0, f"huntctl restore ended with {first.returncode}:\n{first.stdout}{first.stderr}")
    with stack.redis.client() as redis:
        after = held_in(redis)
        again = huntctl(stack, "restore", "--yes")
        report.expect("loss", again.returncode == 0, f"the second huntctl restore:\n{again.stdout}{again.stderr}")
        report.expect("loss", held_in(redis) == after, "the second huntctl restore changed what hunters hold")
    agrees = huntctl(stack, "reconcile", "--wait", "30")
    report.expect("loss", agrees.returncode == 0, f"huntctl reconcile after the restore:\n{agrees.stdout}{agrees.stderr}")


def restore_under_load(run) -> int:
    """Repeats huntctl restore until it has nothing left to do; returns how often. It skips, and reports, a session whose row is
    behind what its hunter holds."""
    tries = 0

    def done() -> bool:
        nonlocal tries
        tries += 1
        reported = huntctl(run.stack, "restore", "--yes")
        run.expect(reported.returncode in (0, 1), f"huntctl restore: {reported.stderr}")
        return reported.returncode == 0
    wait_until(done, RESTORED_WITHIN_S, "huntctl restore to have restored every session", poll_s=0.5)
    return tries


# --- the responses to clients -------------------------------------------------------------------------------------------
def changed_answers(responses, generations: dict[str, str], losses: list[Loss], floors: dict[str, str]) -> list[str]:
    """Keys that were answered in two ways, without a loss or a purge that explains it. `generations`: by event_id.

    A response that was stored is repeated as it was. One that was lost with its awards, or purged, is not known any more: the
    request is run again, once.
    """
    found = []
    for key, answers in responses.by_key.items():
        if len(answers) < 2:
            continue
        of_history: dict[tuple[int, bool] | None, set] = {}
        for answer in answers:
            of_history.setdefault(_history(answer, key[1], generations, losses, floors), set()).add(answer)
        seasons = {history[1] for history in of_history if history is not None}
        first, last = (min(history[0] for history in of_history if history is not None),
                       max(history[0] for history in of_history if history is not None)) if seasons else (0, 0)
        kept = any(key in loss.keys for loss in losses[first:last])
        if None in of_history or any(len(same) > 1 for same in of_history.values()) or (kept and len(seasons) == 1):
            found.append(f"{key}: {sorted(answers)}")
    return found


def _history(answer, hunt: str, generations, losses, floors) -> tuple[int, bool] | None:
    """(losses before the awards of this response, whether they are of a season that was not purged); None without a known award."""
    known = [generations[event_id] for _, event_id in answer[1] if event_id in generations]
    if not known:
        return None
    return history_of(losses, known[0]), known[0] > floors.get(hunt, NO_GENERATION)


