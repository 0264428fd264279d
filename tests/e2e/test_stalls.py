# SPDX-License-Identifier: Apache-2.0
"""A core that was stopped in the middle of a tick reports it: in a counter, and by a line in its log."""
import os
import re
import signal
import socket
import threading
import time

import pytest

from client import call
from harness.process import wait_until

pytestmark = pytest.mark.alone(reason="other load makes a core wait, and that is counted here")
STOP_S = 0.05
# Long heads and short answers: the core's time goes into parsing, which is inside the tick.
REQUEST = b"GET /nowhere HTTP/1.1\r\nHost: t\r\n" + b"".join(b"A%d: %s\r\n" % (i, b"x" * 100) for i in range(60)) + b"\r\n"


def long_ticks(stack) -> float:
    text = call(stack.admin, "GET", "/metrics").body.decode()
    return float(re.search(r'^huntd_ticks_long_total{core="0",reason="stalled"} (\S+)$', text, re.M).group(1))


def lines_of_a_stop(stack) -> list[str]:
    """What the log says of ticks that were as long as a stop and hardly ran."""
    line = r"a tick took long core=0 tick_ms=(\S+) cpu_ms=(\S+) waited_ms=\S+ reason=stalled stack=none suppressed=\d+"
    return [found[0] for found in re.finditer(line, stack.huntd.log_text())
            if float(found[1]) >= STOP_S * 1000 and float(found[2]) < float(found[1]) / 2]


def keep_busy(stack, ended: threading.Event) -> list[threading.Thread]:
    host, port = stack.http.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)))

    def send():
        while not ended.is_set():
            connection.sendall(REQUEST * 30)
        connection.shutdown(socket.SHUT_WR)

    def receive():
        with connection:
            while connection.recv(1 << 20):
                pass

    return [threading.Thread(target=send), threading.Thread(target=receive)]


def test_a_core_stopped_in_the_middle_of_a_tick_is_reported(own_stack):
    stack = own_stack(cores=1).start()
    pid = stack.core_pids()[0]
    before = long_ticks(stack)
    ended = threading.Event()
    threads = [thread for _ in range(3) for thread in keep_busy(stack, ended)]
    for thread in threads:
        thread.start()

    def stop_hits_a_tick():  # and not the wait between two
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(STOP_S)
        finally:
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.01)
        return lines_of_a_stop(stack)

    try:
        wait_until(stop_hits_a_tick, 60, "a stop in the middle of a tick")
        wait_until(lambda: long_ticks(stack) > before, 10, "huntd_ticks_long_total to grow")
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert stack.core_pids()[0] == pid
