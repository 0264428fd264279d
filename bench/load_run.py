"""Runs hunt-load, our open-loop generator: latency counts from the time at which a request was due."""
import json
import pathlib
import subprocess
import time
from dataclasses import dataclass

from harness.huntd_stack import build_folder


@dataclass
class LoadResult:
    rate: float  # hunts that were run, a second: refusals and failures are answered too, but not counted here
    p50_ms: float
    p99_ms: float
    errors: int


def load_program() -> pathlib.Path:
    program = build_folder() / "bench" / "hunt-load"
    if not program.exists():
        raise FileNotFoundError(f"{program} is missing: ./dev build release")
    return program


def run_load(address: str, *, connections: int, rate: float, seconds: float, hunt: str, meanwhile=None) -> LoadResult:
    """`meanwhile` is called about five times a second until the load ends."""
    command = [str(load_program()), "--target", address, "--connections", str(connections), "--rate", f"{rate:g}",
               "--seconds", f"{seconds:g}", "--hunt", hunt, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + seconds + 120
    try:
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"hunt-load has not ended {seconds + 120:g} s after its start")
            if meanwhile:
                meanwhile()
            time.sleep(0.2)
        text = process.stdout.read()
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"hunt-load ended with exit {process.returncode}: {' '.join(command)}")
    answer = json.loads(text)
    latency = answer["latency_ms"]
    return LoadResult(answer["ok"] / seconds, latency["p50"], latency["p99"], answer["errors"])
