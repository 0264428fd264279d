#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Computes the tables of docs/capacity.md from the figures of docs/benchmarks.md and docs/lab, or with --check compares them.

A table stands between two lines, <!-- computed: NAME --> and <!-- end -->. Every figure is read from the document that reports
the measurement, so a table changes when its figure does. Exit code 0: the tables are up to date or were written; 1: --check found a
difference, or a figure or a table is missing."""
import argparse
import math
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCHMARKS = "benchmarks.md"
SIBLINGS, AGGREGATOR = "lab/2026-11-25-siblings.md", "lab/2026-11-28-aggregator.md"
BENCHED_CORES = 2  # of every machine that the figures are from
IDEMPOTENCY_TTL_S = 86_400  # redis.idempotency_ttl_s
UNKEYED_TTL_S = 120  # a response to a request without a key
GIB = 2**30
# name -> (document below docs/, pattern whose groups are the values on the machines, words for the table, date and machines)
FIGURES = {
    "process": (BENCHMARKS, r"hunts/s that `process` holds \| ([\d,]+), ([\d,]+) ", "hunts/s that `process` holds", "Xeon, EPYC, 2026-11-25"),
    "fork": (BENCHMARKS, r"hunts/s that `fork` holds \| ([\d,]+), ([\d,]+) ", "hunts/s that `fork` holds", "Xeon, EPYC, 2026-11-25"),
    "batch": (BENCHMARKS, r"A fleet: 10,000 connections, ([\d,]+) hunts/s, 20 minutes", "hunts/s that `batch` was given for 20 minutes",
              "Xeon, 2026-11-25"),
    "commits": (SIBLINGS, r"([\d,]+) commits beside [\d,]+ EVALSHA per CPU second on the Xeon, ([\d,]+) beside",
                "commits per CPU second of Redis", "Xeon, EPYC, 2026-11-25"),
    "held": (BENCHMARKS, r"what a hunter holds in a hunt, one loot \| ([\d,]+) B ", "what a hunter holds in a hunt, one loot: B", ""),
    "loot": (BENCHMARKS, r"the same, each further loot_id \| ([\d,]+) B ", "each further loot_id: B", ""),
    "done": (BENCHMARKS, r"a stored response \| ([\d,]+) B ", "a stored response: B", ""),
    "table": (BENCHMARKS, r"Redis' own tables, per key \| ([\d,]+) B ", "Redis' own tables, per key: B", ""),
    "event": (BENCHMARKS, r"an event in the outbox \| ([\d,]+) B ", "an event in the outbox: B", ""),
    "event_json": (AGGREGATOR, r"events of (\d+) bytes", "the JSON of an event: B", "EPYC, 2026-11-28"),
    "catch_up": (AGGREGATOR, r"a table that the first half has filled \| ([\d.]+) MB/s", "hunt-aggregator, into a table with rows: MB/s",
                 "EPYC, 2026-11-28"),
}


class Missing(Exception):
    """A figure or a table that is not where it should be."""


def read_figures(docs: pathlib.Path) -> dict[str, list[float]]:
    """The values of each figure, one per machine."""
    found = {}
    for name, (document, pattern, _, _) in FIGURES.items():
        match = re.search(pattern, re.sub(r"\s+", " ", (docs / document).read_text()))
        if match is None:
            raise Missing(f"docs/{document} has no figure like: {pattern}")
        found[name] = [float(value.replace(",", "")) for value in match.groups()]
    return found


def table(head: list[str], rows: list[list[str]]) -> str:
    return "".join("| " + " | ".join(cells) + " |\n" for cells in [head, ["---"] * len(head), *rows])


def gib(size: float) -> str:
    return f"{size / GIB:.2f} GiB" if size < 10 * GIB else f"{size / GIB:.0f} GiB"


def figures_table(docs: pathlib.Path, figures: dict[str, list[float]]) -> str:
    rows = []
    for name, (document, pattern, words, machines) in FIGURES.items():
        if not machines:  # the row of benchmarks.md has them in its last column
            row = next(line for line in (docs / document).read_text().splitlines() if re.search(pattern, line))
            machines = row.strip(" |").rsplit("|", 1)[1].strip()
        rows.append([words, ", ".join(f"{value:,g}" if value % 1 else f"{value:,.0f}" for value in figures[name]), machines,
                     f"[{pathlib.Path(document).stem}]({document})"])
    return table(["figure", "measured", "machine, date", "in"], rows)


def cores_table(_, figures: dict[str, list[float]]) -> str:
    rates = (1_000, 5_000, 9_600, 20_000)
    rows = []
    for mode in ("process", "fork", "batch"):
        held = min(figures[mode])
        per_core = held / BENCHED_CORES
        rows.append([f"`{mode}`", f"{held:,.0f}", f"{held:,.0f} / {BENCHED_CORES} = {per_core:,.0f}",
                     *(f"{math.ceil(rate / per_core)}" for rate in rates)])
    return table(["isolation", "hunts/s held on 2 cores", "per core", *(f"cores for {rate:,}/s" for rate in rates)], rows)


def redis_cpu_table(_, figures: dict[str, list[float]]) -> str:
    most = min(figures["commits"])
    return table(["hunts/s", "of one Redis' CPU"], [[f"{rate:,}", f"{rate:,} / {most:,.0f} = {100 * rate / most:.0f} %"]
                                                    for rate in (1_000, 5_000, 9_600, 20_000)])


def redis_memory_table(_, figures: dict[str, list[float]]) -> str:
    held, loot, done, each = (figures[name][0] for name in ("held", "loot", "done", "table"))
    hunters = 1_000_000
    rows = [[f"{hunters:,} hunters in one hunt, one loot each", f"{hunters:,} × ({held:g} + {each:g}) B", gib(hunters * (held + each))],
            [f"{hunters:,} hunters in one hunt, ten loot_ids each", f"{hunters:,} × ({held:g} + 9 × {loot:g} + {each:g}) B",
             gib(hunters * (held + 9 * loot + each))]]
    for rate in (10, 100, 1_000):
        rows.append([f"responses to {rate:,} hunts/s with an `Idempotency-Key`, kept for a day",
                     f"{rate:,} × {IDEMPOTENCY_TTL_S:,} × ({done:g} + {each:g}) B", gib(rate * IDEMPOTENCY_TTL_S * (done + each))])
    rows.append([f"responses to 1,000 hunts/s without one, kept for {UNKEYED_TTL_S} s",
                 f"1,000 × {UNKEYED_TTL_S} × ({done:g} + {each:g}) B", gib(1_000 * UNKEYED_TTL_S * (done + each))])
    return table(["what", "computed", "memory"], rows)


def outbox_table(_, figures: dict[str, list[float]]) -> str:
    event, = figures["event"]
    speed = figures["catch_up"][0] * 1e6 / figures["event_json"][0]
    rows = []
    for rate in (100, 1_000, 5_000, 9_600):
        events = rate * 3600
        rows.append([f"{rate:,}", f"{rate:,} × 3,600 × {event:g} B", gib(events * event), f"{events:,} / {speed:,.0f} = {events / speed:,.0f} s"])
    return table(["hunts/s, one loot each", "computed", "per hour", "merged afterwards in"], rows)


TABLES = {"figures": figures_table, "cores": cores_table, "redis cpu": redis_cpu_table, "redis memory": redis_memory_table,
          "outbox": outbox_table}


def computed(docs: pathlib.Path, text: str) -> str:
    """`text`, the document, with its tables computed again."""
    figures = read_figures(docs)
    for name, compute in TABLES.items():
        part = re.compile(rf"(<!-- computed: {name} -->\n).*?(<!-- end -->\n)", re.DOTALL)
        new = compute(docs, figures)
        text, found = part.subn(lambda match, new=new: match[1] + new + match[2], text)
        if found != 1:
            raise Missing(f"docs/capacity.md has {found} tables {name}")
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description="Computes the tables of docs/capacity.md, or checks them.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a table is out of date")
    parser.add_argument("docs", nargs="?", default=ROOT / "docs", type=pathlib.Path)
    options = parser.parse_args()
    path = options.docs / "capacity.md"
    try:
        text = path.read_text()
        new = computed(options.docs, text)
    except Missing as missing:
        print(missing)
        return 1
    if text == new:
        return 0
    if options.check:
        print("docs/capacity.md: its tables are not those of the figures: run ./dev docs")
        return 1
    path.write_text(new)
    print("docs/capacity.md: updated")
    return 0


if __name__ == "__main__":
    sys.exit(main())
