# SPDX-License-Identifier: Apache-2.0
"""Shared by the aggregator's tests: a database and a Redis per test, and the aggregators that the test starts."""
import os
import re
import subprocess
import urllib.error
import urllib.request
import uuid
import zlib
from pathlib import Path

from harness.kafka_server import consume
from harness.ports import reserve_port
from harness.process import wait_until
from harness.redis_server import RedisServer
from loot_events import rows_in, text

BUILD = Path(os.environ.get("HUNTD_BUILD", Path(__file__).parents[2] / "build" / "release"))


PATIENCE_S = 180  # with Kafka: a member that was killed has its partitions for 45 s


def wait_for(condition, what):
    return wait_until(condition, PATIENCE_S, what, 0.1)


def _program(name, folder):
    """Where meson, or `./dev build`, has put it."""
    for path in (BUILD / name, BUILD / "src" / folder / name):
        if path.is_file():
            return str(path)
    raise FileNotFoundError(f"{name} is not built under {BUILD}")


def aggregator_program():
    return _program("hunt-aggregator", "aggregator")


def huntctl_program():
    return _program("huntctl", "huntctl")


class Pipeline:
    """With `kafka` (its bootstrap address) the aggregators read a topic of this test's own, else the outbox."""

    def __init__(self, directory, postgres, postgres_port=None, kafka=None):
        self.directory = Path(directory)
        self.postgres = postgres
        self.name = "t_" + uuid.uuid4().hex[:12]  # of the database, the topic and the consumer group
        postgres.sql(f"CREATE DATABASE {self.name}", database="postgres")
        self.postgres_port = postgres_port or postgres.port
        self.kafka = kafka
        self.dead_topic = f"{self.name}_dead"
        self.redis = RedisServer(self.directory / "redis", append_only=True, options=("--appendfsync", "always"))
        self.redis.start()
        self.redis_address = self.redis.address  # another one, such as a proxy's, for the aggregators started from then on
        self.password = None
        self.postgres_address = None  # of libpq, instead of address()
        self.settings = []  # further lines of [aggregator]
        self.running = []
        self.ports = []

    @staticmethod
    def bucket_of(hunter_id):
        """A hash of the hunter, another one than huntd's: the aggregator does not need the same."""
        return zlib.crc32(hunter_id.encode()) % 1024

    def address(self, user="huntd"):
        """The test's database, for libpq."""
        return f"postgresql://{user}@127.0.0.1:{self.postgres_port}/{self.name}"

    def config(self):
        """A config file of one aggregator, and the address of its port."""
        self.ports.append(reserve_port())
        listen = self.ports[-1].address
        lines = ["[redis]", f'address = "{self.redis_address}"']
        if self.password:
            (self.directory / "password").write_text(self.password + "\n")
            (self.directory / "password").chmod(0o600)
            lines.append(f'password_file = "{self.directory}/password"')
        if self.kafka:
            lines += ["[kafka]", f'bootstrap = "{self.kafka}"', f'topic = "{self.name}"',
                      f'dead_topic = "{self.dead_topic}"']
        lines += ["[aggregator]", f'listen = "{listen}"', "interval_s = 1", f'group = "{self.name}"',
                  f'postgres = "{self.postgres_address or self.address()}"', *self.settings]
        path = self.directory / f"{uuid.uuid4().hex[:8]}.toml"
        path.write_text("\n".join(lines) + "\n")
        return path, listen

    def run(self, *options, env=None):
        """Runs hunt-aggregator with these options to its end."""
        path, _ = self.config()
        return subprocess.run([aggregator_program(), "-c", path, *options], capture_output=True, text=True, timeout=300,
                              env={**os.environ, **(env or {})})

    def once(self, env=None):
        """Runs `hunt-aggregator --once` and returns what it logged."""
        done = self.run("--once", env=env)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def start(self, env=None):
        path, listen = self.config()
        with open(self.directory / f"{path.stem}.log", "ab") as log:
            process = subprocess.Popen([aggregator_program(), "-c", path], stderr=log,
                                       env={**os.environ, **(env or {})})
        process.listen = listen
        process.log = Path(log.name)
        self.running.append(process)
        return process

    def note_an_event_now(self):
        """Rows expire by the time of the newest event that is counted; this one is counted in its hour alone."""
        self.sql("INSERT INTO hunt_loot_hour VALUES ('clock', date_trunc('hour', now()), 'tick', 1) ON CONFLICT DO NOTHING")

    def let_all_rows_go(self, retention_days):
        """All are of hunts that ended longer ago."""
        self.note_an_event_now()
        self.settings = [f"retention_days = {retention_days}"]
        process = self.start()
        wait_for(lambda: self.rows() == {}, "the old rows to go")
        process.kill()
        process.wait()

    def put(self, events):
        self.put_texts([(event["hunter_id"], text(event)) for event in events])

    def put_texts(self, entries):
        """(hunter_id, value) pairs into the outbox, or the topic if there is a Kafka."""
        if self.kafka:
            records = "".join(f"{hunter}\x1f{value}\x1e" for hunter, value in entries)
            subprocess.run(["kcat", "-b", self.kafka, "-P", "-t", self.name, "-K", "\x1f", "-D", "\x1e"],
                           input=records.encode(), check=True, capture_output=True, timeout=60)
            return
        commands = [["XADD", f"outbox:{{b{self.bucket_of(hunter)}}}", "*", "k", hunter, "v", value]
                    for hunter, value in entries]
        wire = "".join(f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
                       for words in commands)
        login = ["--no-auth-warning", "-a", self.password] if self.password else []
        done = subprocess.run(["redis-cli", "-p", str(self.redis.port), *login, "--pipe"], input=wire,
                              capture_output=True, text=True)
        assert "errors: 0" in done.stdout, done.stdout + done.stderr

    def dead_records(self):
        """The records of the dead-letter topic: (key, value, headers) of each, by kcat."""
        names = "reason|topic|partition|offset|event_id|retried"
        read = consume(self.kafka, self.dead_topic, "-f", "%k\\x1f%s\\x1f%h\\x1e")
        return [(key, *rest.rsplit("\x1f", 1)[:1],
                 dict(re.findall(rf"({names})=(.*?)(?=,(?:{names})=|$)", rest.rsplit("\x1f", 1)[1]))) for key, rest in read]

    def outbox_length(self):
        script = "local n = 0 for i = 0, 1023 do n = n + redis.call('XLEN', 'outbox:{b' .. i .. '}') end return n"
        return self.redis.call("EVAL", script, 0)

    def rows(self):
        return rows_in(self)

    def sql(self, statement):
        return self.postgres.sql(statement, database=self.name)

    def stop(self):
        print(self.end())  # pytest shows it where the test failed

    def end(self):
        """Ends all; returns the logs of the aggregators."""
        for process in self.running:
            process.kill()
            process.wait()
        self.redis.kill()
        for port in self.ports:
            port.release()
        return "".join(f"--- {process.log.name}\n{process.log.read_text()}\n" for process in self.running)


def get(listen, path):
    """(status, body) of a GET; (0, "") without a response."""
    try:
        with urllib.request.urlopen(f"http://{listen}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def metric(listen, sample):
    """The value of one sample on /metrics, by its name and labels; None if it does not exist."""
    for line in get(listen, "/metrics")[1].splitlines():
        if line.startswith(sample + " "):
            return float(line.rsplit(" ", 1)[1])
    return None
