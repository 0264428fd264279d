# SPDX-License-Identifier: Apache-2.0
"""The whole stack on free loopback ports: Redis, PostgreSQL, Kafka if wanted, huntd, hunt-aggregator.

    with HuntdStack(directory, cores=2, settings={"worker.deadline_ms": 100}) as stack:
        stack.http  # "127.0.0.1:23456"
"""
import http.client
import json
import os
import pathlib
import shutil
import socket

from harness.cluster_server import ClusterServer
from harness.kafka_server import start_kafka
from harness.ports import reserve_port
from harness.postgres_server import PostgresServer
from harness.process import Server, children_of
from harness.redis_server import RedisServer

ROOT = pathlib.Path(__file__).resolve().parents[2]


def build_folder() -> pathlib.Path:
    """Where the programs under test are: HUNTD_BUILD, else build/release."""
    return pathlib.Path(os.environ.get("HUNTD_BUILD", ROOT / "build" / "release")).absolute()


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the unix socket `path`."""

    def __init__(self, path: pathlib.Path | str, timeout_s: float = 60):
        super().__init__("localhost", timeout=timeout_s)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def source_folder() -> pathlib.Path:
    """The source tree of the programs under test: that of build_folder() if it is TREE/build/NAME, else this one."""
    tree = build_folder().parent.parent
    return tree if (tree / "src" / "core").is_dir() else ROOT


def http_get(address: str, path: str, timeout_s: float = 20) -> tuple[int, str]:
    """Status and body of one GET from HOST:PORT or unix:/PATH; OSError without a response."""
    host, port = address.rsplit(":", 1)
    connection = (UnixConnection(port, timeout_s) if host == "unix"
                  else http.client.HTTPConnection(host, int(port), timeout=timeout_s))
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()


def _answers(address: str, path: str) -> bool:
    try:
        return http_get(address, path)[0] == 200
    except OSError:
        return False


def toml_value(value) -> str:
    """Numbers and booleans as they are, a text that is a whole number too (from --set), everything else quoted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    text = str(value)
    if text in ("true", "false") or (text.removeprefix("-").isdigit() and str(int(text)) == text):  # 0660 is a text
        return text
    return json.dumps(text, ensure_ascii=False)  # a JSON text is a TOML basic string


