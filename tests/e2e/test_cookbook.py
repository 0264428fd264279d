# SPDX-License-Identifier: Apache-2.0
"""docs/cookbook.md: each recipe is saved, tested and simulated, in the order of the document, as a reader does."""
import re

import pytest

from document_steps import BLOCK, commands_of, run
from harness.huntd_stack import ROOT

TEXT = (ROOT / "docs" / "cookbook.md").read_text()
RECIPES = ["Calendar", "Raffle", "Crafting", "Race", "Daily streak", "Team goal", "Riddle with hints"]


def recipes() -> dict[str, str]:
    parts = re.split(r"^## (.+)\n", TEXT, flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_does_what_it_shows(tmp_path, name):
    commands = commands_of(tmp_path, recipes()[name])
    for command, expected, printed in commands:
        assert expected and printed[:len(expected)] == expected, (command, printed)
    tested, simulated = (next(lines for command, lines, _ in commands if command.startswith(start))
                         for start in ("huntctl test ", "huntctl simulate "))
    assert tested[1].startswith("  ok ") and not any("FAIL" in line for line in tested)
    assert any(line.startswith("ok ") for line in simulated)
    [hunt] = (path.stem for path in tmp_path.glob("*.lua") if not path.stem.endswith("_test"))
    assert run(tmp_path, f"huntctl check {hunt}.lua")[-1].endswith("0 errors, 0 warnings")


def test_each_recipe_is_in_the_list_and_whole():
    assert list(recipes()) == RECIPES
    assert re.findall(r"^\| \[(.+?)\]\(#", TEXT, flags=re.M) == RECIPES
    for text in recipes().values():
        files = [name for kind, name, _ in BLOCK.findall(text) if kind == "lua"]
        sample = re.search(r"^\$ huntctl new (\S+)\.lua --like \S+$", text, flags=re.M)
        assert sample or [f"{name}_test.lua" for name in (files[0].removesuffix(".lua"),)] == files[1:]
