# SPDX-License-Identifier: Apache-2.0
"""Many connections at once, each with a large body: each gets a response, and 503 awards nothing
(docs/decisions/0031-back-pressure-between-cores.md). A core that is stopped does not read what the other one sends to it."""
import asyncio
import json
import os
import resource
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager

import pytest

from client import _split, hunters_of
from harness.process import wait_until

COUNT = 1500
BODY = json.dumps("x" * (16 * 1024 - 2))  # the largest that is allowed
WITHIN_S = 120
CLOSED = "closed without a response"
NOTHING_AWARDED = "503 overloaded"
# A hunt starts within a second, or not at all; a busy machine has time to end it.
HURRIED = {"worker.deadline_ms": 3000, "worker.queue_deadline_ms": 300, "http.request_deadline_ms": 4000}
PATIENT = {"worker.deadline_ms": 5000, "worker.queue_deadline_ms": 20000, "worker.queue_target_ms": 20000,
           "http.request_deadline_ms": 40000}


@pytest.fixture(autouse=True)
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * COUNT)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Connection:
    """Sends requests one by one. Returns of a response its status, with the problem if it is one; or CLOSED."""

    async def open(self, address: str) -> "Connection":
        self.reader, self.writer = await asyncio.open_connection(*_split(address))
        return self

    async def answer(self) -> str:
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = json.loads(await self.reader.readexactly(int(headers["content-length"])))
        except (asyncio.IncompleteReadError, ConnectionError):
            return CLOSED
        status = head[0].split(" ")[1]
        return status if status == "200" else f"{status} {body['type'].removeprefix('urn:huntd:problem:')}"

    async def post(self, hunt: str, hunter: str) -> str:
        self.writer.write((f"POST /v1/hunts/{hunt}/hunters/{hunter} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
                           f"Content-Length: {len(BODY)}\r\n\r\n{BODY}").encode())
        return await self.answer()

    async def get(self, hunt: str, hunter: str) -> str:
        self.writer.write(f"GET /v1/hunts/{hunt}/hunters/{hunter} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        return await self.answer()


def post_all_at_once(address: str, hunt: str, hunters: list[str]) -> list[str]:
    """Each request on a connection of its own; what they got, in the order of `hunters`."""
    async def post_one(hunter: str) -> str:
        connection = await Connection().open(address)
        try:
            return await connection.post(hunt, hunter)
        finally:
            connection.writer.close()

    async def post_all() -> list[str]:
        return await asyncio.wait_for(asyncio.gather(*map(post_one, hunters)), WITHIN_S)

    return asyncio.run(post_all())


def rss_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def test_a_connection_that_is_kept_open_keeps_little_of_a_large_body(own_stack):
    """One after the other, each on a connection that stays open: the memory of the first body serves all."""
    stack = own_stack(cores=1, settings=PATIENT).start()
    [core] = stack.core_pids()

    async def post_and_keep() -> tuple[int, int]:
        kept = []
        for number in range(COUNT):
            kept.append(await Connection().open(stack.http))
            # Of a hunt that is not there: the body is read, and no worker started.
            assert (await kept[-1].post("nothing", f"h{number}")).startswith("404"), number
            if number == COUNT // 10:
                before_kib = rss_kib(core)
        after_kib = rss_kib(core)
        for connection in kept:
            connection.writer.close()
        return before_kib, after_kib

    before_kib, after_kib = asyncio.run(asyncio.wait_for(post_and_keep(), WITHIN_S))
    # 43 KiB each if each connection kept the buffers of its body.
    assert (after_kib - before_kib) / (COUNT - COUNT // 10) < 8, (before_kib, after_kib)


def gold_of(stack, hunters: list[str], hunt: str = "gold") -> list[int]:
    """What each hunter holds, by Redis."""
    with stack.redis.client() as redis:
        found = {key.split(":")[2]: int(redis.call("HGET", key, "gold") or 0) for key in redis.keys(f"held:*:{hunt}")}
    return [found.get(hunter, 0) for hunter in hunters]


def assert_each_was_answered(stack, hunters: list[str], answers: list[str]) -> None:
    """200 awarded one gold, 503 awarded nothing, and there is nothing else."""
    assert set(answers) <= {"200", NOTHING_AWARDED}, Counter(answers)
    assert gold_of(stack, hunters) == [int(answer == "200") for answer in answers], Counter(answers)


@contextmanager
def stopped_core(stack, core: int, until: Callable[[], bool] = lambda: False):
    """SIGSTOP, and SIGCONT when `until()` is true, or at the end of the `with`."""
    pid, ended = stack.core_pids()[core], threading.Event()

    def go_on():
        while not until() and not ended.wait(0.05):
            pass
        os.kill(pid, signal.SIGCONT)
    going_on = threading.Thread(target=go_on)
    os.kill(pid, signal.SIGSTOP)
    going_on.start()
    try:
        yield
    finally:
        ended.set()
        going_on.join()
        os.kill(pid, signal.SIGCONT)


def test_each_of_many_fresh_connections_with_bodies_gets_a_response(own_stack):
    stack = own_stack(settings=PATIENT).start()
    hunters = [f"fresh-{number}" for number in range(COUNT)]
    answers = post_all_at_once(stack.http, "gold", hunters)
    assert_each_was_answered(stack, hunters, answers)
    assert "200" in answers
    assert stack.metric("huntd_connections_handed_over_total") > COUNT / 10


def test_connections_wait_while_their_core_has_no_room(own_stack):
    """Far more is for core 1 than the link between the cores holds: 12 MB."""
    stack = own_stack(settings=PATIENT).start()
    hunters = hunters_of(stack.http, 1, COUNT // 2, "waits")
    with stopped_core(stack, 1, lambda: stack.metric("huntd_connections_accepted_total") > COUNT / 3):
        answers = post_all_at_once(stack.http, "gold", hunters)
    assert_each_was_answered(stack, hunters, answers)
    assert stack.metric("huntd_connections_handed_over_total") > COUNT / 4, "core 0 accepted them, and they moved later"
    assert stack.metric('huntd_hunts_total{outcome="shed_link_full"}') == 0, "each waited less than http.request_deadline_ms"


def test_what_finds_no_room_in_time_is_503_and_was_not_awarded(own_stack):
    stack = own_stack(settings=HURRIED).start()
    hunters = hunters_of(stack.http, 1, 500, "late")
    with stopped_core(stack, 1, lambda: stack.metric('huntd_hunts_total{outcome="shed_link_full"}') > 50):
        answers = post_all_at_once(stack.http, "gold", hunters)
    assert_each_was_answered(stack, hunters, answers)
    assert stack.metric('huntd_hunts_total{outcome="shed_link_full"}') > 50, Counter(answers)
    # Afterwards connections move again.
    moving = hunters_of(stack.http, 1, 20, "after")
    wait_until(lambda: set(post_all_at_once(stack.http, "gold", moving)) == {"200"}, 60, "core 1 to serve its hunters again")


def test_a_request_that_was_not_forwarded_is_overloaded_and_one_that_was_is_unknown(own_stack):
    """Connections that have moved once stay: their requests for hunters of the other core are forwarded."""
    stack = own_stack(settings=HURRIED).start()
    [home] = hunters_of(stack.http, 0, 1, "home")
    hunters = hunters_of(stack.http, 1, 500, "forwarded")

    async def forward_all() -> list[str]:
        connections = [await Connection().open(stack.http) for _ in hunters]
        at_home = await asyncio.gather(*[connection.get("gold", home) for connection in connections])
        assert set(at_home) == {"200"}, Counter(at_home)
        with stopped_core(stack, 1):
            return await asyncio.gather(*[connection.post("gold", hunter) for connection, hunter in zip(connections, hunters)])

    answers = Counter(asyncio.run(asyncio.wait_for(forward_all(), WITHIN_S)))
    assert set(answers) == {NOTHING_AWARDED, "424 outcome-unknown"}, answers
    assert answers[NOTHING_AWARDED] > 100, answers
    # Core 1 reads those that were sent too late to start them.
    wait_until(lambda: stack.metric('huntd_hunts_total{outcome="shed_late"}') >= answers["424 outcome-unknown"], 60,
               "core 1 to reject what was sent to it")
    assert gold_of(stack, hunters) == [0] * len(hunters)


def test_many_requests_of_one_hunter_get_200_or_503_and_start_no_worker_in_vain(own_stack):
    """The latest start of a hunt is 210 ms after its request, so most of them must not start."""
    stack = own_stack(settings={"worker.deadline_ms": 10_000, "worker.queue_deadline_ms": 200, "http.request_deadline_ms": 10_210,
                                "worker.hunter_queue_max": 8}).start()  # a busy machine sends less in 210 ms than 64 requests
    answers = Counter(post_all_at_once(stack.http, "slow", ["hot"] * COUNT))
    assert {NOTHING_AWARDED} <= set(answers) <= {"200", NOTHING_AWARDED}, answers
    assert gold_of(stack, ["hot"], "slow") == [answers["200"]]
    assert stack.metric("huntd_worker_runs_total") == answers["200"], "no worker was started for a request that was rejected"
    assert stack.metric("huntd_script_failures_total") == 0
    rejected = {outcome: stack.metric(f'huntd_hunts_total{{outcome="{outcome}"}}') for outcome in
                ("shed_hunter_queue", "shed_late", "deadline")}
    assert rejected["deadline"] == 0 and rejected["shed_hunter_queue"] > 0, rejected
    wait_until(lambda: post_all_at_once(stack.http, "slow", ["hot"]) == ["200"], 60, "the hunter to be served again")


def test_a_hunters_queue_has_a_bound_that_a_reload_changes(own_stack):
    """One request runs and `worker.hunter_queue_max` wait; the next one is rejected at once, and other hunters are not affected."""
    stack = own_stack(settings={**PATIENT, "worker.hunter_queue_max": 2}).start()
    assert Counter(post_all_at_once(stack.http, "slow", ["hot"] * 20))[NOTHING_AWARDED] > 0
    assert post_all_at_once(stack.http, "slow", ["cold"]) == ["200"]
    stack.set(worker__hunter_queue_max=64)
    stack.huntd.signal(signal.SIGHUP)
    wait_until(lambda: set(post_all_at_once(stack.http, "slow", ["hot"] * 20)) == {"200"}, 60, "the new bound")
