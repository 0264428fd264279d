# SPDX-License-Identifier: Apache-2.0
"""lib/NAME.lua and require("NAME"): code that hunts share (decision 62)."""
import json
import signal
import subprocess

import pytest

from client import run_hunt
from conftest import PATIENT
from harness.huntd_stack import write_config
from harness.process import wait_until
from huntctl_runs import run

SUMS = 'local M = {}\nfunction M.double(n) return 2 * n end\nfunction M.fail() error("no such sum") end\nreturn M\n'
TEXTS = 'local sums = require("sums")\nreturn { four = "4 is " .. sums.double(2) }\n'
CHEST = """local sums = require("sums")
local texts = require("texts")
return function(hunt)
  if hunt.input == "fail" then sums.fail() end
  return { text = texts.four, eight = sums.double(4), same = require("sums") == sums }
end
"""


@pytest.fixture
def hunts(tmp_path):
    folder = tmp_path / "hunts"
    (folder / "lib").mkdir(parents=True)
    write_config(tmp_path / "huntd.toml", {"hunts.dir": str(folder), **PATIENT})

    def write(**files: str):
        for name, text in files.items():
            (folder / f"{name.replace('lib_', 'lib/')}.lua").write_text(text)
        return folder
    return write


def huntctl(folder, *words):
    return run(folder.parent / "huntd.toml", *map(str, words))


@pytest.mark.parametrize("isolation", ["process", "fork", "task", "batch"])
def test_hunts_share_modules_in_each_isolation_mode(own_stack, hunts, isolation):
    folder = hunts(chest=CHEST, gold='local sums = require("sums")\nreturn function() return sums.double(1) end\n', lib_sums=SUMS,
                   lib_texts=TEXTS)
    stack = own_stack(hunts=folder, settings={"worker.isolation": isolation, **PATIENT}).start()
    for hunter in ("ada", "ben"):
        assert run_hunt(stack.http, "chest", hunter).json["result"] == {"text": "4 is 4", "eight": 8, "same": True}
        assert run_hunt(stack.http, "gold", hunter).json["result"] == 2
        failed = run_hunt(stack.http, "chest", hunter, input="fail")
        assert failed.status == 500 and failed.json["detail"] == "lib/sums.lua:3: no such sum"
    first = run_hunt(stack.http, "gold", "ada").headers["hunt-bundle"]
    (folder / "lib" / "sums.lua").write_text(SUMS.replace("2 * n", "3 * n"))
    stack.huntd.signal(signal.SIGHUP)
    wait_until(lambda: run_hunt(stack.http, "gold", "ada").headers["hunt-bundle"] != first, 30, "the new module is in use")
    assert run_hunt(stack.http, "gold", "ada").json["result"] == 3


def error_of(folder) -> str:
    done = huntctl(folder, "try", "chest")
    assert done.returncode == 1
    return done.stderr.removeprefix("huntctl: ").strip().replace(str(folder), "DIR")


def test_a_mistake_has_its_file_and_line_and_what_to_do(hunts):
    good = "return function() end\n"
    folder = hunts(chest=f'local a = 1\nlocal s = require("smus")\n{good}', lib_sums=SUMS)
    assert error_of(folder) == 'DIR/chest.lua:2: require: there is no lib/smus.lua; did you mean "sums"?'
    hunts(chest=f'local s = require("a")\n{good}', lib_a='local b = require("b")\nreturn {}\n', lib_b='local a = require("a")\nreturn a\n')
    assert error_of(folder).startswith("DIR/lib/b.lua:1: require: modules need each other: a -> b -> a; move what both need")
    hunts(chest=f'local s = require("a")\n{good}', lib_a="local x = 3\nx = = 4\n")
    assert error_of(folder) == "DIR/lib/a.lua:2: unexpected symbol near '='"
    hunts(lib_a="local x = nil + 1\nreturn x\n")
    assert error_of(folder).startswith("DIR/lib/a.lua:1: attempt to perform arithmetic on a nil value")
    hunts(lib_a="local x = 1\n")
    assert "lib/a.lua returns nothing; write return" in error_of(folder)
    hunts(chest='return function()\n  return require("sums").double(1)\nend\n')
    done = json.loads(huntctl(folder, "try", "chest", "--json").stdout)
    assert done["reason"].startswith('chest.lua:2: require: write require("sums") at the top of the script')


def test_a_module_whose_error_was_caught_may_be_loaded_again(hunts):
    folder = hunts(chest='pcall(require, "a")\nlocal ok, why = pcall(require, "a")\nerror(why, 0)\n', lib_a='local b = require("b")\nreturn b\n',
                   lib_b='error("not today")\n')
    assert error_of(folder) == "DIR/lib/b.lua:1: not today"


def test_a_module_that_needs_too_much_memory_says_so(hunts):
    folder = hunts(chest='local a = require("a")\nreturn function() return a end\n',
                   lib_a='local all = {}\nwhile true do all[#all + 1] = ("x"):rep(#all + 1000) end\n')
    assert "the script needs more memory than worker.memory_bytes" in error_of(folder)


def test_check_looks_into_modules(hunts):
    folder = hunts(chest=CHEST, lib_sums=SUMS, lib_texts=TEXTS)
    done = huntctl(folder, "check")
    assert done.returncode == 0 and "3 files: 0 errors" in done.stdout
    hunts(lib_texts='local sums = require("sums")\nif sums != nil then end\nreturn {}\n')
    done = huntctl(folder, "check")
    assert done.returncode == 1 and f"{folder}/lib/texts.lua:2:9: error: " in done.stdout
    assert f"{folder}/chest.lua:1:1: error: a module of this script has a mistake: ./lib/texts.lua:2: " in done.stdout
    hunts(lib_texts=TEXTS, chest='return function()\n  local sums = require("sums")\n  return sums.double(1)\nend\n')
    done = huntctl(folder, "check", folder / "chest.lua")
    assert "chest.lua:2:16: error: a module is loaded at the top of a script" in done.stdout


def test_a_test_may_use_modules_and_huntd_names_files_that_are_none(hunts, huntd_program):
    folder = hunts(chest=CHEST, lib_sums=SUMS, lib_texts=TEXTS,
                   chest_test='local sums = require("sums")\nreturn function(test) test.case("eight", function() test.when()\n'
                              'test.expect{ result_has = { eight = sums.double(4) } } end) end\n')
    assert huntctl(folder, "test").returncode == 0
    (folder / "lib" / "not a module.lua").write_text("")
    done = subprocess.run([huntd_program, "-c", str(folder.parent / "huntd.toml"), "-t"], capture_output=True, text=True, timeout=120)
    assert "not a module.lua: a module must be named NAME.lua" in done.stdout + done.stderr
