# SPDX-License-Identifier: Apache-2.0
"""Several huntd of one ledger, each on an address of its own (127.0.0.1, 127.0.0.2, …), behind HAProxy or nginx with the
configurations of docs/proxies, in which only the addresses are replaced."""
import csv
import pathlib
import re
import signal
import socket

from harness.huntd_stack import HuntdStack
from harness.ports import Port, reserve_port
from harness.process import Server, find_program, wait_until

PROXIES = pathlib.Path(__file__).resolve().parents[2] / "docs" / "proxies"


class Hosts:
    """`count` huntd; the first one's stack has Redis, PostgreSQL and the aggregator. `wanted` are arguments of HuntdStack."""

    def __init__(self, directory: pathlib.Path, count: int, *, settings: dict, aggregator: bool = True, **wanted):
        self.all: list[HuntdStack] = []
        for number in range(1, count + 1):
            stack = HuntdStack(directory / f"host{number}", aggregator=aggregator and number == 1, settings=settings, **wanted)
            address = f"127.0.0.{number}"
            stack.http, stack.admin = (f"{address}:{port.number}" for port in stack.ports[:2])
            stack.huntd.admin = stack.admin
            stack.settings |= {"http.listen": stack.http, "admin.listen": stack.admin, "redis.address": self.redis.address
                               if self.all else stack.redis.address}
            self.all.append(stack)

    @property
    def redis(self):
        return self.all[0].redis

    @property
    def ledger(self) -> HuntdStack:
        """The stack with the stores."""
        return self.all[0]

    def start(self) -> "Hosts":
        self.ledger.start()
        for stack in self.all[1:]:
            stack.set()
            stack.huntd.start()
        return self

    def kill(self) -> None:
        for stack in reversed(self.all):
            stack.kill()


def replaced(text: str, pattern: str, new: str) -> str:
    """`text` with the one match of `pattern` replaced."""
    changed, count = re.subn(pattern, lambda _: new, text)
    if count != 1:
        raise ValueError(f"{count} matches of {pattern}")
    return changed


class Proxy(Server):
    """A proxy whose configuration names the hosts 1 to 3; those that are not in use are left out."""

    def __init__(self, directory, hosts: list[HuntdStack]):
        super().__init__(directory)
        self.port = reserve_port()
        self.ports: list[Port] = [self.port]
        self.hosts = hosts
        self.in_use = list(range(1, len(hosts) + 1))

    def text(self) -> str:
        raise NotImplementedError

    def use(self, *numbers: int) -> None:
        """The hosts that the next start or reload is with."""
        self.in_use = list(numbers)

    def only_in_use(self, text: str) -> str:
        """`text` without the server lines of hosts that are not in use."""
        lines = text.splitlines(keepends=True)
        unused = [number for number in (1, 2, 3) if number not in self.in_use]
        return "".join(line for line in lines if not any(f"server" in line and f"10.0.0.{number}:8080" in line for number in unused))


class HAProxy(Proxy):
    """docs/proxies/haproxy.cfg as it is, with a socket that says what it thinks."""
    name = "haproxy"

    def __init__(self, directory, hosts, certificate: pathlib.Path | None = None, change=lambda text: text):
        """`change` makes another configuration of the text. Without a certificate there is no port for TLS."""
        super().__init__(directory, hosts)
        self.tls_port = reserve_port()
        self.ports.append(self.tls_port)
        self.certificate = certificate
        self.change = change

    @property
    def socket(self) -> pathlib.Path:
        return self.directory / "stats"

    def text(self) -> str:
        text = replaced(self.only_in_use((PROXIES / "haproxy.cfg").read_text()), r"(?<=bind ):8000", self.port.address)
        if self.certificate:
            text = replaced(text, r"(?<=bind ):8443 ssl crt \S+", f"{self.tls_port.address} ssl crt {self.certificate}")
        else:
            text = replaced(text, r"\n +bind :8443.*", "")
        for number in self.in_use:
            host = self.hosts[number - 1]
            text = replaced(text, rf"10\.0\.0\.{number}:8080 id {number}\n",
                            f"{host.http} id {number} port {host.admin.rsplit(':', 1)[1]}\n")
        return self.change(text)

    def prepare(self) -> None:
        (self.directory / "haproxy.cfg").write_text(f"global\n  stats socket {self.socket}\n{self.text()}")

    def command(self) -> list[str]:
        return [find_program("haproxy"), "-db", "-f", str(self.directory / "haproxy.cfg")]

    def states(self) -> list[str]:
        """"UP" or "DOWN" of each host, perhaps with more words, such as "UP 1/2"."""
        with socket.socket(socket.AF_UNIX) as stats:
            stats.connect(str(self.socket))
            stats.sendall(b"show stat\n")
            text = b"".join(iter(lambda: stats.recv(65536), b"")).decode().lstrip("# ")
        return [row["status"] for row in csv.DictReader(text.splitlines())
                if row["pxname"] == "huntd" and row["svname"] not in ("FRONTEND", "BACKEND")]

    def ready(self) -> bool:
        try:
            return self.states() == ["UP"] * len(self.in_use)
        except OSError:
            return False

    def await_state(self, number: int, state: str) -> None:
        at = self.in_use.index(number)
        wait_until(lambda: self.states()[at].startswith(state), 60, f"HAProxy to find host {number} {state}", 0.05)


class Nginx(Proxy):
    """docs/proxies/nginx.conf as it is, in a main configuration with two processes."""
    name = "nginx"

    def __init__(self, directory, hosts):
        super().__init__(directory, hosts)
        self.down: set[int] = set()

    def text(self) -> str:
        text = replaced(self.only_in_use((PROXIES / "nginx.conf").read_text()), r"(?<=listen )8000", self.port.address)
        for number in self.in_use:
            down = " down" if number in self.down else ""
            text = replaced(text, rf"10\.0\.0\.{number}:8080( [^;]*);", f"{self.hosts[number - 1].http}{down};" if down else
                            f"{self.hosts[number - 1].http} max_fails=1 fail_timeout=2s;")
        return text

    def prepare(self) -> None:
        temporary = "".join(f"{kind}_temp_path {self.directory}/{kind};" for kind in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.directory / "nginx.conf").write_text(
            f"daemon off; user root; worker_processes 2; pid {self.directory}/nginx.pid; error_log stderr;\n"
            f"events {{ worker_connections 4096; }}\nhttp {{ access_log off; {temporary}\n{self.text()}\n}}\n")

    def command(self) -> list[str]:
        return [find_program("nginx"), "-e", "stderr", "-p", str(self.directory), "-c", str(self.directory / "nginx.conf")]

    def ready(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port.number), timeout=1).close()
            return True
        except OSError:
            return False

    def reload(self) -> None:
        self.prepare()
        self.signal(signal.SIGHUP)
