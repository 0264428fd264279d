# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests in booted trees (harness/tree.py): huntd as `meson install` lays it out, over a bare Debian."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness.huntd_stack import ROOT, build_folder
from harness.process import ServerFailed
from harness.tree import RELEASES, Tree, TreeUnavailable, bare_tree

PROGRAMS = ("huntd", "hunt_worker", "hunt-aggregator", "huntctl")
GOLD = 'return function(hunt) hunt.award("gold-coin") return { found = "gold-coin" } end\n'
# A loaded machine may need more than 50 ms to start a worker; these tests look at what is answered, not when.
PATIENT = (("[http]", "[http]\nrequest_deadline_ms = 30000"),
           ("deadline_ms = 50\n", "deadline_ms = 10000\nqueue_deadline_ms = 15000\nqueue_target_ms = 15000\n"))
MISSING = re.compile(r"^\s*(\S+) => not found", re.MULTILINE)


def needed_or_skip(make):
    """The value of `make()`; if trees can't be booted, the test is skipped with the reason."""
    try:
        return make()
    except TreeUnavailable as reason:
        pytest.skip(str(reason))


def in_unbooted_tree(release: str, layer: pathlib.Path, folder: pathlib.Path, command: str) -> str:
    tree = Tree(release, folder, [layer])
    try:
        return tree.chroot(command)
    finally:
        tree.stop()


def lend_libraries(release: str, layer: pathlib.Path, folder: pathlib.Path) -> None:
    """The programs were linked on this machine. What the tree's release has only under another soname, it gets from here."""
    programs = [f"/usr/local/bin/{program}" for program in PROGRAMS]
    listed = in_unbooted_tree(release, layer, folder / "before", f"ldd {' '.join(programs)} || true")
    own = subprocess.run(["ldd", *(str(layer / program[1:]) for program in programs)], capture_output=True, text=True).stdout
    for name in sorted(set(MISSING.findall(listed))):
        found = re.search(rf"{re.escape(name)} => (/\S+)", own)
        if found is None:
            raise TreeUnavailable(f"neither this machine nor Debian {release} has {name}")
        target = layer / "usr/lib/x86_64-linux-gnu" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(found[1], target)
    try:
        in_unbooted_tree(release, layer, folder / "after", "huntd --version && hunt-aggregator --version && huntctl --version")
    except ServerFailed as failure:
        raise TreeUnavailable(f"the programs that were built here do not run on Debian {release}: {failure}") from failure


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """By release, the layer that `meson install` makes."""
    made: dict[str, pathlib.Path] = {}

    def layer_of(release: str) -> pathlib.Path:
        if release not in made:
            bare_tree(release)
            layer = tmp_path_factory.mktemp("layer")
            done = subprocess.run(["meson", "install", "--no-rebuild", "-C", str(build_folder()), "--destdir", str(layer)],
                                  capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            shutil.rmtree(layer / "usr/local/lib/debug")
            layer.chmod(0o755)  # the root folder of the tree
            lend_libraries(release, layer, tmp_path_factory.mktemp("lend"))
            made[release] = layer
        return made[release]
    return layer_of


@pytest.fixture(scope="session")
def package() -> pathlib.Path:
    """The .deb of the build under test (`./dev package`)."""
    if shutil.which("dh") is None:
        pytest.skip("no dh (package debhelper)")
    done = subprocess.run([str(ROOT / "tools/make-package"), str(build_folder())], capture_output=True, text=True,
                          env={**os.environ, "DEB_BUILD_OPTIONS": "noautodbgsym"})
    assert done.returncode == 0, done.stdout + done.stderr
    return pathlib.Path(next(line for line in done.stdout.splitlines() if "dbgsym" not in line))


@pytest.fixture(scope="module", params=RELEASES)
def release(request) -> str:
    return request.param


def patient_config() -> str:
    config = (ROOT / "systemd/huntd.toml").read_text()
    for shipped, patient in PATIENT:
        assert config.count(shipped) == 1, shipped
        config = config.replace(shipped, patient)
    return config


def add_huntd(tree: Tree) -> None:
    """The shipped config with patient deadlines, one good script, the users, and units that start at boot."""
    tree.write("/etc/huntd/huntd.toml", patient_config())
    tree.write("/etc/huntd/hunts/gold.lua", GOLD)
    tree.chroot("systemd-sysusers && systemctl enable huntd.socket huntd.service")
    tree.chroot("systemctl disable postgresql.service && systemctl enable redis-server.service")


@pytest.fixture
def tree(release, installed, tmp_path):
    """A tree with huntd, not booted yet: `with tree:` or tree.boot()."""
    made = needed_or_skip(lambda: Tree(release, tmp_path / "tree", [installed(release)]))
    add_huntd(made)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def shared_tree(release, installed, tmp_path_factory):
    """A booted tree for the tests of a module that leave huntd as they found it."""
    made = needed_or_skip(lambda: Tree(release, tmp_path_factory.mktemp("shared") / "tree", [installed(release)]))
    add_huntd(made)
    with made:
        yield made


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of its tree's journal."""
    outcome = yield
    report = outcome.get_result()
    if call.when == "call" and report.failed:
        for name in ("tree", "shared_tree", "host"):
            tree = item.funcargs.get(name)
            if tree is not None and tree.init:
                report.sections.append(("the tree's journal", tree.journal()[-6000:]))
