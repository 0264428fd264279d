# SPDX-License-Identifier: Apache-2.0
"""RSS of all huntd processes (parent, cores, admin, spawners, zygotes, workers): with 10,000 idle connections that each
got a response, the maximum during the fleet load, what an idle connection keeps after a body of 16 KB, and 64 idle cores."""
import pathlib
import socket
import tempfile
import time

from bench.fleet_run import (CONNECTIONS, await_drained, fleet_load, fleet_stack, limit_figure, load_notes, new_report, rounds_or,
                             seconds_or)
from bench.processes import family, pss_mib, rss_mib, rss_mib_of
from bench.report import Figure, Report, progress
from harness.huntd_stack import HuntdStack
from harness.process import wait_until

ROUNDS = rounds_or()
SECONDS = 20
IDLE_SECONDS = 3
BODY_CONNECTIONS = 2000
BODY_BYTES = 16_384


def _connect(address: str, count: int = CONNECTIONS) -> list[socket.socket]:
    """Keep-alive connections of as many hunters, each after its first response: so with the hunter's own core."""
    host, port = address.rsplit(":", 1)
    connections = []
    for number in range(count):
        connection = socket.create_connection((host, int(port)), timeout=10)
        connections.append(connection)
        _call(connection, f"GET /v1/hunts/goblin-hoard/hunters/h1-{number} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
    return connections


def _call(connection: socket.socket, request: bytes) -> None:
    connection.sendall(request)
    got = connection.recv(4096)
    if not got.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"a connection got no response 200: {got[:200]!r}")


def _settled_rss(pid: int) -> float:
    """The most in a few seconds without a worker."""
    wait_until(lambda: not any(p.is_worker for p in family(pid)), 30, "the workers to go")
    most, until = 0.0, time.monotonic() + min(IDLE_SECONDS, seconds_or(SECONDS))
    while time.monotonic() < until:
        most = max(most, rss_mib(pid))
        time.sleep(0.2)
    return most


def _kept_kb(stack) -> float:
    """What each idle connection keeps in a fresh huntd after a request with a body of 16 KB, in KiB of RSS."""
    stack.huntd.restart()
    pid = stack.huntd.pid
    before = _settled_rss(pid)
    connections = _connect(stack.http, BODY_CONNECTIONS)
    body = b'"' + b"x" * (BODY_BYTES - 2) + b'"'
    for number, connection in enumerate(connections):
        _call(connection, f"POST /v1/hunts/goblin-hoard/hunters/h1-{number} HTTP/1.1\r\nHost: bench\r\n"
                          f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    kept = 1024 * (_settled_rss(pid) - before) / len(connections)
    for connection in connections:
        connection.close()
    return kept


def _many_cores(count: int) -> tuple[float, float]:
    """RSS and PSS of an idle huntd with so many cores, in MiB."""
    with tempfile.TemporaryDirectory() as name, HuntdStack(pathlib.Path(name) / "stack", cores=count, aggregator=False) as stack:
        return _settled_rss(stack.huntd.pid), pss_mib(stack.huntd.pid)


def _by_kind(pid: int) -> str:
    kinds: dict[str, list[float]] = {}
    for process in family(pid):
        kinds.setdefault(process.kind, []).append(rss_mib_of([process]))
    return ", ".join(f"{kind} ({len(sizes)}) {sum(sizes):.1f}" for kind, sizes in sorted(kinds.items()))


def run() -> Report:
    seconds = seconds_or(SECONDS)
    idles, mosts, kept, notes = [], [], [], []
    with fleet_stack() as stack:
        for turn in range(ROUNDS):
            stack.huntd.restart()  # each round on a new stack
            pid = stack.huntd.pid
            progress(f"memory: round {turn + 1} of {ROUNDS}: {CONNECTIONS:,} idle connections")
            connections = _connect(stack.http)
            idles.append(_settled_rss(pid))
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
            await_drained(stack)
            progress(f"memory: {BODY_CONNECTIONS:,} connections with a body of {BODY_BYTES:,} bytes")
            kept.append(_kept_kb(stack))
            notes = [idle_note, f"load: PSS {pss:.1f} MiB; RSS {kinds} MiB", *load_notes(load)]
        progress("memory: 64 cores")
        rss, pss = _many_cores(64)
        notes.append(f"64 idle cores: RSS {rss:.0f}, PSS {pss:.0f} MiB")
        report = new_report("memory", stack, f"medians of {ROUNDS}, each on a fresh huntd; the most of five samples a "
                            "second; RSS counts shared pages once for each process, PSS divides them", *notes)
        report.figures = [limit_figure("idle_mb", idles, "MiB", 100, stack),
                          limit_figure("load_mb", mosts, "MiB", 200, stack),
                          limit_figure("kept_kb", kept, f"KiB per idle connection after a body of {BODY_BYTES:,} bytes", 4, stack),
                          Figure("cores_64_mb", rss, "MiB of RSS", bar=300, at_most=True),
                          Figure("cores_64_pss_mb", pss, "MiB of PSS"),
                          Figure("load_mb_most", max(mosts), "MiB")]
    return report
