# SPDX-License-Identifier: Apache-2.0
"""A Kafka of our own: Apache Kafka (one node, started from jars that Maven fetched), or librdkafka's mock cluster if Maven
Central is unavailable.

HUNTD_KAFKA_VERSION is one of RELEASES, or empty. The jars are kept in a folder per release in build/deps/kafka (or HUNTD_KAFKA_JARS)
and checked against its sha256sums in tests/harness/kafka.
"""
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

from harness.certificates import Authority
from harness.ports import reserve_port
from harness.process import Server, ServerFailed, find_program, wait_until

SOURCE = pathlib.Path(__file__).resolve().parent / "kafka"
ROOT = SOURCE.parents[2]
JARS = pathlib.Path(os.environ.get("HUNTD_KAFKA_JARS", ROOT / "build" / "deps" / "kafka"))
RELEASES = ("2.8", "3.4", "3.9", "4.1", "4.4")  # the folders of SOURCE
DEFAULT_RELEASE = "4.1"
SCRAM_RELEASE = "3.9"  # to which each librdkafka can log in
ZOOKEEPER_RELEASES = ("2.8",)  # the others run with KRaft
SECURE_HOST = "localhost"  # of the listener with TLS, and so of its certificate
ZOOKEEPER_SESSION_MS = 6000  # how long a broker that was killed stays known
KEYSTORE_PASSWORD = "for-tests"
CLUSTER_ID = "aHVudGQtdGVzdHMtMDAwMQ"  # any 16 bytes, base64url


class KafkaUnavailable(Exception):
    """The jars can't be had; the message says why."""


