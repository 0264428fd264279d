# SPDX-License-Identifier: Apache-2.0
"""docs/tutorial.md: each file is saved and each command run, in the order of the document, as a reader does."""
import pathlib
import re
import shlex
import subprocess

import pytest

from aggregator_pipeline import huntctl_program
from harness.huntd_stack import ROOT

TEXT = (ROOT / "docs" / "tutorial.md").read_text()
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)
# Of each run, or drawn: the document does not have them.
VARIABLE = ("time ", "memory ", "seed ")


def steps() -> list[str]:
    return re.split(r"^## (?=\d+\. )", TEXT, flags=re.M)[1:]


def run(folder: pathlib.Path, command: str) -> list[str]:
    """The lines that it prints, without those that differ from run to run."""
    program, *words = shlex.split(command)
    assert program == "huntctl"
    done = subprocess.run([huntctl_program(), *words], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 4), (command, done.returncode, done.stdout, done.stderr)
    return [line for line in done.stdout.splitlines() if not line.startswith(VARIABLE)]


@pytest.mark.parametrize("number", range(1, 11))
def test_a_step_does_what_it_shows(tmp_path, number):
    step = steps()[number - 1]
    assert step.startswith(f"{number}. ")
    commands = 0
    for kind, name, text in BLOCK.findall(step):
        if kind in ("lua", "toml"):
            (tmp_path / name).write_text(text)
        if kind != "console":
            continue
        for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
            command, *expected = part.splitlines()
            printed = run(tmp_path, command)
            assert printed[:len(expected)] == expected, (command, printed)
            commands += 1
    assert commands > 0 and not list(tmp_path.glob("*.new"))


def test_there_are_ten_steps():
    assert len(steps()) == 10
