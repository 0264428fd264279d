# SPDX-License-Identifier: Apache-2.0
"""The shell completions name every option and command that the programs' sources declare, and no other. It needs no build:
tests/e2e/test_completions.py compares them with the programs themselves, command by command."""
import pathlib
import re
import sys
from collections.abc import Iterator

from lint.sources import ROOT, Report, c_files, read, run_alone

FOLDER = "tools/completions/bash"
GETOPT = {"huntd": "src/huntd/main.cc", "hunt-aggregator": "src/aggregator/main.cc"}
OF_CLI11 = {"-h", "--help"}  # it adds these itself
# Also of functions that call add_option(), as add_period_option(*command, "--every", ...).
DECLARED = re.compile(r'\b(?:add_\w*option|add_\w*flag|set_version_flag)\((?:\s*\*?\w+,)?\s*"(-[^"]*)"(?P<rest>[^;]*);')
SUBCOMMAND = re.compile(r'\badd_subcommand\(\s*"([^"]+)"')
GETOPT_ROW = re.compile(r'\{"([\w-]+)",\s*(?:no|required|optional)_argument,\s*nullptr,\s*(?:\'(\w)\')?')
STRING = re.compile(r'"([\w,-]+)"')
HIDDEN = '->group("")'
RUN = "run `./dev docs`"


def completed(text: str, what: str) -> set[str]:
    """The words of the lines what="...": "options" or "commands"."""
    return {word for words in re.findall(rf'^ +{what}="([^"]*)"', text, re.MULTILINE) for word in words.split()}


def declared_options(sources: list[str]) -> set[str]:
    """Of CLI11: the options that --help shows."""
    return {name.strip() for text in sources for match in DECLARED.finditer(text) if HIDDEN not in match["rest"]
            for name in match[1].split(",")}


def differences(program: str, declared: set[str], offered: set[str]) -> Iterator[str]:
    for name in sorted(declared - offered):
        yield f"{FOLDER}/{program}: does not complete {name}: {RUN}"
    for name in sorted(offered - declared):
        yield f"{FOLDER}/{program}: completes {name}, which the program does not have: {RUN}"


def check_huntctl(root: pathlib.Path) -> Iterator[str]:
    sources = [read(path) for path in c_files("src/huntctl", root=root)]
    text = read(root / FOLDER / "huntctl")
    # Some names are arguments of a function that declares them: whether these exist is only looked for among the strings.
    strings = {name for source in sources for names in STRING.findall(source) for name in names.split(",")}
    options, offered = declared_options(sources) | OF_CLI11, completed(text, "options")
    yield from differences("huntctl", options | (offered & strings), offered)
    commands, offered = {name for source in sources for name in SUBCOMMAND.findall(source)}, completed(text, "commands")
    yield from differences("huntctl", commands | (offered & strings), offered)


def check_getopt(root: pathlib.Path) -> Iterator[str]:
    for program, path in GETOPT.items():
        rows = GETOPT_ROW.findall(read(root / path))
        declared = {f"--{name}" for name, _ in rows} | {f"-{letter}" for _, letter in rows if letter}
        yield from differences(program, declared, completed(read(root / FOLDER / program), "options"))


def check(root: pathlib.Path = ROOT) -> Report:
    findings = [*check_huntctl(root), *check_getopt(root)]
    return Report("3 programs", findings)


if __name__ == "__main__":
    sys.exit(run_alone("completions", check(pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT)))
