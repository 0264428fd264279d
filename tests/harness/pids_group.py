# SPDX-License-Identifier: Apache-2.0
"""A control group that limits the number of processes, as systemd's TasksMax= does."""
import contextlib
import errno
import os
import pathlib
import time

PIDS = pathlib.Path("/sys/fs/cgroup/pids")


class NoControlGroup(Exception):
    """This machine lets no control group for pids be made; the text says why."""


@contextlib.contextmanager
def pids_group(pids: list[int]):
    """Moves the processes into a control group of their own, with what they start; the caller writes its pids.max."""
    group = PIDS / f"huntd-tests-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        raise NoControlGroup(f"no control group for pids can be made here: {error}") from error
    old = next(line.split(":", 2)[2] for line in pathlib.Path(f"/proc/{pids[0]}/cgroup").read_text().splitlines()
               if line.split(":")[1] == "pids")
    home = PIDS / old.lstrip("/") / "cgroup.procs"
    try:
        for pid in pids:
            (group / "cgroup.procs").write_text(str(pid))
        yield group
    finally:
        (group / "pids.max").write_text("max")
        deadline_s = time.monotonic() + 20
        while True:
            for pid in (group / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    home.write_text(pid)  # gone meanwhile, or moved
            try:
                group.rmdir()
                break
            except OSError as busy:
                if busy.errno != errno.EBUSY or time.monotonic() > deadline_s:
                    raise
                time.sleep(0.05)
