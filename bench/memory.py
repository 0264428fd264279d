# SPDX-License-Identifier: Apache-2.0
"""RSS of all huntd processes (parent, cores, admin, spawners, zygotes, workers): with 10,000 idle connections that each
got a response, and the maximum during the fleet load."""
import socket
import time

from bench.fleet_run import (CONNECTIONS, fleet_load, fleet_stack, limit_figure, load_notes, new_report, rounds_or,
                             seconds_or)
from bench.processes import family, pss_mib, rss_mib, rss_mib_of
from bench.report import Figure, Report, progress
from harness.process import wait_until

ROUNDS = rounds_or()
SECONDS = 20
IDLE_SECONDS = 3


def _connect(address: str) -> list[socket.socket]:
    """Keep-alive connections of as many hunters, each after its first response: so with the hunter's own core."""
    host, port = address.rsplit(":", 1)
    connections = []
    for number in range(CONNECTIONS):
        connection = socket.create_connection((host, int(port)), timeout=10)
        connections.append(connection)
        connection.sendall(f"GET /v1/hunts/goblin-hoard/hunters/h1-{number} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
            raise ConnectionError(f"connection {number} got no response 200")
    return connections


def _by_kind(pid: int) -> str:
    kinds: dict[str, list[float]] = {}
    for process in family(pid):
        kinds.setdefault(process.kind, []).append(rss_mib_of([process]))
    return ", ".join(f"{kind} ({len(sizes)}) {sum(sizes):.1f}" for kind, sizes in sorted(kinds.items()))


def run() -> Report:
    seconds = seconds_or(SECONDS)
    idles, mosts, notes = [], [], []
    with fleet_stack() as stack:
        for turn in range(ROUNDS):
            stack.huntd.restart()  # each round on a new stack
            pid = stack.huntd.pid
            progress(f"memory: round {turn + 1} of {ROUNDS}: {CONNECTIONS:,} idle connections")
            connections = _connect(stack.http)
            wait_until(lambda: not any(p.is_worker for p in family(pid)), 30, "the workers to go")
            most, until = 0.0, time.monotonic() + min(IDLE_SECONDS, seconds)
            while time.monotonic() < until:
                most = max(most, rss_mib(pid))
                time.sleep(0.2)
            idles.append(most)
            idle_note = f"idle: PSS {pss_mib(pid):.1f} MiB; RSS {_by_kind(pid)} MiB"
            for connection in connections:
                connection.close()
            progress(f"memory: the fleet load for {seconds:g} s")
            most, pss, kinds = 0.0, 0.0, ""

            def watch() -> None:
                nonlocal most, pss, kinds
                now = rss_mib(pid)
                if now > most:
                    most, pss, kinds = now, pss_mib(pid), _by_kind(pid)

            load = fleet_load(stack, seconds=seconds, meanwhile=watch)
            mosts.append(most)
            notes = [idle_note, f"load: PSS {pss:.1f} MiB; RSS {kinds} MiB", *load_notes(load)]
        report = new_report("memory", stack, f"medians of {ROUNDS}, each on a fresh huntd; the most of five samples a "
                            "second; RSS counts shared pages once for each process, PSS divides them", *notes)
        report.figures = [limit_figure("idle_mb", idles, "MiB", 100, stack),
                          limit_figure("load_mb", mosts, "MiB", 200, stack),
                          Figure("load_mb_most", max(mosts), "MiB")]
    return report
