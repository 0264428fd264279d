# SPDX-License-Identifier: Apache-2.0
"""A Redis Cluster of our own on free loopback ports: primaries, each with replicas, and what an operator does with them."""
import binascii
import contextlib
import pathlib

from harness.ports import reserve_port
from harness.process import Server, wait_until
from harness.redis_server import RedisClient, RedisError, RedisServer

SLOTS = 16384
KEYLESS = {"PING", "TIME", "INFO", "CONFIG", "DBSIZE", "SCRIPT", "CLUSTER", "CLIENT", "SCAN", "BGSAVE", "ACL"}


def slot_of(key: str) -> int:
    tag = key.partition("{")[2].partition("}")
    return binascii.crc_hqx((tag[0] if tag[0] and tag[1] else key).encode(), 0) % SLOTS


class ClusterNode(RedisServer):
    """One node, with a port of its own for the bus of the cluster."""

    def __init__(self, directory: pathlib.Path, *, node_timeout_ms: int = 4000, full_coverage: bool = False, options: tuple[str, ...] = ()):
        self.bus = reserve_port()
        super().__init__(directory, append_only=True, options=(
            "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", str(self.bus),
            "--cluster-node-timeout", str(node_timeout_ms), "--cluster-require-full-coverage", "yes" if full_coverage else "no",
            "--repl-diskless-sync-delay", "0", *options))
        self.ports = [self.port, self.bus]

    @property
    def node_id(self) -> str:
        return self.call("CLUSTER", "MYID")

    def cluster_info(self) -> dict[str, str]:
        return dict(line.split(":", 1) for line in self.call("CLUSTER", "INFO").splitlines() if ":" in line)

    def is_primary(self) -> bool:
        return self.running and self.info("replication")["role"] == "master"


class ClusterClient:
    """The calls of RedisClient, each at the node that has its key; a node's connection is made again when it has ended."""

    def __init__(self, cluster: "ClusterServer"):
        self._cluster = cluster
        self._clients: dict[int, RedisClient] = {}
        self._owners: dict[int, int] = {}

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def at(self, port: int, *words):
        client = self._clients.get(port) or self._clients.setdefault(port, RedisClient(port))
        try:
            return client.call(*words)
        except OSError:
            self._clients.pop(port).close()
            raise

    def call(self, *words):
        if str(words[0]).upper() in KEYLESS:
            return self.at(int(self._cluster.primaries()[0].port), *words)
        slot = slot_of(str(words[3] if str(words[0]).upper() in ("EVAL", "EVALSHA") else words[1]))
        port = self._owners.get(slot) or self._cluster.owner_of(slot)
        for _ in range(8):
            try:
                answer = self.at(port, *words)
                self._owners[slot] = port
                return answer
            except RedisError as error:
                kind, _, rest = str(error).partition(" ")
                if kind not in ("MOVED", "ASK"):
                    raise
                port = int(rest.rsplit(":", 1)[1])
                if kind == "ASK":
                    self.at(port, "ASKING")
                    return self.at(port, *words)
        raise RedisError(f"slot {slot} is nowhere")

    def hash(self, key: str) -> dict[str, str]:
        fields = self.call("HGETALL", key)
        return dict(zip(fields[::2], fields[1::2]))

    def keys(self, pattern: str):
        for node in self._cluster.primaries():
            cursor = None
            while cursor != "0":
                cursor, keys = self.at(int(node.port), "SCAN", cursor or "0", "MATCH", pattern, "COUNT", 1000)
                yield from keys


