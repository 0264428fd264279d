# SPDX-License-Identifier: Apache-2.0
"""GET /v1/core-map on one huntd core beside nginx `return 200` on one worker: both on CPU 0, wrk on CPU 1, in turns, so
that a noisy minute hits both. The responses have the same number of bytes. Closed-loop."""
import pathlib
import subprocess
import tempfile
import time

from bench.processes import exact_cpu_s, family
from bench.report import Figure, Report, median, need, progress, version_of
from bench.wrk_run import run_wrk
from harness.huntd_stack import HuntdStack, http_get
from harness.ports import reserve_port

ROUNDS = 3
SECONDS = 5
CONNECTIONS = (64, 1000)

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
                for connections in CONNECTIONS:
                    results = {peer: [] for peer in targets}
                    busy = {peer: [] for peer in targets}  # of its CPU
                    for turn in range(ROUNDS):
                        for peer, (url, pid) in targets.items():
                            progress(f"http: {connections} connections, round {turn + 1} of {ROUNDS}, {peer}")
                            before_s, started = exact_cpu_s(family(pid)), time.monotonic()
                            results[peer].append(run_wrk(url, connections=connections, seconds=SECONDS, cpus="1"))
                            busy[peer].append((exact_cpu_s(family(pid)) - before_s) / (time.monotonic() - started))
                    rates = {peer: median(r.rate for r in runs) for peer, runs in results.items()}
                    errors = sum(r.not_2xx + r.socket_errors for runs in results.values() for r in runs)
                    report.figures += [
                        Figure(f"huntd_rate_{connections}", rates["huntd"], "requests/s"),
                        Figure(f"nginx_rate_{connections}", rates["nginx"], "requests/s"),
                        Figure(f"huntd_p99_ms_{connections}", median(r.p99_ms for r in results["huntd"]), "ms"),
                        Figure(f"nginx_p99_ms_{connections}", median(r.p99_ms for r in results["nginx"]), "ms"),
                        Figure(f"ratio_{connections}", rates["huntd"] / rates["nginx"], "× nginx", bar=1.3),
                        Figure(f"errors_{connections}", errors, "responses", bar=0, at_most=True)]
                    # If a server's CPU is not fully used, wrk's CPU limits the rate.
                    share = {peer: median(shares) for peer, shares in busy.items()}
                    report.figures += [
                        Figure(f"huntd_cpu_us_{connections}", 1e6 * share["huntd"] / rates["huntd"], "µs a request"),
                        Figure(f"nginx_cpu_us_{connections}", 1e6 * share["nginx"] / rates["nginx"], "µs a request")]
                    report.notes.append(f"{connections} connections: busy with it huntd {100 * share['huntd']:.0f} %, nginx "
                                        f"{100 * share['nginx']:.0f} % of CPU 0")
            finally:
                nginx.terminate()
                nginx.wait()
                port.release()
    report.notes += [f"{version_of(need('nginx'), '-v')}; {version_of('wrk', '-v')}",
                     f"responses of {len(body)} bytes; servers on CPU 0, wrk on CPU 1; medians of {ROUNDS} × {SECONDS} s"]
    return report
