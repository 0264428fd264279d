# SPDX-License-Identifier: Apache-2.0
"""The output of every benchmark: the machine, the figures side by side, or with --json one object for a script."""
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field


@dataclass
class Figure:
    name: str
    value: float
    unit: str
    bar: float | None = None  # the least (or, with at_most, the most) that is good enough
    at_most: bool = False

    @property
    def ok(self) -> bool | None:
        if self.bar is None:
            return None
        return self.value <= self.bar if self.at_most else self.value >= self.bar


@dataclass
class Report:
    bench: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> str:
        return json.dumps({"bench": self.bench, "figures": [
            {"name": f.name, "value": round(f.value, 4), "unit": f.unit, "bar": f.bar, "ok": f.ok} for f in self.figures]})

    def print(self) -> None:
        width = max((len(f.name) for f in self.figures), default=0)
        for f in self.figures:
            bar = "" if f.bar is None else f"   bar {'≤' if f.at_most else '≥'} {f.bar:g}: {'ok' if f.ok else 'MISSED'}"
            print(f"  {f.name:<{width}}  {f.value:>12,.2f} {f.unit}{bar}")
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


def machine() -> str:
    model = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "?")
    return f"{len(os.sched_getaffinity(0))} × {model}, Linux {platform.release()}"


def need(program: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found is None:
        raise FileNotFoundError(f"{program} is missing: ./dev setup bench")
    return found
