# SPDX-License-Identifier: Apache-2.0
"""docs/cookbook.md: each recipe is saved, tested and simulated, in the order of the document, as a reader does."""
import re

import pytest

from document_steps import BLOCK, commands_of, run, unnamed_files
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


def test_each_file_has_a_name_that_a_reader_sees():
    assert unnamed_files(TEXT) == []


def test_the_recipe_to_add_is_made_of_what_visits_find(tmp_path):
    [line] = re.findall(r"below that of the shield, such as `(.+?)`", recipes()["Crafting"])
    thing = line.split()[0]
    run(tmp_path, "huntctl new forge.lua --like smithy")
    hunt = tmp_path / "forge.lua"
    hunt.write_text(re.sub(r"^(  shield = .*\n)", rf"\1  {line}\n", hunt.read_text(), flags=re.M))
    (tmp_path / "forge_test.lua").write_text(f"""return function(test)
  test.case("it can be made", function()
    test.when{{ runs = 10 }}
    test.when{{ input = {{ make = "{thing}" }} }}
    test.expect{{ awards = {{ "{thing}" }} }}
  end)
end
""")
    assert run(tmp_path, "huntctl test forge.lua") == ["forge", "  ok    it can be made"]


def test_the_calendar_takes_the_door_that_the_text_adds(tmp_path):
    text = recipes()["Calendar"]
    [line, loot] = re.search(r"under `\[config\.special\]`, such as `(door-13 = \"(\S+)\")`", text).groups()
    run(tmp_path, "huntctl new calendar.lua --like advent-calendar")
    settings = tmp_path / "calendar.toml"
    settings.write_text(settings.read_text().replace("[config.special]\n", f"[config.special]\n{line}\n"))
    assert run(tmp_path, "huntctl test calendar.lua")[1:] == [f"  ok    {name}" for name in re.findall(r"^  ok    (.+)$", text, flags=re.M)]
    assert f"award    {loot}" in run(tmp_path, "huntctl try calendar.lua ada --now 2026-12-13T12:00+01:00")
