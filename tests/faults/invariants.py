# SPDX-License-Identifier: Apache-2.0
"""I1 to I8, checked from outside: by the responses to clients, redis-cli's protocol, kcat, psql, /proc and /metrics.

I1 every award in Redis has its event in Kafka, and every award of a response 200 is in Redis
I2 nothing is awarded twice by any retry; the aggregator counts an event once
I3 every event comes from a request, a hunter and a script of the run
I4 responses are true: 200 only after the commit, "nothing was given" only if nothing was; a retry has the same result
I5 events of one hunter reach Kafka in the order of award, except those that the sweep emitted again
I6 /healthz responds within 1 s, and 90 % of the throughput is back within 10 s after the fault
I7 no zombie, no orphan, no leaked descriptor, no growing queue
I8 a fault in one core, script or client leaves the others' errors at zero

Redis loses nothing, except in a scenario that declares it (losses.py): then these hold after huntctl restore. Events of a purged
season are compared with the archive hunt_session_past instead.
"""
import re
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field

from faults import losses
from faults.load import HUNTS
from faults.stack import ALIVE_WITHIN_S, descriptors, worker_sockets
from harness.huntd_stack import build_folder
from harness.process import wait_until
from harness.stores import Held, Record, floors_in, held_in, in_kafka, in_postgres

BACK_AT = 0.9
LOOT = {"gold": {"gold"}, "slow": {"gold"}, "pair": {"sword", "shield"}, "scarce": {"relic", "pebble"},
        "mixed": {"coin-1", "coin-2", "coin-3", "gem"}, "reject": set()}
assert set(LOOT) == set(HUNTS)
SUPPLY = {("scarce", "relic"): 40}
WAS_MAX = 15  # earlier generations that a hash names (docs/formats/redis.md)
KEPT_SLOTS = 32  # SPAWNER_KEPT_SLOTS in src/wire/spawner_message.h
CORES_OWN = 4   # SOCK_SEQPACKET sockets of a core that lead to no worker
DESCRIPTORS_MARGIN = 2  # librdkafka may hold a connection more or less to the same broker
SETTLE_S = 90
# Log lines of a program of ours that crashed: CHECK (src/base/check.h), std::terminate, glibc, a sanitizer; and huntd's lines
# about a process of its own that ended by SIGABRT, SIGSEGV or a similar signal.
CRASHED = re.compile(r"check failed at=|terminate called|\*\*\* .* detected \*\*\*|free\(\): |malloc\(\): |Sanitizer: "
                        r"|runtime error: |\bsignal (4|6|7|8|11)\b")
# huntd's log messages about the end of a process that it needs. A spawner and a zygote have no log of their own.
ENDS = {"core": "a core ended and is started again", "admin": "the admin process ended", "spawner": "the spawner is gone",
        "zygote": "a zygote is gone"}


@dataclass
class Report:
    violations: list[str] = field(default_factory=list)
    figures: dict = field(default_factory=dict)

    def expect(self, invariant: str, fine: bool, text: str) -> None:
        if not fine:
            self.violations.append(f"{invariant}: {text}")

    def none(self, invariant: str, found, text: str) -> None:
        found = list(found)
        self.expect(invariant, not found, f"{len(found)} {text}: {found[:3]}")


def settle(run, report: Report) -> None:
    """Waits until the outbox is empty and the table has caught up."""
    stack = run.stack
    try:
        wait_until(lambda: stack.outbox_length() == 0, SETTLE_S, "the outbox to empty", poll_s=0.2)
    except TimeoutError:
        report.expect("I1", False, f"{stack.outbox_length()} events never left the outbox")
    if run.losses:
        losses.settle(run, report)
        return
    try:
        found = losses.reconcile(stack, SETTLE_S)
        report.none("I1-I3", losses.texts(found["differences"]), "differences that huntctl reconcile names")
        report.expect("I1-I3", found["settled"], f"huntctl reconcile: {found}")
        report.expect("I1-I3", found["set_aside"] == len(run.poison),
                       f"huntctl reconcile: {found['set_aside']} dead letters, of {len(run.poison)}")
    except subprocess.TimeoutExpired:
        report.expect("I6", False, "huntctl reconcile did not end")


