# SPDX-License-Identifier: Apache-2.0
"""http.idle_exit_s: a huntd under socket activation that ends when no request comes, and that the next one starts. This test is
the systemd here; tests/systemd has a real one."""
import contextlib
import select
import socket
import subprocess
import sys
import threading
import time

import pytest

from client import RawConnection, call, run_hunt
from harness.ports import reserve_port
from harness.process import wait_until

IDLE_S = 1
# Becomes huntd with the descriptor of its first argument as systemd passes it.
PASS = ("import os, sys\nos.dup2(int(sys.argv[1]), 3)\n"
        "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1', 'LISTEN_FDNAMES': 'http'}\n"
        "os.execv(sys.argv[2], sys.argv[2:])")
REQUEST = b"POST /v1/hunts/gold/hunters/%s HTTP/1.1\r\nHost: a\r\n\r\n"


class Activator:
    """Holds the listening socket of a stack, and starts its huntd when a connection waits there."""

    def __init__(self, stack):
        self.stack = stack
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        host, port = stack.http.rsplit(":", 1)
        self.socket.bind((host, int(port)))
        self.socket.listen(64)
        command = stack.huntd.command()
        stack.huntd.inherited = [self.socket.fileno()]
        stack.huntd.command = lambda: [sys.executable, "-c", PASS, str(self.socket.fileno()), *command]

    def start_when_called(self) -> float:
        """Waits for a connection, then launches huntd and returns the time of the launch."""
        assert select.select([self.socket], [], [], 60)[0], "no connection came"
        at = time.monotonic()
        self.stack.huntd.launch()
        return at

    def await_exit(self) -> float:
        """Waits until huntd has ended by itself, without a fault; returns when."""
        wait_until(lambda: not self.stack.huntd.running, 60, "the exit of the idle huntd", 0.005)
        assert self.stack.huntd.stop() == 0, self.stack.huntd.log_tail()
        return time.monotonic()


@pytest.fixture
def activated(own_stack):
    """A stack whose huntd is not started yet, and its activator."""
    stack = own_stack(settings={"http.idle_exit_s": IDLE_S, "http.drain_delay_ms": 600_000})
    stack.start_stores()
    activator = Activator(stack)
    with contextlib.closing(activator.socket):
        yield stack, activator


def exits(stack) -> int:
    return stack.huntd.log_text().count("no request came: stopping until the next one")


def test_an_idle_host_exits_and_the_next_request_starts_it(activated):
    stack, activator = activated
    for number in range(1, 4):
        with RawConnection(stack.http) as kept:
            sent_at = time.monotonic()
            kept.send(REQUEST % b"ada")
            launched_at = activator.start_when_called()
            answer = kept.answer()
            answered_at = time.monotonic()
            assert answer.status == 200, answer.json
            # Neither a kept connection nor a caller of the admin port is a request.
            while stack.huntd.running:
                call_admin(stack)
            ended_at = activator.await_exit()
            assert kept.is_closed(), "a drain closes an idle connection"
        print(f"start {number}: {1000 * (answered_at - launched_at):.0f} ms from the launch to the first response "
              f"(sent {1000 * (launched_at - sent_at):.1f} ms before), exit after {ended_at - answered_at:.2f} s")
        assert ended_at - answered_at >= IDLE_S
        assert exits(stack) == number
    assert "draining deadline" in stack.huntd.log_text() and "not ready: draining soon" not in stack.huntd.log_text()


def call_admin(stack) -> None:
    with contextlib.suppress(OSError):
        call(stack.admin, "GET", "/metrics")


def test_requests_keep_a_host_running(activated):
    stack, activator = activated
    answered = [0.0]
    ended = threading.Event()

    def play() -> None:
        first = time.monotonic()
        while time.monotonic() - first < 3 * IDLE_S:
            assert run_hunt(stack.http, "gold", "ada").status == 200
            answered[0] = time.monotonic()
        ended.set()

    player = threading.Thread(target=play)
    player.start()
    activator.start_when_called()
    while not ended.is_set():
        if not stack.huntd.running:  # only if the machine stood still
            assert time.monotonic() - answered[0] >= IDLE_S
            activator.start_when_called()
        ended.wait(0.05)
    player.join()
    assert activator.await_exit() - answered[0] >= IDLE_S


def test_a_request_that_meets_the_exit_is_served(activated):
    stack, activator = activated
    answers: list = []

    def meet(number: int) -> None:
        wait_until(lambda: exits(stack) >= number, 60, "the exit to begin", 0.001)
        for each in range(8):
            answers.append(run_hunt(stack.http, "gold", f"h{each}", key=f"{number}-{each}").status)

    first = threading.Thread(target=lambda: answers.append(run_hunt(stack.http, "gold", "ada").status))
    first.start()
    for number in range(1, 6):
        activator.start_when_called()
        client = threading.Thread(target=meet, args=(number,))
        client.start()
        activator.await_exit()
    activator.start_when_called()
    client.join()
    first.join()
    assert answers == [200] * (1 + 5 * 8)


def test_without_a_socket_of_systemd_it_does_not_start(own_stack):
    stack = own_stack(settings={"http.idle_exit_s": IDLE_S})
    stack.start_stores()
    done = subprocess.run(stack.huntd.command(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    assert "http.idle_exit_s: systemd passed no socket for the public port, so nothing would start huntd again" in done.stderr


def test_events_that_wait_for_kafka_keep_a_host_running(own_stack):
    nothing = reserve_port()
    stack = own_stack(settings={"http.idle_exit_s": IDLE_S, "kafka.bootstrap": nothing.address, "kafka.delivery_timeout_ms": 1000})
    stack.start_stores()
    activator = Activator(stack)
    with contextlib.closing(activator.socket):
        client = threading.Thread(target=lambda: run_hunt(stack.http, "gold", "ada"))
        client.start()
        activator.start_when_called()
        client.join()
        stack.huntd.await_ready()
        wait_until(lambda: stack.metric("huntd_outbox_pending") >= 1, 60, "the outbox to be counted")
        assert stack.huntd.running and exits(stack) == 0
    nothing.release()
