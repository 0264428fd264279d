# SPDX-License-Identifier: Apache-2.0
"""Clients of the huntd in a tree: one request, and a crowd that counts what a restart does to it."""
import contextlib
import http.client
import json
import select
import socket
import threading

from harness.process import wait_until

HTTP, ADMIN = 8080, 14868  # of the shipped config
TIMEOUT_S = 60.0


def connect(tree, port: int = HTTP, timeout_s: float = TIMEOUT_S) -> http.client.HTTPConnection:
    """A connection into the tree's network; OSError if nothing listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    with tree.network():
        connection.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
    return connection


def exchange(connection, method: str, path: str, body: str | None = None, headers: dict | None = None):
    """(status, headers, body) of one request on an open connection."""
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    return response.status, response.headers, response.read()


def play(tree, hunt: str = "gold", hunter: str = "ada", key: str | None = None) -> tuple[int, dict]:
    """Status and JSON of one hunt on a connection of its own."""
    with contextlib.closing(connect(tree)) as connection:
        status, _, body = exchange(connection, "POST", f"/v1/hunts/{hunt}/hunters/{hunter}", "{}",
                                   {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})})
    return status, json.loads(body)


def admin(tree, path: str) -> tuple[int, str]:
    with contextlib.closing(connect(tree, ADMIN)) as connection:
        status, _, body = exchange(connection, "GET", path)
    return status, body.decode()


def is_ready(tree) -> bool:
    try:
        return admin(tree, "/readyz")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def await_ready(tree) -> None:
    wait_until(lambda: is_ready(tree), TIMEOUT_S, "/readyz", 0.1)


class Crowd:
    """Clients that play until the end of `with`, on connections that they keep, or each request on a new one. A request counts as broken unless it gets a complete response,
    or meets the close of an idle connection before a byte of one (it was not run, and is sent again on a new connection)."""

    def __init__(self, tree, clients: int = 8, keep: bool = True):
        self.tree = tree
        self.headers = {"Content-Type": "application/json", **({} if keep else {"Connection": "close"})}
        self.ok = 0
        self.closed_by_response = 0
        self.met_close = 0
        self.broken: list[str] = []
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._play, args=(number,)) for number in range(clients)]

    def _count(self, name: str) -> None:
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)

    def _play(self, number: int) -> None:
        connection, fresh = None, True
        while not self._ended.is_set():
            try:
                if connection is None:
                    connection, fresh = connect(self.tree), True
                status, headers, body = exchange(connection, "POST", f"/v1/hunts/gold/hunters/h{number}", "{}", self.headers)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as failure:
                if fresh:
                    self.broken.append(f"on a new connection: {failure!r}")
                else:
                    self._count("met_close")
                connection = None
                continue
            except (OSError, http.client.HTTPException) as failure:
                self.broken.append(repr(failure))
                connection = None
                continue
            if status != 200:
                self.broken.append(f"{status}: {body[:200]!r}")
            self._count("ok")
            fresh = False
            if headers.get("Connection", "").lower() == "close":
                self._count("closed_by_response")
                connection.close()
                connection = None
            elif connection.sock is None or select.select([connection.sock], [], [], 0)[0]:
                connection.close()  # closed after a complete response
                connection = None
        if connection is not None:
            connection.close()

    def await_more(self, count: int) -> None:
        """Until `count` more requests got their response."""
        wanted = self.ok + count
        wait_until(lambda: self.ok >= wanted, TIMEOUT_S, f"{count} more responses; broken: {self.broken[:3]}", 0.02)

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
