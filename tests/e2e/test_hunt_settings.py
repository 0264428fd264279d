# SPDX-License-Identifier: Apache-2.0
"""NAME.toml beside NAME.lua: hunt.config in huntd, and in huntctl try, check, test and simulate (decision 60)."""
import json
import signal

import pytest

from client import run_hunt
from conftest import PATIENT
from harness.huntd_stack import write_config
from harness.process import wait_until
from huntctl_runs import run

SCRIPT = """return function(hunt)
  for _, line in ipairs(hunt.config.loot) do hunt.award(line.id) end
  return { config = hunt.config, lines = #hunt.config.loot }
end
"""
SETTINGS = """[config]
welcome = "hello"
none = []
opens = 2026-12-01T00:00:00+01:00

[[config.loot]]
id = "gold"
weight = 2.5
"""
CONFIG = {"welcome": "hello", "none": [], "opens": 1796079600000, "loot": [{"id": "gold", "weight": 2.5}]}


@pytest.fixture
def hunts(tmp_path):
    """A function that writes files into hunts.dir of a config; returns the folder."""
    folder = tmp_path / "hunts"
    folder.mkdir()
    write_config(tmp_path / "huntd.toml", {"hunts.dir": str(folder), **PATIENT})

    def write(**files: str):
        for name, text in files.items():
            stem, _, ending = name.rpartition("_")
            (folder / f"{stem}.{ending}").write_text(text)
        return folder
    return write


def huntctl(folder, *words):
    return run(folder.parent / "huntd.toml", *map(str, words))


@pytest.mark.parametrize("isolation", ["process", "fork", "task", "batch"])
def test_a_script_reads_its_settings_in_each_isolation_mode(own_stack, hunts, isolation):
    folder = hunts(chest_lua=SCRIPT, chest_toml=SETTINGS, plain_lua="return function(hunt) return hunt.config end")
    stack = own_stack(hunts=folder, settings={"worker.isolation": isolation, **PATIENT}).start()
    for hunter in ("ada", "ben", "cy"):
        answer = run_hunt(stack.http, "chest", hunter)
        assert answer.status == 200, answer
        assert answer.json["result"] == {"config": CONFIG, "lines": 1}
        assert [item["loot_id"] for item in answer.json["loot"]] == ["gold"]
        assert run_hunt(stack.http, "plain", hunter).json["result"] == {}


def test_a_changed_settings_file_is_a_new_bundle_and_a_wrong_one_changes_nothing(own_stack, hunts):
    folder = hunts(chest_lua=SCRIPT, chest_toml=SETTINGS)
    stack = own_stack(hunts=folder, settings=PATIENT).start()
    first = run_hunt(stack.http, "chest", "ada").headers["hunt-bundle"]
    (folder / "chest.toml").write_text(SETTINGS.replace("gold", "iron"))
    stack.huntd.signal(signal.SIGHUP)
    wait_until(lambda: run_hunt(stack.http, "chest", "ada").headers["hunt-bundle"] != first, 30, "the new settings are in use")
    answer = run_hunt(stack.http, "chest", "ada")
    assert answer.json["result"]["config"]["loot"][0]["id"] == "iron"
    (folder / "chest.toml").write_text("[config]\nid = gold\n")
    stack.huntd.signal(signal.SIGHUP)
    wait_until(lambda: "chest.toml:2: this is not TOML" in stack.huntd.log_tail(25), 30, "the log names file and line")
    again = run_hunt(stack.http, "chest", "ada")
    assert again.status == 200 and again.headers["hunt-bundle"] == answer.headers["hunt-bundle"]


def test_hunt_config_is_read_only(hunts):
    def error_of(body: str) -> str:
        folder = hunts(chest_lua=f"return function(hunt)\n  local config = hunt.config\n  {body}\nend\n", chest_toml=SETTINGS)
        done = huntctl(folder, "try", "chest", "--json")
        assert done.returncode == 1, done.stdout
        return json.loads(done.stdout)["reason"]
    assert error_of("config.gone = 1") == "chest.lua:3: hunt.config is read-only: gone is not set; use a local variable"
    assert "hunt.config is read-only: 2 is not set" in error_of("config.loot[2] = 1")
    assert "cannot change a protected metatable" in error_of("setmetatable(config.loot, {})")


def test_check_finds_mistakes_of_settings_with_file_and_line(hunts):
    folder = hunts(chest_lua=SCRIPT, chest_toml="cofig = 3\n", good_lua=SCRIPT, good_toml=SETTINGS)
    for words in ((), (folder,), (folder / "chest.lua",), (folder / "chest.toml",)):
        done = huntctl(folder, "check", *words)
        assert done.returncode == 1
        assert done.stdout == (f"{folder}/chest.toml:1:1: error: cofig is not a key of this file\n  cofig = 3\n  ^\n"
                               "help: did you mean config?\n\n")
    (folder / "chest.toml").write_text(SETTINGS)
    assert huntctl(folder, "check").returncode == 0


def test_check_knows_the_keys_of_config(hunts):
    folder = hunts(chest_lua="return function(hunt)\n  hunt.config.welcome = 'hi'\n  return hunt.config.welcme\nend\n", chest_toml=SETTINGS)
    done = huntctl(folder, "check")
    assert done.returncode == 1
    assert "chest.lua:2:3: error: hunt.config is read-only" in done.stdout
    assert "chest.lua:3:22: warning: hunt.config has no welcme" in done.stdout and "did you mean welcome?" in done.stdout


def test_try_test_and_simulate_have_the_settings_too(hunts):
    case = ('return function(test)\n  test.case("gold", function()\n    test.when()\n'
            '    test.expect{ awards = { test.config.loot[1].id }, result_has = { lines = 1 } }\n  end)\nend\n')
    folder = hunts(chest_lua=SCRIPT, chest_toml=SETTINGS, chest_test_lua=case)
    tried = json.loads(huntctl(folder, "try", folder / "chest.lua", "--json").stdout)
    assert tried["result"] == {"config": CONFIG, "lines": 1}
    tested = huntctl(folder, "test")
    assert tested.returncode == 0, tested.stdout
    simulated = json.loads(huntctl(folder, "simulate", "chest", "--hunters", 5, "--hunts", 2, "--json").stdout)
    assert [loot["loot_id"] for loot in simulated["loot"]] == ["gold"], simulated
    (folder / "chest.toml").write_text("config = 1\n")
    for command in ("try", "simulate"):
        failed = huntctl(folder, command, "chest")
        assert failed.returncode == 1 and f"{folder}/chest.toml:1: config is not a table" in failed.stderr
    assert "chest.toml:1: config is not a table" in huntctl(folder, "test").stdout
