# SPDX-License-Identifier: Apache-2.0
"""The documents name only files that exist, their links resolve, decisions are indexed without a hole, every source has its
license line, the examples have the default ports, and the generated references are up to date."""
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

from lint import sources
from lint.sources import ROOT, Report, read, run_alone, show

LICENSE = "SPDX-License-Identifier: Apache-2.0"
LICENSE_WITHIN_LINES = 4
PATH = re.compile(r"(?<![\w./-])((?:src|tests|docs|bench|systemd|tools)/[\w./*{},-]*[\w*}])(?![\w/]*/build)")
JOIN = re.compile(r'\bROOT((?: */ *"[\w./-]+")+)')
TOP_FOLDERS = ("src", "tests", "docs", "bench", "systemd", "tools", "lua")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)
PLACEHOLDER = re.compile(r"NAME|FOLDER|FAMILY|NNNN")  # as in src/huntctl/cmd_NAME.cc
ADMIN_PATHS = r"/(?:livez|readyz|healthz|metrics|latency|status)"
# A port of the admin ports as the documents write it: in a URL, a scrape job, a balancer's check, a probe of Kubernetes.
ADMIN_PORT = re.compile(rf'127\.0\.0\.1:(\d+){ADMIN_PATHS}|targets: \["[\d.]+:(\d+)"|check port (\d+)|check_config: {{ port_value: (\d+)'
                        rf'|path: {ADMIN_PATHS},\s+port: (\d+)|admin\.listen(?:`, | = "[\d.]+:)(\d+)')
BUILT = ("bench_http_parser", "bench_spawn", "loot-events", "hunt-load", "print_reference", "sim/sim")  # ninja's names


def documents(root: pathlib.Path) -> list[pathlib.Path]:
    return sources.files("docs", "README.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md", suffixes=(".md",), root=root)


def expanded(text: str) -> list[str]:
    """{a,b} as a shell expands it."""
    brace = re.search(r"\{([^{}]*)\}", text)
    if not brace:
        return [text]
    return [word for part in brace[1].split(",") for word in expanded(text[:brace.start()] + part + text[brace.end():])]


def exists(root: pathlib.Path, path: str) -> bool:
    path = path.rstrip("/.,")
    if path.endswith(BUILT) or (PLACEHOLDER.search(path) and not (root / path).exists()):
        return True
    return any(root.glob(path)) if "*" in path else (root / path).exists()


def check_paths(root: pathlib.Path) -> Iterator[str]:
    """In documents every path; in sources the paths that comments name."""
    for path in documents(root):
        for number, line in enumerate(read(path).splitlines(), 1):
            for found in PATH.findall(re.sub(r"https?://\S+", "", line)):
                for name in expanded(found):
                    if not exists(root, name):
                        yield f"{show(path, root)}:{number}: there is no {name}"
    for path in sources.c_files("src", "tests", "bench", root=root) + sources.python_files("src", "tests", "bench", root=root):
        if "lint" in path.parts:
            continue  # examples
        pieces = sources.python_pieces(path) if path.suffix == ".py" else sources.c_pieces(read(path))
        for piece in pieces:
            if piece.kind != "comment" and not (path.suffix == ".py" and "\n" in piece.text):
                continue
            for found in PATH.finditer(piece.text):
                for name in expanded(found[1]):
                    if not exists(root, name):
                        yield f"{show(path, root)}:{piece.line + piece.text.count(chr(10), 0, found.start())}: there is no {name}"


def check_joins(root: pathlib.Path) -> Iterator[str]:
    """In Python code the paths that are joined from ROOT, as ROOT / "src" / "base"."""
    for path in sources.python_files("src", "tests", "bench", "tools", root=root):
        if path.name == "test_lint.py":
            continue  # examples
        for found in JOIN.finditer(read(path)):
            name = "/".join(re.findall(r'"([^"]+)"', found[1]))
            if name.split("/")[0] in TOP_FOLDERS and not exists(root, name):
                yield f"{show(path, root)}:{read(path).count(chr(10), 0, found.start()) + 1}: there is no {name}"


def anchor_of(heading: str) -> str:
    heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors_of(path: pathlib.Path) -> set[str]:
    """As GitHub and its like make them of the headings; a heading that comes again gets -1, -2."""
    found: set[str] = set(re.findall(r'<a (?:id|name)="([^"]+)"', read(path)))
    text = re.sub(r"(?ms)^```.*?^```", "", read(path))
    for heading in HEADING.findall(text):
        anchor, again = anchor_of(heading), 0
        while (f"{anchor}-{again}" if again else anchor) in found:
            again += 1
        found.add(f"{anchor}-{again}" if again else anchor)
    return found


def check_links(root: pathlib.Path) -> Iterator[str]:
    for path in documents(root) + [root / "CHANGELOG.md"]:
        if not path.is_file():
            continue
        for number, line in enumerate(re.sub(r"(?ms)^```.*?^```", lambda match: "\n" * match[0].count("\n"), read(path)).splitlines(), 1):
            for link in LINK.findall(re.sub(r"`[^`]*`", "", line)):
                target, _, anchor = link.partition("#")
                if re.match(r"[a-z]+:", target):
                    continue
                file = (path.parent / target).resolve() if target else path
                if not file.exists():
                    yield f"{show(path, root)}:{number}: the link to {link} leads to no file"
                elif anchor and file.suffix == ".md" and anchor not in anchors_of(file):
                    yield f"{show(path, root)}:{number}: the link to {link} leads to no heading"


