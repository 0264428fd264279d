"""I1 to I8, checked from outside: by what clients were told, redis-cli's protocol, kcat, psql, /proc and /metrics.

I1 every award in Redis has its event in Kafka, and every answer 200 is in Redis
I2 nothing is awarded twice, whatever was retried; the aggregator counts an event once
I3 nothing is invented
I4 answers are honest: 200 only once committed, "nothing was given" only where nothing was; a retry gives the one result
I5 events of one hunter reach Kafka in the order of award, but for those that the sweeper emitted again
I6 alive: /healthz answers within 1 s, and within 10 s after the fault 90 % of the throughput is back
I7 no zombie, no orphan, no leaked descriptor, no growing queue
I8 a fault in one core, script or client leaves the others' errors at zero
"""
import json
import re
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field

from faults.load import HUNTS
from faults.stack import ALIVE_WITHIN_S, descriptors
from harness.huntd_stack import build_folder
from harness.process import find_program, wait_until

BACK_AT = 0.9
LOOT = {"gold": {"gold"}, "slow": {"gold"}, "pair": {"sword", "shield"}, "scarce": {"relic", "pebble"},
        "mixed": {"coin-1", "coin-2", "coin-3", "gem"}, "refuse": set()}
assert set(LOOT) == set(HUNTS)
SUPPLY = {("scarce", "relic"): 40}
DESCRIPTORS_SPARE = 2  # librdkafka may hold a connection more or less to the same broker
SETTLE_S = 90
POISONED_SETTLE_S = 15
# How a log tells that a program of ours broke down: CHECK (src/base/check.h), std::terminate, glibc, a sanitizer; and how huntd
# tells of a process of its own that ended by SIGABRT, SIGSEGV or the like.
BROKE_DOWN = re.compile(r"check failed at=|terminate called|\*\*\* .* detected \*\*\*|free\(\): |malloc\(\): |Sanitizer: "
                        r"|runtime error: |\bsignal (4|6|7|8|11)\b")
# How huntd tells of the end of a process that it needs. A spawner and a zygote have no log: this is all that is seen of theirs.
ENDS = {"core": "a core ended and is started again", "admin": "the admin process ended", "spawner": "the spawner is gone",
        "zygote": "a zygote is gone"}


@dataclass
class Verdict:
    violations: list[str] = field(default_factory=list)
    figures: dict = field(default_factory=dict)

    def expect(self, invariant: str, fine: bool, text: str) -> None:
        if not fine:
            self.violations.append(f"{invariant}: {text}")

    def none(self, invariant: str, found, text: str) -> None:
        found = list(found)
        self.expect(invariant, not found, f"{len(found)} {text}: {found[:3]}")


@dataclass
class Record:
    """One record of loot_events."""
    event: dict
    partition: int
    offset: int
    produced_ms: int


def in_redis(stack) -> tuple[dict, dict]:
    """{(hunter, hunt): Counter of loot}, {(hunter, hunt): seq}."""
    held, seqs = {}, {}
    with stack.redis.client() as redis:
        for key in redis.keys("held:*"):
            _, _, hunter, hunt = key.split(":")
            pairs = {name: int(count) for name, count in redis.hash(key).items()}
            seqs[hunter, hunt] = pairs.pop("#seq")
            held[hunter, hunt] = Counter(pairs)
    return held, seqs


def in_kafka(stack, poison=frozenset()) -> list[Record]:
    """Every record but for the poison, by partition and offset; read by kcat."""
    # kcat ends at an empty fetch of each partition: under load there is none that waits for long.
    done = subprocess.run(
        [find_program("kcat"), "-b", stack.kafka.bootstrap, "-C", "-t", "loot_events", "-o", "beginning", "-e", "-q",
         "-X", "fetch.wait.max.ms=10", "-f", "%p\\x1f%o\\x1f%T\\x1f%k\\x1f%s\\x1e"], capture_output=True, text=True, errors="replace", timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"kcat: {done.stderr.strip()}")
    records = []
    for line in done.stdout.split("\x1e"):
        if not line:
            continue
        partition, offset, produced_ms, key, value = line.split("\x1f", 4)
        if value in poison:
            continue
        event = json.loads(value)
        assert key == event["hunter_id"], (key, event)
        records.append(Record(event, int(partition), int(offset), int(produced_ms)))
    return sorted(records, key=lambda record: (record.partition, record.offset))


