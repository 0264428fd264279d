# SPDX-License-Identifier: Apache-2.0
"""`./dev bench NAME --compare REV`: the bench on the programs of this tree (A) and on those of REV (B), in turns A B B A A B …, so that
a drift of the machine comes to both. Both sides have this tree's bench, load generator and scripts; each turn is a run of its own, with
one round of what the bench repeats (HUNTD_BENCH_ROUNDS)."""
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from bench import history, machine
from bench.processes import machine_cpu
from bench.report import ROUNDS, Figure, number, progress, repeated
from harness.huntd_stack import ROOT, build_folder
from harness.previous_build import build_of, git
from harness.process import ServerFailed

# What the benches take from the build folder besides huntd's programs: the same for both sides.
TOOLS = ("hunt-load", "mock_kafka", "kafka_topic")
Run = dict[str, dict]  # the figures of one run as --json has them, by name


def order(turns: int) -> str:
    """The sides of all runs: A B B A A B … with `turns` of each."""
    return "".join("AB" if turn % 2 == 0 else "BA" for turn in range(turns))


@dataclass
class Row:
    """One figure of both sides. `ratios`: A beside B, of the runs that stand next to each other."""
    ours: Figure
    theirs: Figure
    ratios: list[float] = field(default_factory=list)

    def as_dict(self) -> dict:
        ratio = repeated("ratio", self.ratios, "A / B").as_dict() if self.ratios else None
        return {"name": self.ours.name, "unit": self.ours.unit, "a": _side(self.ours), "b": _side(self.theirs),
                "ratio": ratio and {key: ratio[key] for key in ("value", "min", "max")}}


def _side(figure: Figure) -> dict:
    return {"value": number(figure.value), "min": number(figure.least), "max": number(figure.most), "runs": figure.runs}


def rows(ours: list[Run], theirs: list[Run]) -> list[Row]:
    """In the order of the first run; figures that a run does not have, as a mode that one side does not know, are left out."""
    found = []
    for name, first in ours[0].items():
        if not all(name in run and run[name]["value"] is not None for run in [*ours, *theirs]):
            continue
        a, b = ([run[name]["value"] for run in runs] for runs in (ours, theirs))
        found.append(Row(repeated(name, a, first["unit"]), repeated(name, b, first["unit"]),
                         [one / other for one, other in zip(a, b)] if all(b) else []))
    return found


def _spread(figure: Figure) -> str:
    text = f"{figure.value:,.2f}"
    return text if figure.runs == 1 else f"{text} ({figure.least:,.2f} to {figure.most:,.2f})"


def table(found: list[Row]) -> list[str]:
    """The lines of the table: the figures side by side, and their ratio."""
    cells = [["figure", "A", "B", "A / B", "unit"]]
    for row in found:
        ratio = _spread(repeated("", row.ratios, "")) if row.ratios else "-"
        cells.append([row.ours.name, _spread(row.ours), _spread(row.theirs), ratio, row.ours.unit])
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return ["  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:4], widths[1:4])), line[4]])
            for line in cells]


def programs_of(revision: str) -> tuple[pathlib.Path, str]:
    """The build folder of a commit with this tree's TOOLS, and the commit."""
    folder, commit = build_of(revision, asked_by="bench")
    for name in TOOLS:
        (folder / name).unlink(missing_ok=True)
        os.link(build_folder() / name, folder / name)
    return folder, commit


def _run(bench: str, words: list[str], folder: pathlib.Path) -> Run:
    """One run of the bench on the programs of `folder`. ServerFailed if it gave no figures."""
    environment = {"HUNTD_BENCH_ROUNDS": "1", **os.environ, "HUNTD_BUILD": str(folder)}
    done = subprocess.run([sys.executable, "-m", "harness", "bench", bench, "--json", *words], stdout=subprocess.PIPE, text=True,
                          cwd=ROOT, env=environment)
    lines = done.stdout.splitlines()
    figures = json.loads(lines[-1])["figures"] if lines and done.returncode in (0, 1) else []
    if not figures:
        raise ServerFailed(f"--compare: {bench} gave no figures on the programs of {folder} (exit {done.returncode}); see above")
    return {figure["name"]: figure for figure in figures}


def measure(sides: str, run: Callable[[str], Run]) -> dict[str, list[Run]]:
    """The runs of each side; `run` does one."""
    runs: dict[str, list[Run]] = {"A": [], "B": []}
    for at, side in enumerate(sides):
        progress(f"compare: run {at + 1} of {len(sides)}, {side}")
        runs[side].append(run(side))
    return runs


def compare(bench: str, revision: str, *, as_json: bool, turns: int | None = None, options: dict) -> int:
    """Exit code 0: every run gave its figures. `options` are the bench's own."""
    theirs, their_commit = programs_of(revision)
    ours = history.commit() + (" with changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    sides = order(turns or ROUNDS)
    words = history.option_words(options)
    folders = {"A": build_folder(), "B": theirs}
    before = machine_cpu()
    runs = measure(sides, lambda side: _run(bench, words, folders[side]))
    found = rows(runs["A"], runs["B"])
    facts = {**machine.facts(), "steal_percent": number(machine.steal_percent(before, machine_cpu()))}
    if as_json:
        print(json.dumps({"bench": bench, "a": ours, "b": their_commit, "order": sides, "machine": facts,
                          "figures": [row.as_dict() for row in found]}))
        return 0
    print(f"{bench}: A: this tree, {ours}; B: {revision}, {their_commit}; {len(runs['A'])} runs of each, in the order {sides}")
    print(f"  {machine.words(facts)}")
    print("\n".join(f"  {line}" for line in table(found)))
    print("  medians with their spread; A / B: the median of the ratios of neighbouring runs", flush=True)
    return 0
