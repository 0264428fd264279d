# SPDX-License-Identifier: Apache-2.0
"""The cost of [auth] per request: GET /v1/core-map of one core without auth, with a bearer token and with a hunter's token. The
three servers on CPU 0 and wrk on CPU 1, in turns. Closed-loop; the figure is the CPU time per request."""
import contextlib
import pathlib
import ssl
import subprocess
import tempfile
import time

from bench.fleet_run import rounds_or
from bench.processes import exact_cpu_s, family
from bench.report import Figure, Report, progress, repeated, version_of
from bench.wrk_run import run_wrk
from harness.huntd_stack import HuntdStack, build_folder

ROUNDS = rounds_or()
SECONDS = 4
CONNECTIONS = 64
SECRETS = ("the-first-secret-of-two-in-a-file", "the-second-secret-of-two-in-a-file")  # as in a rotation; the last is used


def _ways(folder: pathlib.Path) -> dict[str, tuple[dict, dict[str, str]]]:
    """Each way's settings, and the headers of its requests."""
    file = folder / "secrets"
    file.write_text("\n".join(SECRETS) + "\n")
    file.chmod(0o600)
    made = subprocess.run([str(build_folder() / "huntctl"), "token", "--keys-file", str(file), "--hunter", "ada", "--expires-in", "1h"],
                          capture_output=True, text=True, check=True)
    return {"none": ({}, {}),
            "bearer": ({"auth.mode": "bearer", "auth.tokens_file": str(file)}, {"Authorization": f"Bearer {SECRETS[-1]}"}),
            "hunter": ({"auth.mode": "hunter", "auth.hunter_keys_file": str(file)}, {"Authorization": f"Bearer {made.stdout.strip()}"})}


def run() -> Report:
    report = Report("auth")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as open_stacks:
        folder = pathlib.Path(name)
        attempts = _ways(folder)
        stacks = {attempt: open_stacks.enter_context(HuntdStack(folder / attempt, cores=1, kafka=False, aggregator=False, settings=settings,
                                                            before_huntd=["taskset", "-c", "0"]))
                  for attempt, (settings, _) in attempts.items()}
        cpu_us: dict[str, list[float]] = {attempt: [] for attempt in attempts}
        rates: dict[str, list[float]] = {attempt: [] for attempt in attempts}
        errors = 0
        for turn in range(1, ROUNDS + 1):
            for attempt, (_, headers) in attempts.items():
                progress(f"auth: round {turn} of {ROUNDS}, {attempt}")
                core = stacks[attempt].core_pids()[0]
                before_s, started_s = exact_cpu_s(family(core)), time.monotonic()
                result = run_wrk(f"http://{stacks[attempt].http}/v1/core-map", connections=CONNECTIONS, seconds=SECONDS, cpus="1", headers=headers)
                share = (exact_cpu_s(family(core)) - before_s) / (time.monotonic() - started_s)
                rates[attempt].append(result.rate)
                cpu_us[attempt].append(1e6 * share / result.rate)
                errors += result.not_2xx + result.socket_errors
        report.figures += [repeated(f"{attempt}_cpu_us", values, "µs of the core's CPU per request") for attempt, values in cpu_us.items()]
        for attempt in ("bearer", "hunter"):  # of the runs that stand next to each other
            report.figures.append(repeated(f"{attempt}_costs_us", (us - floor_us for us, floor_us in zip(cpu_us[attempt], cpu_us["none"])),
                                           "µs per request more than without"))
            report.figures.append(repeated(f"{attempt}_over_none", (rate / other for rate, other in zip(rates[attempt], rates["none"])),
                                           "× the rate without"))
        report.figures.append(Figure("errors", errors, "responses", bar=0, at_most=True))
    report.notes += [f"{version_of('wrk', '-v')}; {ssl.OPENSSL_VERSION}",
                     f"{CONNECTIONS} connections; two secrets in the file, the second is used; servers on CPU 0, wrk on CPU 1; medians of {ROUNDS} × {SECONDS} s"]
    return report