def in_postgres(stack) -> dict:
    rows = stack.postgres.sql("select hunter_id, hunt_id, loot, loot_count from hunt_session")
    wrong = [row for row in rows if sum(json.loads(row[2]).values()) != int(row[3])]
    assert not wrong, f"loot_count is not the sum of loot: {wrong[:3]}"
    return {(hunter, hunt): Counter(json.loads(loot)) for hunter, hunt, loot, _ in rows}


def settle(run, verdict: Verdict) -> None:
    """Waits until nothing is under way: the outbox is empty and the table has caught up."""
    stack = run.stack
    try:
        wait_until(lambda: stack.outbox_length() == 0, SETTLE_S, "the outbox to empty", poll_s=0.2)
    except TimeoutError:
        verdict.expect("I1", False, f"{stack.outbox_length()} events never left the outbox")
    try:
        # With poison it never agrees, so it would wait to the end.
        told = stack.reconcile(POISONED_SETTLE_S if run.poison else SETTLE_S)
        differences = re.findall(r"^[a-z_]+(?= hunter |: ).*", told.stdout, re.MULTILINE)
        unreadable = [line for line in differences if line.startswith("unreadable: partition ")]
        verdict.expect("I1-I3", (told.returncode == 0) == (not run.poison) and differences == unreadable
                       and len(unreadable) == len(run.poison), f"huntctl reconcile:\n{told.stdout}{told.stderr}")
    except subprocess.TimeoutExpired:
        verdict.expect("I6", False, "huntctl reconcile did not end")


def check_books(run, verdict: Verdict) -> None:
    stack, books = run.stack, run.load.books
    told = books.told()
    held, seqs = in_redis(stack)
    records = in_kafka(stack, run.poison)
    run.records = records
    table = in_postgres(stack)
    firsts: dict[str, Record] = {}
    for record in records:
        first = firsts.setdefault(record.event["event_id"], record)
        verdict.expect("I2", first.event == record.event, f"two events of one id: {first.event} {record.event}")
    events = {event_id: (r.event["hunter_id"], r.event["hunt_id"], r.event["loot_id"]) for event_id, r in firsts.items()}

    # I1
    of_session: dict[tuple, set] = {}
    for record in firsts.values():
        of_session.setdefault((record.event["hunter_id"], record.event["hunt_id"]), set()).add(record.event["seq"])
    verdict.none("I1", [(who, seq, sorted(set(range(1, seq + 1)) - of_session.get(who, set()))[:5])
                        for who, seq in seqs.items() if of_session.get(who, set()) != set(range(1, seq + 1))],
                 "sessions whose events in Kafka are not the seqs 1 to #seq of Redis")
    verdict.none("I1", [(event_id, what) for event_id, what in books.events.items() if events.get(event_id) != what],
                 "awards that were answered 200 and are not in Kafka as told")
    verdict.none("I1", [(who, dict(loot)) for who, loot in told.items() if loot - held.get(who, Counter())],
                 "hunters who were told of more than Redis holds")

    # I2
    verdict.none("I2", books.contradictions, "answers that contradict each other")
    verdict.expect("I2", len(firsts) == sum(seqs.values()),
                   f"{len(firsts)} distinct events for {sum(seqs.values())} awards")
    verdict.none("I2", [(who, dict(held.get(who, {})), dict(table.get(who, {})))
                        for who in {who for who, loot in held.items() if loot} | set(table)
                        if held.get(who) != table.get(who)], "sessions that hunt_session counts otherwise than Redis")
    for (hunt, loot_id), limit in SUPPLY.items():
        given = sum(loot[loot_id] for (_, name), loot in held.items() if name == hunt)
        verdict.expect("I2", given <= limit, f"{given} of {loot_id}, of which there are {limit}")

    # I3
    verdict.none("I3", [what for what in events.values() if what[2] not in LOOT.get(what[1], ())],
                 "events of loot that no script gives")
    verdict.none("I3", {r.event["bundle"] for r in firsts.values()} - books.bundles, "bundles that no answer named")
    known = {hunter for client in run.load.clients for hunter in client.hunters} | run.other_hunters
    verdict.none("I3", {hunter for hunter, _ in held} - known, "hunters who never asked")

    # I4
    verdict.none("I4", books.unanswered, "requests with a key that were never answered")
    most = {"pair": 2, "mixed": 2}
    for who, loot in held.items():
        hunter, hunt = who
        if hunter in run.other_hunters:
            continue
        surplus = loot - told.get(who, Counter())
        unknown = books.unknown[who] * most.get(hunt, 1)
        verdict.expect("I4", surplus.total() <= unknown,
                       f"{who} holds {dict(surplus)} that no answer told of, with {books.unknown[who]} unknown outcomes")

    # I5
    last: dict[tuple, int] = {}
    late = 0
    sweep_ms = 1000 * stack.settings["kafka.sweep_after_s"]
    for record in firsts.values():
        who, seq = (record.event["hunter_id"], record.event["hunt_id"]), record.event["seq"]
        if seq < last.get(who, 0):
            late += 1
            # By Redis' clock and the producer's, which are one machine's; the sweep may be a second off either way.
            waited_ms = record.produced_ms - record.event["timestamp"]
            verdict.expect("I5", waited_ms >= sweep_ms - 50 or run.other_producer,
                           f"seq {seq} of {who} came after seq {last[who]}, {waited_ms} ms after its award")
        last[who] = max(seq, last.get(who, 0))
    verdict.figures.update(awards=sum(seqs.values()), repeats_in_kafka=len(records) - len(firsts), out_of_order=late)


