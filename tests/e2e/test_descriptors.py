# SPDX-License-Identifier: Apache-2.0
"""Client sockets are slots of the core's ring: not in its descriptor table, none lost, and as many as are free."""
import os
import re
import subprocess
import sys

import pytest

from client import RawConnection, call, core_of, held, run_hunt
from harness.process import wait_until

GET = "GET /v1/core-map HTTP/1.1\r\nHost: t\r\n\r\n"
CLOSING = "GET /v1/core-map HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
PATIENT = {"worker.deadline_ms": 5000, "worker.queue_deadline_ms": 20000, "http.request_deadline_ms": 40000}


def sockets_of(pid: int) -> set[str]:
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            pass  # closed meanwhile
    return {link for link in found if link.startswith("socket:")}


def direct(stack) -> bool:
    return "client sockets are plain descriptors" not in stack.huntd.log_text()


@pytest.fixture
def crowd():
    """A function that opens connections; they are closed at the end."""
    opened: list[RawConnection] = []

    def come(address: str, count: int) -> list[RawConnection]:
        came = [RawConnection(address, timeout_s=30) for _ in range(count)]
        opened.extend(came)
        return came

    yield come
    for connection in opened:
        connection.close()


def test_idle_clients_are_not_in_the_cores_descriptor_tables(own_stack, crowd):
    stack = own_stack(settings=PATIENT).start()
    if not direct(stack):
        pytest.skip("this kernel or limit allows no direct descriptors, and huntd says so")
    before = {pid: sockets_of(pid) for pid in stack.core_pids()}
    clients = crowd(stack.http, 200)
    for number, client in enumerate(clients):
        # Half of them name a hunter of the other core, and move there.
        client.send(f"GET /v1/hunts/gold/hunters/idle-{number} HTTP/1.1\r\nHost: t\r\n\r\n")
    for client in clients:
        assert client.answer().status == 200
    # A descriptor that was handed over is closed one tick after its response.
    for pid in stack.core_pids():
        wait_until(lambda: not sockets_of(pid) - before[pid], 20, "the sockets to be out of the table")


def test_clients_above_the_bound_are_served_when_others_leave(own_stack, crowd):
    stack = own_stack(cores=1, settings={"http.connections_max": 20}).start()
    first = crowd(stack.http, 20)
    for client in first:
        client.send(GET)
        assert client.answer().status == 200
    late = crowd(stack.http, 40)
    for client in late:
        client.send(GET)
    for client in first:
        client.close()
    for client in late:
        assert client.answer().status == 200
        client.close()


def test_thousands_of_short_connections_leak_no_slot(own_stack):
    # The table has 1,044 slots: a leak of every second one would show.
    stack = own_stack(cores=1, settings={"http.connections_max": 20}).start()
    for number in range(2000):
        with RawConnection(stack.http, timeout_s=30) as client:
            client.send(CLOSING if number % 2 else GET)
            assert client.answer().status == 200
            if number % 4 == 1:
                assert client.is_closed()
    for _ in range(200):
        assert call(stack.http, "GET", "/v1/core-map").status == 200
    assert "accept paused" not in stack.huntd.log_text()


def test_moved_connections_leak_no_slot(own_stack):
    stack = own_stack(settings={**PATIENT, "http.connections_max": 20}).start()
    for number in range(1200):
        assert held(stack.http, "gold", f"moved-{number}") == {}
    for number in range(20):
        assert run_hunt(stack.http, "gold", f"moved-{number}").status == 200
    assert "accept paused" not in stack.huntd.log_text()


def test_a_core_accepts_moved_connections_up_to_its_bound(own_stack, crowd):
    bound = 20
    stack = own_stack(settings={**PATIENT, "http.connections_max": bound}).start()
    owned = [hunter for hunter in map("over-{}".format, range(10 * bound)) if core_of(stack, hunter) == 0]
    answers = []
    for hunter in owned[:3 * bound]:
        [client] = crowd(stack.http, 1)
        client.send(f"GET /v1/hunts/gold/hunters/{hunter} HTTP/1.1\r\nHost: t\r\n\r\n")
        answers.append((client, client.answer()))
    open_ones = [client for client, answer in answers if answer.status == 200]
    rejected = [(client, answer) for client, answer in answers if answer.status != 200]
    assert len(open_ones) >= bound and rejected
    assert {(answer.status, answer.problem) for _, answer in rejected} == {(503, "too-many-connections")}
    assert all(client.is_closed() for client, _ in rejected)
    for client in open_ones:
        client.close()
    wait_until(lambda: stack.metric("huntd_connections_open") == 0, 20, "the others to be gone")
    assert held(stack.http, "gold", owned[0]) == {}


def test_a_core_without_descriptors_says_so_once_and_serves_the_others(own_stack, huntd_program, crowd):
    stack = own_stack(cores=1, settings=PATIENT)
    stack.start_stores()
    limited = ("import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); "
               "os.execv(sys.argv[1], sys.argv[1:])")
    with subprocess.Popen([sys.executable, "-c", limited, huntd_program, "-c", stack.config], stderr=subprocess.PIPE,
                          text=True) as child:
        try:
            wait_until(stack.huntd.ready, 20, "huntd")
            [kept] = crowd(stack.http, 1)
            kept.send(GET)
            assert kept.answer().status == 200
            crowd(stack.http, 100)
            for _ in range(1000):  # it tries to accept 20 times per second meanwhile
                kept.send(GET)
                assert kept.answer().status == 200
        finally:
            child.terminate()
            log = child.communicate(timeout=30)[1]
    assert len(re.findall(r"accept paused: .* LimitNOFILE", log.replace('"', ""))) == 1, log[-2000:]


def test_huntd_logs_a_descriptor_limit_too_small_for_its_table(own_stack, huntd_program):
    stack = own_stack(settings=PATIENT)
    stack.start_stores()
    limited = ("import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000)); "
               "os.execv(sys.argv[1], sys.argv[1:])")
    with subprocess.Popen([sys.executable, "-c", limited, huntd_program, "-c", stack.config], stderr=subprocess.PIPE,
                          text=True) as child:
        try:
            wait_until(stack.huntd.ready, 20, "huntd")
            for number in range(40):  # some are handed over
                assert run_hunt(stack.http, "gold", f"limited-{number}").status == 200
        finally:
            child.terminate()
            log = child.communicate(timeout=30)[1]
    assert child.returncode == 0
    reported = re.findall(r"client sockets are plain descriptors.*LimitNOFILE=1000", log)
    assert len(reported) == 2, "one line per core"
