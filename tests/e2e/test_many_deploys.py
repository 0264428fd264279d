# SPDX-License-Identifier: Apache-2.0
"""A hundred deploys under load: no hunt fails, and neither memory nor descriptors grow. test_deploy.py has the short form."""
import json

import pytest

from harness.huntd_stack import http_get
from swaps import descriptors_of, memory_of, of_all, swap_under_load, write_version

pytestmark = pytest.mark.long("a hundred deploys take minutes")
# A build of huntd with sanitizers keeps freed memory for a while.
GROWTH_BYTES_MAX = 8 << 20


def test_a_hundred_deploys_fail_no_hunt_and_leave_nothing_behind(own_stack, tmp_path):
    (tmp_path / "state").mkdir()
    folders = [write_version(tmp_path / f"version-{number}", number) for number in range(25)]
    stack = own_stack(hunts=folders[0], settings={"hunts.state_dir": str(tmp_path / "state")}).start()
    assert set(swap_under_load(stack, folders, 25)) == {200}
    descriptors, memory = of_all(stack, descriptors_of), of_all(stack, memory_of)
    assert set(swap_under_load(stack, folders, 100)) == {200}
    assert all(now <= before + 2 for now, before in zip(of_all(stack, descriptors_of), descriptors))
    assert all(now <= before + GROWTH_BYTES_MAX for now, before in zip(of_all(stack, memory_of), memory))
    kept = json.loads(http_get(stack.admin, "/bundles.json")[1])["bundles"]
    assert len(kept) == 20 and len(list((tmp_path / "state" / "bundles").glob("*.bundle"))) == 20
