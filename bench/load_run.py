# SPDX-License-Identifier: Apache-2.0
"""Runs hunt-load, our open-loop generator: latency counts from the time at which a request was due."""
import json
import pathlib
import subprocess
import tempfile
import time
from dataclasses import dataclass

from bench.report import progress
from harness.huntd_stack import build_folder
from harness.process import ServerFailed

PROGRESS_EVERY_S = 15


@dataclass
class Times:
    """Percentiles in ms."""
    p50: float
    p90: float
    p99: float
    p999: float
    max: float


@dataclass
class LoadResult:
    rate: float           # responses 200 per second within the measured time
    answer_rate: float    # responses of every status per second
    errors: int           # all except 200 and 422, and requests without a response
    shed: int          # 503 and 424
    all: Times
    admitted: Times       # the 200s
    shed_times: Times
    late_p99_ms: float    # the generator's own lateness
    hunts_whole: int      # 200s, with the warm-up
    events_whole: int     # event_ids of those
    cpu_us_per_request: float  # the generator's
    statuses: dict[str, int]
    warnings: list[str]
    # Of the whole run, with the warm-up: requests that got neither 200 nor 422, and connects that failed; and in words.
    failed: int = 0
    failures: str = ""
    repeated: int = 0  # requests that met the close of their connection and were sent again (--repeat-closed)

    @property
    def p50_ms(self) -> float:
        return self.all.p50

    @property
    def p99_ms(self) -> float:
        return self.all.p99


def load_program() -> pathlib.Path:
    program = build_folder() / "hunt-load"
    if not program.exists():
        raise FileNotFoundError(f"{program} is missing: ./dev build release")
    return program


def run_load(address: str, *, connections: int, seconds: float, rate: float | None = None, hunt: str = "goblin-hoard",
             warmup_s: float = 2, nice: int = 0, meanwhile=None, options: tuple[str, ...] = ()) -> LoadResult:
    """Without `rate` a closed loop. `nice` is the generator's, `options` are more of its words. `meanwhile` is called about five times per second until the
    load ends."""
    command = ["nice", "-n", str(nice), str(load_program()), "--target", address, "--connections", str(connections),
               "--seconds", f"{seconds:g}", "--warmup", f"{warmup_s:g}", "--hunt", hunt, "--json",
               *(["--closed"] if rate is None else ["--rate", f"{rate:g}"]), *options]
    with tempfile.TemporaryFile("w+") as reported:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=reported, text=True)

        def lines() -> list[str]:
            reported.flush()
            return pathlib.Path(f"/proc/self/fd/{reported.fileno()}").read_text().splitlines()

        started = next_progress = time.monotonic()
        try:
            while process.poll() is None:
                now = time.monotonic()
                if now - started > seconds + 120:
                    raise TimeoutError(f"hunt-load has not ended {seconds + 120:g} s after its start")
                if now > next_progress + PROGRESS_EVERY_S:
                    next_progress = now
                    progress((lines() or ["hunt-load printed nothing"])[-1])
                if meanwhile:
                    meanwhile()
                time.sleep(0.2)
            text = process.stdout.read()
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0:
            raise ServerFailed(f"hunt-load ended with exit {process.returncode}: {' '.join(command)}\n"
                               + "\n".join(lines()[-3:]))
        warnings = [line for line in lines() if line.startswith("warning: ")]
    answer = json.loads(text)
    whole = answer["whole_run"]
    return LoadResult(
        rate=answer["ok_rate"], answer_rate=answer["rate"], errors=answer["errors"], shed=answer["unavailable"],
        all=Times(**answer["latency_ms"]), admitted=Times(**answer["admitted_ms"]),
        shed_times=Times(**answer["unavailable_ms"]),
        late_p99_ms=answer["late_ms"]["p99"], hunts_whole=whole["ok"], events_whole=answer["events"],
        cpu_us_per_request=answer["cpu_us_per_request"], statuses=answer["statuses"], warnings=warnings,
        failed=whole["errors"] + answer["connects_failed"], repeated=answer["repeated"],
        failures=f"whole run by status {whole['statuses']}, {whole['broken']:,} broken, {whole['unanswered']:,} without a response, "
                 f"{whole['unparseable']:,} unparseable, {answer['connects_failed']:,} connects failed")
