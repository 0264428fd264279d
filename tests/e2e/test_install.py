# SPDX-License-Identifier: Apache-2.0
"""`meson install`: builds nothing, and installs stripped programs with their debug information beside."""
import os
import pathlib
import subprocess

import pytest

from harness.huntd_stack import ROOT, build_folder

PROGRAMS = ("huntd", "hunt_worker", "hunt-aggregator", "huntctl")
BUILD = pathlib.Path(build_folder())
# Every program names its own files, so nothing of the build is needed afterwards.
INSTALLED = ("lib/systemd/system/huntd.service", "lib/systemd/system/huntd.socket", "lib/systemd/system/hunt-aggregator.service",
             "lib/sysctl.d/60-huntd.conf", "lib/sysusers.d/huntd.conf", "share/huntd/huntd.toml", "share/doc/huntd/operations.md",
             "share/doc/huntd/prometheus/huntd-alerts.yaml", "share/man/man8/huntd.8",
             "share/man/man8/hunt-aggregator.8", "share/man/man1/huntctl.1", "share/man/man5/huntd.toml.5",
             *(f"share/{folder}".format(name) for name in ("huntd", "huntctl", "hunt-aggregator") for folder in (
                 "bash-completion/completions/{}", "zsh/site-functions/_{}", "fish/vendor_completions.d/{}.fish")))

pytestmark = pytest.mark.skipif(BUILD.name != "release", reason="only the release build is installed")


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> pathlib.Path:
    """The prefix of an installation into a folder of its own."""
    destination = tmp_path_factory.mktemp("installed")
    done = subprocess.run(["meson", "install", "--no-rebuild", "-C", str(BUILD), "--destdir", str(destination)], capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return destination / "usr/local"


def sections(program: pathlib.Path) -> str:
    return subprocess.run(["readelf", "--section-headers", "--wide", str(program)], capture_output=True, text=True, check=True).stdout


def test_the_tree_has_the_programs_units_documents_and_man_pages(tree):
    assert {path.name for path in (tree / "bin").iterdir() if path.is_file()} == set(PROGRAMS)
    assert [name for name in INSTALLED if not (tree / name).is_file()] == []
    assert list((tree / "share/huntd/lua").glob("*_test.lua"))
    assert not (tree / "share/doc/huntd/lab").exists() and not (tree / "share/doc/huntd/man").exists()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_is_stripped_and_its_debug_file_is_found(tree, program):
    installed = tree / "bin" / program
    assert os.access(installed, os.X_OK)
    assert ".debug_info" not in sections(installed) and ".gnu_debuglink" in sections(installed)
    debug = tree / "bin/.debug" / f"{program}.debug"
    assert ".debug_info" in sections(debug.resolve(strict=True))
    assert ".debug_info" in sections(BUILD / "src" / {"hunt_worker": "worker/hunt_worker", "huntd": "huntd/huntd",
                                                      "hunt-aggregator": "aggregator/hunt-aggregator",
                                                      "huntctl": "huntctl/huntctl"}[program]), "the build keeps its own"


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_program_has_the_path_of_its_build(tree, program):
    for file in (tree / "bin" / program, tree / "bin/.debug" / f"{program}.debug"):
        assert str(ROOT).encode() not in file.read_bytes(), file


def test_an_installed_program_runs(tree):
    done = subprocess.run([str(tree / "bin/huntd"), "--version"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "huntd" in done.stdout
