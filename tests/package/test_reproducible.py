# SPDX-License-Identifier: Apache-2.0
"""Two clones of one state of the source, in other folders and with other file dates, locale, time zone and umask, make the same package.

Everything is compiled twice, without ccache, so this takes many minutes: `./dev test reproducible`.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess

import pytest

from harness.huntd_stack import ROOT

pytestmark = [pytest.mark.long(reason="compiles everything twice"), pytest.mark.alone(reason="compiles")]

BUILD_TIMEOUT_S = 2 * 3600
LONG_AGO_S = 1_000_000_000  # 2001
# Of the worker's LuaJIT, whose source comes from Debian's mirror: without it hunt_worker is built with glibc.
LUAJIT_STAMP = pathlib.Path("build/deps/luajit-musl/built-for")


def clone(into: pathlib.Path) -> pathlib.Path:
    """The source as it is, without what builds have made and without git."""
    shutil.copytree(ROOT, into, symlinks=True, ignore=lambda folder, names: [
        name for name in names if name in (".git", "__pycache__") or pathlib.Path(folder, name) == ROOT / "build"])
    return into


def make_older(source: pathlib.Path) -> None:
    """As a checkout of another day. meson.build keeps its date, which stands for that of the commit (tools/make-package)."""
    for path in source.rglob("*"):
        if path != source / "meson.build" and path.is_file() and not path.is_symlink():
            os.utime(path, (LONG_AGO_S, LONG_AGO_S))


def packages_of(source: pathlib.Path, umask: int, **environment: str) -> dict[str, pathlib.Path]:
    """By name, what `./dev package` makes there: huntd and huntd-dbgsym."""
    built = {name: value for name, value in os.environ.items() if not name.startswith(("HUNTD_", "DEB_"))}
    done = subprocess.run([str(source / "dev"), "package"], cwd=source, env={**built, "CCACHE_DISABLE": "1", **environment}, umask=umask,
                          capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return {file.name: file for file in (source / "build/package").glob("*.deb")}


def digests(package: pathlib.Path, into: pathlib.Path) -> dict[str, str]:
    """The hash, mode and date of each file of a package, its control files too."""
    into.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["dpkg-deb", "-R", str(package), str(into)], check=True, capture_output=True)
    found = {}
    for path in sorted(into.rglob("*")):
        state = path.lstat()
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(into))] = f"{hashlib.sha256(content).hexdigest()} {state.st_mode:o} {state.st_mtime:.0f}"
    return found


def test_two_clones_make_packages_of_the_same_bytes(tmp_path):
    if shutil.which("dh") is None:
        pytest.skip("no dh (package debhelper)")
    first = clone(tmp_path / "one")
    second = clone(tmp_path / "another-folder" / "with-a-longer-name")
    make_older(second)
    made = packages_of(first, 0o022, TZ="UTC", LC_ALL="C")
    again = packages_of(second, 0o027, TZ="Pacific/Kiritimati", LC_ALL="C.UTF-8")
    if (first / LUAJIT_STAMP).exists() != (second / LUAJIT_STAMP).exists():
        pytest.skip("the source of LuaJIT could be fetched for one of the two builds only, so their workers have other C libraries")
    assert sorted(made) == sorted(again) and len(made) == 2
    differ = []
    for name, package in made.items():
        one = digests(package, tmp_path / "opened-one" / name)
        other = digests(again[name], tmp_path / "opened-other" / name)
        differ += [f"{name}: {path}" for path in sorted(one.keys() | other.keys()) if one.get(path) != other.get(path)]
    assert differ == []
    assert [name for name, package in made.items() if package.read_bytes() != again[name].read_bytes()] == []
