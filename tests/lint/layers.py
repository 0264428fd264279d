# SPDX-License-Identifier: Apache-2.0
"""Which folder of src/ may include which, which libraries each may use, and that no two files or folders include each other.

ROWS is in the order of src/meson.build: a folder may include only folders of its row, and a row names only folders above it.
"""
import pathlib
import re
import sys
from collections.abc import Iterator

from lint.sources import ROOT, Report, c_files, files, read, run_alone, show

ROWS = {
    "base": "",
    "config": "base",
    "tls": "base config",
    "wire": "base",
    "metrics": "base",
    "http": "base",
    "auth": "base config wire",
    "admin_http": "base http",
    "chance": "base wire",
    "worker": "wire",
    "zones": "base wire",
    "settings": "base wire zones",
    "bundle": "base wire zones settings",
    "check": "base wire zones",
    "rehearsal": "base wire metrics chance bundle",
    "environment": "base config",
    # A core's logic. tests/sim runs all of it without a kernel.
    "core/ledger": "base wire metrics chance environment",
    "core/events": "base wire metrics environment core/ledger",
    "core/kafka_rest": "base wire metrics http bundle environment core/ledger core/events",
    "core/hunt": "base wire metrics http chance settings bundle environment core/ledger core/events",
    "core/route": "base wire metrics http environment core/hunt",
    "core/client": "base metrics http auth environment core/kafka_rest core/hunt",
    "core": "base config wire metrics http auth chance bundle environment core/*",
    # What implements the environment on Linux, and the programs.
    "drivers": "base config wire tls",
    "linux": "base config wire metrics worker tls environment core core/* drivers",
    "huntd/admin": "base config metrics admin_http",
    "huntd": "base config wire tls metrics auth chance admin_http settings bundle check environment core drivers linux huntd/admin",
    "aggregator/sessions": "base wire",
    "aggregator/postgres": "base wire drivers aggregator/sessions",
    "aggregator/source": "base config wire drivers aggregator/sessions",
    "aggregator": "base config wire admin_http drivers aggregator/*",
    "reconcile": "base config wire drivers aggregator/sessions",
    "huntctl": "base config wire metrics auth chance settings bundle check rehearsal drivers aggregator/sessions reconcile",
}
# A library's header: the only folders that may include it.
LIBRARIES = {
    "liburing.h": "linux",
    "librdkafka/": "drivers linux aggregator/source reconcile",
    "libpq-fe.h": "drivers",
    "hiredis/": "core/ledger drivers",
    "httplib.h": "huntctl",
    "openssl/": "auth aggregator/source chance tls",
    "toml++/": "config settings",
    "CLI/": "huntctl",
    "lua.h": "worker",
    "luajit.h": "worker",
    "lauxlib.h": "worker",
    "lualib.h": "worker",
}
# Headers of the operating system that folders of core/ may include: a descriptor is closed, an exit status is read.
CORE_SYSTEM_HEADERS = {"fcntl.h", "unistd.h", "signal.h", "sys/wait.h"}
C_HEADERS = {"assert.h", "errno.h", "inttypes.h", "limits.h", "math.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h",
             "stdlib.h", "string.h", "time.h"}
CORE_LIBRARIES = ("fmt/", "hiredis/", "openssl/")
# Sources that are compiled twice within src/, each with the reason.
COMPILED_TWICE = {
    "src/worker/syscall_filter.c": "hunt_worker is built with musl, and the spawner in huntd installs the same filter",
    "src/worker/launcher.c": "hunt_worker is built with musl, and the spawner in huntd is the same loop",
    "src/worker/arena.c": "hunt_worker is built with musl, and tests/worker links the arena",
}
# Of meson: what may not come into src/core/ and src/environment/.
NOT_OF_A_CORE = re.compile(r"\bdep_(?:uring|rdkafka|pq|linux|httplib|tomlplusplus|\w*driver)\b")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)
SOURCE_NAME = re.compile(r"'([^'\n]+\.(?:cc|c))'")


def allowed_of(folder: str) -> set[str]:
    """The folders that `folder` may include, itself too."""
    allowed = {folder}
    for word in ROWS[folder].split():
        allowed |= {other for other in ROWS if other.startswith(word[:-1])} if word.endswith("/*") else {word}
    return allowed


def check_rows() -> Iterator[str]:
    above: set[str] = set()
    for folder in ROWS:
        for other in sorted(allowed_of(folder) - above - {folder}):
            yield f"lint/layers.py: the row of {folder} names {other}, which is not above it"
        above.add(folder)


def includes_of(path: pathlib.Path) -> list[tuple[int, bool, str]]:
    """(line, whether in quotes, the name) of each #include."""
    text = read(path)
    return [(text.count("\n", 0, match.start()) + 1, match[1] == '"', match[2]) for match in INCLUDE.finditer(text)]


def check_project_include(folder: str, where: str, name: str, src: pathlib.Path) -> Iterator[str]:
    if ".." in name.split("/"):
        yield f'{where}: "{name}": name a header from src/ on, without ../'
    elif not (src / name).is_file():
        yield f'{where}: "{name}" is not a file of src/'
    elif folder in ROWS and str(pathlib.PurePath(name).parent) not in allowed_of(folder):
        yield f'{where}: src/{folder} may not include "{name}" (tests/lint/layers.py)'


