# SPDX-License-Identifier: Apache-2.0
"""A Kafka of our own: Apache Kafka (one KRaft node, started from jars that Maven fetched), or librdkafka's mock
cluster if Maven Central is unavailable.

The jars are kept in build/deps/kafka and checked against tests/harness/kafka/sha256sums.
"""
import fcntl
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess

from harness.ports import reserve_port
from harness.process import Server, ServerFailed, find_program

SOURCE = pathlib.Path(__file__).resolve().parent / "kafka"
ROOT = SOURCE.parents[2]
JARS = pathlib.Path(os.environ.get("HUNTD_KAFKA_JARS", ROOT / "build" / "deps" / "kafka"))
CLUSTER_ID = "aHVudGQtdGVzdHMtMDAwMQ"  # any 16 bytes, base64url


class KafkaUnavailable(Exception):
    """The jars can't be had; the message says why."""


def _expected_sums() -> dict[str, str]:
    lines = (SOURCE / "sha256sums").read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def _wrong_jars(folder: pathlib.Path) -> list[str]:
    expected = _expected_sums()
    present = {path.name for path in folder.glob("*.jar")}
    wrong = [f"{name} is missing" for name in sorted(set(expected) - present)]
    wrong += [f"{name} is not in the list" for name in sorted(present - set(expected))]
    wrong += [f"{name} has another sha256" for name in sorted(present & set(expected))
              if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected[name]]
    return wrong


def kafka_jars() -> pathlib.Path:
    """The folder with the verified jars, fetched on the first call. KafkaUnavailable says why there are none."""
    JARS.parent.mkdir(parents=True, exist_ok=True)
    with open(JARS.parent / "kafka.lock", "w") as lock:  # suites run beside each other
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _fetched_jars()


def _fetched_jars() -> pathlib.Path:
    stamp = JARS / "verified"
    sums = (SOURCE / "sha256sums").read_text()
    if stamp.exists() and stamp.read_text() == sums:
        return JARS
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise KafkaUnavailable(f"{program} is not installed (Debian packages default-jre-headless and maven)")
    shutil.rmtree(JARS, ignore_errors=True)
    JARS.mkdir(parents=True)
    try:
        fetched = subprocess.run(
            ["mvn", "--batch-mode", "--quiet", "-f", str(SOURCE / "pom.xml"), "dependency:copy-dependencies",
             "-DincludeScope=runtime", f"-DoutputDirectory={JARS}"], capture_output=True, text=True, timeout=600)
    except subprocess.TimeoutExpired:
        raise KafkaUnavailable("Maven did not end within ten minutes") from None
    if fetched.returncode != 0:
        reason = next((line for line in fetched.stdout.splitlines() if "ERROR" in line), "no reason given")
        raise KafkaUnavailable(f"Maven can't fetch Apache Kafka: {reason.strip()[:300]}")
    wrong = _wrong_jars(JARS)
    if wrong:  # not a reason to fall back: these bytes must not run
        raise ServerFailed("the jars differ from tests/harness/kafka/sha256sums: " + "; ".join(wrong))
    stamp.write_text(sums)
    return JARS


