# SPDX-License-Identifier: Apache-2.0
"""The wrk scripts against a fresh stack on all CPUs, each followed by the server's own latency table. Closed-loop; for those
who know wrk. Redis and Postgres share the machine, no Kafka."""
import pathlib
import subprocess
import tempfile

from bench.fleet_run import CpuMeter
from bench.report import ONE_RUN, Figure, Report, progress, version_of
from bench.wrk_run import run_wrk
from harness.huntd_stack import HuntdStack, build_folder

SECONDS = 8
CONNECTIONS = 64
SCRIPTS = {
    "one_hunt": "one hunt by 10,000 hunters",
    "storm": "64 connections, all for one hunter of one hunt: they run one at a time",
    "held": "GET of what hunters hold",
    "mixed": "hunts of every shape, reads, and repeats with the same Idempotency-Key",
}


def run() -> Report:
    report = Report("wrk")
    for script, what in SCRIPTS.items():
        with tempfile.TemporaryDirectory() as name, HuntdStack(pathlib.Path(name) / "stack", cores=None) as stack:
            progress(f"wrk: {script}: {what}")
            meter = CpuMeter(stack)
            result = run_wrk(f"http://{stack.http}/", connections=CONNECTIONS, seconds=SECONDS, script=f"{script}.lua")
            report.figures += [Figure(f"{script}_rate", result.rate, "requests/s"),
                               Figure(f"{script}_p50_ms", result.p50_ms, "ms (closed-loop)"),
                               Figure(f"{script}_p99_ms", result.p99_ms, "ms (closed-loop)"),
                               Figure(f"{script}_not_2xx", result.not_2xx, "responses"),
                               Figure(f"{script}_socket_errors", result.socket_errors, "errors", bar=0, at_most=True)]
            cpu_note = meter.words(meter.each_us(result.requests, {"wrk": result.cpu_us_per_request})).replace("per hunt", "per request")
            table = subprocess.run([str(build_folder() / "huntctl"), "latency", "--admin", stack.admin],
                                   capture_output=True, text=True, timeout=20, check=True).stdout
            report.notes += ["", f"{script}: {what}", cpu_note, *table.rstrip().splitlines()]
    report.notes += [f"each script is {ONE_RUN}", version_of("wrk", "-v")]
    return report