def check_alive(run, verdict: Verdict) -> None:
    probe, books = run.probe, run.load.books
    verdict.none("I6", [f"{what} after {took:.1f} s, {at - run.begun_s:.1f} s into the run" for at, took, what in probe.late],
                 "times /healthz did not answer within 1 s")
    for fault in run.faults:
        if fault.recovered_s is None:
            rates = [round(books.goodput(fault.lifted_s + s, fault.lifted_s + s + 1)) for s in range(12)]
            verdict.expect("I6", False, f"{fault.name}: throughput was not back at 90 % of {fault.before:.0f}/s within "
                                        f"{ALIVE_WITHIN_S:g} s; per second after the fault: {rates}")
    verdict.figures.update(healthz_slowest_ms=round(1000 * probe.slowest_s), healthz_asked=probe.asked)


def await_recovery(run, fault) -> None:
    """Until there was a second after the fault with 90 % of the throughput before it. A scenario may have waited for something
    else meanwhile: the seconds since the fault was lifted count, not those since now."""
    books = run.load.books
    after_s = 0.0
    while after_s <= ALIVE_WITHIN_S:
        since_s = fault.lifted_s + after_s
        time.sleep(max(0.0, since_s + 1 - time.monotonic()))
        if books.goodput(since_s, since_s + 1) >= BACK_AT * fault.before:
            fault.recovered_s = after_s
            return
        after_s += 0.05


def check_troubles(run, verdict: Verdict) -> None:
    """I8: clients saw of each fault what the documents say, while it was there, and nobody else saw anything."""
    troubles = run.load.books.troubles
    verdict.figures["clients_saw"] = dict(Counter(trouble.what for trouble in troubles))
    of_fault: dict[int, list] = {}
    for trouble in troubles:
        where = f"a {trouble.client.kind} saw {trouble.what} for {trouble.request} {trouble.at_s - run.begun_s:.1f} s into the run"
        index = next((i for i, fault in enumerate(run.faults) if fault.begun_s <= trouble.at_s <= fault.over_s), None)
        if index is None:
            verdict.expect("I8", False, f"{where}, when there was no fault")
            continue
        of_fault.setdefault(index, []).append(trouble)
        may_see = run.faults[index].may_see
        verdict.expect("I8", trouble.what in may_see, f"{where}; {run.faults[index].name} explains only {sorted(may_see) or 'nothing'}")
    for index, fault in enumerate(run.faults):
        seen = of_fault.get(index, [])
        hurt = [trouble for trouble in seen if trouble.client.kind != "proxy" and trouble.client.hunters[0] in fault.bystanders]
        verdict.none("I8", [f"{t.what} for {t.request}" for t in hurt],
                     f"errors of hunters whose core had no fault when there was {fault.name}")
        for what, most in fault.at_most.items():
            count = sum(trouble.what == what for trouble in seen)
            verdict.expect("I8", count <= most, f"{count} times {what}, of which {fault.name} explains {most}")


