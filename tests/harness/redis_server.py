# SPDX-License-Identifier: Apache-2.0
"""A redis-server of our own on a free loopback port."""
import os
import pathlib
import shutil
import socket

from harness.ports import reserve_port
from harness.process import Server, find_program, wait_until


def server_words() -> list[str]:
    """The program and its first arguments: redis-server, or what HUNTD_REDIS_SERVER names in its place (`./dev test valkey`)."""
    return os.environ.get("HUNTD_REDIS_SERVER", "").split() or [find_program("redis-server")]


class RedisServer(Server):
    """With append_only, acknowledged writes survive a SIGKILL (the file is written before the reply). With unix_socket, `address` is that
    of a unix socket; the port serves too."""

    name = "redis"

    def __init__(self, directory: pathlib.Path | str, *, append_only: bool = False, unix_socket: bool = False, port=None,
                 options: tuple[str, ...] = (), outlives: bool = False):
        super().__init__(directory, outlives=outlives)
        self.append_only = append_only
        self.unix_socket = unix_socket
        self.port = port or reserve_port()
        self.options = options
        self.ports = [self.port]

    @property
    def address(self) -> str:
        return f"unix:{self._socket_path}" if self.unix_socket else self.port.address

    @property
    def client_options(self) -> list[str]:
        """Of redis-cli and redis-benchmark."""
        return ["-s", str(self._socket_path)] if self.unix_socket else ["-h", "127.0.0.1", "-p", str(self.port)]

    @property
    def _socket_path(self) -> pathlib.Path:
        return self.directory / "redis.sock"

    def command(self) -> list[str]:
        listen_too = ["--unixsocket", str(self._socket_path), "--unixsocketperm", "700"] if self.unix_socket else []
        return [*server_words(), "--bind", "127.0.0.1", "--port", str(self.port), *listen_too, "--daemonize", "no",
                "--dir", str(self.directory), "--save", "", "--appendonly", "yes" if self.append_only else "no",
                # Never "everysec" here: while an fsync runs it answers up to 2 s before it writes, and a SIGKILL would
                # lose what was answered. A process's death, unlike the machine's, needs no fsync.
                "--appendfsync", "no", *self.options]

    def ready(self) -> bool:
        try:
            return self.call("PING") == "PONG"
        except (OSError, RedisError):
            return False

    @property
    def dump(self) -> pathlib.Path:
        """The file of SAVE and BGSAVE. A start without an append-only file reads it."""
        return self.directory / "dump.rdb"

    def info(self, section: str) -> dict[str, str]:
        lines = self.call("INFO", section).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def save_in_background(self, copy: pathlib.Path | None = None) -> None:
        """BGSAVE; returns when the file is complete, and copied to `copy`."""
        self.call("BGSAVE")
        wait_until(lambda: self.info("persistence")["rdb_bgsave_in_progress"] == "0", 30, "BGSAVE to end")
        if self.info("persistence")["rdb_last_bgsave_status"] != "ok":
            raise RedisError("BGSAVE failed")
        if copy is not None:
            shutil.copy(self.dump, copy)

    def follow(self, port: int) -> None:
        """Makes it a replica of the server on `port`; returns when it has the other's data."""
        self.call("REPLICAOF", "127.0.0.1", port)
        wait_until(lambda: self.info("replication").get("master_link_status") == "up", 30, "the replica to be in sync")

    def promote(self) -> None:
        """Makes it a primary, with what it has received."""
        self.call("REPLICAOF", "NO", "ONE")

    def call(self, *words):
        """One command on a connection of its own; see RedisClient for many."""
        with RedisClient(int(self.port)) as client:
            return client.call(*words)

    def client(self) -> "RedisClient":
        return RedisClient(int(self.port))


def redis_on_file(directory: pathlib.Path, dump: pathlib.Path) -> RedisServer:
    """A server of its own, not started yet, that has what is in `dump`; for `with`."""
    server = RedisServer(directory)
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(dump, server.dump)
    return server


class RedisError(Exception):
    """Redis answered with an error."""


class RedisClient:
    """A minimal client: one connection, one command at a time, replies as str, int, list or None."""

    def __init__(self, port: int, timeout_s: float = 30):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self._file = self._socket.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def call(self, *words):
        parts = [str(word).encode() for word in words]
        self._socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
        return self._read()

    def hash(self, key: str) -> dict[str, str]:
        fields = self.call("HGETALL", key)
        return dict(zip(fields[::2], fields[1::2]))

    def keys(self, pattern: str):
        """Every matching key; a key may come twice if keys are created meanwhile (SCAN)."""
        cursor = None
        while cursor != "0":
            cursor, keys = self.call("SCAN", cursor or "0", "MATCH", pattern, "COUNT", 1000)
            yield from keys

    def _read(self):
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self._file.read(size + 2)[:-2].decode()
        if kind == b"*":
            count = int(rest)
            return None if count < 0 else [self._read() for _ in range(count)]
        raise RedisError(f"a reply that is not RESP2: {line!r}")
