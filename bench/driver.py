"""`./dev bench [NAME] [--json]`: runs a benchmark, or all, and prints its figures beside its peer or floor."""
import datetime
import importlib
import sys

from bench.report import Report, machine

BENCHES = ["http", "wrk", "spawn", "peers", "story"]


def run_benchmarks(name: str, as_json: bool) -> int:
    if name != "all" and name not in BENCHES:
        print(f"dev bench: no benchmark {name}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    missed = False
    for bench in BENCHES if name == "all" else [name]:
        report: Report = importlib.import_module(f"bench.{bench}").run()
        missed = missed or any(figure.ok is False for figure in report.figures)
        if as_json:
            print(report.as_json())
            continue
        print(f"{bench}: ./dev bench {bench}, {datetime.date.today()}, {machine()}")
        report.print()
        print()
    return 1 if missed else 0
