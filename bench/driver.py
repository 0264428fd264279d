# SPDX-License-Identifier: Apache-2.0
"""`./dev bench [NAME] [--json] [--minutes M] [--events N] [--restarts N] [--seconds S]`: runs a benchmark, or all, and prints its figures beside its peer
or floor."""
import datetime
import importlib
import sys

from bench.report import Report, machine
from harness.process import ServerFailed

# name -> (module of its run(), arguments of run())
BENCHES: dict[str, tuple[str, dict]] = {
    **{name: (name, {}) for name in ("http", "auth", "wrk", "spawn", "peers", "story")},
    "fleet": ("fleet", {}),
    "fleet-task": ("fleet", {"mode": "task"}),
    "fleet-fork": ("fleet_rate", {"mode": "fork"}),
    "fleet-process": ("fleet_rate", {"mode": "process"}),
    "redis-memory": ("redis_memory", {}),
    **{name: (name, {}) for name in ("redis", "kafka", "rest", "overload", "memory", "idle", "aggregator", "lag", "leaderboard",
                                   "reconcile", "upgrade")}}
# option -> the benches whose run() takes it
TAKE = {"minutes": ("fleet", "fleet-task", "fleet-fork", "fleet-process", "lag"), "events": ("leaderboard", "reconcile"),
        "restarts": ("upgrade",), "seconds": ("upgrade",)}


def _run(bench: str, options: dict) -> tuple[Report, bool]:
    """The report, and if the bench completed; if not, its report has the reason."""
    module, given = BENCHES[bench]
    taken = {option: value for option, value in options.items() if bench in TAKE[option]}
    try:
        return importlib.import_module(f"bench.{module}").run(**given, **taken), True
    except (ServerFailed, TimeoutError, OSError) as failure:
        print(f"bench: {bench} failed: {failure}", file=sys.stderr)
        return Report(bench, notes=[f"FAILED, no figures: {failure}"]), False


def run_benchmarks(name: str, as_json: bool, **options) -> int:
    """`options`: those of TAKE; None leaves a bench its own value."""
    if name != "all" and name not in BENCHES:
        print(f"dev bench: no benchmark {name}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    for option, value in options.items():
        if value is not None and name != "all" and name not in TAKE[option]:
            print(f"dev bench: --{option} is for {', '.join(TAKE[option])}", file=sys.stderr)
            return 2
    missed = False
    for bench in BENCHES if name == "all" else [name]:
        report, whole = _run(bench, options)
        missed = missed or not whole or any(figure.ok is False for figure in report.figures)
        if as_json:
            print(report.as_json(), flush=True)
            continue
        print(f"{bench}: ./dev bench {bench}, {datetime.date.today()}, {machine()}")
        report.print()
        print(flush=True)
    return 1 if missed else 0
