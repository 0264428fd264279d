# SPDX-License-Identifier: Apache-2.0
"""Free loopback ports that no two test servers can both be given.

A port is free when it can be bound *and* when this process gets the lock file of that port. The server inherits the
lock's descriptor, so the port stays taken for as long as the server lives, also after the process that started it has
ended. Ports come from below the kernel's ephemeral range: no outgoing connection can take one in between.
"""
import fcntl
import os
import pathlib
import random
import socket
import tempfile

FIRST, LAST = 20_000, 32_000


class Port:
    """A reserved port of 127.0.0.1: its number, and the descriptor of its lock to hand to the server."""

    def __init__(self, number: int, lock_fd: int):
        self.number = number
        self.lock_fd = lock_fd

    def __int__(self) -> int:
        return self.number

    def __str__(self) -> str:
        return str(self.number)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.number}"

    def release(self) -> None:
        """Gives up this process's hold; a server that inherited the lock keeps the port."""
        if self.lock_fd >= 0:
            os.close(self.lock_fd)
            self.lock_fd = -1


def _lock_folder() -> pathlib.Path:
    folder = pathlib.Path(tempfile.gettempdir()) / "huntd-ports"
    folder.mkdir(exist_ok=True)
    try:
        folder.chmod(0o1777)  # several users of one machine share the ports, so they share the locks
    except PermissionError:
        pass  # another user made it, and with this mode
    return folder


def _can_bind(number: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True


def reserve_port() -> Port:
    folder = _lock_folder()
    for number in random.sample(range(FIRST, LAST), LAST - FIRST):
        try:
            fd = os.open(folder / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except PermissionError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            continue
        if _can_bind(number):
            return Port(number, fd)
        os.close(fd)
    raise RuntimeError(f"no free port from {FIRST} to {LAST}")
