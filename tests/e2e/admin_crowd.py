# SPDX-License-Identifier: Apache-2.0
"""Clients that hold up a server which waits for one of them, in a process of their own:

    with AdminCrowd(address, idle=1000, slow=200, endless=20) as crowd:
        crowd.await_there()  # all have connected, and sent their first bytes

`idle` ones send nothing, `slow` ones a byte per second of a head, `endless` ones a chunked body as fast as it is taken.
A client whose connection is closed connects again: an endless one at once, others within a second.
"""
import pathlib
import resource
import selectors
import socket
import subprocess
import sys
import time

SLOW_HEAD = b"GET /metrics HTTP/1.1\r\nHost: crowd\r\nX-Long: " + b"x" * 1000
ENDLESS_HEAD = b"POST /metrics HTTP/1.1\r\nHost: crowd\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
ROUND_S = 1.0  # between two bytes of a slow client


class AdminCrowd:
    def __init__(self, address: str, **counts: int):
        self._child = subprocess.Popen(
            [sys.executable, str(pathlib.Path(__file__)), address, *(f"{kind}={count}" for kind, count in counts.items())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def await_there(self) -> None:
        line = self._child.stdout.readline()
        if line != "there\n":
            raise AssertionError(f"the crowd ended with {self._child.wait()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._child.kill()
        self._child.communicate()


class _Client:
    def __init__(self, crowd: "_Crowd", kind: str):
        self.crowd, self.kind, self.there, self.socket = crowd, kind, False, None
        self.connect()

    def close(self) -> None:
        if self.socket is not None:
            self.crowd.selector.unregister(self.socket)
            self.socket.close()
            self.socket = None

    def connect(self) -> None:
        self.rest, self.connected = b"", False
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(self.crowd.address)
        self.crowd.selector.register(self.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def step(self, events: int) -> None:
        """May raise OSError if the server has closed."""
        if events & selectors.EVENT_WRITE and not self.connected:
            error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, "connect")
            self.connected = self.there = True
            self.rest = {"idle": b"", "slow": SLOW_HEAD, "endless": ENDLESS_HEAD}[self.kind]
            if self.kind != "endless":
                self.crowd.selector.modify(self.socket, selectors.EVENT_READ, self)
            self.trickle()
        if events & selectors.EVENT_READ and not self.socket.recv(65536):
            raise OSError("closed")
        if events & selectors.EVENT_WRITE and self.kind == "endless":
            self.rest = self.rest or CHUNK
            self.rest = self.rest[self.socket.send(self.rest):]

    def trickle(self) -> None:
        if self.kind == "slow" and self.connected and self.rest:
            self.rest = self.rest[self.socket.send(self.rest[:1]):]


class _Crowd:
    def __init__(self, address: tuple[str, int], counts: dict[str, int]):
        self.address = address
        self.selector = selectors.DefaultSelector()
        self.clients = [_Client(self, kind) for kind, count in counts.items() for _ in range(count)]

    @staticmethod
    def keep(client: _Client, step, *arguments) -> None:
        try:
            step(*arguments)
        except BlockingIOError:
            pass
        except OSError:
            client.close()
            if client.kind == "endless":
                client.connect()

    def run(self) -> None:
        reported, next_round = False, time.monotonic()
        while True:
            for key, events in self.selector.select(0.2):
                self.keep(key.data, key.data.step, events)
            if not reported and all(client.there for client in self.clients):
                print("there", flush=True)
                reported = True
            if time.monotonic() >= next_round:
                next_round = time.monotonic() + ROUND_S
                for client in self.clients:
                    if client.socket is None:
                        client.connect()
                    self.keep(client, client.trickle)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    host, port = sys.argv[1].rsplit(":", 1)
    _Crowd((host, int(port)), {kind: int(count) for kind, _, count in (word.partition("=") for word in sys.argv[2:])}).run()
