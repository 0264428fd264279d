# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests in booted trees (harness/tree.py): huntd as `meson install` lays it out, over a bare Debian."""
import os
import pathlib
import shutil
import subprocess

import pytest

from harness.huntd_stack import ROOT, build_folder
from harness.tree import RELEASES, Tree, bare_tree
from tree_layers import add_huntd, lend_libraries, needed_or_skip


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