@dataclass
class Stores:
    """What the stores have when nothing is under way. Events and responses of purged seasons are in `past`."""
    held: dict[tuple, Held]
    records: list[Record]
    firsts: dict[str, Record]  # by event_id, the first record of each event
    past: dict[str, Record]
    table: dict[tuple, Counter]
    archive: dict[tuple, Counter]
    floors: dict[str, str]

    @classmethod
    def of(cls, run, report: Report) -> "Stores":
        stack = run.stack
        with stack.redis.client() as redis:
            held, floors = held_in(redis), floors_in(redis)
        records = in_kafka(stack, run.poison)
        firsts: dict[str, Record] = {}
        past: dict[str, Record] = {}
        for record in records:
            hunt = record.event["hunt_id"]
            season = past if hunt in floors and record.generation <= floors[hunt] else firsts
            first = season.setdefault(record.event["event_id"], record)
            report.expect("I2", first.event == record.event, f"two events of one id: {first.event} {record.event}")
        return cls(held, records, firsts, past, in_postgres(stack), in_postgres(stack, "hunt_session_past"), floors)

    @staticmethod
    def season_loot(season: dict[str, Record], hunt: str, loot_id: str) -> list[Record]:
        return [record for record in season.values() if (record.event["hunt_id"], record.event["loot_id"]) == (hunt, loot_id)]

    @property
    def awards(self) -> int:
        return sum(held.before + held.seq for held in self.held.values())


def loot_of(records) -> dict[tuple, Counter]:
    found: dict[tuple, Counter] = {}
    for record in records:
        found.setdefault(record.session, Counter())[record.event["loot_id"]] += 1
    return found


def check_stores(run, report: Report) -> None:
    stores = Stores.of(run, report)
    run.records = stores.records
    check_awards(run, stores, report)
    check_counts(run, stores, report)
    check_truth(run, stores, report)
    late = check_order(run, stores, report)
    report.figures.update(awards=stores.awards, repeats_in_kafka=len(stores.records) - len(stores.firsts) - len(stores.past),
                          out_of_order=late)


def holes(held: dict[tuple, Held], seen: dict[tuple, set[int]]) -> list[tuple]:
    """(hunter, hunt, generation, missing seqs, seqs too many): where the events, `seen` by hunter, hunt and generation, are not
    the seqs that Redis says it has given out."""
    given = {(*who, generation): seq for who, of_one in held.items() for generation, seq in of_one.reached.items()}
    found = []
    for which in sorted(given.keys() | seen.keys()):
        was = held.get(which[:2], Held()).was
        if which not in given and len(was) >= WAS_MAX and which[2] < min(was):
            continue  # a hash names only the newest
        wanted, found_seqs = set(range(1, given.get(which, 0) + 1)), seen.get(which, set())
        if wanted != found_seqs:
            found.append((*which, sorted(wanted - found_seqs)[:5], sorted(found_seqs - wanted)[:5]))
    return found


def check_awards(run, stores: Stores, report: Report) -> None:
    """I1"""
    responses = run.load.responses
    report.none("I1", holes(stores.held, losses.by_generation(stores.firsts.values())),
                 "generations whose events in Kafka are not the seqs that Redis has given out")
    events = {event_id: (*record.session, record.event["loot_id"]) for event_id, record in (stores.firsts | stores.past).items()}
    report.none("I1", [(event_id, what) for event_id, what in responses.events.items() if events.get(event_id) != what],
                 "awards of responses 200 that are not the same in Kafka")
    report.none("I1", [(who, dict(loot)) for who, loot in responses.loot(but=stores.past.keys()).items()
                        if loot - stores.held.get(who, Held()).loot], "hunters whose responses have more than Redis holds")


def check_counts(run, stores: Stores, report: Report) -> None:
    """I2"""
    responses, held, table = run.load.responses, stores.held, stores.table
    report.none("I2", responses.contradictions, "responses that contradict each other")
    generations = {event_id: record.generation for event_id, record in (stores.firsts | stores.past).items()}
    report.none("I2", losses.changed_answers(responses, generations, run.losses, stores.floors),
                 "keys that were answered in two ways")
    report.expect("I2", len(stores.firsts) == stores.awards, f"{len(stores.firsts)} distinct events for {stores.awards} awards")
    report.none("I2", [(who, dict(held.get(who, Held()).loot), dict(table.get(who, {})))
                        for who in {who for who, of_one in held.items() if of_one.loot} | set(table)
                        if held.get(who, Held()).loot != table.get(who)], "sessions whose count in hunt_session differs from Redis")
    past = loot_of(stores.past.values())
    report.none("I2", [(who, dict(past.get(who, {})), dict(stores.archive.get(who, {}))) for who in past.keys() | stores.archive.keys()
                        if past.get(who) != stores.archive.get(who)], "purged sessions whose archive differs from their events")
    check_supplies(run, stores, report)


def check_supplies(run, stores: Stores, report: Report) -> None:
    """No more than its limit of each supply, in each season. What is lost of a supply can be given again."""
    for (hunt, loot_id), limit in SUPPLY.items():
        purged = stores.season_loot(stores.past, hunt, loot_id)
        report.expect("I2", len(purged) <= limit, f"{len(purged)} of {loot_id} in a purged season, of which there are {limit}")
        of_loot = stores.season_loot(stores.firsts, hunt, loot_id)
        for history in range(len(run.losses) + 1):
            given = sum(losses.history_of(run.losses, record.generation) == history for record in of_loot)
            if history > 0:
                loss = run.losses[history - 1]
                given += sum(loss.is_after(record.generation) and loss.has(record) for record in of_loot)
            report.expect("I2", given <= limit, f"{given} of {loot_id} after {history} losses, of which there are {limit}")


