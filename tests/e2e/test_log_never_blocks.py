# SPDX-License-Identifier: Apache-2.0
"""Nothing waits for a log: stderr is a pipe that is not read, or a socket of a journal that is stopped."""
import concurrent.futures
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from aggregator_pipeline import aggregator_program, metric
from client import run_hunt
from harness.process import wait_until
from loot_events import expected_rows, make_events

# Two long lines for each hunt: its own, and that it failed.
FAILS = 'return function(hunt)\n  hunt.log(("l"):rep(900))\n  error(("e"):rep(400))\nend\n'
STOPS_WITHIN_S = 30
PATIENT = {"worker.deadline_ms": 5000, "worker.queue_deadline_ms": 20000, "http.request_deadline_ms": 40000}
TO_A_SOCKET = """
import os, socket, sys
journal = socket.socket(socket.AF_UNIX)
journal.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
journal.connect(sys.argv[1])
os.dup2(journal.fileno(), 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Pipe:
    """A log that is not read until read() is called."""

    def __init__(self, directory):
        self.path = directory / "log-pipe"
        os.mkfifo(self.path)
        self.reader = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(self.reader, fcntl.F_SETPIPE_SZ, 4096)
        self.before = ["sh", "-c", f'exec "$@" 2>>{self.path}', "sh"]  # words in front of a command

    def read(self) -> str:
        text = b""
        try:
            while got := os.read(self.reader, 1 << 16):
                text += got
        except BlockingIOError:
            pass
        return text.decode()

    def close(self) -> None:
        os.close(self.reader)


class Journal:
    """The same as a stream socket, which systemd makes stderr."""

    def __init__(self, directory):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(directory / "journal"))
        self.listener.listen()
        self.connection: socket.socket | None = None
        self.before = [sys.executable, "-c", TO_A_SOCKET, str(directory / "journal")]

    def read(self) -> str:
        if self.connection is None:
            self.connection, _ = self.listener.accept()
            self.connection.setblocking(False)
        text = b""
        try:
            while got := self.connection.recv(1 << 16):
                text += got
        except BlockingIOError:
            pass
        return text.decode()

    def close(self) -> None:
        self.listener.close()
        if self.connection is not None:
            self.connection.close()


@pytest.fixture(params=[Pipe, Journal])
def log(request, tmp_path):
    made = request.param(tmp_path)
    yield made
    made.close()


def fail_hunts(stack, count: int) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: run_hunt(stack.http, "fails", f"hunter-{number}"), range(count)))
    assert {(answer.status, answer.problem) for answer in answers} == {(500, "script-failed")}


def lines_dropped(stack) -> float:
    return stack.metric("huntd_log_lines_dropped_total")


@pytest.mark.parametrize("isolation", ["process", "fork"])
def test_huntd_with_a_log_that_is_not_read(own_stack, tmp_path, log, isolation):
    hunts = tmp_path / "hunts"
    hunts.mkdir()
    (hunts / "fails.lua").write_text(FAILS)
    stack = own_stack(hunts=hunts, cores=1, before_huntd=log.before, settings={**PATIENT, "worker.isolation": isolation}).start()
    pids = stack.core_pids()
    fail_hunts(stack, 1000)
    assert lines_dropped(stack) > 0
    stack.huntd.signal(signal.SIGHUP)  # the parent writes to the same log

    # Its reader comes back: it gets whole lines, and how many it has missed.
    seen = []
    wait_until(lambda: seen.append(log.read()) or "log lines were dropped" in "".join(seen), 60, "the number of lines dropped")
    reported = [int(number) for number in re.findall(r"<4>(\d+) log lines were dropped core=0 ", "".join(seen))]
    assert sum(reported) > 0
    for line in "".join(seen).splitlines():
        assert re.match(r"<[3-6]>[a-z0-9]", line) and line.count("<4>") + line.count("<6>") <= 1, line
    assert stack.core_pids() == pids

    # And a drain is in time with a log that is full again.
    before = lines_dropped(stack)
    wait_until(lambda: fail_hunts(stack, 100) or lines_dropped(stack) > before, 120, "more lines to be dropped")
    started = time.monotonic()
    assert stack.huntd.stop() == 0
    assert time.monotonic() - started < STOPS_WITHIN_S


def test_a_start_that_fails_ends_with_a_log_that_is_not_read(tmp_path, huntd_program, log):
    config = tmp_path / "bad.toml"
    config.write_text("".join(f"[section{number}]\nkey = 1\n" for number in range(2000)))
    ended = subprocess.run([*log.before, huntd_program, "-c", str(config)], timeout=60, check=False)
    assert ended.returncode == 78


def test_hunt_aggregator_with_a_log_that_is_not_read(pipeline, tmp_path, log):
    path, listen = pipeline.config()
    if isinstance(log, Pipe):
        os.write(log.reader, b"." * 4096)  # full from the start
    process = subprocess.Popen([*log.before, aggregator_program(), "-c", path])
    try:
        events = make_events(1, 500)
        pipeline.put(events)
        wait_until(lambda: pipeline.outbox_length() == 0, 60, "the events to be merged")
        assert pipeline.rows() == expected_rows(events)
        assert metric(listen, "hunt_aggregator_log_lines_dropped_total") is not None
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOPS_WITHIN_S) == 0
    finally:
        process.kill()
        process.wait()
    if isinstance(log, Pipe):
        assert log.read().startswith("." * 4096)
