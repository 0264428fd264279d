# SPDX-License-Identifier: Apache-2.0
"""huntctl new and huntctl editor: files for a new hunt, and for editors. No server is started."""
import json
import pathlib
import re
import shutil
import subprocess

import pytest

from aggregator_pipeline import huntctl_program
from conftest import PATIENT
from harness.huntd_stack import ROOT, write_config

SAMPLES = sorted(path.stem for path in (ROOT / "lua").glob("*.lua") if not path.stem.endswith("_test"))
EDITOR = ROOT / "tools" / "editor"
EDITOR_FILES = [".luacheckrc", ".luarc.json", ".luals/hunt.lua"]


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    (tmp_path / "hunts").mkdir()
    write_config(tmp_path / "huntd.toml", {"hunts.dir": str(tmp_path / "hunts"), **PATIENT})
    return tmp_path / "hunts"


def huntctl(folder: pathlib.Path, *words, code=0) -> subprocess.CompletedProcess:
    done = subprocess.run([huntctl_program(), "-c", str(folder.parent / "huntd.toml"), *map(str, words)], capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("like", [None, *SAMPLES])
def test_a_new_hunt_passes_check_try_and_its_test(folder, like):
    done = huntctl(folder, "new", "star-fall", *(["--like", like] if like else []))
    settings = f"{folder}/star-fall.toml\n" if (ROOT / "lua" / f"{like}.toml").exists() else ""
    assert done.stdout == f"{folder}/star-fall.lua\n{folder}/star-fall_test.lua\n{settings}"
    assert "0 errors, 0 warnings" in huntctl(folder, "check").stdout
    assert huntctl(folder, "try", "star-fall").stdout.startswith("star-fall for hunter: ok\n")
    assert "0 failed" in huntctl(folder, "test").stderr
    hunt, test = ((folder / f"star-fall{end}.lua").read_text() for end in ("", "_test"))
    assert "-- star-fall: " in hunt and "\n---@param hunt Hunt\nreturn function(hunt)\n" in hunt
    assert "-- The test of star-fall: huntctl test star-fall_test.lua\n" in test and "\n---@param test HuntTest\n" in test
    if like:
        assert f"-- {like}: " not in hunt and f"{like}_test" not in test


def test_nothing_is_overwritten(folder):
    (folder / "a_test.lua").write_text("mine")
    assert huntctl(folder, "new", "a", code=2).stderr == f"huntctl: {folder}/a_test.lua exists, and is not overwritten\n"
    assert not (folder / "a.lua").exists()
    (folder / "b.lua").symlink_to("nowhere")
    assert "b.lua exists" in huntctl(folder, "new", "b", code=2).stderr
    assert sorted(path.name for path in folder.iterdir()) == ["a_test.lua", "b.lua"]


def test_a_file_is_written_to_its_path(folder, tmp_path):
    huntctl(folder, "new", tmp_path / "c.lua", "--like", "campfire")
    assert (tmp_path / "c_test.lua").exists() and list(folder.iterdir()) == []
    assert "cannot write" in huntctl(folder, "new", tmp_path / "no" / "c.lua", code=1).stderr


def test_without_a_name_the_samples_are_listed(folder):
    lines = huntctl(folder, "new").stdout.splitlines()
    assert [line.split()[0] for line in lines] == SAMPLES and "campfire       come back every day." in lines
    found = json.loads(huntctl(folder, "new", "--json").stdout)["samples"]
    assert [sample["name"] for sample in found] == SAMPLES and all(sample["about"] for sample in found)


@pytest.mark.parametrize("words, error", [
    (("a", "--like", "camp-fire"), 'there is no sample "camp-fire": did you mean campfire?; `huntctl new` lists them'),
    (("a b",), '"a b" is not the name of a hunt'), (("a_test",), "the name of a hunt cannot end in _test"), ((".a",), "without a dot"),
    (("a" * 60,), "1 to 59"), (("--like", "campfire"), "the new hunt needs a name"),
])
def test_wrong_usage_says_what_is_wrong(folder, words, error):
    assert error in huntctl(folder, "new", *words, code=2).stderr


def test_the_files_for_editors_are_those_that_are_committed(folder):
    done = huntctl(folder, "editor")
    assert done.stdout.splitlines() == [f"{folder}/{name}" for name in EDITOR_FILES]
    for name in EDITOR_FILES:
        assert (folder / name).read_text() == (EDITOR / name).read_text(), f"run: build/release/huntctl editor tools/editor ({name})"
    assert sorted(str(path.relative_to(EDITOR)) for path in EDITOR.rglob("*") if path.is_file()) == sorted(EDITOR_FILES)


def test_files_for_editors_replace_their_own_only(folder):
    huntctl(folder, "editor")
    (folder / ".luals" / "hunt.lua").write_text("-- Written by huntctl editor, long ago")
    huntctl(folder, "editor", folder)
    assert (folder / ".luals" / "hunt.lua").read_text().startswith("---@meta hunt")
    (folder / ".luarc.json").write_text("{}")
    (folder / ".luacheckrc").unlink()
    assert ".luarc.json exists, and huntctl has not written it" in huntctl(folder, "editor", code=2).stderr
    assert (folder / ".luarc.json").read_text() == "{}" and not (folder / ".luacheckrc").exists()
    assert "is not a folder" in huntctl(folder, "editor", folder / "no", code=2).stderr


def test_the_definitions_have_the_names_of_a_real_test(folder):
    """tests/check compares the names of `hunt` with hunt_worker; here are those of `test`."""
    (folder / "a.lua").write_text("return function(hunt) end\n")
    (folder / "a_test.lua").write_text('return function(test) test.case("x", function() test.nothing() end) end\n')
    message = json.loads(huntctl(folder, "test", "--json", code=1).stdout)["hunts"][0]["cases"][0]["message"]
    text = (EDITOR / ".luals" / "hunt.lua").read_text().split("---@class HuntTest\n")[1]
    assert sorted(re.findall(r"(?:function HuntTest\.|---@field )(\w+)", text)) == message.split("there are ")[1].split(", ")


def test_luacheck_takes_the_samples_and_finds_what_a_hunt_does_not_have(folder):
    luacheck = shutil.which("luacheck")
    if luacheck is None:
        pytest.skip("luacheck (Debian: lua-check) is not installed")
    huntctl(folder, "editor")
    for path in (ROOT / "lua").glob("*.lua"):
        shutil.copy(path, folder)
    run = [luacheck, "--config", str(folder / ".luacheckrc"), "--codes", "--no-color"]
    done = subprocess.run([*run, *map(str, sorted(folder.glob("*.lua")))], capture_output=True, text=True, timeout=60, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = folder / "wrong.lua"
    wrong.write_text("return function(hunt)\n  print(os.time(), math.random(), string.trim(hunt.id))\n  total = 1\nend\n")
    found = subprocess.run([*run, str(wrong)], capture_output=True, text=True, timeout=60, cwd=folder).stdout
    for name in ("print", "os", "random", "trim", "total"):
        assert re.search(rf"\b{name}\b", found), f"{name}: {found}"
    definitions = subprocess.run([luacheck, "--no-config", "--std", "max", "--no-color", "--only", "0", "--", str(folder / ".luals" / "hunt.lua")],
                                 capture_output=True, text=True, timeout=60, cwd=folder)
    assert definitions.returncode == 0, definitions.stdout
