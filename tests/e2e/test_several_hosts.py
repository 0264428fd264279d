# SPDX-License-Identifier: Apache-2.0
"""docs/several-hosts.md: three huntd of one ledger behind HAProxy and nginx with the configurations of docs/proxies. Hunters stay on
their host; a host that is killed, drained or added under load loses nothing and gives nothing twice; and neither does a proxy that
sends each request to any host."""
import http.client
import http.server
import itertools
import json
import os
import re
import signal
import subprocess
import threading
from collections import Counter, defaultdict
from types import SimpleNamespace

import pytest
import yaml

from client import run_hunt
from conftest import HUNTS, PATIENT
from harness.certificates import Authority
from harness.huntd_stack import build_folder, http_get
from harness.process import find_program, wait_until
from harness.several_hosts import PROXIES, HAProxy, Hosts, Nginx
from harness.stores import in_redis

pytestmark = pytest.mark.long(reason="three hosts behind two proxies: three minutes")
SETTINGS = {**PATIENT, "worker.isolation": "batch", "http.access_log": "all", "http.trusted_proxies": ["127.0.0.1"],
            "http.drain_delay_ms": 10_000, "aggregator.interval_s": 1}
CLIENTS = 8
HUNTERS = 300


@pytest.fixture
def hosts(tmp_path):
    made = Hosts(tmp_path, 3, settings=SETTINGS, cores=1, hunts=HUNTS)
    try:
        yield made.start()
    finally:
        made.kill()


@pytest.fixture(params=[HAProxy, Nginx], ids=["haproxy", "nginx"])
def proxy(request, hosts, servers, tmp_path):
    yield make(request.param, hosts, servers, tmp_path)


@pytest.fixture
def haproxy(hosts, servers, tmp_path):
    yield make(HAProxy, hosts, servers, tmp_path)


@pytest.fixture
def nginx(hosts, servers, tmp_path):
    yield make(Nginx, hosts, servers, tmp_path)


def make(kind, hosts, servers, tmp_path, **wanted):
    try:
        find_program(kind.name)
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    servers.append(kind(tmp_path / kind.name, hosts.all, **wanted))
    return servers[-1].start()


