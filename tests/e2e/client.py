# SPDX-License-Identifier: Apache-2.0
"""HTTP clients for the end-to-end tests: one call, one raw socket, and an asyncio connection for thousands of clients."""
import asyncio
import ctypes
import http.client
import itertools
import json
import re
import socket
import subprocess
from dataclasses import dataclass

from harness.huntd_stack import build_folder


@dataclass
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def problem(self) -> str:
        """The end of a problem's type; an AssertionError if the response is not a problem."""
        assert self.headers.get("content-type") == "application/problem+json", (self.status, self.headers, self.body)
        assert self.json["status"] == self.status
        return self.json["type"].removeprefix("urn:huntd:problem:")


def _split(address: str) -> tuple[str, int]:
    host, port = address.rsplit(":", 1)
    return host, int(port)


def call(address: str, method: str, path: str, body: bytes | str | None = None,
         headers: dict[str, str] | None = None, timeout_s: float = 60) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(*_split(address), timeout=timeout_s)
    try:
        connection.request(method, path, body, headers or {})
        got = connection.getresponse()
        return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
    finally:
        connection.close()


def run_hunt(address: str, hunt: str, hunter: str, *, input=None, key: str | None = None) -> Answer:
    headers = {"Content-Type": "application/json"} if input is not None else {}
    if key is not None:
        headers["Idempotency-Key"] = key
    body = json.dumps(input) if input is not None else None
    return call(address, "POST", f"/v1/hunts/{hunt}/hunters/{hunter}", body, headers)


def core_of(stack, hunter: str) -> int:
    """The core that serves this hunter."""
    reported = subprocess.run([str(build_folder() / "huntctl"), "core-map", "--http", stack.http, "--hunter", hunter], capture_output=True,
                          text=True, check=True).stdout
    return int(re.search(r"core (\d+)$", reported).group(1))


def hunters_of(address: str, core: int, count: int, prefix: str) -> list[str]:
    """Names of hunters of this core, by the core map (docs/http-api.md)."""
    hash64 = ctypes.CDLL("libxxhash.so.0").XXH3_64bits  # libxxhash0 is a dependency of apt
    hash64.restype, hash64.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t]
    core_map = call(address, "GET", "/v1/core-map").json
    names = (f"{prefix}-{number}" for number in itertools.count())
    return list(itertools.islice((name for name in names if core_map["map"][hash64(name.encode(), len(name)) % core_map["buckets"]]
                                  == core), count))


def held(address: str, hunt: str, hunter: str) -> dict[str, int]:
    answer = call(address, "GET", f"/v1/hunts/{hunt}/hunters/{hunter}")
    assert answer.status == 200, answer
    return answer.json["loot"]


class RawConnection:
    """Sends bytes and reads responses; adds nothing and accepts only well-formed responses."""

    def __init__(self, address: str, timeout_s: float = 30, *, source: str | None = None, receive_buffer_bytes: int | None = None):
        """`source` is the client's address; any of 127.0.0.0/8 reaches a server on loopback. With a small receive buffer, the
        server soon notices that the client does not read."""
        self._socket = socket.create_connection(_split(address), timeout=timeout_s,
                                                source_address=(source, 0) if source else None)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self._held = b""

    def send(self, data: bytes | str) -> None:
        self._socket.sendall(data.encode() if isinstance(data, str) else data)

    def end_sending(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def _more(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise EOFError(f"the server closed the connection; {self._held!r} was left")
        self._held += data

    def answer(self, *, to_head: bool = False) -> Answer:
        """The next response; EOFError if the server closed before it was complete. 100 Continue counts as one."""
        while b"\r\n\r\n" not in self._held:
            self._more()
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version == "HTTP/1.1", first
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value
        length = 0 if to_head or int(status) < 200 else int(headers["content-length"])
        while len(self._held) < length:
            self._more()
        body, self._held = self._held[:length], self._held[length:]
        return Answer(int(status), headers, body)

    def is_closed(self) -> bool:
        """Waits for the server to close; False if it sends something instead, TimeoutError if it does neither."""
        if self._held:
            return False
        try:
            return self._socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class AsyncConnection:
    """A keep-alive connection for many requests, which opens again when the server has closed it."""

    def __init__(self, address: str):
        self._address = _split(address)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def run_hunt(self, hunt: str, hunter: str, key: str | None = None) -> Answer:
        """OSError or EOFError if the connection broke: the outcome of the request is unknown."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(*self._address)
        key_line = f"Idempotency-Key: {key}\r\n" if key else ""
        self._writer.write(f"POST /v1/hunts/{hunt}/hunters/{hunter} HTTP/1.1\r\nHost: test\r\n{key_line}"
                           "Content-Length: 0\r\n\r\n".encode())
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await self._reader.readexactly(int(headers["content-length"]))
        except (OSError, EOFError):
            await self.close()
            raise
        if headers.get("connection") == "close":
            await self.close()
        return Answer(int(head[0].split(" ")[1]), headers, body)

    async def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                pass  # it was broken already, which is why it is closed
