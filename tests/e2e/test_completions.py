# SPDX-License-Identifier: Apache-2.0
"""The shell completions are those of the programs' --help, and bash, zsh and fish complete with them. No server is started."""
import importlib.util
import pathlib
import shutil
import subprocess
import sys

import pytest

from harness.huntd_stack import ROOT, build_folder

TOOL = ROOT / "tools" / "make_completions.py"
FOLDER = ROOT / "tools" / "completions"
BASH = """source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
"_${1//-/_}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
# Outside of a key press zsh has no completion system: what the function calls of it prints its arguments.
ZSH = """_describe() { local name=${@[-1]}; print -rl -- "${(@)${(P@)name}%%:*}" }
_files() { print -rl -- *(N) }
_message() { }
compset() { PREFIX=${PREFIX#*=} }
words=("${@[2,-1]}") CURRENT=$(($# - 1)) PREFIX=${@[-1]}
source "$1"
"""
FISH = """source $argv[1]; complete -C (string join ' ' -- $argv[2..])
"""


def completed(shell: str, words: list[str], folder: pathlib.Path) -> list[str]:
    """What is offered for the word at the cursor, sorted; without the descriptions of fish."""
    program = words[0]
    file = FOLDER / shell / {"bash": program, "zsh": f"_{program}", "fish": f"{program}.fish"}[shell]
    command = {"bash": ["bash", "--norc", "-c", BASH, "bash"], "zsh": ["zsh", "-f", "-c", ZSH, "zsh"],
               "fish": ["fish", "--no-config", "-c", FISH, "--"]}[shell]
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([*command, str(file), *words], capture_output=True, text=True, timeout=60, cwd=folder)
    assert done.stderr == "", done.stderr
    offered = {line.split("\t")[0] for line in done.stdout.splitlines() if line}
    return sorted(word for word in offered if word.startswith(words[-1]))


def test_the_files_are_those_of_the_help_texts():
    done = subprocess.run([sys.executable, str(TOOL), "--check", str(build_folder())], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("words, offered", [
    (["huntctl", "sup"], ["supplies"]),
    (["huntctl", "hunt", ""], ["close", "list", "open", "purge", "run"]),
    (["huntctl", "hunt", "run", "gold", "ann", "--k"], ["--key"]),
    (["huntctl", "hunt", "gold", "ann", "--k"], ["--key"]),
    (["huntctl", "--timeout", "3", "dead", "retry", "--a"], ["--again", "--all"]),
    (["huntctl", "held", "hunt", ""], []),
    (["huntctl", "hunt", "purge", "gold", "--dry"], ["--dry-run"]),
    (["huntctl", "status", "--config", "hu"], ["huntd.toml"]),
    (["huntctl", "status", "--timeout", ""], []),
    (["huntctl", "dead", "--timeout", "--json", "re"], ["retry"]),  # as after an option whose value may be left out
    (["huntctl", "try", "go"], ["gold.lua"]),
    (["huntctl", "check", "go"], ["gold.lua"]),
    (["huntctl", "test", "go"], ["gold.lua"]),
    (["huntctl", "new", "bell", "--l"], ["--like"]),
    (["huntctl", "editor", "go"], ["gold.lua"]),
    (["huntctl", "test", "--junit", "go"], ["gold.lua"]),
    (["huntctl", "simulate", "gold.lua", "--hunt"], ["--hunters", "--hunts"]),
    (["huntctl", "simulate", "go"], ["gold.lua"]),
    (["huntd", "--print"], ["--print-config"]),
    (["hunt-aggregator", "--print"], ["--print-config", "--print-schema"]),
    (["hunt-aggregator", "-c", "hu"], ["huntd.toml"]),
])
def test_a_shell_completes_commands_options_and_files(shell, words, offered, tmp_path):
    for name in ("huntd.toml", "gold.lua"):
        (tmp_path / name).touch()
    assert completed(shell, words, tmp_path) == offered


def test_bash_completes_the_value_behind_an_equals_sign(tmp_path):
    (tmp_path / "huntd.toml").touch()
    assert completed("bash", ["huntctl", "--config", "=", "hu"], tmp_path) == ["huntd.toml"]
    assert completed("bash", ["huntctl", "--config", "=", "huntd.toml", "dead", "re"], tmp_path) == ["retry"]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("make_completions", TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # for its dataclasses
    spec.loader.exec_module(module)
    return module


# As CLI11 of Debian 12 prints it, and as later ones do.
HELP = """Options:
  -h,--help             Print this help
  -y,--yes Excludes: --dry-run
                        Do not ask
  --wait SECONDS REQUIRED
                        Wait
  --key TEXT Needs: --y A key
"""
LATER_HELP = """OPTIONS:
  -h,     --help        Print this help
  -y,     --yes Excludes: --dry-run
                        Do not ask
          --wait SECONDS REQUIRED
                        Wait
          --key TEXT    A key
"""


@pytest.mark.parametrize("text", [HELP, LATER_HELP], ids=["12", "later"])
def test_the_help_texts_of_several_releases_are_read(tool, text):
    found = {option.names[-1]: (option.names, option.about, option.has_value) for option in tool.parse_options(text)}
    assert found == {"--help": (["-h", "--help"], "Print this help", False), "--yes": (["-y", "--yes"], "Do not ask", False),
                     "--wait": (["--wait"], "Wait", True), "--key": (["--key"], "A key", True)}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_an_option_may_have_a_value_in_one_command_only(tool, shell, tmp_path, monkeypatch):
    commands = [tool.Command("", [], [("a", ""), ("b", "")]), tool.Command("a", [tool.Option(["--since"], "", True)]),
                tool.Command("b", [tool.Option(["--since"], "", False), tool.Option(["--till"], "", False)])]
    assert tool.valued(commands) == ["a:--since"]
    write, pattern = tool.FILES[shell]
    file = tmp_path / pattern.format("huntd")
    file.parent.mkdir()
    file.write_text(write("huntd", commands))
    monkeypatch.setattr(sys.modules[__name__], "FOLDER", tmp_path)
    assert completed(shell, ["huntd", "b", "--since", "--t"], tmp_path) == ["--till"]
    assert completed(shell, ["huntd", "a", "--since", ""], tmp_path) == []
