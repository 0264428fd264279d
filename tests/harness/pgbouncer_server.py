# SPDX-License-Identifier: Apache-2.0
"""A PgBouncer of our own in front of a PostgresServer."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from harness.ports import reserve_port
from harness.postgres_server import USER, PostgresServer
from harness.process import Server, find_program, plain_user


class PgBouncerServer(Server):
    name = "pgbouncer"
    stop_signal = signal.SIGINT

    def __init__(self, directory: pathlib.Path | str, postgres: PostgresServer, *, pool_size: int = 4,
                 pool_mode: str = "transaction", outlives: bool = False):
        super().__init__(directory, outlives=outlives)
        self.postgres = postgres
        self.pool_size = pool_size
        self.pool_mode = pool_mode
        self.user = plain_user("postgres")
        self.port = reserve_port()
        self.ports = [self.port]
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="huntd-pgbouncer-"))

    @property
    def uri(self) -> str:
        return f"postgresql://{USER}@{self.port.address}/{self.postgres.database}"

    def prepare(self) -> None:
        (self.base / "users.txt").write_text(f'"{USER}" ""\n')
        (self.base / "pgbouncer.ini").write_text(f"""[databases]
* = host=127.0.0.1 port={self.postgres.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = trust
auth_file = {self.base}/users.txt
admin_users = {USER}
pool_mode = {self.pool_mode}
default_pool_size = {self.pool_size}
max_client_conn = 200
""")
        self.base.chmod(0o755)
        if self.user:
            shutil.chown(self.base, self.user)

    def command(self) -> list[str]:
        return [find_program("pgbouncer"), str(self.base / "pgbouncer.ini")]

    def ready(self) -> bool:
        return subprocess.run([find_program("psql"), "-X", "-q", "-At", "-d", self.uri, "-c", "select 1"],
                              capture_output=True).returncode == 0

    def __exit__(self, *details):
        super().__exit__(*details)
        if "HUNTD_KEEP" not in os.environ:
            shutil.rmtree(self.base, ignore_errors=True)
