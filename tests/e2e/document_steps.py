# SPDX-License-Identifier: Apache-2.0
"""Documents that a reader follows: each file is saved and each command run, in the order of the document."""
import pathlib
import re
import shlex
import subprocess

from aggregator_pipeline import huntctl_program

BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)
# Of each run, or drawn: the documents do not have them.
VARIABLE = ("time ", "memory ", "seed ")
# On a busy machine, where 50 ms may pass before a worker runs.
LATE, TRIES = ": deadline-passed", 20


def unnamed_files(text: str) -> list[str]:
    """The files of a document whose name a reader does not see: it is in the line above the block, as the block's own line is not shown."""
    return [name for before, name in re.findall(r"^(.*)\n```(?:lua|toml) (\S+)\n", text, flags=re.M)
            if not re.search(rf"\b(?:Save|And) (?:this|its test) as `{re.escape(name)}`(?:, .*)?:$", before)]


def run(folder: pathlib.Path, command: str) -> list[str]:
    """The lines that it prints, without those that differ from run to run."""
    program, *words = shlex.split(command)
    assert program == "huntctl"
    for _ in range(TRIES):
        done = subprocess.run([huntctl_program(), *words], cwd=folder, capture_output=True, text=True, timeout=120)
        if LATE not in done.stdout:
            break
    assert done.returncode in (0, 4), (command, done.returncode, done.stdout, done.stderr)
    return [line for line in done.stdout.splitlines() if not line.startswith(VARIABLE)]


def commands_of(folder: pathlib.Path, text: str) -> list[tuple[str, list[str], list[str]]]:
    """Each command of this part of a document, with the lines that the document has and those that it printed."""
    done = []
    for kind, name, body in BLOCK.findall(text):
        if kind in ("lua", "toml"):
            (folder / name).write_text(body)
        if kind != "console":
            continue
        for part in re.split(r"^\$ ", body, flags=re.M)[1:]:
            command, *expected = part.splitlines()
            done.append((command, expected, run(folder, command)))
    return done