def check_truth(run, stores: Stores, report: Report) -> None:
    """I3 and I4"""
    responses = run.load.responses
    events = [*stores.firsts.values(), *stores.past.values()]
    allowed = {**LOOT, **run.other_loot}
    report.none("I3", [record.event for record in events if record.event["loot_id"] not in allowed.get(record.event["hunt_id"], ())],
                 "events of loot that no script awards")
    report.none("I3", {record.event["bundle"] for record in events} - responses.bundles, "bundles that no response named")
    known = {hunter for client in run.load.clients for hunter in client.hunters} | run.other_hunters
    report.none("I3", {hunter for hunter, _ in stores.held} - known, "hunters that sent no request")

    report.none("I4", responses.unanswered, "requests with a key that never got a response")
    most = {"pair": 2, "mixed": 2}
    loot_of_clients = responses.loot(but=stores.past.keys())
    for who, of_one in stores.held.items():
        hunter, hunt = who
        if hunter in run.other_hunters:
            continue
        surplus = of_one.loot - loot_of_clients.get(who, Counter())
        unknown = responses.unknown[who] * most.get(hunt, 1)
        report.expect("I4", surplus.total() <= unknown,
                       f"{who} holds {dict(surplus)} that no response has, with {responses.unknown[who]} unknown outcomes")


def check_order(run, stores: Stores, report: Report) -> int:
    """I5; returns how many events came late."""
    last: dict[tuple, tuple] = {}
    late = 0
    sweep_ms = 1000 * run.stack.settings["kafka.sweep_after_s"]
    for record in stores.firsts.values():
        who, place = record.session, (record.generation, record.seq)
        if place < last.get(who, place):
            late += 1
            # Redis' clock and the producer's are the same machine's; the sweep may be one second early or late.
            waited_ms = record.produced_ms - record.event["timestamp"]
            report.expect("I5", waited_ms >= sweep_ms - 50 or run.other_producer,
                           f"{place} of {who} came after {last[who]}, {waited_ms} ms after its award")
        last[who] = max(place, last.get(who, place))
    return late


def check_alive(run, report: Report) -> None:
    probe, responses = run.probe, run.load.responses
    report.none("I6", [f"{what} after {took:.1f} s, {at - run.started_s:.1f} s into the run" for at, took, what in probe.late],
                 "times /healthz did not respond within 1 s")
    for fault in run.faults:
        if fault.recovered_s is None:
            rates = [round(responses.goodput(fault.lifted_s + s, fault.lifted_s + s + 1)) for s in range(12)]
            report.expect("I6", False, f"{fault.name}: throughput was not back at 90 % of {fault.before:.0f}/s within "
                                        f"{ALIVE_WITHIN_S:g} s; per second after the fault: {rates}")
    report.figures.update(healthz_slowest_ms=round(1000 * probe.slowest_s), healthz_asked=probe.asked)


def await_recovery(run, fault) -> None:
    """Waits until one second after the fault has 90 % of the throughput before it. A scenario may have waited for something
    else meanwhile: the time since the fault was lifted counts, not the time since this call."""
    responses = run.load.responses
    after_s = 0.0
    while after_s <= ALIVE_WITHIN_S:
        since_s = fault.lifted_s + after_s
        time.sleep(max(0.0, since_s + 1 - time.monotonic()))
        if responses.goodput(since_s, since_s + 1) >= BACK_AT * fault.before:
            fault.recovered_s = after_s
            return
        after_s += 0.05


def check_troubles(run, report: Report) -> None:
    """I8: clients saw the errors that the documents allow, while the fault lasted; other clients saw none."""
    troubles = run.load.responses.troubles
    report.figures["clients_saw"] = dict(Counter(trouble.what for trouble in troubles))
    of_fault: dict[int, list] = {}
    for trouble in troubles:
        where = f"a {trouble.client.kind} saw {trouble.what} for {trouble.request} {trouble.at_s - run.started_s:.1f} s into the run"
        index = next((i for i, fault in enumerate(run.faults) if fault.started_s <= trouble.at_s <= fault.over_s), None)
        if index is None:
            report.expect("I8", False, f"{where}, when there was no fault")
            continue
        of_fault.setdefault(index, []).append(trouble)
        may_see = run.faults[index].may_see
        report.expect("I8", trouble.what in may_see, f"{where}; {run.faults[index].name} explains only {sorted(may_see) or 'nothing'}")
    for index, fault in enumerate(run.faults):
        seen = of_fault.get(index, [])
        hurt = [trouble for trouble in seen if trouble.client.kind != "proxy" and trouble.client.hunters[0] in fault.bystanders]
        report.none("I8", [f"{t.what} for {t.request}" for t in hurt],
                     f"errors of hunters whose core had no fault when there was {fault.name}")
        for what, most in fault.at_most.items():
            count = sum(trouble.what == what for trouble in seen)
            report.expect("I8", count <= most, f"{count} times {what}, of which {fault.name} explains {most}")


