# SPDX-License-Identifier: Apache-2.0
"""The configurations of docs/operations.md, "Load balancers", in front of two huntd with auth on: a host that is drained, or that
stops, under load fails no request."""
import csv
import http.client
import itertools
import pathlib
import re
import signal
import socket
import subprocess
import threading

import pytest
import yaml

from harness.huntd_stack import build_folder, http_get
from harness.ports import reserve_port
from harness.process import Server, find_program, wait_until
from test_responses import Nginx

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "operations.md"
TOKEN = "a-token-of-enough-letters-for-all"
CLIENTS = 8
# More than the document's 4 s: the machine of a test may be slow.
DELAY_MS = 10_000


def documented(language: str) -> str:
    """The one configuration in this language in the section."""
    section = DOCUMENT.read_text().split("\n## Load balancers\n", 1)[1].split("\n## ", 1)[0]
    [text] = re.findall(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return text


def replaced(text: str, pattern: str, new: str) -> str:
    """`text` with the one match of `pattern` replaced."""
    changed, count = re.subn(pattern, lambda _: new, text)
    assert count == 1, (pattern, count)
    return changed


class HAProxy(Server):
    """HAProxy with the document's configuration; only addresses are replaced, and a socket is added that says what it thinks."""
    name = "haproxy"

    def __init__(self, directory, hosts):
        super().__init__(directory)
        self.port = reserve_port()
        self.ports = [self.port]
        self.hosts = hosts

    @property
    def socket(self) -> pathlib.Path:
        return self.directory / "stats"

    def prepare(self) -> None:
        text = replaced(documented("haproxy"), r"(?<=bind ):8000", self.port.address)
        for number, host in enumerate(self.hosts, 1):
            text = replaced(text, rf"10\.0\.0\.{number}:8080", f"{host.http} port {host.admin.rsplit(':', 1)[1]}")
        (self.directory / "haproxy.cfg").write_text(f"global\n  stats socket {self.socket}\n{text}")

    def command(self) -> list[str]:
        return [find_program("haproxy"), "-db", "-f", str(self.directory / "haproxy.cfg")]

    def states(self) -> list[str]:
        """"UP" or "DOWN" of each host, perhaps with more words, such as "UP 1/2"."""
        with socket.socket(socket.AF_UNIX) as stats:
            stats.connect(str(self.socket))
            stats.sendall(b"show stat\n")
            text = b"".join(iter(lambda: stats.recv(65536), b"")).decode().lstrip("# ")
        return [row["status"] for row in csv.DictReader(text.splitlines()) if row["svname"] in ("one", "two")]

    def ready(self) -> bool:
        try:
            return self.states() == ["UP", "UP"]
        except OSError:
            return False


def start_nginx(directory, hosts) -> Nginx:
    text = documented("nginx")
    for number, host in enumerate(hosts, 1):
        text = replaced(text, rf"10\.0\.0\.{number}:8080", host.http)
    return Nginx(directory, replaced(text, r"(?<=listen )8000", "{listen}"), "").start()


class Load:
    """Clients that send one request after the other, while it is entered."""

    def __init__(self, address: str, *, keyed_only: bool):
        self.address = address
        self.keyed_only = keyed_only
        self.done = 0
        self.failed: list = []
        self._numbers = itertools.count()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]

    def _send(self, connection, number: int) -> int:
        path, headers = f"/v1/hunts/gold/hunters/h{number % 97}", {"Authorization": f"Bearer {TOKEN}"}
        kind = number % 3
        if kind == 0:
            connection.request("GET", path, headers=headers)
        else:
            if kind == 1 or self.keyed_only:
                headers["Idempotency-Key"] = f"key-{number}"
            connection.request("POST", path, body=b"", headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def _run(self, first: int) -> None:
        host, port = self.address.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        while not self._ended.is_set():
            number = next(self._numbers)
            try:
                if (status := self._send(connection, number)) != 200:
                    self.failed.append((number, status))
                self.done += 1
            except (OSError, http.client.HTTPException) as error:
                self.failed.append((number, repr(error)))
                connection.close()

    def await_more(self, count: int) -> None:
        before = self.done
        wait_until(lambda: self.done >= before + count or self.failed, 120, f"{count} more responses")
        assert not self.failed, self.failed[:10]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def hosts(own_stack, tmp_path):
    """Two huntd of one ledger."""
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN + "\n")
    tokens.chmod(0o600)
    settings = {"auth.mode": "bearer", "auth.tokens_file": str(tokens), "http.drain_delay_ms": DELAY_MS}
    first = own_stack(settings=settings).start()
    second = own_stack(settings={**settings, "redis.address": first.redis.address}).start()
    return [first, second]