class KafkaServer(Server):
    """Apache Kafka. Topics are made on first use, with `partitions` each."""

    name = "kafka"
    kind = "Apache Kafka"
    ready_timeout_s = 180.0

    def __init__(self, directory: pathlib.Path | str, *, outlives: bool = False, partitions: int = 8,
                 nice: int = 0):
        super().__init__(directory, outlives=outlives)
        self.nice = nice
        self.partitions = partitions
        self.jars = kafka_jars()
        self.port = reserve_port()
        self.controller_port = reserve_port()
        self.ports = [self.port, self.controller_port]

    @property
    def bootstrap(self) -> str:
        return self.port.address

    @property
    def _properties(self) -> pathlib.Path:
        return self.directory / "server.properties"

    def _java(self, heap_mb: int) -> list[str]:
        return [find_program("java"), "-Xms64m", f"-Xmx{heap_mb}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                f"-Dlog4j2.configurationFile={SOURCE / 'log4j2.properties'}", "-cp", f"{self.jars}/*"]

    def prepare(self) -> None:
        if self._properties.exists():
            return
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{self.controller_port.address}",
            "listeners": f"PLAINTEXT://{self.port.address},CONTROLLER://{self.controller_port.address}",
            "advertised.listeners": f"PLAINTEXT://{self.port.address}",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.directory / "kafka-data",
            "num.partitions": self.partitions,
            "auto.create.topics.enable": "true",
            "group.initial.rebalance.delay.ms": 0,
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
        }
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        made = subprocess.run(
            self._java(128) + ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._properties)],
            capture_output=True, text=True)
        if made.returncode != 0:
            raise ServerFailed(f"Kafka's StorageTool failed:\n{made.stdout}{made.stderr}")

    def command(self) -> list[str]:
        return self._java(384) + ["kafka.Kafka", str(self._properties)]

    def set_topic(self, topic: str, setting: str) -> None:
        """Changes one of a topic's own settings, "NAME=VALUE"."""
        done = subprocess.run(
            self._java(128) + ["kafka.admin.ConfigCommand", "--bootstrap-server", self.bootstrap, "--alter",
                               "--entity-type", "topics", "--entity-name", topic, "--add-config", setting],
            capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise ServerFailed(f"Kafka's ConfigCommand failed:\n{done.stdout}{done.stderr}")

    def ready(self) -> bool:
        return subprocess.run([find_program("kcat"), "-b", self.bootstrap, "-L", "-m", "1"],
                              capture_output=True).returncode == 0


class MockKafkaServer(Server):
    """librdkafka's mock cluster in a process of its own: its data ends with it."""

    name = "mock_kafka"
    kind = "librdkafka's mock cluster"

    def __init__(self, directory: pathlib.Path | str, binary: pathlib.Path | str, *, outlives: bool = False):
        super().__init__(directory, outlives=outlives)
        self.binary = str(binary)

    @property
    def bootstrap(self) -> str:
        return (self.directory / "bootstrap").read_text().strip()

    def prepare(self) -> None:
        (self.directory / "bootstrap").unlink(missing_ok=True)

    def command(self) -> list[str]:
        return [self.binary, str(self.directory / "bootstrap"), "loot_events"]

    def ready(self) -> bool:
        return (self.directory / "bootstrap").exists()

    def fail_next_produce(self) -> None:
        """By an error that is fatal to an idempotent producer."""
        self.signal(signal.SIGUSR1)


def start_kafka(directory: pathlib.Path | str, mock_binary: pathlib.Path | str, *, outlives: bool = False,
                mock: bool = False, **options) -> Server:
    """Apache Kafka (with `options` of KafkaServer) if it is available and `mock` is false, else the mock; the result's `kind`
    says which, and its `why` has the reason for the mock."""
    try:
        if mock:
            raise KafkaUnavailable("the mock is wanted")
        server = KafkaServer(directory, outlives=outlives, **options)
        server.why = ""
    except KafkaUnavailable as reason:
        server = MockKafkaServer(directory, mock_binary, outlives=outlives)
        server.why = str(reason)
    return server.start()


def consume(bootstrap: str, topic: str, *options: str) -> list[tuple[str, str]]:
    """Every (key, value) in the topic now, read by kcat and not by our code; empty if the topic does not exist yet or is
    being created."""
    done = subprocess.run(
        [find_program("kcat"), "-b", bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q",
         "-f", "%k\\x1f%s\\x1e", *options], capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        if "Unknown topic or partition" in done.stderr or "Leader not available" in done.stderr:
            return []
        raise ServerFailed(f"kcat: {done.stderr.strip()}")
    return [tuple(record.split("\x1f", 1)) for record in done.stdout.split("\x1e") if record]