def gauges(stack) -> dict[str, float]:
    return {name: stack.metric(name) for name in ("huntd_connections_open", "huntd_workers_live", "huntd_queue_length",
                                                  "huntd_kafka_in_flight")}


def census(stack) -> dict[str, list[int]]:
    """The number of open descriptors of each process, by the process's name; without the sockets to workers, which a core and
    its spawner keep once a slot was used (decision 56): see sockets_kept()."""
    found: dict[str, list[int]] = {}
    found["huntd"] = [len(descriptors(stack.huntd.pid))]
    for name in ("huntd-core", "huntd-spawner", "huntd-admin"):
        found[name] = sorted(len(descriptors(pid)) - worker_sockets(pid) for pid in stack.of_name(name))
    if stack.aggregator:
        found["hunt-aggregator"] = [len(descriptors(stack.aggregator.pid))] if stack.aggregator.running else []
    return found


def sockets_kept(stack) -> list[str]:
    """What is wrong with the sockets to workers of an idle huntd: a core has one per kept slot, and those to its parent, its spawner
    and its zygote; its spawner has both ends of the first, and its own."""
    ends = {name: [worker_sockets(pid) for pid in stack.of_name(name)] for name in ("huntd-core", "huntd-spawner")}
    wrong = [f"a huntd-core has {count} sockets to workers" for count in ends["huntd-core"] if count > KEPT_SLOTS + CORES_OWN]
    if sum(ends["huntd-spawner"]) > 2 * sum(ends["huntd-core"]):
        wrong.append(f"the spawners have {ends['huntd-spawner']} ends of sockets to workers, the cores {ends['huntd-core']}")
    return wrong


def is_idle(stack) -> bool:
    try:
        return not any(gauges(stack).values()) and not stack.of_name("hunt_worker")
    except OSError:
        return False


def check_leaks(run, report: Report) -> None:
    stack = run.stack
    try:
        wait_until(lambda: is_idle(stack), 20, "huntd to be idle", poll_s=0.1)
    except TimeoutError:
        report.expect("I7", False, f"without any client there are still {gauges(stack)}, workers "
                                    f"{stack.of_name('hunt_worker')}")

    def over() -> list[str]:
        now = census(stack)
        wrong = [f"{name}: {len(run.census[name])} processes were there, now {len(now[name])}"
                 for name in run.census if len(now[name]) != len(run.census[name])]
        return wrong + [f"{name} had {run.census[name]} descriptors, now {now[name]}" for name in run.census
                        if max(now[name], default=0) > max(run.census[name]) + DESCRIPTORS_MARGIN] + sockets_kept(stack)
    try:
        wait_until(lambda: not over() and not stack.lost_processes(), 10, "nothing left over", poll_s=0.2)
    except TimeoutError:
        report.none("I7", over(), "processes with leaked descriptors, or gone")
        report.none("I7", stack.lost_processes(), "processes that were not collected")


def check_log(run, report: Report) -> None:
    """No program of ours crashed, and no process of huntd ended that the fault did not end."""
    for server in (run.stack.huntd, run.stack.aggregator, *run.stack.more_servers):
        if server:
            report.none("I6", [line for line in server.log_text().splitlines() if CRASHED.search(line)],
                         f"lines of {server.name}'s log that report a crash")
            report.expect("I6", server.running, f"{server.name} does not run any more")
    log = run.stack.huntd.log_text()
    # The log lines of a fault are between its start and the next fault's.
    until = len(log)
    for fault in reversed(run.faults):
        reported = log[fault.log_from:until]
        until = fault.log_from
        report.none("I6", [line for line in reported.splitlines() for process, text in ENDS.items()
                            if text in line and process not in fault.ends], f"processes of huntd that {fault.name} did not end")
    report.none("I6", [line for line in log[:until].splitlines() if any(text in line for text in ENDS.values())],
                 "processes of huntd that ended before any fault")


def check_all(run) -> Report:
    report = Report()
    settle(run, report)
    check_stores(run, report)
    check_alive(run, report)
    check_troubles(run, report)
    check_leaks(run, report)
    check_log(run, report)
    return report


def program(name: str) -> str:
    return str(build_folder() / name)