def _librdkafka_version() -> tuple[int, ...]:
    text = subprocess.run([find_program("kcat"), "-V"], capture_output=True, text=True).stdout
    found = re.search(r"librdkafka (\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(word) for word in found.groups()) if found else (0, 0, 0)


def _release_for(users: bool) -> str:
    """Which one to run. KafkaUnavailable if that of HUNTD_KAFKA_VERSION has no users that we can log in as."""
    wanted = os.environ.get("HUNTD_KAFKA_VERSION", "")
    if wanted and wanted not in RELEASES:
        raise ServerFailed(f"HUNTD_KAFKA_VERSION={wanted}: there are {', '.join(RELEASES)}")
    if not users:
        return wanted or DEFAULT_RELEASE
    # librdkafka before 2.6.1 can't log in to Kafka 4 by SCRAM.
    old_client = _librdkafka_version() < (2, 6, 1)
    if not wanted:
        return SCRAM_RELEASE if old_client else DEFAULT_RELEASE
    if old_client and wanted.startswith("4."):
        raise KafkaUnavailable("this librdkafka can't log in to Kafka 4 by SCRAM")
    if wanted == "3.4":
        raise KafkaUnavailable("Kafka with KRaft has no users for SCRAM before 3.5")
    return wanted


def _java(jars: pathlib.Path, heap_mb: int) -> list[str]:
    return [find_program("java"), "-Xms64m", f"-Xmx{heap_mb}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile={SOURCE / 'log4j2.properties'}",
            f"-Dlog4j.configuration=file:{SOURCE / 'log4j.properties'}", "-cp", f"{jars}/*"]


def _expected_sums(source: pathlib.Path) -> dict[str, str]:
    lines = (source / "sha256sums").read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def _wrong_jars(folder: pathlib.Path, source: pathlib.Path) -> list[str]:
    expected = _expected_sums(source)
    present = {path.name for path in folder.glob("*.jar")}
    wrong = [f"{name} is missing" for name in sorted(set(expected) - present)]
    wrong += [f"{name} is not in the list" for name in sorted(present - set(expected))]
    wrong += [f"{name} has another sha256" for name in sorted(present & set(expected))
              if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected[name]]
    return wrong


def kafka_jars(release: str) -> pathlib.Path:
    """The folder with the verified jars of one of RELEASES, fetched on the first call. KafkaUnavailable says why there are none."""
    JARS.parent.mkdir(parents=True, exist_ok=True)
    with open(JARS.parent / "kafka.lock", "w") as lock:  # suites run beside each other
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _fetched_jars(SOURCE / release, JARS / release)


def _fetched_jars(source: pathlib.Path, jars: pathlib.Path) -> pathlib.Path:
    stamp = jars / "verified"
    sums = (source / "sha256sums").read_text()
    if stamp.exists() and stamp.read_text() == sums:
        return jars
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise KafkaUnavailable(f"{program} is not installed (Debian packages default-jre-headless and maven)")
    for jar in jars.glob("*.jar"):
        jar.unlink()
    jars.mkdir(parents=True, exist_ok=True)
    try:
        fetched = subprocess.run(
            ["mvn", "--batch-mode", "--quiet", "-f", str(source / "pom.xml"), "dependency:copy-dependencies",
             "-DincludeScope=runtime", f"-DoutputDirectory={jars}"], capture_output=True, text=True, timeout=600)
    except subprocess.TimeoutExpired:
        raise KafkaUnavailable("Maven did not end within ten minutes") from None
    if fetched.returncode != 0:
        reason = next((line for line in fetched.stdout.splitlines() if "ERROR" in line), "no reason given")
        raise KafkaUnavailable(f"Maven can't fetch Apache Kafka: {reason.strip()[:300]}")
    wrong = _wrong_jars(jars, source)
    if wrong:  # not a reason to fall back: these bytes must not run
        raise ServerFailed(f"the jars differ from {source.relative_to(ROOT)}/sha256sums: " + "; ".join(wrong))
    stamp.write_text(sums)
    return jars


class ZookeeperServer(Server):
    """What a Kafka without KRaft needs, from the same jars."""

    name = "zookeeper"

    def __init__(self, directory: pathlib.Path | str, jars: pathlib.Path):
        super().__init__(directory)
        self.jars = jars
        self.port = reserve_port()
        self.ports = [self.port]

    def prepare(self) -> None:
        host, port = self.port.address.split(":")
        settings = {"tickTime": 500, "dataDir": self.directory / "zookeeper-data", "clientPortAddress": host, "clientPort": port,
                    "maxClientCnxns": 0, "admin.enableServer": "false", "4lw.commands.whitelist": "ruok,dump"}
        (self.directory / "zoo.cfg").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))

    def command(self) -> list[str]:
        return [*_java(self.jars, 128), "org.apache.zookeeper.server.ZooKeeperServerMain", str(self.directory / "zoo.cfg")]

    def ready(self) -> bool:
        return self._says("ruok") == "imok"

    def knows_no_broker(self) -> bool:
        sessions = self._says("dump")
        return "SessionTracker" in sessions and "/brokers/ids/" not in sessions

    def _says(self, word: str) -> str:
        """The reply to a command of four letters; empty without one."""
        host, port = self.port.address.split(":")
        try:
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(word.encode())
                return b"".join(iter(lambda: connection.recv(65536), b"")).decode(errors="replace")
        except OSError:
            return ""


