# SPDX-License-Identifier: Apache-2.0
"""docs/operations.md, "Install", to the letter: each command as it stands there, in a bare Debian with the package."""
import re
import shutil
import subprocess

import pytest

from harness.huntd_stack import ROOT
from harness.tree import Tree
from tree_clients import await_ready
from tree_layers import needed_or_skip

pytestmark = [pytest.mark.long(reason="boots Debian trees"), pytest.mark.alone(reason="one tree at a time"), pytest.mark.tree]

SECTION = re.compile(r"^## Install\n(.*?)^## ", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"(?:^<!-- commands: ([^\n]*) -->\n)?^```\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, list[str]]]:
    """Of each fenced block of the section: its marker ("" for none), its commands."""
    text = SECTION.search((ROOT / "docs/operations.md").read_text())[1]
    return [(marker, commands.splitlines()) for marker, commands in BLOCK.findall(text)]


def commands_of(marker: str) -> list[str]:
    found = [command for other, commands in blocks() if other == marker for command in commands]
    assert found, marker
    return found


def test_every_block_is_run_or_marked():
    known = {"", "of another machine", "instead of the package", "with db.example.org=127.0.0.1"}
    assert {marker for marker, _ in blocks()} == known


@pytest.fixture
def host(release, installed, package, tmp_path):
    """A bare Debian, booted, with the package in /root and nothing of huntd. On a release for which the package was not built, the
    libraries that the programs need lie beside those of Debian (conftest.py)."""
    layer = tmp_path / "libraries"
    (layer / "usr").mkdir(parents=True)
    layer.chmod(0o755)
    if (libraries := needed_or_skip(lambda: installed(release)) / "usr/lib").exists():
        shutil.copytree(libraries, layer / "usr/lib")
    tree = Tree(release, tmp_path / "tree", [layer])
    (tree.root / "root").mkdir(exist_ok=True)
    shutil.copy(package, tree.root / "root")
    with tree:
        yield tree


def run_as_written(host, commands: list[str]) -> str:
    return "".join(host.run(f"cd /root && {command}").stdout for command in commands)


def set_up(host, release: str, package) -> None:
    commands = commands_of("")
    if subprocess.run(["grep", "-q", f"VERSION_CODENAME={release}", "/etc/os-release"]).returncode != 0:
        # The package was built on another release, and its libraries have other package names there.
        assert commands[0].startswith("apt-get install")
        commands[0] = f"dpkg --force-depends -i {package.name}"
    run_as_written(host, commands)


def test_the_commands_of_the_install_section_work_as_they_stand(host, release, package):
    set_up(host, release, package)
    await_ready(host)
    assert host.show("hunt-aggregator", "ActiveState") == "active"
    rows = host.run("runuser -u huntd-aggregator -- psql -At huntd -c 'SELECT hunter_id, hunt_id FROM hunt_session'").stdout
    assert rows == "ada|goblin-hoard\n"
    # The other way to a host with a password, over TCP.
    host.run("runuser -u postgres -- psql -c \"ALTER ROLE \\\"huntd-aggregator\\\" PASSWORD 'PASSWORD'\"")
    run_as_written(host, [command.replace("db.example.org", "127.0.0.1") for command in commands_of("with db.example.org=127.0.0.1")])
    host.run("huntctl hunt goblin-hoard eve && runuser -u huntd-aggregator -- huntctl reconcile --wait 60")
    users = host.run("runuser -u postgres -- psql -At -c \"SELECT DISTINCT client_addr FROM pg_stat_activity "
                     "WHERE usename = 'huntd-aggregator' AND client_addr IS NOT NULL\"").stdout
    assert users == "127.0.0.1\n"


def test_tokens_are_read_at_a_reload(host, release, package):
    set_up(host, release, package)
    section = (ROOT / "docs/operations.md").read_text().split("## Access control")[1].split("\n## ")[0]
    making = BLOCK.search(section)[2].splitlines()
    run_as_written(host, making)
    host.run("printf '\\n[auth]\\nmode = \"bearer\"\\ntokens_file = \"/etc/huntd/tokens\"\\n' >>/etc/huntd/huntd.toml")
    host.run("systemctl reload huntd")
    host.await_journal("reloaded", "huntd")
    assert host.run("huntctl hunt goblin-hoard eve", check=False).returncode == 1
    host.run("huntctl --token-file /etc/huntd/tokens hunt goblin-hoard eve")