class Players:
    """Clients that play one hunt after the other, each with a key, and read what they hold, while it is entered. A request that
    fails is noted, and repeated with its key until it gets a 200, as docs/http-api.md "Retries" says."""

    def __init__(self, address: str, *, hunts: tuple[str, ...] = ("gold",), hunters: int = HUNTERS, reads: bool = True):
        self.address = address
        self.hunts, self.hunters, self.reads = hunts, hunters, reads
        self.done = 0
        self.failed: list = []
        self.loot: dict[tuple, Counter] = defaultdict(Counter)  # of the responses, by hunter and hunt
        self.events: dict[str, str] = {}  # event_id -> key
        self.twice: list = []             # event_ids of two keys
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]

    def _call(self, connection, method: str, path: str, headers: dict) -> dict | None:
        try:
            connection.request(method, path, body=b"" if method == "POST" else None, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 200:
                return json.loads(body)
            self.failed.append((method, path, answer.status, body[:200]))
        except (OSError, http.client.HTTPException) as error:
            self.failed.append((method, path, repr(error)))
            connection.close()
        return None

    def _note(self, key: str, body: dict) -> None:
        with self._lock:
            for item in body["loot"]:
                if self.events.setdefault(item["event_id"], key) != key:
                    self.twice.append((item, key))
                self.loot[body["hunter_id"], body["hunt_id"]][item["loot_id"]] += 1

    def _run(self) -> None:
        host, port = self.address.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        while not self._ended.is_set():
            number = next(self._numbers)
            path = f"/v1/hunts/{self.hunts[number % len(self.hunts)]}/hunters/player-{number % self.hunters}"
            if self.reads and number % 4 == 3:
                self._call(connection, "GET", path, {})
            else:
                key = f"key-{number}"
                while (body := self._call(connection, "POST", path, {"Idempotency-Key": key})) is None:
                    self._ended.wait(0.05)
                self._note(key, body)
            self.done += 1

    def await_more(self, count: int) -> None:
        before = self.done
        wait_until(lambda: self.done >= before + count, 120, f"{count} more responses")

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join()


def check_ledger(hosts, players: Players) -> None:
    """Redis holds what the responses say, each event of one request, and PostgreSQL has the same."""
    assert not players.twice, players.twice[:5]
    held, _ = in_redis(hosts.ledger)
    wanted = dict(players.loot)
    assert {who: loot for who, loot in held.items() if who in wanted} == wanted
    done = subprocess.run([str(build_folder() / "huntctl"), "-c", str(hosts.ledger.config), "reconcile", "--json", "--wait", "60"],
                          capture_output=True, text=True, timeout=120)
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["settled"] and report["differences_total"] == 0, report
    assert report["held_loot"] == report["row_loot"] == sum(loot.total() for loot in held.values())


def served(hosts) -> list[Counter]:
    """For each host, how many requests of each hunter it has served, by its access log."""
    return [Counter(re.findall(r"^<6>access .* hunter_id=(\S+)", stack.huntd.log_text(), re.MULTILINE)) for stack in hosts.all]


def homes(hosts, proxy, prefix: str, count: int) -> dict[str, int]:
    """The host (1 to 3) of each of `count` hunters, by one request of each."""
    before = served(hosts)
    connection = http.client.HTTPConnection(*proxy.port.address.split(":"), timeout=60)
    for number in range(count):
        connection.request("GET", f"/v1/hunts/gold/hunters/{prefix}-{number}")
        assert connection.getresponse().read()
    connection.close()
    names = {f"{prefix}-{number}" for number in range(count)}

    def found() -> dict[str, int]:
        return {name: at for at, (now, was) in enumerate(zip(served(hosts), before), 1) for name in (now - was) if name in names}

    wait_until(lambda: len(found()) == count, 20, "the lines of all in the access logs", 0.1)
    return found()


def test_hunters_stay_on_their_host(hosts, proxy):
    with Players(proxy.port.address, hunters=1000) as players:
        players.await_more(6000)
    assert not players.failed, players.failed[:5]
    wait_until(lambda: sum(host.total() for host in served(hosts)) >= players.done, 20, "the last lines in the access logs", 0.1)
    by_host = served(hosts)
    hunters = set().union(*by_host)
    moved = [hunter for hunter in hunters if sum(hunter in host for host in by_host) > 1]
    assert len(hunters) == 1000
    assert len(moved) <= len(hunters) / 1000, f"{len(moved)} of {len(hunters)} sessions were on two hosts"
    # A fair share is 333. Its binomial deviation is 15; the ring's points add some percent.
    assert all(200 < len(host) < 470 for host in by_host), [len(host) for host in by_host]
    check_ledger(hosts, players)


def test_one_of_three_hosts_killed_loses_nothing_and_gives_nothing_twice(hosts, proxy):
    victim = hosts.all[1]
    with Players(proxy.port.address) as players:
        players.await_more(500)
        assert served(hosts)[1]
        victim.huntd.kill()
        players.await_more(1000)
        victim.huntd.start()
        if isinstance(proxy, HAProxy):
            proxy.await_state(2, "UP")
        before = served(hosts)[1].total()
        wait_until(lambda: served(hosts)[1].total() > before + 50, 60, "hunters to come back", 0.1)
        players.await_more(300)
    # Each of these requests may be repeated by the proxy, so clients see nothing of it.
    assert not players.failed, (len(players.failed), players.failed[:5])
    check_ledger(hosts, players)


def test_a_host_that_is_drained_fails_no_request_and_only_its_hunters_move(hosts, haproxy):
    before = homes(hosts, haproxy, "drain", 300)
    with Players(haproxy.port.address) as players:
        players.await_more(200)
        done = subprocess.run([str(build_folder() / "huntctl"), "-c", str(hosts.all[1].config), "drain"], capture_output=True, text=True)
        assert done.returncode == 0, done
        haproxy.await_state(2, "DOWN")
        players.await_more(200)  # what was under way has ended
        count = served(hosts)[1].total()
        players.await_more(300)
        assert served(hosts)[1].total() == count
        hosts.all[1].huntd.signal(signal.SIGTERM)
        wait_until(lambda: not hosts.all[1].huntd.running, 60, "huntd to end", 0.1)
        players.await_more(200)
    assert not players.failed, players.failed[:5]
    after = homes(hosts, haproxy, "drain", 300)
    assert {name for name in before if before[name] != after[name]} == {name for name in before if before[name] == 2}
    check_ledger(hosts, players)


def test_nginx_moves_the_hunters_of_a_server_that_is_marked_down(hosts, nginx):
    before = homes(hosts, nginx, "drain", 300)
    with Players(nginx.port.address) as players:
        players.await_more(200)
        nginx.down.add(2)
        nginx.reload()

        def idle() -> bool:
            count = served(hosts)[1].total()
            players.await_more(200)
            return served(hosts)[1].total() == count

        wait_until(idle, 60, "the last request to the drained host")
        hosts.all[1].huntd.signal(signal.SIGTERM)
        wait_until(lambda: not hosts.all[1].huntd.running, 60, "huntd to end", 0.1)
        players.await_more(200)
    # A reload of nginx closes the idle connections of its clients: a request that meets the close was not sent on.
    assert len(players.failed) <= CLIENTS and all("RemoteDisconnected" in failed[-1] or "ConnectionReset" in failed[-1]
                                                  for failed in players.failed), players.failed[:5]
    after = homes(hosts, nginx, "drain", 300)
    assert {name for name in before if before[name] != after[name]} == {name for name in before if before[name] == 2}
    check_ledger(hosts, players)


def test_host_added_moves_its_share_of_the_hunters_and_no_other(hosts, proxy):
    proxy.stop()
    proxy.use(1, 2)
    proxy.start()
    count = 1500
    before = homes(hosts, proxy, "grow", count)
    assert set(before.values()) == {1, 2}
    proxy.stop()
    proxy.use(1, 2, 3)
    proxy.start()
    after = homes(hosts, proxy, "grow", count)
    moved = {name for name in before if before[name] != after[name]}
    assert {after[name] for name in moved} == {3}, "hunters move to the new host only"
    # A third of 1,500 is 500, with a binomial deviation of 18; the ring's points add some percent.
    assert count / 3 - 120 < len(moved) < count / 3 + 120, len(moved)


def spraying(text: str) -> str:
    changed = re.sub(r"balance hash .*\n +hash-type .*", "balance roundrobin", text)
    assert changed != text
    return changed


def test_proxy_sprays_and_the_ledger_stays_exact(hosts, servers, tmp_path):
    """The same 13 hunters on all hosts at once, of 8 clients: scripts that read what is held, and a supply for all."""
    proxy = make(HAProxy, hosts, servers, tmp_path, change=spraying)
    with Players(proxy.port.address, hunts=("gold", "mixed", "scarce", "pair", "slow"), hunters=13, reads=False) as players:
        players.await_more(1200)
    unexpected = [failure for failure in players.failed if len(failure) != 4 or failure[2] != 503]
    assert not unexpected, unexpected[:5]
    wait_until(lambda: all(len(host) == 13 for host in served(hosts)), 20, "each hunter to be in the log of each host", 0.1)
    relics = sum(loot["relic"] for (_, hunt), loot in players.loot.items() if hunt == "scarce")
    assert relics == 40, "the supply gives all of its units and no more"
    check_ledger(hosts, players)


def test_proxy_sprays_one_key_to_all_hosts_and_one_run_awards(hosts):
    """Without a proxy: the same request at the same moment on each host, as a client sends it that repeats too early."""
    for number in range(40):
        found: list = []
        threads = [threading.Thread(target=lambda at=host.http: found.append(run_hunt(at, "pair", f"once-{number}", key="k")))
                   for host in hosts.all]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        answers = [answer for answer in found if answer.status == 200]
        assert answers and all(answer.status in (200, 503) for answer in found), found
        assert len({json.dumps(answer.json["loot"]) for answer in answers}) == 1
    held, given = in_redis(hosts.ledger)
    assert {who: dict(loot) for who, loot in held.items()} == {(f"once-{n}", "pair"): {"sword": 1, "shield": 1} for n in range(40)}
    assert set(given.values()) == {2}


def test_haproxy_takes_tls_and_http_2_in_front(hosts, servers, tmp_path):
    certificate = Authority(tmp_path / "ca").issue("localhost")
    proxy = make(HAProxy, hosts, servers, tmp_path, certificate=certificate)
    done = subprocess.run([find_program("curl"), "-sS", "--http2", "--cacert", str(tmp_path / "ca" / "ca.pem"), "-w", "\n%{http_version}",
                           "--connect-to", f"::{proxy.tls_port.address}", "-X", "POST", "-H", "Idempotency-Key: k",
                           "https://localhost/v1/hunts/gold/hunters/ada"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    body, version = done.stdout.rsplit("\n", 1)
    assert json.loads(body)["loot"][0]["loot_id"] == "gold" and version == "2"


def test_the_client_behind_the_proxy_is_in_the_access_log(hosts, proxy):
    connection = http.client.HTTPConnection(*proxy.port.address.split(":"), timeout=60, source_address=("127.0.0.77", 0))
    connection.request("GET", "/v1/hunts/gold/hunters/ada", headers={"X-Forwarded-For": "192.0.2.1"})
    assert connection.getresponse().status == 200
    connection.close()
    wait_until(lambda: any("hunter_id=ada client=127.0.0.77 " in host.huntd.log_text() for host in hosts.all), 20, "the line")


class Closing(http.server.BaseHTTPRequestHandler):
    """A host that is killed during each request: it closes the connection without a response. Its checks succeed."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(self.path)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def closing():
    """Three of them, as the proxies see a host."""
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Closing) for _ in range(3)]
    seen: list[str] = []
    for server in servers:
        server.seen = seen
        threading.Thread(target=server.serve_forever).start()
    addresses = [f"127.0.0.1:{server.server_port}" for server in servers]
    yield SimpleNamespace(all=[SimpleNamespace(http=address, admin=address) for address in addresses], seen=seen)
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("kind", [HAProxy, Nginx], ids=["haproxy", "nginx"])
@pytest.mark.parametrize("path, key, times", [
    ("/v1/hunts/gold/hunters/ada", "k", 2), ("/v1/hunts/gold/hunters/ada", "0", 2), ("/v1/hunts/gold/hunters/ada", None, 1),
    ("/topics/loot_events", "k", 1), ("/topics/loot_events", None, 1)])
def test_what_a_proxy_repeats_after_a_host_was_killed(closing, servers, tmp_path, kind, path, key, times):
    proxy = make(kind, closing, servers, tmp_path)
    connection = http.client.HTTPConnection(*proxy.port.address.split(":"), timeout=60)
    connection.request("POST", path, body=b"", headers={} if key is None else {"Idempotency-Key": key})
    assert connection.getresponse().status == 502
    connection.close()
    assert closing.seen == [path] * times


def test_the_configuration_of_envoy_has_the_same_rules(tmp_path):
    """Its form; Envoy itself validates it if HUNTD_ENVOY names the program."""
    text = (PROXIES / "envoy.yaml").read_text()
    resources = yaml.safe_load(text)["static_resources"]
    [cluster] = resources["clusters"]
    assert cluster["lb_policy"] == "RING_HASH" and cluster["ring_hash_lb_config"]["hash_function"] == "XX_HASH"
    assert cluster["health_checks"][0]["http_health_check"]["path"] == "/readyz"
    routes = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
    assert [route["match"]["prefix"] for route in routes] == ["/v1/hunts/", "/", "/"]
    keyed, reads, others = (route["route"] for route in routes)
    assert keyed == reads and "reset" in keyed["retry_policy"]["retry_on"]
    assert others["retry_policy"]["retry_on"] == "connect-failure"
    for route in (keyed, others):
        assert route["retry_policy"]["retry_host_predicate"][0]["name"] == "envoy.retry_host_predicates.previous_hosts"
        rule = route["hash_policy"][0]["header"]
        assert rule["header_name"] == ":path"
        pattern, substitution = rule["regex_rewrite"]["pattern"]["regex"], rule["regex_rewrite"]["substitution"]
        assert re.sub(pattern, substitution, "/v1/hunts/gold/hunters/ada?x=1") == "ada"
        assert re.sub(pattern, substitution, "/v1/core-map") == "/v1/core-map"
    if program := os.environ.get("HUNTD_ENVOY"):
        done = subprocess.run([program, "--mode", "validate", "-c", str(PROXIES / "envoy.yaml")], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr


def test_a_request_without_a_key_is_not_repeated_once_it_was_sent(hosts, proxy):
    """A host that takes requests and never responds, as one that is stopped: a POST without a key gets an error, once."""
    victim = hosts.all[1]
    hunter = next(name for name, at in homes(hosts, proxy, "lone", 50).items() if at == 2)
    for pid in victim.family():
        os.kill(pid, signal.SIGSTOP)
    try:
        answer = run_hunt(proxy.port.address, "gold", hunter)
        assert answer.status in (502, 504), answer
    finally:
        for pid in victim.family():
            os.kill(pid, signal.SIGCONT)
    assert http_get(victim.admin, "/readyz", timeout_s=30)
    wait_until(lambda: sum(host[hunter] for host in served(hosts)) >= 2, 30, "the request to run after all", 0.1)
    held, _ = in_redis(hosts.ledger)
    assert held.get((hunter, "gold")) is None or held[hunter, "gold"].total() == 1
