# SPDX-License-Identifier: Apache-2.0
"""Hunts that end and begin again, and hunts with very many supplies."""
import time
from dataclasses import dataclass

from client import held, run_hunt
from faults.losses import huntctl
from faults.scenario import scenario
from harness.stores import in_postgres

SEASON = ("gold", "scarce")  # the hunts that are purged
PURGED_WITHIN_S = 90


def _hunt(run, *words: str) -> str:
    done = huntctl(run.stack, "hunt", *words)
    run.expect(done.returncode == 0, f"huntctl hunt {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _keys_of(redis, hunt: str) -> list[str]:
    return [key for pattern in (f"held:*:{hunt}", f"done:*:{hunt}:*", f"supply*:{{{hunt}:*", f"supplies:{{{hunt}}}")
            for key in redis.keys(pattern)]


@scenario(may_see={"hunt-closed"}, load={"final": frozenset({"hunt-closed"})})
def hunt_purged_under_load(run):
    """huntctl hunt close, purge, open, beside load: a closed hunt gets 409 hunt-closed, and still repeats stored responses and reads;
    other hunts are not affected. The purge waits until the table has everything, moves the rows to the archive and removes the keys;
    the second season counts from zero, supplies included (docs/operations.md "Ending a hunt", docs/http-api.md `hunt-closed`)."""
    stack, hunter = run.stack, "seasonal"
    run.other_hunters.add(hunter)
    for number in range(3):
        run.expect(run_hunt(stack.http, "gold", hunter, key=f"s{number}").status == 200, "an award of the first season")
    for hunt in SEASON:
        _hunt(run, "close", hunt)
    run.await_(lambda: run_hunt(stack.http, "gold", hunter).status == 409, 10, "the hunt to be closed")
    run.go_on_for(2)  # until every core has read it
    closed_s = time.monotonic()
    answer = run_hunt(stack.http, "gold", hunter, key="new")
    run.expect(answer.problem == "hunt-closed", f"a new request: {answer}")
    again = run_hunt(stack.http, "gold", hunter, key="s0")
    run.expect(again.status == 200 and again.json["replayed"] is True, f"a repeat of an award: {again}")
    awarded = held(stack.http, "gold", hunter)["gold"]  # a request without a key may have come before the close
    for hunt in SEASON:
        _hunt(run, "purge", hunt, "--yes", "--wait", str(PURGED_WITHIN_S))
    rate = run.load.responses.goodput(closed_s, time.monotonic())
    run.expect(rate >= 0.5 * run.fault.before, f"other hunts continue: {rate:.0f} of {run.fault.before:.0f} responses per second, 7 of "
                                               "11 requests are theirs")
    with stack.redis.client() as redis:
        left = [key for hunt in SEASON for key in _keys_of(redis, hunt)]
    run.expect(not left, f"nothing of the purged hunts is left in Redis: {left[:5]}")
    run.expect(held(stack.http, "gold", hunter) == {}, "nothing is held between the seasons")
    run.expect(run_hunt(stack.http, "gold", hunter, key="s0").problem == "hunt-closed", "the stored response was purged too")
    for hunt in SEASON:
        _hunt(run, "open", hunt)
    run.await_(lambda: run_hunt(stack.http, "gold", hunter, key="s0").status == 200, 10, "the hunt to be open again")
    run.lifted()
    run.expect(held(stack.http, "gold", hunter) == {"gold": 1}, "the second season counts from zero")
    run.load.await_answers(int(run.span(600, 200)))
    run.checks.append(lambda run, report: _check_seasons(run, report, hunter, awarded))


def _check_seasons(run, report, hunter: str, awarded: int) -> None:
    table, archive = in_postgres(run.stack), in_postgres(run.stack, "hunt_session_past")
    report.expect("season", table.get((hunter, "gold")) == {"gold": 1}, f"hunt_session has {table.get((hunter, 'gold'))}")
    report.expect("season", archive.get((hunter, "gold")) == {"gold": awarded}, f"the archive has {archive.get((hunter, 'gold'))}")
    report.none("season", {hunt for _, hunt in archive} - set(SEASON), "hunts in the archive that were not purged")
    relics = [sum(loot["relic"] for (_, hunt), loot in rows.items() if hunt == "scarce") for rows in (archive, table)]
    report.expect("season", all(relics), f"relics of the first and of the second season: {relics}")
    report.none("I8", {trouble.request.hunt for trouble in run.load.responses.troubles if trouble.what == "hunt-closed"} - set(SEASON),
                 "hunts that were never closed, and got hunt-closed")
    report.figures.update(relics=relics)


# --- a million supplies -----------------------------------------------------------------------------------------------
PER_HUNT_MAX = 1000  # limits::supplies_per_hunt_max
OLD_NAMES = 1_000_000
NAMES_PER_CALL = 2000  # so that no command of the load waits for long
LOAD_NAMES = """
for index = tonumber(ARGV[1]), tonumber(ARGV[2]) - 1 do
  local hunt, loot = 'old-' .. math.floor(index / 1000), 'code-' .. index % 1000
  redis.call('SADD', 'supplies', hunt .. ':' .. loot)
  redis.call('SADD', 'supplies:{' .. hunt .. '}', loot)
end"""
SPANS = 3


@dataclass
class Span:
    """What the load and Redis did for some seconds."""
    p50_s: float
    p99_s: float
    commands: float    # that Redis executed, per response
    command_us: float  # that Redis spent on them, per response


def _counters(run) -> tuple[int, int]:
    calls = int(run.stack.redis.info("stats")["total_commands_processed"])
    spent = run.stack.redis.info("commandstats").values()
    return calls, sum(int(line.split("usec=")[1].split(",")[0]) for line in spent)


def _measure(run, seconds: float) -> Span:
    """The best of some spans: another process of the machine may have disturbed one."""
    spans = []
    for _ in range(SPANS):
        (calls, spent), since_s = _counters(run), time.monotonic()
        run.go_on_for(seconds)
        (calls_after, spent_after), until_s = _counters(run), time.monotonic()
        responses = run.load.responses
        answered = responses.goodput(since_s, until_s) * (until_s - since_s)
        spans.append(Span(responses.latency_s(0.5, since_s, until_s), responses.latency_s(0.99, since_s, until_s),
                          (calls_after - calls) / answered, (spent_after - spent) / answered))
    return Span(*(min(getattr(span, name) for span in spans) for name in Span.__dataclass_fields__))


def _award_codes(run, first: int, last: int) -> None:
    """The codes of these numbers, each a supply of one unit, to as many hunters."""
    for number in range(first, last + 1):
        answer = run_hunt(run.stack.http, "codes", f"coder-{number}", input={"n": number}, key=f"c{number}")
        run.expect(answer.status == 200 and answer.json["result"]["given"] is True, f"code {number}: {answer}")


@scenario(stack={"append_only": False})
def a_million_supplies(run):
    """A hunt draws on as many supplies as it may, 1,000, and one more gets 409 supplies-full. A million names of supplies are in Redis
    besides, as an older huntd left them, and of a thousand hunts that draw on none now. Other hunts are served as before: Redis
    executes as many commands for each response, and not longer ones, and the P99 stays (docs/decisions/0010-limited-supplies.md
    "What the sweep reads", docs/scripts.md "A shared supply"). Ratios within the run; the bounds are those of a machine with other work."""
    stack = run.stack
    names = int(run.span(OLD_NAMES, OLD_NAMES / 10))
    codes = int(run.span(PER_HUNT_MAX, PER_HUNT_MAX))
    run.other_hunters |= {f"coder-{number}" for number in range(1, codes + 2)}
    run.other_loot["codes"] = {f"code-{number}" for number in range(1, codes + 1)}
    before = _measure(run, run.span(6, 3))
    with stack.redis.client() as redis:
        for first in range(0, names, NAMES_PER_CALL):
            redis.call("EVAL", LOAD_NAMES, 0, first, first + NAMES_PER_CALL)
            run.go_on_for(0.005)
        run.expect(redis.call("SCARD", "supplies") == names, "the names of an older huntd are there")
    _award_codes(run, 1, codes)
    full = run_hunt(stack.http, "codes", f"coder-{codes + 1}", input={"n": codes + 1}, key="one-more")
    run.expect((full.status, full.problem) == (409, "supplies-full"), f"one supply too many: {full}")
    run.expect(held(stack.http, "codes", f"coder-{codes + 1}") == {}, "nothing was awarded")
    gone = run_hunt(stack.http, "codes", "coder-1", input={"n": 2}, key="again")
    run.expect(gone.status == 200 and gone.json["result"] == {"given": False, "why": "gone"}, f"a code that is given: {gone}")
    run.await_(lambda: _pending(run) == 0, 60, "every unit to be settled")
    after = _measure(run, run.span(6, 3))
    run.lifted()
    ratios = {name: round(getattr(after, name) / getattr(before, name), 2) for name in Span.__dataclass_fields__}
    run.checks.append(lambda _, report: report.figures.update({"ratios": ratios, "supplies": codes}))
    with stack.redis.client() as redis:
        redis.call("UNLINK", "supplies", *(f"supplies:{{old-{hunt}}}" for hunt in range(names // 1000)))
    for name, bound in (("commands", 1.2), ("command_us", 1.5), ("p50_s", 1.5), ("p99_s", 3)):
        run.expect(ratios[name] <= bound, f"{name} grew by {ratios[name]}, beyond {bound}: {before}, then {after}")


def _pending(run) -> int:
    """Units that are reserved and not settled, by huntctl supplies."""
    with run.stack.redis.client() as redis:
        return sum(redis.call("ZCARD", key) for key in redis.keys("supply_pending:{codes:*"))
