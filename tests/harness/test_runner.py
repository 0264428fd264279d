# SPDX-License-Identifier: Apache-2.0
"""`./dev test [SUITE]`: prints its plan and the expected time, runs the suites, and ends with `N passed, N failed, N skipped`.

A pytest suite mostly waits for servers to start and stop, so SUITES_AT_A_TIME run beside each other. One that is marked `alone`
runs by itself.
"""
import concurrent.futures
import json
import sys
import tempfile
import time
from collections.abc import Callable

from harness.huntd_stack import ROOT
from harness.suites import RESULTS, Count, Suite, all_names, suites_named

SUITES_AT_A_TIME = 3
SECONDS = ROOT / "tests" / "harness" / "suite_seconds.json"  # measured by `./dev test --save-seconds`
MEASURED_HERE = RESULTS / "suite_seconds.json"
SECONDS_UNKNOWN = 20.0


def known_seconds() -> dict[str, float]:
    """Seconds of each suite: those of this machine's last run, else those of the repository."""
    known: dict[str, float] = {}
    for file in (SECONDS, MEASURED_HERE):
        if file.is_file():
            known |= json.loads(file.read_text())
    return known


def save_seconds(measured: dict[str, float], save: bool) -> None:
    """Keeps what this run measured for the next one's forecast; `save`: in the repository too."""
    for file in (MEASURED_HERE, SECONDS) if save else (MEASURED_HERE,):
        before = json.loads(file.read_text()) if file.is_file() else {}
        merged = {**before, **{name: round(seconds, 1) for name, seconds in measured.items()}}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(dict(sorted(merged.items())), indent=1) + "\n")


def minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def split(suites: list[Suite], seconds: dict[str, float]) -> tuple[list[Suite], list[Suite]]:
    """(those that run by themselves, in order; those that run beside each other, the longest first)"""
    together = [suite for suite in suites if suite.beside_others] if len(suites) > 1 else []
    alone = [suite for suite in suites if suite not in together]
    return alone, sorted(together, key=lambda suite: -seconds.get(suite.name, SECONDS_UNKNOWN))


def forecast(suites: list[Suite], seconds: dict[str, float]) -> float:
    alone, together = split(suites, seconds)
    ends = [0.0] * SUITES_AT_A_TIME
    for suite in together:
        ends[ends.index(min(ends))] += seconds.get(suite.name, SECONDS_UNKNOWN)
    return sum(seconds.get(suite.name, SECONDS_UNKNOWN) for suite in alone) + max(ends)


def print_plan(suites: list[Suite]) -> None:
    seconds = known_seconds()
    alone, together = split(suites, seconds)
    unknown = [suite.name for suite in suites if suite.name not in seconds]
    print(f"{len(suites)} {'suite' if len(suites) == 1 else 'suites'}, about {minutes(forecast(suites, seconds))}"
          + (f" (not measured yet: {len(unknown)})" if unknown else ""))
    if len(suites) > 1:
        print(f"one at a time: {', '.join(suite.name for suite in alone)}")
    if together:
        print(f"{SUITES_AT_A_TIME} at a time: {', '.join(suite.name for suite in together)}")
    print(flush=True)


class Progress:
    """Prints a line per suite that ends: how many of how many, and the time since the start."""

    def __init__(self, total: int):
        self.total, self.ended, self.started = total, 0, time.monotonic()

    def end(self, suite: Suite, count: Count, seconds: float, output: str = "") -> None:
        self.ended += 1
        print(f"{output}== {suite.name}: {count} in {seconds:.0f} s  [{self.ended} of {self.total}, "
              f"{clock(time.monotonic() - self.started)}]", flush=True)


def run_suites(suites: list[Suite], progress: Progress) -> dict[str, tuple[Count, float]]:
    """By the suite's name, what it counted and the seconds it took."""
    results: dict[str, tuple[Count, float]] = {}
    alone, together = split(suites, known_seconds())

    def timed(run: Callable[[], Count], suite: Suite) -> Count:
        started = time.monotonic()
        count = run()
        results[suite.name] = count, time.monotonic() - started
        return count

    def run_beside_others(suite: Suite) -> None:
        """Prints its output in one piece, at its end."""
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            count = timed(lambda: suite.run(output=output), suite)
            output.seek(0)
            progress.end(suite, count, results[suite.name][1], f"== {suite.name}\n{output.read()}")

    for suite in alone:
        print(f"== {suite.name}", flush=True)
        progress.end(suite, timed(suite.run, suite), results[suite.name][1])
    with concurrent.futures.ThreadPoolExecutor(SUITES_AT_A_TIME) as pool:
        list(pool.map(run_beside_others, together))
    return results


def run_suite(wanted: str, arguments: list[str], save: bool = False) -> int:
    """`arguments` are for a suite that takes some (sim, fuzz, kafka_versions)."""
    suites = suites_named(wanted, arguments)
    if not suites:
        print(f"dev: no suite {wanted}; there are: {', '.join(all_names())}", file=sys.stderr)
        return 2
    print_plan(suites)
    progress, total = Progress(len(suites)), Count()
    results = run_suites(suites, progress)
    print()
    for suite in suites:
        count, seconds = results[suite.name]
        total.add(count)
        print(f"{suite.name:<24} {count}  ({seconds:.0f} s)")
    if not arguments:  # with some a suite takes another time
        save_seconds({name: seconds for name, (count, seconds) in results.items() if not count.failed}, save)
    for line in total.skips:
        print(f"skipped  {line}")
    for line in total.failures:
        print(f"FAILED   {line}")
    print(f"{time.monotonic() - progress.started:.0f} s")
    print(total)
    return 1 if total.failed else 0


def print_needs(wanted: str) -> int:
    """For `./dev`: a line "setup PURPOSE...", then a line "build NAME TARGET..." for each build."""
    suites: list[Suite] = []
    if wanted in ("faults", "chaos"):
        purposes, builds = ["build", "run", "kafka", "test"], ["release @programs @pieces"]
    else:
        suites = suites_named(wanted, [])
        if not suites:
            print(f"dev: no suite {wanted}; there are: {', '.join(all_names())}", file=sys.stderr)
            return 2
        purposes = list(dict.fromkeys(purpose for suite in suites for purpose in suite.purposes))
        builds = list(dict.fromkeys(build for suite in suites for build in suite.builds))
    by_name: dict[str, list[str]] = {}
    for build in builds:
        name, *targets = build.split()
        by_name.setdefault(name, []).extend(target for target in targets if target not in by_name.get(name, []))
    work = f"{len(suites)} {'suite' if len(suites) == 1 else 'suites'} of about {minutes(forecast(suites, known_seconds()))}" \
        if suites else wanted
    print(f"dev: sets up {', '.join(purposes)}; builds {', '.join(by_name) or 'nothing'} (each up to 8 min from nothing); then {work}",
          file=sys.stderr)
    print("setup", *purposes)
    for name, targets in by_name.items():
        print("build", name, *targets)
    return 0
