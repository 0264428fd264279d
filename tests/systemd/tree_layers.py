# SPDX-License-Identifier: Apache-2.0
"""What lies over a bare Debian tree: the programs of the build, the libraries that they need, a config and a script."""
import pathlib
import re
import shutil
import subprocess

import pytest

from harness.huntd_stack import ROOT
from harness.process import ServerFailed
from harness.tree import Tree, TreeUnavailable

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
