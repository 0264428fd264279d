# SPDX-License-Identifier: Apache-2.0
"""huntctl check, and what `huntd -t` says about scripts. What each mistake is called is in tests/check/."""
import json
import pathlib
import subprocess

import pytest

from aggregator_pipeline import huntctl_program
from conftest import PATIENT
from harness.huntd_stack import write_config
from harness.terminal import run_in_terminal

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOOD = 'return function(hunt)\n  hunt.award("gold")\nend\n'
WRONG = 'return function(hunt)\n  if hunt.now = 3 then\n    hunt.award("gold")\n  end\nend\n'
MISSPELT = 'return function(hunt)\n  hunt.awrad("gold")\nend\n'
DOUBTFUL = 'return function(hunt)\n  if hunt.held().iron >= 3 then hunt.award("sword") end\nend\n'


@pytest.fixture
def hunts(tmp_path):
    """A function that writes scripts into hunts.dir of a config; returns the folder."""
    folder = tmp_path / "hunts"
    folder.mkdir()
    write_config(tmp_path / "huntd.toml", {"hunts.dir": str(folder), **PATIENT})

    def write(**scripts: str) -> pathlib.Path:
        for name, text in scripts.items():
            (folder / f"{name}.lua").write_text(text)
        return folder
    return write


def check(*words, config=None) -> subprocess.CompletedProcess:
    with_config = ["-c", str(config)] if config else []
    return subprocess.run([huntctl_program(), *with_config, "check", *map(str, words)], capture_output=True, text=True, timeout=120)


def test_a_mistake_has_its_place_the_line_a_caret_and_help(hunts):
    path = hunts(chest=WRONG) / "chest.lua"
    done = check(path)
    assert done.returncode == 1
    assert done.stdout == (f'{path}:2:15: error: "=" sets a value; it does not compare\n'
                           "    if hunt.now = 3 then\n"
                           "                ^\n"
                           "help: to compare, write ==\n\n")
    assert done.stderr == "huntctl: 1 file: 1 error, 0 warnings\n"


def test_a_folder_is_all_its_scripts_in_the_order_of_their_names(hunts):
    folder = hunts(b=MISSPELT, a=WRONG, c=GOOD)
    (folder / "notes.txt").write_text("!=")
    (folder / ".#a.lua").write_text("!=")
    (folder / "deeper.lua").mkdir()
    done = check(folder)
    assert done.returncode == 1 and "3 files: 2 errors, 0 warnings" in done.stderr
    places = [line.split(": error")[0] for line in done.stdout.splitlines() if ": error" in line]
    assert places == [f"{folder}/a.lua:2:15", f"{folder}/b.lua:2:8"]


def test_without_a_path_the_folder_of_the_config_is_checked(hunts):
    folder = hunts(a=MISSPELT)
    done = check(config=folder.parent / "huntd.toml")
    assert done.returncode == 1 and f"{folder}/a.lua:2:8: error: hunt.awrad does not exist" in done.stdout


def test_warnings_alone_are_exit_0(hunts):
    done = check(hunts(sword=DOUBTFUL))
    assert (done.returncode, done.stderr) == (0, "")
    assert ":2:6: warning: hunt.held().iron is nil" in done.stdout
    assert done.stdout.endswith("1 file: 0 errors, 1 warning\n")


def test_the_sample_hunts_have_no_finding():
    done = check(ROOT / "lua", ROOT / "tests" / "e2e" / "hunts")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" files: 0 errors, 0 warnings\n") and done.stdout.count("\n") == 1


def test_json_is_one_object_with_all_findings(hunts):
    folder = hunts(a=WRONG, b=DOUBTFUL, c=GOOD)
    done = check(folder, "--json")
    assert done.returncode == 1
    shown = json.loads(done.stdout)
    assert (shown["files"], shown["exit_code"]) == (3, 1) and "1 error" in shown["error"]
    assert [sorted(finding) for finding in shown["findings"]] == [["code", "column", "file", "help", "line", "message", "severity"]] * 2
    first, second = shown["findings"]
    assert (first["file"], first["line"], first["column"], first["severity"], first["code"]) == (f"{folder}/a.lua", 2, 15, "error",
                                                                                             "one-equals")
    assert (second["severity"], second["code"]) == ("warning", "maybe-nil")
    (folder / "a.lua").unlink()
    done = check(folder, "--json")
    assert done.returncode == 0 and "error" not in json.loads(done.stdout)


def test_colour_is_only_for_a_terminal(hunts):
    path = hunts(a=WRONG) / "a.lua"
    assert "\x1b" not in check(path).stdout
    code, seen = run_in_terminal([huntctl_program(), "check", str(path)])
    assert code == 1 and b"\x1b[1;31merror:\x1b[0m" in seen


@pytest.mark.parametrize("words, reported", [
    (["none.lua"], "none.lua: does not exist"),
    (["empty"], "empty has no file *.lua"),
    (["--no-such-option"], "--no-such-option"),
])
def test_what_cannot_be_checked_is_exit_2(tmp_path, words, reported):
    (tmp_path / "empty").mkdir()
    done = subprocess.run([huntctl_program(), "check", *words], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 2 and reported in done.stderr, done.stderr


def test_a_file_that_huntd_does_not_take_for_a_hunt_is_a_warning(hunts):
    folder = hunts(good=GOOD)
    (folder / "Copy of good.lua").write_text(GOOD)
    done = check(folder)
    assert done.returncode == 0 and "Copy of good.lua:1:1: warning: huntd does not take a file of this name" in done.stdout


def test_a_script_that_is_too_large_is_an_error(hunts):
    folder = hunts(large="-- " + "x" * 256 * 1024)
    assert "large.lua:1:1: error: this script is larger than 262144 bytes" in check(folder).stdout


def test_top_level_code_that_fails_or_does_not_end_is_an_error(hunts):
    folder = hunts(fails="local odds = nil + 1\n" + GOOD, loops="while true do end\n")
    done = check(folder, config=folder.parent / "huntd.toml")
    assert done.returncode == 1
    assert "fails.lua:1:1: error: Lua reports: attempt to perform arithmetic" in done.stdout
    assert "loops.lua:1:1: error: Lua reports: its top-level code exceeded the deadline" in done.stdout


def test_huntd_t_explains_a_script_that_does_not_compile(huntd_program, hunts):
    folder = hunts(bad=WRONG, good=GOOD)
    done = subprocess.run([huntd_program, "-t", "-c", folder.parent / "huntd.toml"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 78 and done.stdout == ""
    assert f"{folder}/bad.lua:2: 'then' expected near '='\n" in done.stderr
    assert f'{folder}/bad.lua:2:15: error: "=" sets a value; it does not compare\n' in done.stderr
    assert "help: to compare, write ==" in done.stderr


def test_huntd_t_warns_about_a_script_that_compiles(huntd_program, hunts):
    folder = hunts(odd=MISSPELT, sword=DOUBTFUL, good=GOOD)
    done = subprocess.run([huntd_program, "-t", "-c", folder.parent / "huntd.toml"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and ": ok; 3 hunts" in done.stdout
    assert f"{folder}/odd.lua:2:8: warning: hunt.awrad does not exist\n" in done.stderr
    assert f"{folder}/sword.lua:2:6: warning: " in done.stderr and "good.lua" not in done.stderr


def test_huntd_t_with_correct_scripts_prints_nothing_else(huntd_program, hunts):
    folder = hunts(good=GOOD)
    done = subprocess.run([huntd_program, "-t", "-c", folder.parent / "huntd.toml"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
