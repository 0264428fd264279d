# SPDX-License-Identifier: Apache-2.0
"""A name server under a test's control, and a mount namespace in which a program uses it alone.

    with NameServer(tmp_path) as names:
        names.answers["redis.test"] = ["127.0.0.2"]
        subprocess.run([*names.before, "getent", "ahosts", "redis.test"])
"""
import pathlib
import random
import shutil
import socket
import struct
import subprocess
import threading

DOES_NOT_EXIST = "does not exist"  # NXDOMAIN
FAILS = "fails"  # SERVFAIL, which getaddrinfo(3) reports as EAI_AGAIN
SILENT = "silent"

A, AAAA = 1, 28
MOUNTS = 'for file in resolv.conf hosts nsswitch.conf; do mount --bind "$0/$file" "/etc/$file" || exit 1; done; exec "$@"'


def why_not() -> str:
    """Why this host can't give a program a resolver of its own; empty if it can."""
    if shutil.which("unshare") is None:
        return "no unshare (package util-linux)"
    tried = subprocess.run(["unshare", "-m", "mount", "--bind", "/etc/hosts", "/etc/hosts"], capture_output=True, text=True)
    return "" if tried.returncode == 0 else f"no mount namespace: {tried.stderr.strip()}"


class NameServer:
    """Answers questions for A by `answers`: a list of IPv4 addresses, or one of the constants; any other name does not exist. A question
    for AAAA gets no address. With `listens=False` it is started by listen(), and until then its port is closed. `options` are those of
    resolv.conf(5)."""

    def __init__(self, directory: pathlib.Path, *, listens: bool = True, options: str = "timeout:1 attempts:1",
                 hosts: dict[str, list[str]] | None = None):
        self.answers: dict[str, list[str] | str] = {}
        self.asked: dict[str, int] = {}  # questions for A that have come, by name
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        # Any address of 127.0.0.0/8 can be bound, and resolv.conf has no port.
        self.address = f"127.{random.randint(64, 127)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "resolv.conf").write_text(f"nameserver {self.address}\noptions {options}\n")
        (directory / "nsswitch.conf").write_text("hosts: files dns\n")
        lines = ["127.0.0.1 localhost"] + [f"{each} {name}" for name, addresses in (hosts or {}).items() for each in addresses]
        (directory / "hosts").write_text("\n".join(lines) + "\n")
        self.before = ["unshare", "-m", "--propagation", "private", "sh", "-c", MOUNTS, str(directory)]
        if listens:
            self.listen()

    def listen(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((self.address, 53))
        self._thread = threading.Thread(target=self._serve, args=(self._socket,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._socket:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", (self.address, 53))
            self._thread.join()
            self._socket.close()
            self._socket = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _serve(self, server: socket.socket) -> None:
        while True:
            question, client = server.recvfrom(2048)
            if not question:
                return
            if answer := self._answer(question):
                server.sendto(answer, client)

    def _answer(self, question: bytes) -> bytes | None:
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        name = ".".join(labels).lower()
        kind, = struct.unpack(">H", question[at + 1:at + 3])
        asked = question[12:at + 5]
        found = self.answers.get(name, DOES_NOT_EXIST)
        if kind == A:
            self.asked[name] = self.asked.get(name, 0) + 1
        if found == SILENT:
            return None
        code = {DOES_NOT_EXIST: 3, FAILS: 2}.get(found, 0) if isinstance(found, str) else 0
        addresses = found if kind == A and isinstance(found, list) else []
        head = question[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(addresses), 0, 0)
        records = [struct.pack(">HHHIH", 0xC00C, A, 1, 0, 4) + socket.inet_aton(each) for each in addresses]
        return head + asked + b"".join(records)
