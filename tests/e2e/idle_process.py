# SPDX-License-Identifier: Apache-2.0
"""Measures that processes do nothing: their CPU time, and the commands that their Redis executes meanwhile."""
import contextlib
import os
import pathlib
import time

WINDOW_S = 10
CPU_SHARE_MAX = 0.01
COMMANDS_PER_S_MAX = 10


def cpu_s(pid: int) -> float:
    """User and system time of all its threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def commands_executed(client) -> int:
    """Since the server started; commands of scripts count too."""
    lines = dict(line.split(":", 1) for line in client.call("INFO", "stats").splitlines() if ":" in line)
    return int(lines["total_commands_processed"])


class Window:
    """From now on. `redis_client`: a connection to a Redis that no other client uses; None: there is no Redis."""

    def __init__(self, process, redis_client=None):
        self._process, self._redis = process, redis_client
        self._commands = commands_executed(redis_client) if redis_client else 0
        self._cpu_s, self._start_s = cpu_s(process.pid), time.monotonic()

    def assert_idle(self) -> None:
        assert self._process.poll() is None, "the process has ended"
        duration_s = time.monotonic() - self._start_s
        share = (cpu_s(self._process.pid) - self._cpu_s) / duration_s
        if self._redis:
            # Without the INFO of this function.
            rate = (commands_executed(self._redis) - self._commands - 1) / duration_s
            assert rate < COMMANDS_PER_S_MAX, f"{rate:.1f} commands per second\n{self._redis.call('INFO', 'commandstats')}"
        assert share < CPU_SHARE_MAX, f"{share * 100:.2f} % of a CPU"


def measure(runs) -> None:
    """A step of together.Group, in one window. A scenario gives its process and, unless there is none, the Redis client; or
    nothing, to be left out."""
    windows = []
    for run in filter(lambda run: run.given, runs):
        with run.noting_failure():
            windows.append((run, Window(*run.given)))
    time.sleep(WINDOW_S)
    for run, window in windows:
        with run.noting_failure():
            window.assert_idle()


@contextlib.contextmanager
def stopped(server):
    """A server that others use too: killed, and started again at the end."""
    server.kill()
    try:
        yield
    finally:
        if not server.running:
            server.start()
