# SPDX-License-Identifier: Apache-2.0
"""hunt-aggregator.service under a real systemd, as shipped: with PostgreSQL late, stopped, or gone, and with a bad config."""
import contextlib

import pytest

from harness.process import wait_until
from tree_clients import admin, await_ready, connect, exchange, play

pytestmark = [pytest.mark.long(reason="boots Debian trees"), pytest.mark.alone(reason="one tree at a time"), pytest.mark.tree]

LISTEN = 14867  # aggregator.listen of the shipped config
MAKE_DATABASE = "runuser -u postgres -- createuser huntd-aggregator && runuser -u postgres -- createdb -O huntd-aggregator huntd"


def readiness(tree) -> int:
    with contextlib.closing(connect(tree, LISTEN)) as connection:
        return exchange(connection, "GET", "/readyz")[0]


def await_rows(tree, wanted: str) -> None:
    def rows() -> bool:
        return tree.run("runuser -u huntd-aggregator -- psql -At huntd -c 'SELECT hunter_id FROM hunt_session ORDER BY 1'",
                        check=False).stdout.split() == wanted.split()
    wait_until(rows, 60, f"the rows of {wanted}", 0.2)


def test_postgres_may_come_late_and_go(tree):
    tree.chroot("systemctl enable hunt-aggregator")
    tree.boot()
    tree.await_show("hunt-aggregator", "ActiveState", "active")
    await_ready(tree)
    assert play(tree, hunter="ada")[0] == 200
    assert readiness(tree) == 503
    tree.run(f"systemctl start postgresql && {MAKE_DATABASE}")
    await_rows(tree, "ada")
    wait_until(lambda: readiness(tree) == 200, 60, "/readyz of the aggregator", 0.1)
    tree.run("systemctl restart postgresql")
    assert play(tree, hunter="eve")[0] == 200
    await_rows(tree, "ada eve")
    assert tree.show("hunt-aggregator", "NRestarts") == "0"
    assert tree.run("stat -c %U /proc/$(systemctl show --value -p MainPID hunt-aggregator)").stdout.strip() == "huntd-aggregator"
    assert tree.run("stat -c '%U %a' /var/lib/hunt-aggregator").stdout.strip() == "huntd-aggregator 750"
    tree.run("systemctl stop hunt-aggregator")
    assert tree.show("hunt-aggregator", "Result") == "success"
    assert "stopped" in tree.journal("hunt-aggregator")
    assert admin(tree, "/readyz")[0] == 200, "hunters do not notice"


def test_a_bad_config_only_needs_to_be_fixed(tree):
    config = (tree.root / "etc/huntd/huntd.toml").read_text()
    tree.write("/etc/huntd/huntd.toml", config.replace("interval_s = 1", "interval_s = -1"))
    tree.chroot("systemctl enable hunt-aggregator && systemctl disable huntd.service huntd.socket")
    tree.boot()
    tree.await_show("hunt-aggregator", "NRestarts", lambda text: int(text) >= 6)
    tree.await_journal("status=78", "hunt-aggregator")
    tree.write("/etc/huntd/huntd.toml", config)
    tree.run("systemctl start hunt-aggregator")
    assert tree.show("hunt-aggregator", "ActiveState") == "active"
