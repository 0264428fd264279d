# SPDX-License-Identifier: Apache-2.0
"""Many clients that behave badly. Other clients are not affected (docs/configuration.md, "The public port": each stage of a
request is bounded)."""
import contextlib
import json
import time

from client import RawConnection, core_of, held
from faults.crowd import Crowd
from faults.scenario import scenario
from faults.sprayed import Sprayed

SLOW = 5000
BODIES = 1500
IDLE = 15_000
IDLE_CROWDS = 2     # some machines allow 20,000 descriptors per process: each crowd stays well below
PATIENT_LOAD = {"rate": 60}
FIGURES = {"connected", "most_open", "core_grew_kib"}
SHORT = {"http.send_deadline_ms": 3000}


def resident_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def beside_a_crowd(run, manner: str, seconds: float, count: int = SLOW, crowds: int = 1) -> dict:
    """`count` clients connect, stay for `seconds` beside the load, and leave; returns what they saw, which is reported too."""
    stack = run.stack
    before_kib = max(map(resident_kib, stack.core_pids()))
    with contextlib.ExitStack() as opened:
        came = [opened.enter_context(Crowd(stack.http, manner, count // crowds, seed=run.draw.randrange(2**32)))
                for _ in range(crowds)]
        for crowd in came:
            crowd.await_there()
        until_s, there = time.monotonic() + seconds, 0.0
        while time.monotonic() < until_s:
            there = max(there, stack.metric("huntd_connections_open"))
            run.go_on_for(0.5)
        core_kib = max(map(resident_kib, stack.core_pids()))
        saw = {}
        for crowd in came:
            for what, times in crowd.end().items():
                saw[what] = saw.get(what, 0) + times
    run.lifted()
    figures = {**saw, "most_open": int(there), "core_grew_kib": core_kib - before_kib}
    run.checks.append(lambda _, report: report.figures.update({manner: figures}))
    run.await_(lambda: stack.metric("huntd_connections_open") < 100, 20, "the crowd's connections to be gone")
    return figures


@scenario(load=PATIENT_LOAD)
def slowloris_in_the_head(run):
    """5,000 clients send one byte of their head per second: each gets 408 http.read_deadline_ms after its first byte
    (docs/configuration.md; docs/http-api.md `request-timeout`); other clients are not affected."""
    saw = beside_a_crowd(run, "slow_head", run.span(15, 11))
    run.expect(saw["most_open"] > SLOW // 2, f"most of them were connected at the same time: {saw}")
    run.expect(saw.get("408", 0) >= SLOW, f"each got 408 at least once: {saw}")
    run.expect(set(saw) <= FIGURES | {"408"}, f"and nothing else: {saw}")


@scenario(load=PATIENT_LOAD)
def slowloris_in_the_body(run):
    """The same in the body, which the same deadline bounds; each names a hunter, so half of them move to the other core first.
    No request of them is run."""
    run.other_hunters |= {f"slow-{index}" for index in range(SLOW)}
    saw = beside_a_crowd(run, "slow_body", run.span(15, 11))
    run.expect(saw["most_open"] > SLOW // 2, f"most of them were connected at the same time: {saw}")
    run.expect(saw.get("408", 0) >= SLOW, f"each got 408 at least once: {saw}")
    run.expect(set(saw) <= FIGURES | {"408"}, f"and nothing else: {saw}")
    run.expect(held(run.stack.http, "gold", "slow-1") == {}, "no request of them was run")


@scenario(settings=SHORT, load=PATIENT_LOAD)
def readers_that_do_not_read(run):
    """5,000 clients request a megabyte each and read nothing, or 16 bytes per second: closed http.send_deadline_ms after the
    response's first byte; the memory of a core for them is bounded (limits::connection_input_bytes_max each)."""
    before = run.stack.metric('huntd_connections_expired_total{reason="response_read"}')
    saw = beside_a_crowd(run, "deaf", run.span(10, 5))
    cut = run.stack.metric('huntd_connections_expired_total{reason="response_read"}') - before
    run.expect(cut >= SLOW, f"{cut:.0f} were closed while they did not read: {saw}")
    run.expect(saw["core_grew_kib"] < SLOW * 80, f"a core keeps less than 80 KiB for each: {saw}")


@scenario(load=PATIENT_LOAD)
def idle_connections(run):
    """15,000 clients that send one request and are idle then: fewer than http.connections_max of each core, so all stay
    until http.idle_deadline_ms, and cost only memory. (20,000 descriptors per process is the limit of some machines; a core's
    table of http.connections_max + 1024 slots is below it.)"""
    saw = beside_a_crowd(run, "idle", run.span(8, 3), IDLE, IDLE_CROWDS)
    run.expect(saw["most_open"] >= IDLE and saw.get("closed", 0) == 0, f"all of them stay: {saw}")
    run.expect(saw.get("200") == IDLE, f"each was served once: {saw}")


@scenario(load=PATIENT_LOAD, chaos=True)
def connections_that_come_and_go(run):
    """Connect, one request, close, as fast as 100 clients can on this machine: each gets 200; no slot, descriptor or
    port leaks (I7), and other clients are not affected."""
    saw = beside_a_crowd(run, "churn", run.span(10, 3), 100)
    run.expect(saw["200"] > 500 and set(saw) <= FIGURES | {"200"},
               f"each of them was answered 200: {saw}")


@scenario(may_see={"overloaded"}, load=PATIENT_LOAD)
def many_fresh_connections_with_bodies(run):
    """1,500 clients connect at once, each with a POST of 16 KiB, and again as soon as they have a response: half of the
    connections move to the other core, which is more than a link holds. None is closed without a response; what huntd has no
    time for is 503 (docs/operations.md "Overload", decision 31), also for other clients; a core's memory stays bounded."""
    run.other_hunters |= {f"body-{index}" for index in range(BODIES)}
    moved = run.stack.metric("huntd_connections_handed_over_total")
    failed = run.stack.metric("huntd_script_failures_total")
    saw = beside_a_crowd(run, "bodies", run.span(10, 4), BODIES)
    run.expect(saw.get("200", 0) > BODIES / 3, f"hunts were run: {saw}")
    run.expect(set(saw) <= FIGURES | {"200", "503"}, f"each request got a response: {saw}")
    run.expect(run.stack.metric("huntd_connections_handed_over_total") - moved > BODIES / 4, "connections moved")
    run.expect(run.stack.metric("huntd_script_failures_total") == failed, "no script failed")
    run.expect(saw["core_grew_kib"] < BODIES * 150, f"a core keeps less than 150 KiB for each: {saw}")


@scenario(load=PATIENT_LOAD, chaos=True)
def resets_in_the_middle(run):
    """RST (SO_LINGER 0, socket(7)) in a head, in a body, in a hunt and in a response: an incomplete request is
    not run; a complete request is run and its award stays (docs/http-api.md "Retries"); other clients are not affected."""
    run.other_hunters |= {f"reset-{index}" for index in range(50)}
    saw = beside_a_crowd(run, "reset", run.span(10, 3), 60)
    run.expect(min(saw.get(where, 0) for where in ("in a head", "in a body", "in a hunt", "in a response")) > 50,
               f"all four happened: {saw}")


@scenario(chaos=True)
def a_thousand_pipelined_requests(run):
    """1,000 requests on one connection and no reading meanwhile: huntd reads up to its bounds, TCP holds back the rest, and the
    requests run one at a time; read later, all responses arrive in order (RFC 9112 section 9.3.2)."""
    count = int(run.span(1000, 300))
    hunters = [f"pipeline-{run.draw.randrange(2**32)}" for _ in range(3)]
    run.other_hunters |= set(hunters)
    with contextlib.ExitStack() as opened:
        connections = [opened.enter_context(RawConnection(run.stack.http, timeout_s=60)) for _ in hunters]
        for connection, hunter in zip(connections, hunters):
            connection.send(f"POST /v1/hunts/gold/hunters/{hunter} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n" * count)
        run.go_on_for(2)
        for connection, hunter in zip(connections, hunters):
            answers = [connection.answer() for _ in range(count)]
            run.expect([answer.status for answer in answers] == [200] * count, "each gets 200")
            run.expect([json.loads(answer.body)["result"]["before"] for answer in answers] == list(range(count)),
                       "each hunt saw the award of the one before it")
            run.expect(held(run.stack.http, "gold", hunter) == {"gold": count}, "one award per request")


@scenario(smoke=True, chaos=True)
def the_same_key_five_times_at_once(run):
    """Five clients send the same request with the same Idempotency-Key at the same time, over connections on both cores: one
    awards, the others get its response, and every store has the award once (docs/http-api.md "Retries", docs/guarantees.md)."""
    rounds = int(run.span(200, 40))
    hunter = f"five-{run.draw.randrange(2**32)}"
    run.other_hunters.add(hunter)
    at_home = {core_of(run.stack, f"home-{n}"): f"home-{n}" for n in range(20)}
    run.expect(set(at_home) == {0, 1}, f"hunters of both cores: {at_home}")
    with contextlib.ExitStack() as opened:
        connections = [opened.enter_context(RawConnection(run.stack.http, timeout_s=30)) for _ in range(5)]
        for number, connection in enumerate(connections):  # it moves to the core of the first hunter in its requests
            connection.send(f"GET /v1/hunts/gold/hunters/{at_home[number % 2]} HTTP/1.1\r\nHost: t\r\n\r\n")
            run.expect(connection.answer().status == 200, "a connection at home")
        for number in range(rounds):
            request = (f"POST /v1/hunts/gold/hunters/{hunter} HTTP/1.1\r\nHost: t\r\nIdempotency-Key: five-{number}\r\n"
                       "Content-Length: 0\r\n\r\n")
            for connection in connections:
                connection.send(request)
            answers = [connection.answer() for connection in connections]
            reported = [answer.json for answer in answers if answer.status == 200]
            run.expect(len(reported) == 5, f"all get 200: {[answer.status for answer in answers]}")
            run.expect(len({one["loot"][0]["event_id"] for one in reported}) == 1, "all have the same event")
            run.expect(sorted(one["replayed"] for one in reported) == [False, True, True, True, True],
                       f"one awarded, four were replays: {[one['replayed'] for one in reported]}")
    run.expect(held(run.stack.http, "gold", hunter) == {"gold": rounds}, "each key awarded once")


@scenario()
def proxy_sprays(run):
    """Three hosts of one ledger and a proxy that sends each request to any of them: the same hunters on all at once, with the same
    and with other keys, while one host is killed and comes back. Nothing is given twice, a hunter's seqs have no hole, and each
    key has one response (docs/several-hosts.md "What happens"). Only the order of a hunter's events in Kafka is not kept: one
    core's is (docs/guarantees.md, "Order")."""
    hunters = [f"sprayed-{number}" for number in range(7)]
    run.other_hunters |= set(hunters)
    run.other_producer = True
    others = [run.stack.start_another_huntd(number) for number in (2, 3)]
    addresses = [run.stack.http, *(other.http for other in others)]
    count = int(run.span(300, 60))
    with Sprayed(addresses, hunters, run.draw.randrange(2**32)) as sprayed:
        sprayed.await_more(count)
        others[0].kill()
        sprayed.await_more(count)
        others[0].start()
        sprayed.await_more(count)
    for other in others:
        run.stack.stop_another_huntd(other)
    run.expect(sprayed.failed.keys() <= {"broken", "conflict", "outcome-unknown", "overloaded"}, f"clients saw {dict(sprayed.failed)}")
    run.expect(sprayed.failed["broken"] > 0, "the kill was seen")
    run.checks.append(sprayed.check)
