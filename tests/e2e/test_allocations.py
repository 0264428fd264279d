# SPDX-License-Identifier: Apache-2.0
"""In steady state a request allocates nothing from the heap, on the HTTP path and on the Redis path."""
import itertools

import pytest

from client import RawConnection
from harness.huntd_stack import build_folder

pytestmark = [pytest.mark.alone(reason="each request that waits longer than any before it allocates memory"),
              pytest.mark.skipif(build_folder().name == "asan",
                                 reason="AddressSanitizer has its own heap, and the pool returns every block to it")]

COUNTER = build_folder() / "tests" / "harness" / "count_allocations.so"
CONNECTIONS = 16
ROUNDS = 300
# Not zero: sometimes more requests are in flight than ever before.
ALLOCATIONS_PER_REQUEST_MAX = 0.05

HUNT = "POST /v1/hunts/gold/hunters/{hunter} HTTP/1.1\r\nHost: t\r\n"


def core_map(hunter: str, turn: int) -> str:
    return "GET /v1/core-map HTTP/1.1\r\nHost: t\r\n\r\n"


def held(hunter: str, turn: int) -> str:
    return f"GET /v1/hunts/gold/hunters/{hunter} HTTP/1.1\r\nHost: t\r\n\r\n"


def hunt(hunter: str, turn: int) -> str:
    return HUNT.format(hunter=hunter) + "Content-Length: 0\r\n\r\n"


def keyed_hunt(hunter: str, turn: int) -> str:
    body = '{"a":[1,"b"]}'
    return (HUNT.format(hunter=hunter) + f"Idempotency-Key: a-key-of-usual-length-{turn:08}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}")


def replay(hunter: str, turn: int) -> str:
    return HUNT.format(hunter=hunter) + "Idempotency-Key: always-the-same-key\r\nContent-Length: 0\r\n\r\n"


def no_such_hunt(hunter: str, turn: int) -> str:
    return f"POST /v1/hunts/nowhere/hunters/{hunter} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("mode", ["batch", "process"])
def test_a_request_in_steady_state_allocates_nothing(own_stack, tmp_path, mode):
    counts = tmp_path / "counts"
    counts.mkdir()
    stack = own_stack(cores=2, settings={"worker.isolation": mode})
    stack.huntd.environment = {"LD_PRELOAD": str(COUNTER), "HUNTD_TEST_ALLOCATIONS": str(counts)}
    stack.start()
    cores = stack.core_pids()

    def allocations() -> int:
        return sum(int.from_bytes((counts / str(pid)).read_bytes(), "little") for pid in cores)

    before_all = allocations()
    assert before_all > 100, "the counter counts: a core's start allocates"
    clients = [RawConnection(stack.http, timeout_s=30) for _ in range(CONNECTIONS)]
    turns = itertools.count()

    # A client's hunters change, so that every second request or so is forwarded to the other core.
    def ask(request, rounds: int, status: int) -> None:
        for turn in itertools.islice(turns, rounds):
            for number, client in enumerate(clients):
                client.send(request(f"hunter-of-usual-length-{(number + turn) % (2 * CONNECTIONS):04}", turn))
            for client in clients:
                assert client.answer().status == status

    found = {}
    for request, status in [(core_map, 200), (held, 200), (hunt, 200), (keyed_hunt, 200), (replay, 200),
                            (no_such_hunt, 404)]:
        ask(request, ROUNDS, status)  # until everything has grown as large as it has to be
        before = allocations()
        ask(request, ROUNDS, status)
        found[request.__name__] = (allocations() - before) / (ROUNDS * CONNECTIONS)
    for client in clients:
        client.close()
    assert all(each <= ALLOCATIONS_PER_REQUEST_MAX for each in found.values()), found