def check_library_include(folder: str, where: str, name: str) -> Iterator[str]:
    for library, folders in LIBRARIES.items():
        if name.startswith(library) and folder not in folders.split():
            yield f"{where}: <{name}> may only be included in {folders}"
    in_core = folder == "environment" or folder.split("/")[0] == "core"
    standard = "." not in name or name in C_HEADERS
    if in_core and not standard and not name.startswith(CORE_LIBRARIES) and name not in CORE_SYSTEM_HEADERS:
        yield f"{where}: <{name}> is the operating system's or a library's: core/ reaches it through environment/"


def circle_in(edges: dict[str, set[str]]) -> list[str]:
    """A circle of the graph, with its first node again at the end; empty if there is none."""
    done: set[str] = set()
    for start in sorted(edges):
        path, waiting = [], [(start, iter(sorted(edges.get(start, ()))))]
        path.append(start)
        while waiting:
            node, following = waiting[-1]
            after = next((other for other in following if other not in done), None)
            if after is None:
                done.add(node)
                waiting.pop()
                path.pop()
            elif after in path:
                return path[path.index(after):] + [after]
            else:
                path.append(after)
                waiting.append((after, iter(sorted(edges.get(after, ())))))
    return []


def check_includes(src: pathlib.Path, root: pathlib.Path) -> Iterator[str]:
    by_file: dict[str, set[str]] = {}
    by_folder: dict[str, set[str]] = {}
    for path in c_files("src", root=root):
        folder, file = str(path.parent.relative_to(src)), str(path.relative_to(src))
        if folder not in ROWS:
            yield f"src/{file}:1: src/{folder} has no row in tests/lint/layers.py"
        for line, quoted, name in includes_of(path):
            where = f"src/{file}:{line}"
            if not quoted:
                yield from check_library_include(folder, where, name)
                if (src / name).is_file():
                    yield f'{where}: <{name}> is a file of src/: write it in quotes'
                continue
            yield from check_project_include(folder, where, name, src)
            by_file.setdefault(file, set()).add(name)
            if (other := str(pathlib.PurePath(name).parent)) != folder:
                by_folder.setdefault(folder, set()).add(other)
    for kind, edges in (("files", by_file), ("folders", by_folder)):
        if circle := circle_in(edges):
            yield f"src: {kind} include each other in a circle: {' -> '.join(circle)}"


def without_comments(meson: str) -> str:
    return re.sub(r"(?m)(^|\s)#.*$", r"\1", meson)


def check_dependencies(root: pathlib.Path) -> Iterator[str]:
    """No meson.build reaches out of its folder, and what tests/sim links names no library of the kernel's side."""
    for build in files("src", "tests", "tools", "bench", "systemd", "docs", "lua", suffixes=(".build",), root=root):
        in_core = show(build, root).startswith(("src/core/", "src/environment/"))
        for number, line in enumerate(without_comments(read(build)).splitlines(), 1):
            where = f"{show(build, root)}:{number}"
            if re.search(r"(?<![.\w])\.\./", line):
                yield f"{where}: reaches out of its folder by ../"
            for name in NOT_OF_A_CORE.findall(line) if in_core else ():
                yield f"{where}: {name}: the logic of a core is linked without it (decision 25)"


def check_meson(src: pathlib.Path, root: pathlib.Path) -> Iterator[str]:
    """Each source is compiled once, by the meson.build of its own folder."""
    compiled: dict[pathlib.Path, str] = {}
    for build in files("src", suffixes=(".build",), root=root):
        for number, line in enumerate(without_comments(read(build)).splitlines(), 1):
            where = f"{show(build, root)}:{number}"
            for name in SOURCE_NAME.findall(line):
                source = (build.parent / name).resolve()
                if not source.is_file():
                    continue  # a generated source
                if source in compiled and show(source, root.resolve()) not in COMPILED_TWICE:
                    yield f"{where}: {name} is compiled by {compiled[source]} too"
                compiled.setdefault(source, where)
    for path in files("src", suffixes=(".cc", ".c"), root=root):
        if path.resolve() not in compiled:
            yield f"{show(path, root)}:1: no meson.build of src/ compiles it"
        elif compiled[path.resolve()].rsplit("/", 1)[0] != show(path.parent, root):
            yield f"{show(path, root)}:1: {compiled[path.resolve()]} compiles it, not its own folder's meson.build"
    # tests/fuzz has to: libFuzzer sees only the branches that are compiled for it.
    for build in files("tests", "bench", suffixes=(".build",), root=root):
        if "fuzz" in build.parts:
            continue
        for number, line in enumerate(without_comments(read(build)).splitlines(), 1):
            for name in SOURCE_NAME.findall(line):
                if src in (build.parent / name).resolve().parents:
                    yield f"{show(build, root)}:{number}: compiles {name} once more: link its library"


def check(root: pathlib.Path = ROOT) -> Report:
    src = root / "src"
    findings = [*check_rows(), *check_includes(src, root), *check_dependencies(root), *check_meson(src, root)]
    return Report(f"{len(ROWS)} folders, {len(c_files('src', root=root))} files", findings)


if __name__ == "__main__":
    sys.exit(run_alone("layers", check(pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT)))
