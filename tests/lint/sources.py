# SPDX-License-Identifier: Apache-2.0
"""What the checks read: lists of files, and C, C++ and Python sources split into code, comments and string literals."""
import functools
import pathlib
import re
import tokenize
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOT_OURS = {"__pycache__", "build", "corpus", "node_modules"}  # folder names
TOKEN = re.compile(r"""
    (?P<raw> (?:u8|[uUL])? R"(?P<delimiter>[^\s()\\"]{0,16})\( .*? \)(?P=delimiter)" )
  | (?P<string> (?:u8|[uUL])? "(?:\\.|[^"\\\n])*" )
  | (?P<char> (?<![0-9A-Za-z_]) (?:u8|[uUL])? '(?:\\.|[^'\\\n])+' )
  | (?P<comment> //(?:\\\n|[^\n])* | /\*.*?\*/ )
""", re.VERBOSE | re.DOTALL)
DIRECTIVE = re.compile(r"^[ \t]*\#(?:\\\n|[^\n])*", re.MULTILINE)


@dataclass(frozen=True)
class Piece:
    """A comment or a string literal. `text` is without its marks; it may have several lines, the first is `line`."""
    kind: str  # "comment", "string" or "code"
    line: int
    text: str


@dataclass
class Report:
    """The result of one check: `checked` says what was looked at, such as "412 files"."""
    checked: str
    findings: list[str]
    skipped: str = ""  # the reason, if the check could not run


def files(*folders: str, suffixes: tuple[str, ...], root: pathlib.Path = ROOT) -> list[pathlib.Path]:
    """All files with one of the suffixes under the folders (or the files themselves), sorted."""
    found = []
    for folder in folders:
        start = root / folder
        if start.is_file():
            found.append(start)
        found += [path for path in start.rglob("*") if path.suffix in suffixes and path.is_file()
                  and not NOT_OURS.intersection(path.relative_to(root).parts)]
    return sorted(found)


def c_files(*folders: str, root: pathlib.Path = ROOT) -> list[pathlib.Path]:
    return files(*folders, suffixes=(".cc", ".h", ".c"), root=root)


def python_files(*folders: str, root: pathlib.Path = ROOT) -> list[pathlib.Path]:
    return files(*folders, suffixes=(".py",), root=root)


@functools.lru_cache(maxsize=None)
def read(path: pathlib.Path) -> str:
    return path.read_text(errors="replace")


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def code_only(text: str) -> str:
    """C or C++ with comments, literals and preprocessor directives replaced by spaces; lines and columns stay the same."""
    def blank(match: re.Match) -> str:
        whole = match[0]
        if match["comment"] or match["char"]:
            return _blank(whole)
        first, last = whole.index('"'), len(whole) - 1
        return " " * first + '"' + _blank(whole[first + 1:last]) + '"'

    return DIRECTIVE.sub(lambda match: _blank(match[0]), TOKEN.sub(blank, text))


def _comment_text(text: str) -> str:
    if text.startswith("//"):
        return re.sub(r"^///?<? ?", "", text)
    return re.sub(r"^[ \t]*\*(?!/) ?", "", text[2:-2], flags=re.MULTILINE)


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Comments on lines of their own that follow each other become one, so that a sentence is read whole."""
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if (last and piece.kind == last.kind == "comment"
                and piece.line == last.line + last.text.count("\n") + 1):
            joined[-1] = Piece("comment", last.line, f"{last.text}\n{piece.text}")
        else:
            joined.append(piece)
    return joined


def c_pieces(text: str) -> list[Piece]:
    """The comments and the string literals of a C or C++ source."""
    pieces = []
    line, at = 1, 0
    for match in TOKEN.finditer(text):
        line += text.count("\n", at, match.start())
        at = match.start()
        if match["comment"]:
            pieces.append(Piece("comment", line, _comment_text(match[0])))
        elif match["string"]:
            pieces.append(Piece("string", line, match[0][match[0].index('"') + 1:-1]))
        elif match["raw"]:
            opened = match[0].index("(") + 1
            pieces.append(Piece("string", line, match[0][opened:-2 - len(match["delimiter"])]))
    return _joined(pieces)


def python_pieces(path: pathlib.Path) -> list[Piece]:
    """The comments and the string literals (docstrings too) of a Python source."""
    pieces = []
    with tokenize.open(path) as source:
        for token in tokenize.generate_tokens(source.readline):
            if token.type == tokenize.COMMENT:
                pieces.append(Piece("comment", token.start[0], token.string.lstrip("#! ")))
            elif token.type == tokenize.STRING:
                pieces.append(Piece("string", token.start[0], token.string.lstrip("rRbBfFuU").strip("\"'")))
    return _joined(pieces)


def hash_pieces(text: str) -> list[Piece]:
    """The comments of a file whose comments begin with # (meson.build, shell, TOML, units)."""
    found = [Piece("comment", number, match[1]) for number, line in enumerate(text.splitlines(), 1)
             if (match := re.search(r"(?:^|\s)#!?\s*(.*)$", line))]
    return _joined(found)


def lua_pieces(text: str) -> list[Piece]:
    found = [Piece("comment", number, match[1]) for number, line in enumerate(text.splitlines(), 1)
             if (match := re.search(r"--\s*(.*)$", line))]
    return _joined(found)


def show(path: pathlib.Path, root: pathlib.Path = ROOT) -> str:
    return str(path.relative_to(root))


def run_alone(name: str, report: Report) -> int:
    """What `python3 -m lint.NAME` prints and returns."""
    for finding in report.findings:
        print(finding)
    if report.skipped:
        print(f"{name}: skipped: {report.skipped}")
    print(f"{name}: {report.checked}, {len(report.findings)} findings")
    return 1 if report.findings else 0