def write_config(path: pathlib.Path, settings: dict) -> None:
    """Writes {"section.key": value} as the TOML file that every program reads."""
    sections: dict[str, list[str]] = {}
    for key, value in settings.items():
        section, _, name = key.partition(".")
        if not name:
            raise ValueError(f"{key}: a key is SECTION.NAME, such as worker.deadline_ms")
        sections.setdefault(section, []).append(f"{name} = {toml_value(value)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(f"[{section}]\n" + "\n".join(lines) + "\n" for section, lines in sections.items()))


class HuntdServer(Server):
    name = "huntd"

    def __init__(self, directory, config: pathlib.Path, admin: str, *, before: list[str] | None = None,
                 outlives: bool = False):
        super().__init__(directory, outlives=outlives)
        self.config = config
        self.admin = admin
        self.before = before or []  # words in front of the command: taskset, a wrapper

    def command(self) -> list[str]:
        return [*self.before, str(build_folder() / "huntd"), "-c", str(self.config)]

    def ready(self) -> bool:
        return _answers(self.admin, "/readyz")


class AggregatorServer(Server):
    name = "hunt-aggregator"

    def __init__(self, directory, config: pathlib.Path, address: str, *, outlives: bool = False):
        super().__init__(directory, outlives=outlives)
        self.config = config
        self.address = address

    def command(self) -> list[str]:
        return [str(build_folder() / "hunt-aggregator"), "-c", str(self.config)]

    def ready(self) -> bool:
        return _answers(self.address, "/healthz")


class HuntdStack:
    """`kafka` may be options of KafkaServer, `redis_cluster` those of ClusterServer. start() and stop() the whole; the parts (redis, postgres, kafka, huntd, aggregator) are Servers of their own."""

    def __init__(self, directory: pathlib.Path | str, *, cores: int | None = 2, kafka: bool | dict = False,
                 append_only: bool = False, redis_unix_socket: bool = False,
                 redis_cluster: dict | None = None, aggregator: bool = True, hunts: pathlib.Path | str | None = None,
                 settings: dict | None = None, before_huntd: list[str] | None = None, outlives: bool = False):
        self.directory = pathlib.Path(directory).absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.outlives = outlives
        self.config = self.directory / "huntd.toml"
        self.hunts = pathlib.Path(hunts or ROOT / "lua").absolute()
        if redis_cluster is not None:
            self.redis = ClusterServer(self.directory / "cluster", **redis_cluster)
        else:
            self.redis = RedisServer(self.directory / "redis", append_only=append_only, unix_socket=redis_unix_socket, outlives=outlives)
        self.postgres = PostgresServer(self.directory / "postgres", outlives=outlives) if aggregator else None
        self.wants_kafka = kafka
        self.makes_topic = True  # a test may leave it to the brokers
        self.kafka: Server | None = None
        self.ports = [reserve_port() for _ in range(3)]
        self.http, self.admin, self.aggregator_address = (port.address for port in self.ports)
        self.settings = {
            "http.listen": self.http, "admin.listen": self.admin, "hunts.dir": str(self.hunts),
            "redis.address": self.redis.address, "aggregator.listen": self.aggregator_address}
        if redis_cluster is not None:
            self.settings["redis.cluster"] = True
        if cores is not None:
            self.settings["cores.count"] = cores
        if self.postgres:
            self.settings["aggregator.postgres"] = self.postgres.uri
        self.settings.update(settings or {})
        # A test may set these too: the addresses that we wait for follow them.
        listen = self.settings["http.listen"]
        self.http = listen[0] if isinstance(listen, list) else listen
        self.admin = self.settings["admin.listen"]
        self.aggregator_address = self.settings["aggregator.listen"]
        self.huntd = HuntdServer(self.directory, self.config, self.admin, before=before_huntd, outlives=outlives)
        self.aggregator = (AggregatorServer(self.directory, self.config, self.aggregator_address, outlives=outlives)
                           if aggregator else None)
        self.huntd.ports = self.ports[:2]
        if self.aggregator:
            self.aggregator.ports = self.ports[2:]

    @property
    def servers(self) -> list[Server]:
        """Those that exist, in the order in which they stop."""
        return [server for server in (self.huntd, self.aggregator, self.kafka, self.postgres, self.redis) if server]

    def set(self, **changes) -> None:
        """Changes settings in the config file (section__key=value), for the next start or SIGHUP."""
        self.settings.update({key.replace("__", "."): value for key, value in changes.items()})
        write_config(self.config, self.settings)

    def start_stores(self) -> None:
        """Redis, PostgreSQL and Kafka, and the config file that names them."""
        self.redis.start()
        if self.postgres:
            self.postgres.start()
        if self.wants_kafka:
            self.kafka = start_kafka(self.directory / "kafka", build_folder() / "mock_kafka", outlives=self.outlives,
                                     **(self.wants_kafka if isinstance(self.wants_kafka, dict) else {}))
            for key, value in self.kafka.client_settings.items():
                self.settings.setdefault(key, value)
            if self.makes_topic:
                self.kafka.make_topic(self.settings.get("kafka.topic", "loot_events"))
        write_config(self.config, self.settings)

    def start(self):
        try:
            self.start_stores()
            if self.aggregator:
                self.aggregator.launch()
            self.huntd.start()
            if self.aggregator:
                self.aggregator.await_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def metric(self, sample: str, address: str | None = None) -> float:
        """The sum over cores of one sample of /metrics, by default of the admin port; `sample` is its name and,
        if wanted, labels without the core: 'huntd_x{outcome="ok"}'."""
        name, _, labels = sample.partition("{")
        return sum(float(line.rsplit(" ", 1)[1]) for line in http_get(address or self.admin, "/metrics")[1].splitlines()
                   if line.startswith((name + "{", name + " ")) and labels.rstrip("}") in line)

    def outbox_length(self) -> int:
        """How many events wait in Redis."""
        with self.redis.client() as redis:
            return sum(redis.call("XLEN", key) for key in redis.keys("outbox:*"))

    def core_pids(self) -> list[int]:
        """The processes of huntd's cores, in the cores' order (from /status.json)."""
        status = json.loads(http_get(self.admin, "/status.json")[1])
        return [core["pid"] for core in status["cores"]]

    def family(self) -> list[int]:
        """huntd and every process under it."""
        found, rest = [], [self.huntd.pid]
        while rest:
            pid = rest.pop()
            found.append(pid)
            rest += children_of(pid)
        return found

    def stop(self) -> None:
        """Stops everything, the clients first; the first failure is raised after all have been tried."""
        failure = None
        for server in self.servers:
            try:
                server.stop()
            except Exception as error:  # every server gets its turn
                failure = failure or error
        self._give_back()
        if failure:
            raise failure

    def kill(self) -> None:
        for server in self.servers:
            server.kill()
        self._give_back()

    def _give_back(self) -> None:
        for port in [*self.ports, *(port for server in self.servers for port in server.ports)]:
            port.release()
        if self.postgres and "HUNTD_KEEP" not in os.environ:
            shutil.rmtree(self.postgres.base, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
