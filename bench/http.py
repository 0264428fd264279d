# SPDX-License-Identifier: Apache-2.0
"""GET /v1/core-map on one huntd core beside nginx `return 200` on one worker, and beside the least that a server on io_uring
costs (http_floor.cc): each on CPU 0, wrk on CPU 1, in turns, so that a noisy minute hits all. The bodies have the same number of
bytes; the floor responds with huntd's own response. Closed-loop. Then the same with 16 requests at once on each connection
(`pipelined_16`)."""
import contextlib
import pathlib
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass

from bench.fleet_run import rounds_or
from bench.processes import exact_cpu_s, family
from bench.report import Figure, Report, median, need, progress, repeated, version_of
from bench.wrk_run import WrkResult, run_wrk
from harness.huntd_stack import ROOT, HuntdStack, http_get
from harness.ports import reserve_port
from harness.process import ServerFailed, wait_until

ROUNDS = rounds_or()
SECONDS = 5


@dataclass(frozen=True)
class Load:
    name: str  # the end of its figures' names
    connections: int
    ratio: str  # the name of its figure beside nginx
    bar: float
    script: str | None = None  # that sends the requests
    cpu_bar: float | None = None
    floor_bar: float | None = None


LOADS = (Load("64", 64, "ratio_64", 1.3, cpu_bar=1.12, floor_bar=0.9), Load("1000", 1000, "ratio_1000", 1.3),
         Load("pipelined_16", 64, "pipelined_16", 8, "pipelined_16.lua"))

NGINX = """daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;
worker_rlimit_nofile 8192; events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p;
fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
server {{ listen {address} backlog=4096; location / {{ default_type application/json; return 200 '{body}'; }} }} }}
"""


@contextlib.contextmanager
def _peer(command: list[str], address: str):
    """A server on CPU 0 at `address`, until the end of the block."""
    process = subprocess.Popen(["taskset", "-c", "0", *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def responds() -> bool:
        if process.poll() is not None:
            raise ServerFailed(f"{command[0]} ended: {process.stderr.read()[-500:]}")
        with contextlib.suppress(OSError):
            return http_get(address, "/v1/core-map")[0] == 200
        return False

    try:
        wait_until(responds, 10, f"{command[0]} to respond")
        yield process
    finally:
        process.kill()
        process.wait()


def _nginx(directory: pathlib.Path, address: str, body: str):
    config = directory / "nginx.conf"
    config.write_text(NGINX.format(dir=directory, address=address, body=body))
    return _peer([need("nginx"), "-p", str(directory), "-c", str(config)], address)


def _floor(directory: pathlib.Path, port, response: bytes):
    # Of this tree also beside the programs of another one (--compare).
    build = ROOT / "build" / "release"
    subprocess.run(["ninja", "-C", str(build), "bench/http-floor"], check=True, capture_output=True)
    file = directory / "response"
    file.write_bytes(response)
    return _peer([str(build / "bench" / "http-floor"), str(port), str(file)], port.address)


def _response_of(address: str) -> bytes:
    """The bytes that huntd answers wrk's request with."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"GET /v1/core-map HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


@dataclass
class Turn:
    result: WrkResult
    busy: float  # the share of its CPU that the server used

    @property
    def cpu_us(self) -> float:
        return 1e6 * self.busy / self.result.rate


def _turn(url: str, pid: int, load: Load) -> Turn:
    before_s, started_s = exact_cpu_s(family(pid)), time.monotonic()
    result = run_wrk(url, connections=load.connections, seconds=SECONDS, cpus="1", script=load.script)
    return Turn(result, (exact_cpu_s(family(pid)) - before_s) / (time.monotonic() - started_s))


def _peer_figures(turns: dict[str, list[Turn]], load: Load) -> list[Figure]:
    """What each server reached. If its CPU is not fully used, wrk's CPU limits the rate."""
    figures = []
    for peer, of_peer in turns.items():
        figures += [repeated(f"{peer}_rate_{load.name}", (turn.result.rate for turn in of_peer), "requests/s"),
                    repeated(f"{peer}_p99_ms_{load.name}", (turn.result.p99_ms for turn in of_peer), "ms"),
                    repeated(f"{peer}_cpu_us_{load.name}", (turn.cpu_us for turn in of_peer), "µs of CPU per request")]
    return figures


def _figures(turns: dict[str, list[Turn]], load: Load) -> list[Figure]:
    """Of all servers; ratios are of the same round."""
    huntd, nginx, floor = turns["huntd"], turns["nginx"], turns["floor"]
    errors = sum(turn.result.not_2xx + turn.result.socket_errors for of_peer in turns.values() for turn in of_peer)
    return [
        *_peer_figures(turns, load),
        repeated(load.ratio, (one.result.rate / other.result.rate for one, other in zip(huntd, nginx)), "× nginx", bar=load.bar),
        Figure(f"errors_{load.name}", errors, "responses", bar=0, at_most=True),
        repeated(f"cpu_ratio_{load.name}", (other.cpu_us / one.cpu_us for one, other in zip(huntd, nginx)), "× requests per CPU second of nginx",
                 bar=load.cpu_bar),
        repeated(f"floor_ratio_{load.name}", (other.cpu_us / one.cpu_us for one, other in zip(huntd, floor)),
                 "× requests per CPU second of the floor", bar=load.floor_bar)]


def run() -> Report:
    report = Report("http")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as servers:
        directory = pathlib.Path(name)
        stack = servers.enter_context(HuntdStack(directory / "stack", cores=1, aggregator=False, before_huntd=["taskset", "-c", "0"]))
        body = http_get(stack.http, "/v1/core-map")[1]
        ports = [reserve_port() for _ in range(2)]
        for port in ports:
            servers.callback(port.release)
        nginx = servers.enter_context(_nginx(directory, ports[0].address, body))
        floor = servers.enter_context(_floor(directory, ports[1], _response_of(stack.http)))
        targets = {"huntd": (stack.http, stack.core_pids()[0]), "nginx": (ports[0].address, nginx.pid), "floor": (ports[1].address, floor.pid)}
        for load in LOADS:
            turns: dict[str, list[Turn]] = {peer: [] for peer in targets}
            for number in range(ROUNDS):
                for peer, (address, pid) in targets.items():
                    progress(f"http: {load.name}, {load.connections} connections, round {number + 1} of {ROUNDS}, {peer}")
                    turns[peer].append(_turn(f"http://{address}/v1/core-map", pid, load))
            report.figures += _figures(turns, load)
            shares = ", ".join(f"{peer} {100 * median(turn.busy for turn in of_peer):.0f} %" for peer, of_peer in turns.items())
            report.notes.append(f"{load.name}, {load.connections} connections: busy of CPU 0: {shares}")
    report.notes += [f"{version_of(need('nginx'), '-v')}; {version_of('wrk', '-v')}",
                     f"bodies of {len(body)} bytes; servers on CPU 0, wrk on CPU 1; medians of {ROUNDS} × {SECONDS} s"]
    return report
