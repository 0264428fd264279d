# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL cluster of our own: a fresh data directory, a free loopback port, a Unix socket beside it."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from harness.ports import reserve_port
from harness.process import Server, ServerFailed, as_user, find_program, plain_user

USER = "huntd"


def _bin_folders() -> list[str]:
    """Debian keeps initdb and postgres out of PATH, in a folder for each version; the newest comes first."""
    root = pathlib.Path("/usr/lib/postgresql")
    versions = sorted(root.glob("*/bin"), key=lambda p: float(p.parent.name), reverse=True) if root.is_dir() else []
    return [str(folder) for folder in versions]


def query(uri: str, statement: str) -> list[list[str]]:
    """The rows as texts (psql, unaligned, NULL as '\\N'); ServerFailed with the server's message on an error."""
    done = subprocess.run(
        [find_program("psql", *_bin_folders()), "-X", "-q", "-A", "-t", "-F", "\x1f", "-P", "null=\\N",
         "-v", "ON_ERROR_STOP=1", "-d", uri, "-c", statement], capture_output=True, text=True)
    if done.returncode != 0:
        raise ServerFailed(f"psql: {done.stderr.strip()}")
    return [line.split("\x1f") for line in done.stdout.splitlines()]


class OtherSession:
    """A psql whose input the test writes, so that a transaction can stay open for any time."""

    def __init__(self, uri: str):
        self._psql = subprocess.Popen([find_program("psql", *_bin_folders()), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", uri],
                                      stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    def do(self, statement: str) -> None:
        """Sends it and returns at once."""
        self._psql.stdin.write(statement + ";\n")
        self._psql.stdin.flush()

    def end(self) -> None:
        """Waits until all is done; ServerFailed where a statement failed."""
        self._psql.stdin.close()
        if self._psql.wait(60) != 0:
            raise ServerFailed("a statement of the other session failed")

    def kill(self) -> None:
        self._psql.kill()
        self._psql.wait()


class PostgresServer(Server):
    """As root it runs as user postgres (PostgreSQL does not run as root), with its data where that user can reach it."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends sessions, writes a checkpoint
    database = "huntd"

    def __init__(self, directory: pathlib.Path | str, *, port=None, data: pathlib.Path | str | None = None,
                 options: tuple[str, ...] = (), outlives: bool = False):
        super().__init__(directory, outlives=outlives)
        self.user = plain_user("postgres")
        self.port = port or reserve_port()
        self.ports = [self.port]
        self.options = options
        # Short, for a Unix socket's path holds 107 bytes; and outside of /root, which user postgres can't enter.
        self.base = pathlib.Path(data) if data else pathlib.Path(tempfile.mkdtemp(prefix="huntd-pg-"))
        self.data = self.base / "data"

    @property
    def uri(self) -> str:
        """For libpq: over TCP, as user huntd, without a password (loopback only)."""
        return f"postgresql://{USER}@{self.port.address}/{self.database}"

    @property
    def socket_uri(self) -> str:
        return f"postgresql://{USER}@/{self.database}?host={self.base}&port={self.port}"

    def command_that_makes_data(self) -> list[str]:
        return [find_program("initdb", *_bin_folders()), "-D", str(self.data), "-U", USER,
                "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]

    def prepare(self) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        self.base.mkdir(parents=True, exist_ok=True)
        self.base.chmod(0o755)
        if self.user:
            shutil.chown(self.base, self.user)
        command = self.command_that_makes_data()
        made = subprocess.run(as_user(self.user) + command, capture_output=True, text=True, cwd="/")
        if made.returncode != 0:
            raise ServerFailed(f"{pathlib.Path(command[0]).name} failed:\n{made.stdout}{made.stderr}")

    def command(self) -> list[str]:
        return [find_program("postgres", *_bin_folders()), "-D", str(self.data), "-p", str(self.port),
                "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.base}",
                "-c", "shared_buffers=32MB", "-c", "max_connections=50", "-c", "max_wal_size=256MB",
                *[word for option in self.options for word in ("-c", option)]]

    def start(self):
        """A killed cluster's last backends may still hold its shared memory for a moment: tries again then."""
        deadline = time.monotonic() + 30
        while True:
            try:
                super().start()
                break
            except ServerFailed as failure:
                if "pre-existing shared memory" not in str(failure) or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        if not self.sql(f"select 1 from pg_database where datname = '{self.database}'", database="postgres"):
            self.sql(f"create database {self.database}", database="postgres")
        return self

    def ready(self) -> bool:
        # By the log's line, not by a connection: a server that is still recovering is left alone.
        return (self.data / "postmaster.pid").exists() and subprocess.run(
            [find_program("pg_isready", *_bin_folders()), "-q", "-h", "127.0.0.1", "-p", str(self.port)],
            stdout=subprocess.DEVNULL).returncode == 0

    def sql(self, statement: str, database: str | None = None, uri: str | None = None) -> list[list[str]]:
        """The rows of a statement, see query()."""
        return query(uri or f"postgresql://{USER}@{self.port.address}/{database or self.database}", statement)

    def remove(self) -> None:
        """Deletes the cluster's files; only when it is stopped."""
        if self.running:
            raise ServerFailed("postgres still runs")
        shutil.rmtree(self.base, ignore_errors=True)

    def __exit__(self, *details):
        super().__exit__(*details)
        if "HUNTD_KEEP" not in os.environ:
            self.remove()


class StandbyServer(PostgresServer):
    """A hot standby of another cluster, by pg_basebackup and streaming replication."""

    name = "postgres-standby"

    def __init__(self, directory: pathlib.Path | str, primary: PostgresServer, **options):
        super().__init__(directory, options=primary.options, **options)
        self.primary = primary

    def command_that_makes_data(self) -> list[str]:
        return [find_program("pg_basebackup", *_bin_folders()), "-D", str(self.data), "-R", "-X", "stream",
                "-c", "fast", "--no-sync", "-d", f"postgresql://{USER}@{self.primary.port.address}/postgres"]

    def promote(self) -> None:
        """Returns when it accepts writes."""
        self.sql("SELECT pg_promote()", database="postgres")


def several_hosts(*servers: PostgresServer) -> str:
    """A URI that names all of them, in this order."""
    return f"postgresql://{USER}@{','.join(server.port.address for server in servers)}/{servers[0].database}"
