# SPDX-License-Identifier: Apache-2.0
"""The names of tests have at most CHARACTERS_MAX characters: pytest functions, and the titles of doctest's TEST_CASE and SUBCASE."""
import ast
import pathlib
import re
import sys
from collections.abc import Iterator

from lint.sources import ROOT, Report, c_files, python_files, read, run_alone, show

CHARACTERS_MAX = 80
TITLE = re.compile(r'\b(?:TEST_CASE(?:_FIXTURE)?|SUBCASE)\s*\((?:\s*\w+\s*,)?((?:\s*"(?:\\.|[^"\\\n])*")+)')


def c_names(text: str) -> Iterator[tuple[int, str]]:
    for match in TITLE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, "".join(re.findall(r'"((?:\\.|[^"\\\n])*)"', match[1]))


def python_names(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
            yield node.lineno, node.name


def check(root: pathlib.Path = ROOT) -> Report:
    findings, tests = [], 0
    for path in c_files("tests", "bench", root=root) + python_files("tests", "bench", root=root):
        for line, name in (python_names if path.suffix == ".py" else c_names)(read(path)):
            tests += 1
            if len(name) > CHARACTERS_MAX:
                findings.append(f"{show(path, root)}:{line}: {len(name)} characters, {CHARACTERS_MAX} are allowed: {name}")
    return Report(f"{tests} names of tests", findings)


if __name__ == "__main__":
    sys.exit(run_alone("names", check(pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT)))
