# SPDX-License-Identifier: Apache-2.0
"""Redis Sentinels of our own on free loopback ports, and a primary with a replica that they watch."""
import contextlib
import pathlib

from harness.ports import reserve_port
from harness.process import Server, wait_until
from harness.redis_server import RedisClient, RedisError, RedisServer, server_words

PRIMARY = "mymaster"


class SentinelServer(Server):
    """One sentinel, that watches the primary on `watched_port`; `quorum` of them must agree that it is down. It keeps what it has learned in
    its config file, over restarts too."""

    name = "sentinel"

    def __init__(self, directory: pathlib.Path | str, watched_port: int, *, quorum: int = 2, down_after_ms: int = 1000,
                 lines: tuple[str, ...] = ()):
        super().__init__(directory)
        self.port = reserve_port()
        self.ports = [self.port]
        self.lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.directory}", "daemonize no",
                      f"sentinel monitor {PRIMARY} 127.0.0.1 {watched_port} {quorum}",
                      f"sentinel down-after-milliseconds {PRIMARY} {down_after_ms}", f"sentinel failover-timeout {PRIMARY} 10000", *lines]

    @property
    def address(self) -> str:
        return self.port.address

    @property
    def config(self) -> pathlib.Path:
        return self.directory / "sentinel.conf"

    def prepare(self) -> None:
        if not self.config.exists():
            self.config.write_text("\n".join(self.lines) + "\n")

    def command(self) -> list[str]:
        return [*server_words(), str(self.config), "--sentinel"]

    def ready(self) -> bool:
        try:
            self.call("PING")
        except RedisError:
            return True  # NOAUTH: it serves
        except OSError:
            return False
        return True

    def call(self, *words, login: tuple[str, ...] = ()):
        with RedisClient(int(self.port)) as client:
            if login:
                client.call("AUTH", *login)
            return client.call(*words)

    def primary_port(self) -> int:
        return int(self.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY)[1])

    def state(self) -> dict[str, str]:
        """Of the primary, by SENTINEL MASTER."""
        words = self.call("SENTINEL", "MASTER", PRIMARY)
        return dict(zip(words[::2], words[1::2]))


def start_sentinels(directory: pathlib.Path, watched: RedisServer, count: int = 3, **options) -> list[SentinelServer]:
    """They watch `watched`, which runs. They need a while to know each other: await_acquainted()."""
    sentinels = [SentinelServer(directory / f"sentinel{number}", int(watched.port), **options) for number in range(count)]
    for sentinel in sentinels:
        sentinel.start()
    return sentinels


def await_acquainted(sentinels: list[SentinelServer], replicas: int = 1) -> None:
    def known(sentinel: SentinelServer) -> bool:
        with contextlib.suppress(RedisError):
            state = sentinel.state()
            return int(state["num-other-sentinels"]) == len(sentinels) - 1 and int(state["num-slaves"]) == replicas
        return False
    # A sentinel reads the list of replicas every 10 s, and learns of the others every 2 s.
    wait_until(lambda: all(known(each) for each in sentinels), 60, "the sentinels to know each other and the replica", 0.1)


def await_primary(sentinels: list[SentinelServer], port: int) -> None:
    """Until each names the server on `port`."""
    wait_until(lambda: all(each.primary_port() == port for each in sentinels if each.running), 60, f"the sentinels to name {port}", 0.1)
