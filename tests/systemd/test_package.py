# SPDX-License-Identifier: Apache-2.0
"""The Debian package, on the release for which it was built: lintian, piuparts, and install, upgrade, remove and purge in a bare tree."""
import os
import re
import shutil
import subprocess

import pytest

from harness.huntd_stack import ROOT, build_folder
from harness.tree import RELEASES, Tree, bare_tree
from tree_clients import Crowd, await_ready, connect, play
from tree_layers import GOLD, needed_or_skip, patient_config

pytestmark = [pytest.mark.long(reason="boots Debian trees"), pytest.mark.alone(reason="one tree at a time"), pytest.mark.tree]


PIUPARTS_TIMEOUT_S = 1800
# What apt writes in piuparts' log if the tree can't reach a mirror.
NO_MIRROR = re.compile(r"^.*(?:Could not resolve|Unable to connect|Cannot initiate the connection|Connection timed out|Failed to fetch) .*$", re.MULTILINE)


def own_release() -> str:
    """The release of Debian for which the package was built."""
    release = re.search(r"VERSION_CODENAME=(\w+)", open("/etc/os-release").read())[1]
    if release not in RELEASES:
        pytest.skip(f"packages are made for {RELEASES}, this machine has {release}")
    return release


@pytest.fixture
def host(package, tmp_path):
    release = own_release()
    tree = needed_or_skip(lambda: Tree(release, tmp_path / "tree"))
    shutil.copy(package, tree.root / "root")
    with tree:
        yield tree


def install(host, name: str) -> None:
    host.run(f"cd /root && DEBIAN_FRONTEND=noninteractive apt-get install -y -o Dpkg::Options::=--force-confold ./{name}")


def make_next_version(host, package) -> str:
    """The same content as a newer version, with another shipped config."""
    host.run(f"cd /root && dpkg-deb -R {package.name} next && sed -i 's/^Version: .*/Version: 99.0-1/' next/DEBIAN/control && "
             "echo '# of the next version' >>next/etc/huntd/huntd.toml && dpkg-deb --root-owner-group -b next next.deb && rm -r next")
    return "next.deb"


def test_lintian_finds_no_error(package):
    if shutil.which("lintian") is None:
        pytest.skip("no lintian (package lintian)")
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error", str(package)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_piuparts_finds_nothing_that_install_and_purge_leave(package, tmp_path):
    """Debian's own check, in a copy of the bare tree: broken links, processes that run, files and directories that a purge leaves."""
    if shutil.which("piuparts") is None:
        pytest.skip("no piuparts (package piuparts)")
    bare = needed_or_skip(lambda: bare_tree(own_release()))
    tree = tmp_path / "tree"  # piuparts copies it; one with a way to the mirror, as make_tree.sh had
    subprocess.run(["cp", "-ax", str(bare), str(tree)], check=True)
    shutil.copy("/etc/resolv.conf", tree / "etc/resolv.conf")
    log = tmp_path / "piuparts.log"
    done = subprocess.run(["piuparts", f"--existing-chroot={tree}", "--keep-sources-list", "--no-eatmydata", "--no-upgrade-test",
                           "--warn-on-others", f"--tmpdir={tmp_path}", f"--log-file={log}", str(package)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=PIUPARTS_TIMEOUT_S)
    text = log.read_text(errors="replace") if log.exists() else done.stdout + done.stderr
    if done.returncode != 0 and (reason := NO_MIRROR.search(text)):
        pytest.skip(f"piuparts reaches no mirror: {reason[0].strip()}")
    assert done.returncode == 0, text[-6000:]
    assert "PASS: Installation and purging test." in text, text[-6000:]


def test_two_packages_of_one_build_have_the_same_bytes(package):
    first = package.read_bytes()
    subprocess.run([str(ROOT / "tools/make-package"), str(build_folder())], check=True, capture_output=True,
                   env={**os.environ, "DEB_BUILD_OPTIONS": "noautodbgsym"})
    assert package.read_bytes() == first


def test_it_starts_nothing_by_itself(host, package):
    install(host, package.name)
    assert host.run("systemctl is-enabled huntd.socket huntd hunt-aggregator", check=False).stdout.split() == ["disabled"] * 3
    assert host.run("systemctl is-active huntd.socket huntd hunt-aggregator", check=False).stdout.split() == ["inactive"] * 3
    shown = host.run("source /usr/share/bash-completion/completions/huntctl; COMP_WORDS=(huntctl stat); COMP_CWORD=1; _huntctl; "
                     "echo ${COMPREPLY[@]}; ls /usr/share/zsh/vendor-completions/_huntctl /usr/share/fish/vendor_completions.d/huntctl.fish").stdout
    assert shown.split()[0] == "status"
    assert "huntd" in host.run("huntd --version && hunt-aggregator --version && huntctl --version").stdout


def test_an_upgrade_restarts_under_load_and_keeps_what_was_changed(host, package):
    install(host, package.name)
    host.write("/etc/huntd/hunts/gold.lua", GOLD)
    host.write("/etc/huntd/huntd.toml", patient_config())
    host.run("systemctl enable --now huntd.socket huntd")
    await_ready(host)
    before = host.show("huntd", "MainPID")
    changed = host.run("cat /etc/huntd/huntd.toml").stdout
    following = make_next_version(host, package)
    with Crowd(host) as crowd:
        crowd.await_more(50)
        install(host, following)
        await_ready(host)
        crowd.await_more(50)
    assert [text for text in crowd.broken if "redis-unavailable" not in text] == []
    assert host.show("huntd", "MainPID") not in ("0", before)
    assert host.run("cat /etc/huntd/huntd.toml").stdout == changed
    assert host.run("systemctl is-active huntd.socket huntd").stdout.split() == ["active"] * 2
    host.run(f"cd /root && apt-get install -y --allow-downgrades -o Dpkg::Options::=--force-confold ./{package.name}")
    await_ready(host)
    assert play(host)[0] == 200


def test_remove_and_purge_leave_nothing_but_the_operators_own_files(host, package):
    install(host, package.name)
    host.write("/etc/huntd/hunts/gold.lua", GOLD)
    host.run("systemctl enable --now huntd.socket huntd")
    await_ready(host)
    host.run("apt-get remove -y huntd")
    with pytest.raises(OSError):
        connect(host)
    assert host.run("systemctl is-active huntd.socket huntd", check=False).stdout.split() == ["inactive"] * 2
    assert host.run("ls /etc/huntd").stdout.split() == ["huntd.toml", "hunts"]
    host.run("apt-get purge -y huntd")
    left = host.run("find / -xdev '(' -path /root -o -path /proc -o -path /sys -o -path /var/cache ')' -prune -o -name '*hunt*' -print").stdout
    assert sorted(path for path in left.split() if not path.startswith(("/run/", "/var/log/"))) == ["/etc/huntd", "/etc/huntd/hunts"]
    assert host.run("systemctl list-units --failed --plain --no-legend").stdout == ""
