# SPDX-License-Identifier: Apache-2.0
"""The real stack under test, and what a scenario needs beside HuntdStack."""
import contextlib
import json
import os
import pathlib
import re
import signal
import struct
import subprocess

from faults.redis_proxy import Late, RedisProxy
from faults.scenario import Skipped
from harness.huntd_stack import AggregatorServer, HuntdServer, HuntdStack, build_folder, http_get, write_config
from harness.ports import reserve_port
from harness.process import Server, children_of, is_running, process_state, wait_until
from harness.redis_server import RedisServer
from harness.redis_tls import HOST as TLS_HOST
from harness.redis_tls import use_tls
from harness.sentinel_server import SentinelServer, await_acquainted, await_primary

HUNTS = pathlib.Path(__file__).resolve().parents[1] / "e2e" / "hunts"
# Patient enough for a busy machine, and still less than what clients wait.
SETTINGS = {"worker.deadline_ms": 1500, "worker.queue_deadline_ms": 2000, "worker.queue_target_ms": 2000,
            "http.request_deadline_ms": 4000, "kafka.sweep_after_s": 2}


ALIVE_WITHIN_S = 10.0  # I6: how soon after a fault the throughput must be back


def command_name(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def descriptors(pid: int) -> list[str]:
    """The target of each open descriptor of a process."""
    found = []
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except (FileNotFoundError, ProcessLookupError):
        return []
    for name in names:
        try:
            found.append(re.sub(r"\d+", "N", os.readlink(f"/proc/{pid}/fd/{name}")))
        except FileNotFoundError:
            pass  # closed meanwhile
    return found


def worker_sockets(pid: int) -> int:
    """How many sockets to workers a process has open: the only SOCK_SEQPACKET ones that huntd makes (type 0005, proc(5))."""
    inodes = {fields[6] for fields in map(str.split, pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]) if fields[4] == "0005"}
    found = 0
    for link in pathlib.Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += os.readlink(link).removeprefix("socket:[").removesuffix("]") in inodes
    return found


def all_processes():
    """(process, name, state, parent, group, start in ticks) of every process of the machine."""
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = text.rsplit(")", 1)[1].split()
        yield int(stat.parent.name), text[text.index("(") + 1:text.rindex(")")], fields[0], int(fields[1]), int(fields[2]), int(fields[19])


