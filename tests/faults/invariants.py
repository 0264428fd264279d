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
"""
import re
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field

from faults.load import HUNTS
from faults.stack import ALIVE_WITHIN_S, descriptors
from harness.huntd_stack import build_folder
from harness.process import wait_until
from harness.stores import Record, in_kafka, in_postgres, in_redis

BACK_AT = 0.9
LOOT = {"gold": {"gold"}, "slow": {"gold"}, "pair": {"sword", "shield"}, "scarce": {"relic", "pebble"},
        "mixed": {"coin-1", "coin-2", "coin-3", "gem"}, "reject": set()}
assert set(LOOT) == set(HUNTS)
SUPPLY = {("scarce", "relic"): 40}
DESCRIPTORS_MARGIN = 2  # librdkafka may hold a connection more or less to the same broker
SETTLE_S = 90
POISONED_SETTLE_S = 15
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
    try:
        # With poison the stores never agree, so this would wait until its timeout.
        reported = stack.reconcile(POISONED_SETTLE_S if run.poison else SETTLE_S)
        differences = re.findall(r"^[a-z_]+(?= hunter |: ).*", reported.stdout, re.MULTILINE)
        unreadable = [line for line in differences if line.startswith("unreadable: partition ")]
        report.expect("I1-I3", (reported.returncode == 0) == (not run.poison) and differences == unreadable
                       and len(unreadable) == len(run.poison), f"huntctl reconcile:\n{reported.stdout}{reported.stderr}")
    except subprocess.TimeoutExpired:
        report.expect("I6", False, "huntctl reconcile did not end")


def check_stores(run, report: Report) -> None:
    stack, responses = run.stack, run.load.responses
    loot_of_clients = responses.loot()
    held, seqs = in_redis(stack)
    records = in_kafka(stack, run.poison)
    run.records = records
    table = in_postgres(stack)
    firsts: dict[str, Record] = {}
    for record in records:
        first = firsts.setdefault(record.event["event_id"], record)
        report.expect("I2", first.event == record.event, f"two events of one id: {first.event} {record.event}")
    events = {event_id: (r.event["hunter_id"], r.event["hunt_id"], r.event["loot_id"]) for event_id, r in firsts.items()}

    # I1
    of_session: dict[tuple, set] = {}
    for record in firsts.values():
        of_session.setdefault((record.event["hunter_id"], record.event["hunt_id"]), set()).add(record.event["seq"])
    report.none("I1", [(who, seq, sorted(set(range(1, seq + 1)) - of_session.get(who, set()))[:5])
                        for who, seq in seqs.items() if of_session.get(who, set()) != set(range(1, seq + 1))],
                 "sessions whose events in Kafka are not the seqs 1 to #seq of Redis")
    report.none("I1", [(event_id, what) for event_id, what in responses.events.items() if events.get(event_id) != what],
                 "awards of responses 200 that are not the same in Kafka")
    report.none("I1", [(who, dict(loot)) for who, loot in loot_of_clients.items() if loot - held.get(who, Counter())],
                 "hunters whose responses have more than Redis holds")

    # I2
    report.none("I2", responses.contradictions, "responses that contradict each other")
    report.expect("I2", len(firsts) == sum(seqs.values()),
                   f"{len(firsts)} distinct events for {sum(seqs.values())} awards")
    report.none("I2", [(who, dict(held.get(who, {})), dict(table.get(who, {})))
                        for who in {who for who, loot in held.items() if loot} | set(table)
                        if held.get(who) != table.get(who)], "sessions whose count in hunt_session differs from Redis")
    for (hunt, loot_id), limit in SUPPLY.items():
        given = sum(loot[loot_id] for (_, name), loot in held.items() if name == hunt)
        report.expect("I2", given <= limit, f"{given} of {loot_id}, of which there are {limit}")

    # I3
    report.none("I3", [what for what in events.values() if what[2] not in LOOT.get(what[1], ())],
                 "events of loot that no script awards")
    report.none("I3", {r.event["bundle"] for r in firsts.values()} - responses.bundles, "bundles that no response named")
    known = {hunter for client in run.load.clients for hunter in client.hunters} | run.other_hunters
    report.none("I3", {hunter for hunter, _ in held} - known, "hunters that sent no request")

    # I4
    report.none("I4", responses.unanswered, "requests with a key that never got a response")
    most = {"pair": 2, "mixed": 2}
    for who, loot in held.items():
        hunter, hunt = who
        if hunter in run.other_hunters:
            continue
        surplus = loot - loot_of_clients.get(who, Counter())
        unknown = responses.unknown[who] * most.get(hunt, 1)
        report.expect("I4", surplus.total() <= unknown,
                       f"{who} holds {dict(surplus)} that no response has, with {responses.unknown[who]} unknown outcomes")

    # I5
    last: dict[tuple, int] = {}
    late = 0
    sweep_ms = 1000 * stack.settings["kafka.sweep_after_s"]
    for record in firsts.values():
        who, seq = (record.event["hunter_id"], record.event["hunt_id"]), record.event["seq"]
        if seq < last.get(who, 0):
            late += 1
            # Redis' clock and the producer's are the same machine's; the sweep may be one second early or late.
            waited_ms = record.produced_ms - record.event["timestamp"]
            report.expect("I5", waited_ms >= sweep_ms - 50 or run.other_producer,
                           f"seq {seq} of {who} came after seq {last[who]}, {waited_ms} ms after its award")
        last[who] = max(seq, last.get(who, 0))
    report.figures.update(awards=sum(seqs.values()), repeats_in_kafka=len(records) - len(firsts), out_of_order=late)


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
    """The number of open descriptors of each process, by the process's name."""
    found: dict[str, list[int]] = {}
    found["huntd"] = [len(descriptors(stack.huntd.pid))]
    for name in ("huntd-core", "huntd-spawner", "huntd-admin"):
        found[name] = sorted(len(descriptors(pid)) for pid in stack.of_name(name))
    if stack.aggregator:
        found["hunt-aggregator"] = [len(descriptors(stack.aggregator.pid))] if stack.aggregator.running else []
    return found


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
                        if max(now[name], default=0) > max(run.census[name]) + DESCRIPTORS_MARGIN]
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