@pytest.fixture
def haproxy(hosts, servers, tmp_path):
    find_or_skip("haproxy", "tools/setup-debian test installs it")
    servers.append(HAProxy(tmp_path / "haproxy", hosts))
    return servers[-1].start()


@pytest.fixture
def nginx(hosts, servers, tmp_path):
    find_or_skip("nginx", "./dev bench installs it")
    servers.append(start_nginx(tmp_path / "nginx", hosts))
    return servers[-1]


def find_or_skip(program: str, where: str) -> str:
    try:
        return find_program(program)
    except FileNotFoundError:
        pytest.skip(f"{program} is not installed ({where})")


def huntctl(host, command: str) -> None:
    done = subprocess.run([str(build_folder() / "huntctl"), "-c", str(host.config), command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done


def requests_of(host) -> float:
    return host.metric("huntd_http_requests_total")


def await_end(host) -> None:
    wait_until(lambda: not host.huntd.running, 120, "huntd to end", 0.1)
    assert host.huntd.stop() == 0


def test_haproxy_sends_nothing_to_a_drained_host_and_comes_back(hosts, haproxy):
    with Load(haproxy.port.address, keyed_only=False) as load:
        load.await_more(200)
        huntctl(hosts[0], "drain")
        wait_until(lambda: haproxy.states()[0].startswith("DOWN"), 60, "HAProxy to notice", 0.1)

        def stands_still() -> bool:
            before = requests_of(hosts[0])
            load.await_more(100)
            return requests_of(hosts[0]) == before

        wait_until(stands_still, 60, "the last request to the drained host")
        assert haproxy.states()[1] == "UP"
        huntctl(hosts[0], "undrain")
        wait_until(lambda: haproxy.states() == ["UP", "UP"], 60, "HAProxy to notice", 0.1)
        before = requests_of(hosts[0])
        wait_until(lambda: requests_of(hosts[0]) > before + 50, 60, "requests to come back", 0.1)
        load.await_more(100)
    assert not load.failed


def test_haproxy_fails_no_request_when_a_host_stops(hosts, haproxy):
    with Load(haproxy.port.address, keyed_only=False) as load:
        load.await_more(200)
        assert requests_of(hosts[0]) > 0
        hosts[0].huntd.signal(signal.SIGTERM)
        wait_until(lambda: haproxy.states()[0].startswith("DOWN"), 60, "HAProxy to notice", 0.1)
        assert hosts[0].huntd.running, "HAProxy notices before the drain begins"
        await_end(hosts[0])
        load.await_more(200)
        hosts[0].huntd.start()
        wait_until(lambda: haproxy.states() == ["UP", "UP"], 60, "HAProxy to notice", 0.1)
        load.await_more(200)
    assert not load.failed


def test_nginx_fails_no_keyed_request_when_a_host_is_drained_and_stops(hosts, nginx):
    with Load(nginx.port.address, keyed_only=True) as load:
        load.await_more(200)
        huntctl(hosts[0], "drain")
        assert http_get(hosts[0].admin, "/readyz")[0] == 503
        before = requests_of(hosts[0])
        wait_until(lambda: requests_of(hosts[0]) > before + 50, 60, "it to serve on")
        hosts[0].huntd.signal(signal.SIGTERM)
        await_end(hosts[0])
        load.await_more(200)
        hosts[0].huntd.start()
        before = requests_of(hosts[0])
        wait_until(lambda: requests_of(hosts[0]) > before + 50, 60, "requests to come back", 0.1)
        load.await_more(100)
    assert not load.failed


def test_readyz_needs_no_token_and_the_public_port_does_not_have_it(hosts):
    assert http_get(hosts[0].admin, "/readyz")[0] == 200
    assert http_get(hosts[0].http, "/readyz")[0] in (401, 404)


def test_the_configuration_of_envoy_is_valid(tmp_path):
    """Only its form, without Envoy."""
    [cluster] = yaml.safe_load(documented("yaml"))["clusters"]
    assert cluster["health_checks"][0]["http_health_check"]["path"] == "/readyz"
    program = find_or_skip("envoy", "Debian has no package of it")
    config = tmp_path / "envoy.yaml"
    config.write_text(yaml.safe_dump({"static_resources": {"clusters": [cluster]}}))
    done = subprocess.run([program, "--mode", "validate", "-c", str(config)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