def gauges(stack) -> dict[str, float]:
    return {name: stack.metric(name) for name in ("huntd_connections_open", "huntd_workers_live", "huntd_queue_length",
                                                  "huntd_kafka_in_flight")}


def census(stack) -> dict[str, list[int]]:
    """The number of descriptors of each process, by the process's name."""
    found: dict[str, list[int]] = {}
    found["huntd"] = [len(descriptors(stack.huntd.pid))]
    for name in ("huntd-core", "huntd-spawner", "huntd-admin"):
        found[name] = sorted(len(descriptors(pid)) for pid in stack.of_name(name))
    if stack.aggregator:
        found["hunt-aggregator"] = [len(descriptors(stack.aggregator.pid))] if stack.aggregator.running else []
    return found


def is_quiet(stack) -> bool:
    try:
        return not any(gauges(stack).values()) and not stack.of_name("hunt_worker")
    except OSError:
        return False


def check_leaks(run, verdict: Verdict) -> None:
    stack = run.stack
    try:
        wait_until(lambda: is_quiet(stack), 20, "huntd to be quiet", poll_s=0.1)
    except TimeoutError:
        verdict.expect("I7", False, f"without any client there is still {gauges(stack)}, workers "
                                    f"{stack.of_name('hunt_worker')}")

    def over() -> list[str]:
        now = census(stack)
        wrong = [f"{name}: {len(run.census[name])} processes were there, now {len(now[name])}"
                 for name in run.census if len(now[name]) != len(run.census[name])]
        return wrong + [f"{name} had {run.census[name]} descriptors, now {now[name]}" for name in run.census
                        if max(now[name], default=0) > max(run.census[name]) + DESCRIPTORS_SPARE]
    try:
        wait_until(lambda: not over() and not stack.lost_processes(), 10, "nothing left over", poll_s=0.2)
    except TimeoutError:
        verdict.none("I7", over(), "processes with leaked descriptors, or gone")
        verdict.none("I7", stack.lost_processes(), "processes that nobody collects")


def check_log(run, verdict: Verdict) -> None:
    """The outside world never crashes a program of ours, and no process of huntd ends that the fault did not end."""
    for server in (run.stack.huntd, run.stack.aggregator, *run.stack.more_servers):
        if server:
            verdict.none("I6", [line for line in server.log_text().splitlines() if BROKE_DOWN.search(line)],
                         f"lines of {server.name}'s log that tell of a crash")
            verdict.expect("I6", server.running, f"{server.name} does not run any more")
    log = run.stack.huntd.log_text()
    # What a fault led to stands between its begin and the next one's.
    until = len(log)
    for fault in reversed(run.faults):
        told = log[fault.log_from:until]
        until = fault.log_from
        verdict.none("I6", [line for line in told.splitlines() for process, text in ENDS.items()
                            if text in line and process not in fault.ends], f"processes of huntd that {fault.name} did not end")
    verdict.none("I6", [line for line in log[:until].splitlines() if any(text in line for text in ENDS.values())],
                 "processes of huntd that ended before any fault")


def check_all(run) -> Verdict:
    verdict = Verdict()
    settle(run, verdict)
    check_books(run, verdict)
    check_alive(run, verdict)
    check_troubles(run, verdict)
    check_leaks(run, verdict)
    check_log(run, verdict)
    return verdict


def program(name: str) -> str:
    return str(build_folder() / name)