class KafkaServer(Server):
    """Apache Kafka. Topics are made on first use, with `partitions` each, unless not `auto_create`. With `users` ({name: password}) it also listens at
    `secure_bootstrap`, by TLS and SCRAM-SHA-256, with a certificate of `authority`; the tests' own tools go on without."""

    name = "kafka"
    kind = "Apache Kafka"
    ready_timeout_s = 180.0

    def __init__(self, directory: pathlib.Path | str, *, outlives: bool = False, partitions: int = 8,
                 nice: int = 0, users: dict[str, str] | None = None, auto_create: bool = True):
        super().__init__(directory, outlives=outlives)
        self.nice = nice
        self.auto_create = auto_create
        self.users = users or {}
        self.partitions = partitions
        self.release = _release_for(bool(self.users))
        self.kind = f"Apache Kafka {self.release}"
        self.jars = kafka_jars(self.release)
        self.port = reserve_port()
        self.controller_port = reserve_port()
        self.ports = [self.port, self.controller_port]
        self.zookeeper: ZookeeperServer | None = None
        self.has_users = False
        if self.release in ZOOKEEPER_RELEASES:
            if outlives:
                raise KafkaUnavailable(f"Kafka {self.release} has a ZooKeeper, which dies with its tests")
            self.zookeeper = ZookeeperServer(directory, self.jars)
            self.ports += self.zookeeper.ports
        self.authority: Authority | None = None
        if self.users:
            self.secure_port = reserve_port()
            self.ports.append(self.secure_port)
            self.authority = Authority(self.directory / "tls")
            self.use_certificate(self.authority.issue(SECURE_HOST))

    @property
    def bootstrap(self) -> str:
        return self.port.address

    @property
    def secure_bootstrap(self) -> str:
        return f"{SECURE_HOST}:{self.secure_port}"

    @property
    def client_settings(self) -> dict[str, str]:
        """What a huntd.toml needs for this broker; with users, as the first of them."""
        if not self.users:
            return {"kafka.bootstrap": self.bootstrap}
        user, password = next(iter(self.users.items()))
        secret = self.directory / "password"
        if not secret.exists():
            secret.write_text(password + "\n")
            secret.chmod(0o600)
        return {"kafka.bootstrap": self.secure_bootstrap,
                "kafka.properties.security.protocol": "SASL_SSL", "kafka.properties.sasl.mechanism": "SCRAM-SHA-256",
                "kafka.properties.sasl.username": user, "kafka.properties.sasl.password_file": str(secret),
                "kafka.properties.ssl.ca.location": str(self.authority.root)}

    def use_certificate(self, pem: pathlib.Path) -> None:
        """The broker has it from its next start on."""
        shutil.copyfile(pem, self.directory / "tls" / "broker.pem")
        if self.release in ZOOKEEPER_RELEASES:
            subprocess.run([find_program("openssl"), "pkcs12", "-export", "-in", str(pem), "-passout", f"pass:{KEYSTORE_PASSWORD}",
                            "-out", str(self.directory / "tls" / "broker.p12")], check=True, capture_output=True)

    def _keystore(self) -> dict:
        """Before Kafka 3.0 the key of a PEM file has to be encrypted."""
        if self.release in ZOOKEEPER_RELEASES:
            return {"listener.name.secure.ssl.keystore.type": "PKCS12",
                    "listener.name.secure.ssl.keystore.location": self.directory / "tls" / "broker.p12",
                    "listener.name.secure.ssl.keystore.password": KEYSTORE_PASSWORD,
                    "listener.name.secure.ssl.key.password": KEYSTORE_PASSWORD}
        return {"listener.name.secure.ssl.keystore.type": "PEM",
                "listener.name.secure.ssl.keystore.location": self.directory / "tls" / "broker.pem"}

    def set_password(self, user: str, password: str) -> None:
        """Connections that are logged in stay so until the broker is started again."""
        self._configure("--entity-type", "users", "--entity-name", user, "--add-config", f"SCRAM-SHA-256=[password={password}]")

    @property
    def _properties(self) -> pathlib.Path:
        return self.directory / "server.properties"

    def prepare(self) -> None:
        if self.zookeeper:
            if not self.zookeeper.running:
                self.zookeeper.start()
            wait_until(self.zookeeper.knows_no_broker, 60, "the session of the killed broker to expire")
        if self._properties.exists():
            return
        settings = {
            "advertised.listeners": f"PLAINTEXT://{self.port.address}" + self._secure("advertised"),
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
            "log.dirs": self.directory / "kafka-data",
            "num.partitions": self.partitions,
            "auto.create.topics.enable": str(self.auto_create).lower(),
            "group.initial.rebalance.delay.ms": 0,
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
        }
        if self.users:
            settings |= {
                "sasl.enabled.mechanisms": "SCRAM-SHA-256",
                "listener.name.secure.scram-sha-256.sasl.jaas.config":
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            } | self._keystore()
        settings |= self._of_zookeeper() if self.zookeeper else self._of_kraft()
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        if not self.zookeeper:
            self._format()

    @property
    def _listeners(self) -> str:
        return f"PLAINTEXT://{self.port.address}" + self._secure("listens")

    def _of_zookeeper(self) -> dict:
        return {"broker.id": 1, "listeners": self._listeners, "zookeeper.connect": self.zookeeper.port.address,
                "zookeeper.session.timeout.ms": ZOOKEEPER_SESSION_MS}

    def _of_kraft(self) -> dict:
        return {"process.roles": "broker,controller", "node.id": 1, "controller.listener.names": "CONTROLLER",
                "listeners": f"{self._listeners},CONTROLLER://{self.controller_port.address}",
                "controller.quorum.voters": f"1@{self.controller_port.address}"}

    def _format(self) -> None:
        made = subprocess.run(
            _java(self.jars, 128) + ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._properties)]
            + [word for user, password in self.users.items()
               for word in ("--add-scram", f"SCRAM-SHA-256=[name={user},password={password}]")],
            capture_output=True, text=True)
        if made.returncode != 0:
            raise ServerFailed(f"Kafka's StorageTool failed:\n{made.stdout}{made.stderr}")

    def await_ready(self) -> None:
        super().await_ready()
        if self.zookeeper and not self.has_users:  # KRaft has them since _format()
            for user, password in self.users.items():
                self.set_password(user, password)
            self.has_users = True

    def stop(self) -> int | None:
        code = super().stop()
        if self.zookeeper:
            self.zookeeper.stop()
        return code

    def kill(self) -> None:
        super().kill()
        if self.zookeeper:
            self.zookeeper.kill()

    def _secure(self, what: str) -> str:
        """The further listener, in the list of those that are listened at, or that are advertised."""
        if not self.users:
            return ""
        host = SECURE_HOST if what == "advertised" else "127.0.0.1"
        return f",SECURE://{host}:{self.secure_port}"

    def command(self) -> list[str]:
        return _java(self.jars, 384) + ["kafka.Kafka", str(self._properties)]

    def set_topic(self, topic: str, setting: str) -> None:
        """Changes one of a topic's own settings, "NAME=VALUE"."""
        self._configure("--entity-type", "topics", "--entity-name", topic, "--add-config", setting)

    def _configure(self, *words: str) -> None:
        program = "org.apache.kafka.tools.ConfigCommand" if self.release == "4.4" else "kafka.admin.ConfigCommand"
        done = subprocess.run(
            _java(self.jars, 128) + [program, "--bootstrap-server", self.bootstrap, "--alter", *words],
            capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise ServerFailed(f"Kafka's ConfigCommand failed:\n{done.stdout}{done.stderr}")

    def topic(self, command: str, name: str, *words: object) -> str:
        """Runs tests/harness/kafka_topic.cc; its head has the commands. The controller confirms a topic's end and start before
        the broker knows of them, and a record that is produced in between is lost: this waits for the broker."""
        done = subprocess.run(self.topic_command(command, name, *words), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=120)
        if done.returncode != 0:
            raise ServerFailed(f"kafka_topic {command} {name}: {done.stderr.strip()}")
        if command in ("create", "delete"):
            wait_until(lambda: (name in self._topics()) == (command == "create"), 60, f"the broker to {command} {name}")
        return done.stdout

    def _topics(self) -> list[str]:
        """All that the broker knows. Not asked for one by its name, which may make it."""
        listed = subprocess.run([find_program("kcat"), "-b", self.bootstrap, "-L", "-m", "30"], capture_output=True, text=True,
                                check=True)
        return re.findall(r'topic "(.*?)" with', listed.stdout)

    def topic_command(self, command: str, name: str, *words: object) -> list[str]:
        folder = pathlib.Path(os.environ.get("HUNTD_BUILD", ROOT / "build" / "release"))
        return [find_program("kafka_topic", str(folder), str(folder / "tests" / "harness")), self.bootstrap, command, name,
                *map(str, words)]

    def make_topic(self, name: str) -> None:
        """As the first record for it would. The aggregator is not well without its topic."""
        self.topic("make", name, self.partitions)

    def ready(self) -> bool:
        """With ZooKeeper, a broker responds before the controller has made it a member of the cluster."""
        listed = subprocess.run([find_program("kcat"), "-b", self.bootstrap, "-L", "-m", "1"], capture_output=True, text=True)
        return listed.returncode == 0 and " 1 brokers:" in listed.stdout


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

    @property
    def client_settings(self) -> dict[str, str]:
        return {"kafka.bootstrap": self.bootstrap}

    def prepare(self) -> None:
        (self.directory / "bootstrap").unlink(missing_ok=True)

    def command(self) -> list[str]:
        return [self.binary, str(self.directory / "bootstrap"), "loot_events"]

    def ready(self) -> bool:
        return (self.directory / "bootstrap").exists()

    def make_topic(self, name: str) -> None:
        """It is there from the start."""

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