class ClusterServer(Server):
    """nodes[i] is the i-th primary at the start, nodes[primaries + i] a replica of nodes[i % primaries]."""

    name = "redis-cluster"

    def __init__(self, directory: pathlib.Path | str, *, primaries: int = 3, replicas: int = 1, **options):
        super().__init__(directory)
        self.first = primaries
        self.options = options
        self.nodes = [ClusterNode(self.directory / f"node{number}", **options) for number in range(primaries * (1 + replicas))]
        self.made = False

    @property
    def address(self) -> list[str]:
        """Of some nodes, for redis.address."""
        return [node.address for node in self.nodes[:self.first]]

    @property
    def ports(self) -> list:
        return [port for node in getattr(self, "nodes", []) for port in node.ports]

    @ports.setter
    def ports(self, _):
        pass  # those of the nodes

    @property
    def running(self) -> bool:
        return any(node.running for node in self.nodes)

    def start(self):
        for node in self.nodes:
            if not node.running:
                node.start()
        if not self.made:
            self._make()
        self.await_ok()
        return self

    def _make(self) -> None:
        for number, node in enumerate(self.nodes[:self.first]):
            node.call("CLUSTER", "ADDSLOTSRANGE", number * SLOTS // self.first, (number + 1) * SLOTS // self.first - 1)
            node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            self.meet(node)
        wait_until(lambda: all(self.known(node) == len(self.nodes) for node in self.nodes), 30, "the nodes to know each other")
        for number, replica in enumerate(self.nodes[self.first:]):
            self.replicate(replica, self.nodes[number % self.first])
        replicas = len(self.nodes) - self.first
        wait_until(lambda: all(sum(len(entry) - 3 for entry in node.call("CLUSTER", "SLOTS")) == replicas for node in self.nodes),
                   30, "each node to list all replicas")
        self.made = True

    def meet(self, node: ClusterNode) -> None:
        self.nodes[0].call("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)

    @staticmethod
    def known(node: ClusterNode) -> int:
        return sum("handshake" not in line and "noaddr" not in line for line in node.call("CLUSTER", "NODES").splitlines())

    @staticmethod
    def replicate(replica: ClusterNode, primary: ClusterNode) -> None:
        primary_id = primary.node_id

        def accepted() -> bool:
            with contextlib.suppress(RedisError):  # it does not know the other yet
                return replica.call("CLUSTER", "REPLICATE", primary_id) == "OK"
            return False
        wait_until(accepted, 30, "a node to become a replica")
        wait_until(lambda: replica.info("replication").get("master_link_status") == "up", 30, "the replica to be in sync")

    def add_node(self) -> ClusterNode:
        """A primary without slots, that all know."""
        node = ClusterNode(self.directory / f"node{len(self.nodes)}", **self.options)
        self.nodes.append(node)
        node.start()
        self.meet(node)
        wait_until(lambda: all(self.known(each) == self.known(node) > 1 for each in self.nodes if each.running), 30, "all to know the new node")
        self.await_ok()  # it takes no keys in its first two seconds
        return node

    def remove_node(self, node: ClusterNode) -> None:
        """It has no slots any more: the others remove it, and it ends."""
        node_id = node.node_id
        node.kill()  # it has become a replica, and Redis does not end while it writes its first append-only file
        self.nodes.remove(node)
        for each in self.nodes:
            with contextlib.suppress(RedisError):  # a replica of it
                each.call("CLUSTER", "FORGET", node_id)

    def primaries(self) -> list[ClusterNode]:
        """Those that have slots, by what a running node knows."""
        wanted = {port for _, _, port in self.ranges()}
        return [node for node in self.nodes if int(node.port) in wanted and node.running]

    def ranges(self) -> list[tuple[int, int, int]]:
        """First and last slot, and the port of the node that has them."""
        node = next(each for each in self.nodes if each.running)
        return [(entry[0], entry[1], entry[2][1]) for entry in node.call("CLUSTER", "SLOTS")]

    def owner_of(self, slot: int) -> int:
        return next(port for first, last, port in self.ranges() if first <= slot <= last)

    def node_at(self, port: int) -> ClusterNode:
        return next(node for node in self.nodes if int(node.port) == port)

    def slots_of(self, node: ClusterNode) -> list[int]:
        return [slot for first, last, port in self.ranges() if port == int(node.port) for slot in range(first, last + 1)]

    def begin_move(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.node_id)
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target.node_id)

    def move_keys(self, slot: int, source: ClusterNode, target: ClusterNode, count: int | None = None) -> int:
        """Some of its keys, or all."""
        moved = 0
        with source.client() as redis:
            while keys := redis.call("CLUSTER", "GETKEYSINSLOT", slot, min(count - moved, 20) if count is not None else 20):
                redis.call("MIGRATE", "127.0.0.1", target.port, "", 0, 10000, "KEYS", *keys)
                moved += len(keys)
                if moved == count:
                    break
        return moved

    def end_move(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        target_id = target.node_id
        for node in [target, source, *(each for each in self.nodes if each.running and each not in (source, target))]:
            with contextlib.suppress(RedisError):  # a replica takes it from its primary
                node.call("CLUSTER", "SETSLOT", slot, "NODE", target_id)

    def move_slot(self, slot: int, source: ClusterNode, target: ClusterNode) -> int:
        self.begin_move(slot, source, target)
        moved = self.move_keys(slot, source, target)
        self.end_move(slot, source, target)
        return moved

    def await_ok(self) -> None:
        def agreed() -> bool:
            running = [node for node in self.nodes if node.running]
            try:
                return (all(node.cluster_info()["cluster_state"] == "ok" for node in running)
                        and len({str(sorted(entry[:3] for entry in node.call("CLUSTER", "SLOTS"))) for node in running}) == 1)
            except (OSError, RedisError):
                return False
        wait_until(agreed, 60, "the cluster to be ok")

    def await_promoted(self, node: ClusterNode) -> None:
        wait_until(lambda: any(port == int(node.port) for _, _, port in self.ranges()), 60, "the replica to have the slots")
        self.await_ok()

    def call(self, *words):
        with self.client() as redis:
            return redis.call(*words)

    def client(self) -> ClusterClient:
        return ClusterClient(self)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()
