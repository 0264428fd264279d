# SPDX-License-Identifier: Apache-2.0
"""The programs of another version of huntd: those of a commit, built once, or of a folder that someone else has filled."""
import os
import pathlib
import shutil
import subprocess
import sys

from harness.huntd_stack import ROOT
from harness.process import ServerFailed

PROGRAMS = ("huntd", "hunt_worker", "hunt-aggregator", "huntctl")
VARIABLE = "HUNTD_PREVIOUS_BUILD"


def missing_in(folder: pathlib.Path) -> list[str]:
    """Which of PROGRAMS are not there."""
    return [name for name in PROGRAMS if not (folder / name).is_file()]


def previous_build() -> tuple[pathlib.Path | None, str]:
    """The folder that HUNTD_PREVIOUS_BUILD names; or None and the reason."""
    named = os.environ.get(VARIABLE)
    if not named:
        return None, f"no programs of another version: ./dev test upgrade [REVISION] builds them, or set {VARIABLE} to their folder"
    folder = pathlib.Path(named).absolute()
    missing = missing_in(folder)
    return (None, f"{VARIABLE}={folder} has no {', '.join(missing)}") if missing else (folder, "")


def git(*words: str) -> str:
    """What git prints in this repository; ServerFailed has its error."""
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise ServerFailed(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.rstrip("\n")


def _write_tree(commit: str, folder: pathlib.Path) -> None:
    """The files of the commit, and of our build what compiling them would only repeat."""
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run has left
    folder.mkdir(parents=True)
    archive = folder / "source.tar"
    git("archive", "--format=tar", f"--output={archive}", commit)
    shutil.unpack_archive(archive, folder, "tar")
    archive.unlink()
    luajit = pathlib.Path("build", "deps", "luajit-musl")
    if (ROOT / luajit).is_dir():
        shutil.copytree(ROOT / luajit, folder / luajit, symlinks=True)


def build_of(revision: str, asked_by: str = "upgrade") -> tuple[pathlib.Path, str]:
    """The folder with the programs of a commit, and the commit; they are built on the first call, in build/versions/COMMIT, by the
    commit's own ./dev. ServerFailed says why there are none. `asked_by`: for the line that says so."""
    commit = git("rev-parse", "--verify", f"{revision}^{{commit}}")[:12]
    folder = ROOT / "build" / "versions" / commit
    programs = folder / "build" / "release"
    if missing_in(programs):
        _write_tree(commit, folder)
        print(f"{asked_by}: ./dev build release of {commit}, in {folder}", file=sys.stderr, flush=True)
        done = subprocess.run([str(folder / "dev"), "build", "release"], cwd=folder, stdout=sys.stderr)
        missing = missing_in(programs)
        if done.returncode != 0 or missing:
            raise ServerFailed(f"./dev build release of {commit} ended with {done.returncode}"
                               + (f", without {', '.join(missing)}" if missing else ""))
    return programs, commit
