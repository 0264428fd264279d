# SPDX-License-Identifier: Apache-2.0
"""docs/tutorial.md: each file is saved and each command run, in the order of the document, as a reader does."""
import re

import pytest

from document_steps import commands_of, unnamed_files
from harness.huntd_stack import ROOT

TEXT = (ROOT / "docs" / "tutorial.md").read_text()


def steps() -> list[str]:
    return re.split(r"^## (?=\d+\. )", TEXT, flags=re.M)[1:]


@pytest.mark.parametrize("number", range(1, 11))
def test_a_step_does_what_it_shows(tmp_path, number):
    step = steps()[number - 1]
    assert step.startswith(f"{number}. ")
    commands = commands_of(tmp_path, step)
    for command, expected, printed in commands:
        assert printed[:len(expected)] == expected, (command, printed)
    assert commands and not list(tmp_path.glob("*.new"))


def test_there_are_ten_steps():
    assert len(steps()) == 10


def test_each_file_has_a_name_that_a_reader_sees():
    assert unnamed_files(TEXT) == []
