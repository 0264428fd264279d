# SPDX-License-Identifier: Apache-2.0
"""GET /v1/core-map on one huntd core beside nginx `return 200` on one worker: both on CPU 0, wrk on CPU 1, in turns, so
that a noisy minute hits both. The responses have the same number of bytes. Closed-loop. Then the same with 16 requests at once on
each connection (`pipelined_16`)."""
import pathlib
import subprocess
import tempfile
import time
from dataclasses import dataclass

from bench.fleet_run import rounds_or
from bench.processes import exact_cpu_s, family
from bench.report import Figure, Report, median, need, progress, repeated, version_of
from bench.wrk_run import WrkResult, run_wrk
from harness.huntd_stack import HuntdStack, http_get
from harness.ports import reserve_port

ROUNDS = rounds_or()
SECONDS = 5


@dataclass(frozen=True)
class Load:
    name: str  # the end of its figures' names
    connections: int
    ratio: str  # the name of its figure beside nginx
    bar: float
    script: str | None = None  # that sends the requests


LOADS = (Load("64", 64, "ratio_64", 1.3), Load("1000", 1000, "ratio_1000", 1.3),
         Load("pipelined_16", 64, "pipelined_16", 8, "pipelined_16.lua"))

NGINX = """daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;
worker_rlimit_nofile 8192; events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p;
fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
server {{ listen {address} backlog=4096; location / {{ default_type application/json; return 200 '{body}'; }} }} }}
"""


def _start_nginx(directory: pathlib.Path, address: str, body: str) -> subprocess.Popen:
    config = directory / "nginx.conf"
    config.write_text(NGINX.format(dir=directory, address=address, body=body))
    process = subprocess.Popen(["taskset", "-c", "0", need("nginx"), "-p", str(directory), "-c", str(config)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        try:
            if http_get(address, "/")[0] == 200:
                return process
        except OSError:
            time.sleep(0.02)
    process.kill()
    raise TimeoutError(f"nginx does not answer: {(directory / 'error.log').read_text()[-500:]}")


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


def _figures(turns: dict[str, list[Turn]], load: Load) -> list[Figure]:
    """Of huntd and nginx; ratios are of the same round."""
    huntd, nginx = turns["huntd"], turns["nginx"]
    errors = sum(turn.result.not_2xx + turn.result.socket_errors for turn in [*huntd, *nginx])
    return [
        *(repeated(f"{peer}_rate_{load.name}", (turn.result.rate for turn in of_peer), "requests/s") for peer, of_peer in turns.items()),
        *(repeated(f"{peer}_p99_ms_{load.name}", (turn.result.p99_ms for turn in of_peer), "ms") for peer, of_peer in turns.items()),
        repeated(load.ratio, (one.result.rate / other.result.rate for one, other in zip(huntd, nginx)), "× nginx", bar=load.bar),
        Figure(f"errors_{load.name}", errors, "responses", bar=0, at_most=True),
        # If a server's CPU is not fully used, wrk's CPU limits the rate.
        *(repeated(f"{peer}_cpu_us_{load.name}", (turn.cpu_us for turn in of_peer), "µs of CPU per request") for peer, of_peer in turns.items()),
        repeated(f"cpu_ratio_{load.name}", (other.cpu_us / one.cpu_us for one, other in zip(huntd, nginx)), "× requests per CPU second of nginx")]


def run() -> Report:
    report = Report("http")
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        with HuntdStack(directory / "stack", cores=1, aggregator=False, before_huntd=["taskset", "-c", "0"]) as stack:
            body = http_get(stack.http, "/v1/core-map")[1]
            port = reserve_port()
            nginx = _start_nginx(directory, port.address, body)
            try:
                targets = {"huntd": (f"http://{stack.http}/v1/core-map", stack.core_pids()[0]),
                           "nginx": (f"http://{port.address}/", nginx.pid)}
                for load in LOADS:
                    turns: dict[str, list[Turn]] = {peer: [] for peer in targets}
                    for number in range(ROUNDS):
                        for peer, (url, pid) in targets.items():
                            progress(f"http: {load.name}, {load.connections} connections, round {number + 1} of {ROUNDS}, {peer}")
                            turns[peer].append(_turn(url, pid, load))
                    report.figures += _figures(turns, load)
                    share = {peer: 100 * median(turn.busy for turn in of_peer) for peer, of_peer in turns.items()}
                    report.notes.append(f"{load.name}, {load.connections} connections: busy with it huntd {share['huntd']:.0f} %, nginx "
                                        f"{share['nginx']:.0f} % of CPU 0")
            finally:
                nginx.terminate()
                nginx.wait()
                port.release()
    report.notes += [f"{version_of(need('nginx'), '-v')}; {version_of('wrk', '-v')}",
                     f"responses of {len(body)} bytes; servers on CPU 0, wrk on CPU 1; medians of {ROUNDS} × {SECONDS} s"]
    return report
