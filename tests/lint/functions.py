# SPDX-License-Identifier: Apache-2.0
"""Every function has at most LINES_MAX lines, from the first line of its signature to its closing brace.

There are no exceptions. A doctest TEST_CASE counts as one function.
"""
import ast
import pathlib
import re
import sys
from dataclasses import dataclass

from lint.sources import ROOT, Report, c_files, code_only, python_files, read, run_alone, show

LINES_MAX = 70
SCOPE = re.compile(r'\b(?:namespace|class|struct|union|enum)\b|\bextern\s*"\s*"\s*$')
ATTRIBUTE = re.compile(r"\b(?:alignas|__attribute__|__declspec|requires|decltype)\s*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|\[\[.*?\]\]",
                       re.DOTALL)
TEMPLATE = re.compile(r"\btemplate\s*<[^{};]*?>\s*(?=\b(?:class|struct|union|inline|static|constexpr|[A-Za-z_]))", re.DOTALL)
MEMBERS = re.compile(r"\)\s*(?:noexcept(?:\([^)]*\))?\s*)?:(?!:)")
NAME = re.compile(r"((?:[A-Za-z_~][\w]*(?:<[^<>]*>)?::)*(?:operator\s*(?:\(\)|\[\]|[^\s\w(]+|[\w ]+)|~?[A-Za-z_]\w*))\s*\(")
INITIALIZER = re.compile(r"(?<![=!<>+\-*/%&|^])=(?!=)")
ELSE_BRANCH = re.compile(r"^[ \t]*#[ \t]*(?:else|elif)\b.*?(?=^[ \t]*#[ \t]*endif\b)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Function:
    line: int
    name: str
    lines: int


def _outside_parentheses(text: str) -> str:
    kept, depth = [], 0
    for character in text:
        depth += character in "(["
        if depth == 0:
            kept.append(character)
        depth -= character in ")]"
    return "".join(kept)


def _kind_of(head: str) -> str:
    """What a brace after `head` opens: a "scope" (its functions are looked at), a "function", a "member" (an initializer in
    a constructor's list: the head goes on), or "other"."""
    head = TEMPLATE.sub("", ATTRIBUTE.sub("", head)).strip()
    flat = _outside_parentheses(head)
    assigned = INITIALIZER.search(re.sub(r"\boperator\s*[^\s\w(]+", "operator", flat))
    if not assigned and SCOPE.search(flat) and not ("(" in head and re.search(r"\)\s*(?:const|noexcept|override|final)*\s*$", head)):
        return "scope"
    if assigned:
        return "function" if re.search(r"\[[^\]]*\]\s*(?:\(.*\))?[^()]*$", head[head.index("="):], re.DOTALL) \
            and head.rstrip().endswith((")", "]", "noexcept", "mutable")) else "other"
    if "(" not in head:
        return "other"
    if MEMBERS.search(head) and re.search(r"[\w>]\s*$", head):
        return "member"
    return "function"


def _name_of(head: str) -> str:
    head = TEMPLATE.sub("", ATTRIBUTE.sub("", head))
    found = NAME.search(head)
    return re.sub(r"\s+", " ", found[1]) if found else "?"


def _close_of(code: str, opened: int) -> int:
    """The index of the brace that closes the one at `opened`; -1 if none does."""
    depth = 0
    for match in re.compile(r"[{}]").finditer(code, opened):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return match.start()
    return -1


def _scan(code: str) -> tuple[list[Function], bool]:
    """The functions, and whether the braces match."""
    found: list[Function] = []
    depth, head, at = 0, 0, 0
    mark = re.compile(r"[{};]|\b(?:public|private|protected)\s*:(?!:)")
    while (match := mark.search(code, at)) is not None:
        at = match.end()
        if match[0] == "{":
            text = code[head:match.start()]
            kind = _kind_of(text)
            if kind == "scope":
                depth, head = depth + 1, at
                continue
            closed = _close_of(code, match.start())
            if closed < 0:
                return found, False
            at = closed + 1
            if kind == "function":
                begin = head + len(text) - len(text.lstrip())
                found.append(Function(code.count("\n", 0, begin) + 1, _name_of(text), code.count("\n", begin, closed) + 1))
                head = at
        elif match[0] == "}":
            depth -= 1
            head = at
        elif _parentheses_open(code[head:match.start()]):
            continue  # a semicolon within parentheses does not end a declaration
        else:
            head = at
    return found, depth == 0


def _parentheses_open(text: str) -> bool:
    return text.count("(") > text.count(")")


def c_functions(text: str) -> list[Function] | None:
    """None: the braces do not match, with and without the #else branches."""
    for source in (text, ELSE_BRANCH.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)):
        found, matched = _scan(code_only(source))
        if matched:
            return found
    return None


def python_functions(text: str) -> list[Function]:
    return [Function(node.lineno, node.name, node.end_lineno - node.lineno + 1) for node in ast.walk(ast.parse(text))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def check(root: pathlib.Path = ROOT) -> Report:
    findings, functions = [], 0
    paths = c_files("src", "tests", "bench", "tools", root=root) + python_files("src", "tests", "bench", "tools", root=root)
    for path in paths:
        found = python_functions(read(path)) if path.suffix == ".py" else c_functions(read(path))
        if found is None:
            findings.append(f"{show(path, root)}:1 its braces do not match: lint/functions.py cannot read it")
            continue
        functions += len(found)
        findings += [f"{show(path, root)}:{function.line} {function.name} has {function.lines} lines, {LINES_MAX} are allowed"
                     for function in found if function.lines > LINES_MAX]
    return Report(f"{functions} functions in {len(paths)} files", findings)


if __name__ == "__main__":
    sys.exit(run_alone("functions", check(pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT)))
