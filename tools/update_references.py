#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the generated parts of the documents from the programs' own tables, or with --check compares them.

A generated part stands between two marker lines, in the comment syntax of its file:

    <!-- generated: NAME -->      .\\" generated: NAME      # generated: NAME
    <!-- end -->                  .\\" end                  # end

The words of NAME are the arguments of tools/print_reference, which prints the part. Exit code 0: all parts are up to date
or were written; 1: --check found a difference, or a marker is wrong; 77: --check needs a build that does not exist."""
import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENTS = ("*.md", "*.yaml", "man/*")  # of docs/
OPENING = {".md": "<!-- ", ".yaml": "# "}
CLOSING = {".md": " -->"}
EXIT_SKIPPED = 77


def markers(path: pathlib.Path) -> re.Pattern:
    """Matches a part: the indentation, the line before, the name, the text, the line after."""
    opening = re.escape(OPENING.get(path.suffix, '.\\" '))
    closing = re.escape(CLOSING.get(path.suffix, ""))
    return re.compile(rf"^(?P<indent> *)(?P<first>{opening}generated: (?P<name>[\w -]+?){closing}\n)(?P<text>.*?)"
                      rf"^(?P<last> *{opening}end{closing}\n)", re.MULTILINE | re.DOTALL)


def printed(program: pathlib.Path, name: str, indent: str) -> str:
    done = subprocess.run([str(program), *name.split()], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"tools/print_reference {name}: {done.stderr.strip()}")
    return "".join(indent + line for line in done.stdout.splitlines(keepends=True))


def updated(path: pathlib.Path, program: pathlib.Path) -> str:
    def part(match: re.Match) -> str:
        indent = match["indent"]
        return indent + match["first"] + printed(program, match["name"], indent) + match["last"]

    text = path.read_text()
    new, found = markers(path).subn(part, text)
    if found != text.count("generated: "):
        sys.exit(f"{path.relative_to(ROOT)}: a marker \"generated: NAME\" has no \"end\" or the wrong comment syntax")
    return new


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes the generated parts of docs/, or checks them.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a part is out of date")
    parser.add_argument("build_dir", nargs="?", default=ROOT / "build" / "release", type=pathlib.Path)
    options = parser.parse_args()
    if not (options.build_dir / "build.ninja").is_file():
        print(f"there is no build in {options.build_dir}: run ./dev build release first")
        return EXIT_SKIPPED if options.check else 1
    built = subprocess.run(["ninja", "-C", str(options.build_dir), "tools/print_reference"], capture_output=True, text=True)
    if built.returncode != 0:
        print(built.stdout + built.stderr)
        return 1
    program = options.build_dir / "tools" / "print_reference"
    stale = []
    for path in sorted(path for pattern in DOCUMENTS for path in (ROOT / "docs").glob(pattern)):
        text, new = path.read_text(), updated(path, program)
        if text == new:
            continue
        stale.append(path)
        if not options.check:
            path.write_text(new)
    for path in stale:
        state = "is out of date: run ./dev docs" if options.check else "updated"
        print(f"{path.relative_to(ROOT)}: {state}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
