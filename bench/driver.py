# SPDX-License-Identifier: Apache-2.0
"""`./dev bench [NAME] [--json] [--record] [--compare REV [--turns N]] [--minutes M] [--events N] [--restarts N] [--seconds S]`: runs a
benchmark, or all, and prints its figures beside its peer or floor."""
import datetime
import importlib
import os
import subprocess
import sys

from bench import compare, history, machine
from bench.processes import machine_cpu
from bench.report import Report, number, progress
from harness.process import ServerFailed

# name -> (module of its run(), arguments of run())
BENCHES: dict[str, tuple[str, dict]] = {
    **{name: (name, {}) for name in ("http", "auth", "wrk", "spawn", "peers", "story")},
    "fleet": ("fleet", {}),
    "fleet-task": ("fleet", {"mode": "task"}),
    "fleet-fork": ("fleet_rate", {"mode": "fork"}),
    "fleet-process": ("fleet_rate", {"mode": "process"}),
    "fleet-task-rate": ("fleet_rate", {"mode": "task"}),
    "redis-memory": ("redis_memory", {}),
    **{name: (name, {}) for name in ("redis", "kafka", "rest", "overload", "looping", "memory", "idle", "aggregator", "lag", "leaderboard",
                                   "reconcile", "upgrade", "hosts")}}
# option -> the benches whose run() takes it
TAKE = {"minutes": ("fleet", "fleet-task", "fleet-fork", "fleet-process", "fleet-task-rate", "lag"), "events": ("leaderboard", "reconcile"),
        "restarts": ("upgrade",), "seconds": ("upgrade", "hosts")}


def _taken(bench: str, options: dict) -> dict:
    """Those of the options that are given and that the bench takes."""
    return {option: value for option, value in options.items() if value is not None and bench in TAKE[option]}


def _run(bench: str, options: dict) -> tuple[Report, bool]:
    """The report, and if the bench completed; if not, its report has the reason."""
    module, given = BENCHES[bench]
    facts, before = machine.facts(), machine_cpu()
    try:
        report, whole = importlib.import_module(f"bench.{module}").run(**given, **_taken(bench, options)), True
    except (ServerFailed, TimeoutError, OSError, subprocess.SubprocessError) as failure:
        print(f"bench: {bench} failed: {failure}", file=sys.stderr)
        report, whole = Report(bench, notes=[f"FAILED, no figures: {failure}"]), False
    report.machine = {**facts, "steal_percent": number(machine.steal_percent(before, machine_cpu()))}
    return report, whole


def _wrong_use(name: str, record: bool, revision: str | None, turns: int | None, options: dict) -> str:
    """What is wrong with the arguments of run_benchmarks(); "" if nothing."""
    if name != "all" and name not in BENCHES:
        return f"no benchmark {name}; there are: {', '.join(BENCHES)}"
    for option, value in options.items():
        if value is not None and name != "all" and name not in TAKE[option]:
            return f"--{option} is for {', '.join(TAKE[option])}"
    if revision is not None and name == "all":
        return "--compare needs the name of one benchmark"
    if revision is not None and record:
        return "--record is not for --compare: the figures of a comparison have one round per run"
    if turns is not None and revision is None:
        return "--turns is for --compare"
    return ""


def run_benchmarks(name: str, as_json: bool, record: bool = False, revision: str | None = None, turns: int | None = None,
                   **options) -> int:
    """`revision` is that of --compare. `options`: those of TAKE; None leaves a bench its own value."""
    if wrong := _wrong_use(name, record, revision, turns, options):
        print(f"dev bench: {wrong}", file=sys.stderr)
        return 2
    if revision is not None:
        return compare.compare(name, revision, as_json=as_json, turns=turns, options=_taken(name, options))
    commit = history.check_recordable() if record else ""
    missed = False
    for bench in BENCHES if name == "all" else [name]:
        report, whole = _run(bench, options)
        missed = missed or not whole or any(figure.ok is False for figure in report.figures)
        command = history.command_of(bench, _taken(bench, options), dict(os.environ))
        if record:
            history.append(history.lines(report, commit=commit, date=datetime.date.today(), command=command))
            progress(f"{bench}: {len(report.figures)} figures recorded for {commit}")
        if as_json:
            print(report.as_json(), flush=True)
            continue
        print(f"{bench}: {command}, {datetime.date.today()}")
        report.print()
        print(flush=True)
    return 1 if missed else 0
