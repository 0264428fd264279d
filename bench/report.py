# SPDX-License-Identifier: Apache-2.0
"""The output of every benchmark: the machine, the figures side by side, or with --json one object for a script."""
import json
import math
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field

from bench import machine

ROUNDS = 5  # of what is repeated
ONE_RUN = "one run: its figures have no spread"


@dataclass
class Figure:
    name: str
    value: float
    unit: str
    bar: float | None = None  # the least (or, with at_most, the most) that is good enough
    at_most: bool = False
    values: list[float] = field(default_factory=list)  # those whose median `value` is; empty: a single value, a sum or an extreme

    @property
    def ok(self) -> bool | None:
        if self.bar is None:
            return None
        return self.value <= self.bar if self.at_most else self.value >= self.bar

    @property
    def runs(self) -> int:
        return max(len(self.values), 1)

    @property
    def least(self) -> float:
        return min(self.values, default=self.value)

    @property
    def most(self) -> float:
        return max(self.values, default=self.value)

    def as_dict(self) -> dict:
        return {"name": self.name, "value": number(self.value), "unit": self.unit, "bar": self.bar, "ok": self.ok,
                "min": number(self.least), "max": number(self.most), "runs": self.runs}


def number(value: float) -> float | None:
    """As JSON has it: at most four places; None for what is not a number."""
    return round(value, 4) if math.isfinite(value) else None


def repeated(name: str, values, unit: str, bar: float | None = None, at_most: bool = False) -> Figure:
    """The median of what the rounds gave, with its spread."""
    values = list(values)
    return Figure(name, median(values), unit, bar, at_most, values)


@dataclass
class Report:
    bench: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    machine: dict = field(default_factory=dict)  # machine.facts() and the steal during the run; the driver sets it

    def as_json(self) -> str:
        return json.dumps({"bench": self.bench, "machine": self.machine, "figures": [f.as_dict() for f in self.figures]})

    def print(self) -> None:
        if self.machine:
            print(f"  {machine.words(self.machine)}")
        width = max((len(f.name) for f in self.figures), default=0)
        for f in self.figures:
            spread = f" ({f.least:,.2f} to {f.most:,.2f} in {f.runs})" if f.runs > 1 else ""
            bar = "" if f.bar is None else f"   bar {'≤' if f.at_most else '≥'} {f.bar:g}: {'ok' if f.ok else 'MISSED'}"
            print(f"  {f.name:<{width}}  {f.value:>12,.2f} {f.unit}{spread}{bar}")
        for note in self.notes:
            print(f"  {note}")


def progress(text: str) -> None:
    """Progress goes to stderr, so that --json stays one object."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def median(values) -> float:
    return statistics.median(values)


def version_of(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    return ((done.stdout + done.stderr).splitlines() or ["?"])[0].strip()


def need(program: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found is None:
        raise FileNotFoundError(f"{program} is missing: ./dev setup bench")
    return found
