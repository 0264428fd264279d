# SPDX-License-Identifier: Apache-2.0
"""Runs wrk and reads its figures. wrk is closed-loop: a stall of the server holds back the requests that would have
shown it (coordinated omission), so its latencies are too low; its rates are correct."""
import pathlib
import re
import resource
import subprocess
from dataclasses import dataclass

from bench.report import need

SCRIPTS = pathlib.Path(__file__).resolve().parent / "wrk"
UNIT_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass
class WrkResult:
    requests: int
    rate: float
    p50_ms: float
    p99_ms: float
    not_2xx: int
    socket_errors: int
    text: str
    cpu_s: float  # wrk's own

    @property
    def cpu_us_per_request(self) -> float:
        return 1e6 * self.cpu_s / max(self.requests, 1)


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _latency_ms(text: str, percentile: str) -> float:
    found = re.search(rf"{percentile}%\s+([\d.]+)(us|ms|s|m)", text)
    return float(found.group(1)) * UNIT_MS[found.group(2)] if found else float("nan")


def run_wrk(url: str, *, connections: int, seconds: float, threads: int = 1, script: str | None = None,
            cpus: str | None = None, headers: dict[str, str] | None = None) -> WrkResult:
    command = [need("wrk"), f"-t{threads}", f"-c{connections}", f"-d{seconds:g}s", "--latency", "--timeout", "10s"]
    if script:
        command += ["-s", str(SCRIPTS / script)]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    if cpus is not None:
        command = ["taskset", "-c", cpus, *command]
    before_s = _children_cpu_s()
    done = subprocess.run([*command, url], capture_output=True, text=True, timeout=seconds + 60, check=True)
    cpu_s = _children_cpu_s() - before_s
    text = done.stdout
    not_2xx = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return WrkResult(requests=int(re.search(r"(\d+) requests in", text).group(1)),
                     rate=float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)),
                     p50_ms=_latency_ms(text, "50"), p99_ms=_latency_ms(text, "99"),
                     not_2xx=int(not_2xx.group(1)) if not_2xx else 0,
                     socket_errors=sum(map(int, errors.groups())) if errors else 0, text=text, cpu_s=cpu_s)
