# SPDX-License-Identifier: Apache-2.0
"""Starts per second of hunt_worker, by the spawner, by a zygote and as tasks of holders, beside bare posix_spawn, fork and clone loops:
bench/spawn.cc."""
import json
import subprocess

from bench.report import Figure, Report, progress
from harness.huntd_stack import build_folder


def run() -> Report:
    progress("spawn: 5 turns of a second for each program")
    folder = build_folder()
    subprocess.run(["ninja", "-C", str(folder), "bench/bench_spawn"], check=True, capture_output=True)
    done = subprocess.run([str(folder / "bench" / "bench_spawn"), "--json"], check=True, capture_output=True, text=True)
    figures = json.loads(done.stdout)["figures"]
    return Report("spawn", [Figure(f["name"], f["value"], f["unit"], f["bar"]) for f in figures],
                  ["hunt_worker: start, job, goblin-hoard.lua, outcome, end; everything on one CPU; medians of 5 turns, which are printed without their spread"])
