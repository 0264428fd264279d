# SPDX-License-Identifier: Apache-2.0
"""One hunt crowds out no other: a hunt that loops until its deadline is requested far more often than the host can run it, and
another hunt at a steady rate. The P99 of the other hunt is compared with its P99 without the looping one, in the same run (decision 63)."""
import pathlib
import subprocess
import tempfile

from bench.fleet_run import PRIORITIES, REDIS_NICE, rounds_or, seconds_or
from bench.load_run import LoadResult, load_program, run_load
from bench.report import Report, progress, repeated
from harness.huntd_stack import HuntdStack

GOLD = 'return function(hunt) hunt.award("gold") end\n'
ENDLESS = "return function() while true do end end\n"
RULES = "in_flight_max = 1\ndeadline_ms = 10\n"
CONNECTIONS = 50
RATE = 200  # of the other hunt: what it needs is far below what the machine has
LOOPING_RATE = 400  # of the looping one: without bounds of its own, a second of it needs 20 seconds of CPU
SECONDS = 8
WARMUP_S = 2


def _hunts(folder: pathlib.Path) -> pathlib.Path:
    folder.mkdir()
    for name, script, rules in (("gold", GOLD, ""), ("bounded", ENDLESS, RULES), ("endless", ENDLESS, "")):
        (folder / f"{name}.lua").write_text(script)
        if rules:
            (folder / f"{name}.toml").write_text(rules)
    return folder


def _beside(stack, hunt: str | None) -> LoadResult:
    """The load of the other hunt, beside that of `hunt`."""
    seconds = seconds_or(SECONDS)
    beside = None
    if hunt:
        beside = subprocess.Popen([str(load_program()), "--target", stack.http, "--connections", "200", "--rate",
                                   str(LOOPING_RATE), "--seconds", f"{seconds + 2 * WARMUP_S:g}", "--warmup", "0", "--hunt", hunt, "--json"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return run_load(stack.http, connections=CONNECTIONS, seconds=seconds, rate=RATE, hunt="gold", warmup_s=WARMUP_S, nice=-20)
    finally:
        if beside:
            beside.kill()
            beside.wait()


def run() -> Report:
    alone, bounded, endless = [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        stack = HuntdStack(folder / "stack", cores=2, hunts=_hunts(folder / "hunts"), aggregator=False, settings=PRIORITIES)
        stack.redis.nice = REDIS_NICE
        with stack:
            for turn in range(rounds_or()):
                for found, hunt in ((alone, None), (bounded, "bounded"), (endless, "endless")):
                    progress(f"looping: round {turn + 1} of {rounds_or()}, beside {hunt or 'nothing'}")
                    found.append(_beside(stack, hunt))
    report = Report("looping", notes=[
        f"process, 2 cores: gold at {RATE}/s; beside it {LOOPING_RATE}/s of a hunt that does not end: "
        f"bounded has {RULES.replace(chr(10), ', ')}endless has the bounds of the host"])
    report.figures = [
        repeated("p99_ratio", (with_.all.p99 / without.all.p99 for with_, without in zip(bounded, alone)),
                 "× the P99 without the looping hunt, which has bounds of its own", bar=2, at_most=True),
        repeated("p99_ratio_without_bounds", (with_.all.p99 / without.all.p99 for with_, without in zip(endless, alone)),
                 "× the same, without bounds of its own"),
        repeated("alone_p99_ms", (load.all.p99 for load in alone), "ms"),
        repeated("bounded_p99_ms", (load.all.p99 for load in bounded), "ms"),
        repeated("endless_p99_ms", (load.all.p99 for load in endless), "ms"),
        repeated("bounded_errors", (load.errors for load in bounded), "requests of the other hunt without a 200"),
        repeated("endless_errors", (load.errors for load in endless), "the same, without bounds")]
    return report