class FaultStack(HuntdStack):
    """`shifted_clock`: huntd's and Redis' wall clock is set by set_clock_ahead(). `redis_disk_bytes`: Redis has a disk of its
    own of that size. `redis_user`: huntd and the aggregator log in as the user `huntd`, whose password is word-0.
    `sentinels`: three of them watch Redis and a replica, and all programs ask them where Redis is. `tls`: all programs
    connect to Redis by TLS."""

    def __init__(self, directory, *, proxied_redis: bool = False, shifted_clock: bool = False,
                 redis_disk_bytes: int = 0, redis_user: bool = False, sentinels: bool = False, tls: bool = False,
                 settings: dict | None = None, **options):
        super().__init__(directory, **{"cores": 2, "kafka": {"partitions": 4}, "append_only": True, "hunts": HUNTS,
                                       "settings": {**SETTINGS, **(settings or {})}, **options})
        self.more_servers: list[Server] = []
        self.earlier_groups: set[int] = set()  # process groups of each huntd that ran here
        self.redis_disk_bytes = redis_disk_bytes
        self._redis_disk_mounted = False
        self._clock = self.directory / "clock-ahead-s" if shifted_clock else None
        if self._clock:
            self.set_clock_ahead(0)
            library = build_folder() / "tests" / "harness" / "shift_clock.so"
            for server in (self.huntd, self.redis):
                server.environment = {"LD_PRELOAD": str(library), "HUNTD_TEST_CLOCK": str(self._clock)}
        if redis_user:
            self.write_redis_password("word-0")
            self.redis.options = (*self.redis.options, "--user", *"huntd on >word-0 allkeys allchannels +@all".split())
            self.settings.update({"redis.user": "huntd", "redis.password_file": str(self.redis_password)})
        self.replica: RedisServer | None = None
        # Long enough to see what the replica has before it is promoted.
        self.sentinels = [SentinelServer(self.directory / f"sentinel{number}", int(self.redis.port), down_after_ms=4000)
                          for number in range(3 if sentinels else 0)]
        if sentinels:
            del self.settings["redis.address"]
            self.settings["redis.sentinels"] = [each.address for each in self.sentinels]
        self.authority, self.tls_port = use_tls(self, self.directory / "tls") if tls else (None, None)
        self.replication: RedisProxy | None = None  # between the primary and its replica
        self.proxy = RedisProxy(int(self.redis.port)) if proxied_redis else None
        if self.proxy:
            self.settings["redis.address"] = self.proxy.address

    @property
    def servers(self) -> list[Server]:
        return [*self.sentinels, *self.more_servers, *super().servers]

    def start_another_aggregator(self) -> AggregatorServer:
        """A second member of the consumer group; its application_name in Postgres is `another`."""
        port = reserve_port()
        folder = self.directory / "another"
        config = folder / "huntd.toml"
        write_config(config, {**self.settings, "aggregator.listen": port.address,
                              "aggregator.postgres": f"{self.postgres.uri}?application_name=another"})
        server = AggregatorServer(folder, config, port.address)
        server.ports = [port]
        self.more_servers.append(server)
        return server.start()

    def start_another_huntd(self, number: int) -> HuntdServer:
        """One more host of the same stores; `.http` is its public address."""
        http, admin = reserve_port(), reserve_port()
        folder = self.directory / f"host{number}"
        config = folder / "huntd.toml"
        write_config(config, {**self.settings, "http.listen": http.address, "admin.listen": admin.address})
        server = HuntdServer(folder, config, admin.address)
        server.http = http.address
        server.ports = [http, admin]
        self.more_servers.append(server)
        return server.start()

    def stop_another_huntd(self, server: HuntdServer) -> None:
        self.more_servers.remove(server)
        assert server.stop() == 0, server.log_tail()
        for port in server.ports:
            port.release()

    def start_replica(self, lag_s: float) -> RedisServer:
        """A replica of Redis that is `lag_s` behind: what is under way to it is lost with the primary."""
        replica = self.start_plain_replica()
        self.delay(replica, lag_s)
        return replica

    def start_plain_replica(self) -> RedisServer:
        replica = RedisServer(self.directory / "replica")
        self.more_servers.append(replica)
        replica.start()
        self.redis.call("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        return replica

    def delay(self, replica: RedisServer, lag_s: float) -> None:
        """From now on the replica follows the primary by a proxy, `lag_s` behind. Sentinels undo that after 8 s."""
        self.replication = RedisProxy(int(self.redis.port))
        self.replication.start()
        replica.follow(int(self.replication.port))
        self.replication.mode = Late(lag_s)

    def kill_primary(self, replica: RedisServer) -> None:
        """Returns when the replica has noticed it; it has now what it will ever have of the primary's writes."""
        self.redis.kill()
        wait_until(lambda: replica.info("replication")["master_link_status"] == "down", 20, "the replica to lose its primary")

    def fail_over(self, replica: RedisServer) -> None:
        """Promotes the replica; from now on huntd finds it at the address of the primary, which is dead."""
        replica.promote()
        for port in self.redis.ports:
            port.release()
        self.more_servers.remove(replica)
        self.redis = replica
        self.proxy.redis_port = int(replica.port)

    def await_promoted(self, replica: RedisServer) -> None:
        """Until the sentinels have made the replica the primary; the former one is dead."""
        await_primary(self.sentinels, int(replica.port))
        for port in self.redis.ports:
            port.release()
        self.more_servers.remove(replica)
        self.redis = replica

    def replace_certificate(self, *, expired: bool) -> None:
        """Redis has another certificate of the same authority from now on; its connections end."""
        self.authority.issue(TLS_HOST, expired=expired)
        self.redis.call("CONFIG", "SET", "tls-cert-file", self.authority.directory / "server.crt", "tls-key-file",
                        self.authority.directory / "server.key")
        self.redis.call("CLIENT", "KILL", "LADDR", self.tls_port.address)

    @property
    def redis_password(self) -> pathlib.Path:
        return self.directory / "redis-password"

    def write_redis_password(self, password: str) -> None:
        """Replaces the file in one step."""
        new = self.redis_password.with_suffix(".new")
        new.touch(0o600)
        new.write_text(password + "\n")
        new.rename(self.redis_password)

    def start_stores(self) -> None:
        if self.proxy:
            self.proxy.start()
        if self.redis_disk_bytes:
            self._mount_redis_disk()
        super().start_stores()
        if self.sentinels:
            self.replica = self.start_plain_replica()
            self.replica.follow(int(self.redis.port))
            for sentinel in self.sentinels:
                sentinel.start()
            await_acquainted(self.sentinels)

    def _mount_redis_disk(self) -> None:
        self.redis.directory.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.redis_disk_bytes}", "huntd-faults",
                               str(self.redis.directory)], capture_output=True, text=True)
        if done.returncode != 0:
            raise Skipped(f"no file system can be mounted here: {done.stderr.strip()}")
        self._redis_disk_mounted = True

    def set_clock_ahead(self, seconds: int) -> None:
        """Ahead of the machine's clock; takes effect at once, in one write."""
        self._clock.touch()
        with open(self._clock, "r+b", buffering=0) as file:
            file.write(struct.pack("=q", seconds))

    def kill(self) -> None:
        self._continue_all()
        super().kill()
        for proxy in (self.proxy, self.replication):
            if proxy:
                proxy.stop()
        if self._redis_disk_mounted:
            subprocess.run(["umount", str(self.redis.directory)], check=True)
            self._redis_disk_mounted = False

    def _continue_all(self) -> None:
        """A stopped process does not end by SIGTERM."""
        pids = [server.pid for server in self.servers if server.running]
        if self.huntd.running:
            pids += self.family()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass

    # --- huntd's processes -------------------------------------------------------------------------------------------
    def of_name(self, name: str, under: int | None = None) -> list[int]:
        """Live processes of huntd called `name` (huntd-core, huntd-spawner, huntd-admin, hunt_worker)."""
        found, rest = [], [under or self.huntd.pid]
        while rest:
            pid = rest.pop()
            if pid != self.huntd.pid and command_name(pid) == name:
                found.append(pid)
            rest += children_of(pid)
        return found

    def await_worker(self, core_pid: int | None = None, timeout_s: float = 20) -> int:
        """A worker that runs a hunt right now."""
        return wait_until(lambda: (self.of_name("hunt_worker", core_pid) or [0])[0], timeout_s, "a worker in mid-hunt",
                          poll_s=0)

    def await_core_replaced(self, core: int, old_pid: int) -> None:
        wait_until(lambda: self.core_pids_or_none()[core] not in (old_pid, 0, -1), ALIVE_WITHIN_S, f"core {core} to be back",
                   poll_s=0.05)

    def core_pids_or_none(self) -> list[int]:
        try:
            return self.core_pids()
        except (OSError, json.JSONDecodeError):
            return [0] * self.settings.get("cores.count", 2)

    def await_ready(self) -> None:
        wait_until(self.huntd.ready, ALIVE_WITHIN_S, "huntd to be ready", poll_s=0.05)

    def note_huntd(self) -> None:
        """Remembers the current huntd, so that its processes are looked for after it has ended."""
        self.earlier_groups.add(self.huntd.pid)

    def left_of(self, group: int) -> list[str]:
        """Live processes of the group of a huntd that has ended."""
        return [f"{name} ({pid}, child of {parent})" for pid, name, state, parent, of, _ in all_processes()
                if of == group and state not in "ZX"]

    def lost_processes(self) -> list[str]:
        """Zombies under huntd, processes of its group that are not under it any more, and live ones of an earlier huntd's."""
        family = set(self.family())
        found = []
        for pid, name, state, parent, group, start_ticks in all_processes():
            if group == self.huntd.pid:
                if state == "Z":
                    found.append(f"zombie {name} ({pid}, child of {command_name(parent)})")
                elif pid not in family and is_running(pid):
                    found.append(f"orphan {name} ({pid}, child of {parent})")
            # A process that is younger than the current huntd only reuses the number.
            elif group in self.earlier_groups and state not in "ZX" and start_ticks < self.huntd.start_ticks:
                found.append(f"{name} of an earlier huntd ({pid}, child of {parent})")
        return found

    # --- what it reports ------------------------------------------------------------------------------------------------
    def readiness(self) -> tuple[int, dict]:
        status, text = http_get(self.admin, "/readyz")
        return status, json.loads(text)

    def aggregator_metric(self, name: str, address: str | None = None) -> float:
        return self.metric(name, address or self.aggregator_address)


def stop(pid: int) -> bool:
    """SIGSTOP; returns True once the process has stopped, False if it ends or has ended. A process that waits for a CPU does what is
    due, an accept too, before it stops; and one that has ended takes the signal until it is collected."""
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return False
    def how_it_stands() -> str:
        return (process_state(pid) or "X")[0]
    wait_until(lambda: how_it_stands() in "TZX", ALIVE_WITHIN_S, "the process to stop", poll_s=0.01)
    return how_it_stands() == "T"


def stop_for(pid: int, seconds: float, sleep) -> None:
    """`sleep(seconds)` while the process is stopped; then SIGCONT."""
    before = process_state(pid)
    stop(pid)
    try:
        sleep(seconds)
    finally:
        after = process_state(pid)
        if before and after and before[1] == after[1]:
            os.kill(pid, signal.SIGCONT)
