# SPDX-License-Identifier: Apache-2.0
"""cores.count = 0 counts the CPU time that the cgroup allows, not only the CPUs."""
import os
import pathlib

import pytest

from harness.process import wait_until

CGROUPS = pathlib.Path("/sys/fs/cgroup")


def make_group() -> pathlib.Path:
    """A cgroup that allows half a CPU."""
    v2 = (CGROUPS / "cgroup.controllers").exists()
    group = (CGROUPS if v2 else CGROUPS / "cpu") / f"huntd-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        if v2:
            (group / "cpu.max").write_text("50000 100000")
        else:
            (group / "cpu.cfs_period_us").write_text("100000")
            (group / "cpu.cfs_quota_us").write_text("50000")
    except OSError as error:
        group.rmdir()
        pytest.skip(f"no quota of CPU time can be set here: {error}")
    return group


def remove(group: pathlib.Path) -> None:
    def removed() -> bool:
        try:
            group.rmdir()
            return True
        except OSError:  # a process that has been killed is in it for a moment
            return False
    wait_until(removed, 30, "the processes of the cgroup to end")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="with one CPU there is one core anyway")
def test_half_a_cpu_is_one_core(own_stack):
    group = make_group()
    stack = own_stack(cores=None, before_huntd=["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"])
    try:
        stack.start()
        pids = stack.core_pids()
        assert len(pids) == 1
        assert "a CPU quota limits the number of cores cores=1 " in stack.huntd.log_text()
        assert "allows 0.5 CPU" in stack.huntd.log_text()
        # A quota is a share of all CPUs: the core is not kept on one of them.
        assert os.sched_getaffinity(pids[0]) == os.sched_getaffinity(0)
    finally:
        stack.kill()
        remove(group)
