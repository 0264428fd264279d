# SPDX-License-Identifier: Apache-2.0
"""`./dev bench NAME --record`: one JSON object per figure at the end of docs/lab/history.jsonl, so that a figure can be followed
over commits. The keys are in docs/benchmarks.md."""
import datetime
import json
import os
import pathlib

from bench.report import Report
from harness.huntd_stack import ROOT
from harness.previous_build import git
from harness.process import ServerFailed

FILE = ROOT / "docs" / "lab" / "history.jsonl"
COMMIT_DIGITS = 12
# Variables that change what a bench does; they are part of the command.
OF_THE_COMMAND = ("HUNTD_BENCH_", "HUNTD_KAFKA_VERSION")
# Those that name programs which are not the commit's.
OTHER_PROGRAMS = ("HUNTD_BUILD", "HUNTD_PREVIOUS_BUILD")


def commit() -> str:
    return git("rev-parse", f"--short={COMMIT_DIGITS}", "HEAD")


def changed_files(status: str) -> list[str]:
    """Of the output of git status --porcelain, without the history: it does not change what a bench measures."""
    names = [line[3:] for line in status.splitlines() if line]
    return [name for name in names if name != str(FILE.relative_to(ROOT))]


def reason_against(changed: list[str], environment: dict[str, str]) -> str:
    """Why figures of this work tree cannot be recorded; "" if they can."""
    named = [name for name in OTHER_PROGRAMS if name in environment]
    if named:
        return f"--record: the programs of {' and '.join(named)} are not known to be those of this commit; unset it"
    if changed:
        shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        return f"--record: the work tree has changes that no commit has ({shown}); commit or stash them, so that a figure has a commit"
    return ""


def check_recordable() -> str:
    """The commit that figures are recorded for. ServerFailed says why they cannot be."""
    against = reason_against(changed_files(git("status", "--porcelain", "--untracked-files=all")), dict(os.environ))
    if against:
        raise ServerFailed(against)
    return commit()


def option_words(options: dict) -> list[str]:
    """Options of a bench as ./dev takes them."""
    return [word for option, value in options.items() if value is not None
            for word in (f"--{option}", f"{value:g}" if isinstance(value, float) else str(value))]


def command_of(bench: str, options: dict, environment: dict[str, str]) -> str:
    """The command that measures the same again."""
    variables = [f"{name}={value}" for name, value in sorted(environment.items()) if name.startswith(OF_THE_COMMAND)]
    return " ".join([*variables, f"./dev bench {bench}", *option_words(options)])


def lines(report: Report, *, commit: str, date: datetime.date, command: str) -> list[str]:
    """One JSON object per figure of the report."""
    found = []
    for figure in report.figures:
        known = figure.as_dict()
        found.append(json.dumps({
            "date": date.isoformat(), "commit": commit, "bench": report.bench, "figure": known.pop("name"), **known,
            "command": command, "machine": report.machine}, allow_nan=False, ensure_ascii=False))
    return found


def append(new: list[str], file: pathlib.Path = FILE) -> None:
    with file.open("a") as out:
        out.write("".join(f"{line}\n" for line in new))