def check_decisions(root: pathlib.Path) -> Iterator[str]:
    """docs/decisions/README.md lists each decision, and says a word of each number that is missing."""
    folder = root / "docs" / "decisions"
    if not folder.is_dir():
        return
    index = read(folder / "README.md") if (folder / "README.md").is_file() else ""
    numbers = set()
    for path in sorted(folder.glob("*.md")):
        if path.name == "README.md":
            continue
        if not (match := re.match(r"(\d{4})-", path.name)):
            yield f"{show(path, root)}:1: a decision's file is NNNN-title.md"
            continue
        if match[1] in numbers:
            yield f"{show(path, root)}:1: two decisions have the number {match[1]}"
        numbers.add(match[1])
        if path.name not in index:
            yield f"docs/decisions/README.md: does not list {path.name}"
    for number in range(1, max(map(int, numbers), default=0) + 1):
        if f"{number:04}" not in numbers and not re.search(rf"\b0*{number}\b", index):
            yield f"docs/decisions/README.md: says nothing of the missing number {number}"


def check_licenses(root: pathlib.Path) -> Iterator[str]:
    suffixes = (".cc", ".h", ".c", ".py", ".sh", ".lua", ".js", ".css", ".build", ".html", ".sql", ".toml", ".service", ".socket", ".conf")
    folders = ("src", "tests", "bench", "tools", "lua", "systemd")
    alone = [root / name for name in ("dev", ".ci/run", "meson.build", "meson_options.txt", "pyproject.toml", "tools/setup-debian")]
    for path in sources.files(*folders, suffixes=suffixes, root=root) + [path for path in alone if path.is_file()]:
        if LICENSE not in "\n".join(read(path).splitlines()[:LICENSE_WITHIN_LINES]):
            yield f"{show(path, root)}:1: has no line {LICENSE}"


def check_man(root: pathlib.Path) -> tuple[list[str], str]:
    """(findings, the reason if it was skipped): the man pages have no warning of mandoc."""
    pages = sorted(str(path) for path in (root / "docs" / "man").glob("*.[0-9]"))
    if not pages:
        return [], ""
    if shutil.which("mandoc") is None:
        return [], "man pages: there is no mandoc (Debian package mandoc)"
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", *pages], capture_output=True, text=True)
    return [line.removeprefix("mandoc: ") for line in done.stdout.splitlines() if line.strip()], ""


def check_generated(root: pathlib.Path) -> tuple[list[str], str]:
    """(findings, the reason if it was skipped): compares the generated parts of the documents with the program's tables."""
    build = root / "build" / "release"
    if not (build / "build.ninja").is_file():
        return [], "generated references: there is no build/release"
    done = subprocess.run([sys.executable, str(root / "tools" / "update_references.py"), "--check"], capture_output=True, text=True)
    return ([] if done.returncode == 0 else [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]), ""


def default_ports(root: pathlib.Path) -> set[str]:
    """Those of admin.listen and aggregator.listen, from the initializers in config.h."""
    header = root / "src" / "config" / "config.h"
    return set(re.findall(r'std::string listen = "[\d.]+:(\d+)";', read(header))) if header.is_file() else set()


def check_ports(root: pathlib.Path) -> Iterator[str]:
    """The examples of the documents and of the shipped config file have the default ports of the programs."""
    if not (ports := default_ports(root)):
        return
    for path in sources.files("docs", suffixes=(".md",), root=root):
        if {"decisions", "lab"} & set(path.parts):
            continue
        for number, line in enumerate(read(path).splitlines(), 1):
            for port in filter(None, (port for found in ADMIN_PORT.findall(line) for port in found)):
                if port not in ports:
                    yield f"{show(path, root)}:{number}: {port} is not a default port of src/config/config.h"
    shipped = root / "systemd" / "huntd.toml"
    section = re.search(r'^\[admin\]\nlisten = "[^"]*:(\d+)"', read(shipped) if shipped.is_file() else "", re.MULTILINE)
    if section and section[1] not in ports:
        yield f"{show(shipped, root)}: {section[1]} is not the default port of src/config/config.h"


def check_capacity(root: pathlib.Path) -> Iterator[str]:
    """The tables of docs/capacity.md are those of the figures that they are computed from."""
    if not (root / "docs" / "capacity.md").is_file():
        return
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "capacity.py"), "--check", str(root / "docs")], capture_output=True, text=True)
    if done.returncode != 0:
        yield from (done.stdout + done.stderr).splitlines()


def check(root: pathlib.Path = ROOT) -> Report:
    findings = [*check_paths(root), *check_joins(root), *check_links(root), *check_decisions(root), *check_licenses(root),
                *check_capacity(root), *check_ports(root)]
    man, man_skipped = check_man(root)
    generated, generated_skipped = check_generated(root)
    skipped = "; ".join(filter(None, (man_skipped, generated_skipped)))
    return Report(f"{len(documents(root))} documents", findings + man + generated, skipped)


if __name__ == "__main__":
    sys.exit(run_alone("docs", check(pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT)))
