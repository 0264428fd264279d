# SPDX-License-Identifier: Apache-2.0
"""Tools that repeat requests by themselves, in front of huntd: curl, urllib3, Go's net/http, nginx and HAProxy. A call without a key
is never awarded twice, and a call with a key ends with one award (docs/http-api.md "Retries"), after

- an unknown outcome: Redis did not reply to the commit in time. The tools repeat every status that they can be configured to repeat;
- a broken connection: the core died after Redis had executed the commit. The tools repeat what they repeat by default, and requests
  with a key; the proxies are configured as docs/operations.md "A proxy in front" says."""
import os
import pathlib
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from client import _split, run_hunt
from faults.redis_proxy import Late, RedisProxy
from harness.huntd_stack import ROOT
from harness.ports import reserve_port
from harness.process import Server, find_program, wait_until
from test_redis import metric
from test_responses import PAIR, CommitsHeld, Nginx, _has, _methods_word, settled_swords

GO_FOLDER = "/usr/local/go/bin"
TOOL_S = 60       # how long a tool may take
REPEATS = 2       # so few that a tool has ended before the core takes its link to Redis for dead
REPLY_LATE_S = 3  # less than the 5 s after which a core takes its link for dead; time to kill the core on a busy machine
# No commit is answered within it, also with its repeats less than these 5 s; on a busy machine a worker is not started in time, so
# there are some already.
HURRIED = {"http.request_deadline_ms": 900, "worker.deadline_ms": 550, "worker.queue_deadline_ms": 300, "worker.warm": REPEATS + 1}
STATUSES = (403, 404, 408, 409, 429, 500, 502, 503, 504)

GO_PROGRAM = """
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

// Sends a GET, and then a POST over the same connection: net/http itself repeats a request if a connection that was used before
// breaks, and the request is idempotent by its method or has an Idempotency-Key.
func main() {
	base, path, key := os.Args[1], os.Args[2], os.Args[3]
	first, err := http.Get(base + "/v1/core-map")
	if err != nil {
		fmt.Println("error", err)
		os.Exit(2)
	}
	io.Copy(io.Discard, first.Body)
	first.Body.Close()
	request, _ := http.NewRequest("POST", base+path, nil)
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	io.Copy(io.Discard, response.Body)
	fmt.Println(response.StatusCode)
}
"""


class HAProxy(Server):
    """HAProxy in front of huntd, which repeats all that HAProxy can repeat; `rule` is a line of its backend."""
    name = "haproxy"

    def __init__(self, directory, huntd: str, rule: str):
        super().__init__(directory)
        self.port = reserve_port()
        self.ports = [self.port]
        self.huntd = huntd
        self.rule = rule

    @property
    def config(self) -> pathlib.Path:
        return self.directory / "haproxy.cfg"

    def prepare(self) -> None:
        self.config.write_text(f"""
defaults
  mode http
  timeout connect 10s
  timeout client 60s
  timeout server 60s
  retries {REPEATS}
  option redispatch
frontend front
  bind {self.port.address}
  default_backend game
backend game
  retry-on all-retryable-errors
  {self.rule}
  server one {self.huntd}
  server two {self.huntd}
""")

    def command(self) -> list[str]:
        return [find_program("haproxy"), "-db", "-f", str(self.config)]

    def ready(self) -> bool:
        return _listens(self.port.address)


def _listens(address: str) -> bool:
    try:
        socket.create_connection(_split(address), timeout=1).close()
        return True
    except OSError:
        return False


@dataclass
class Place:
    """What a tool is tried on. `eager`: it repeats every status; else broken connections, if the request has a key."""
    huntd: str
    folder: pathlib.Path
    eager: bool
    servers: list[Server]

    def front(self, server: Server) -> str:
        self.servers.append(server.start())
        return server.ports[0].address


Send = Callable[[str, str], int]  # (path, key, '' for none) -> the status of the last response, 0 without one


def _curl(place: Place, address: str, path: str, key: str, *options: str) -> int:
    # Not /dev/null: before curl repeats a request it truncates the file that has the response.
    words = ["curl", "-s", "-o", str(place.folder / "response"), "-w", "%{http_code}", *options]
    done = subprocess.run([*words, *(["-H", f"Idempotency-Key: {key}"] if key else []), "-X", "POST", f"http://{address}{path}"],
                          capture_output=True, text=True, timeout=TOOL_S)
    return int(done.stdout)


def curl(place: Place) -> Send:
    def send(path: str, key: str) -> int:
        broken = ["--retry-all-errors"] if key and not place.eager else []
        return _curl(place, place.huntd, path, key, "--retry", str(REPEATS), "--retry-delay", "1", *broken)
    return send


def urllib3(place: Place) -> Send:
    library = pytest.importorskip("urllib3" if _has("urllib3") else "pip._vendor.urllib3")

    def send(path: str, key: str) -> int:
        # By default a POST is repeated neither for its status nor after a broken connection.
        methods = {_methods_word(library): None} if key or place.eager else {}
        retry = library.util.retry.Retry(total=REPEATS, status_forcelist=STATUSES, backoff_factor=0.1, raise_on_status=False, **methods)
        headers = {"Idempotency-Key": key} if key else {}
        try:
            return library.PoolManager(retries=retry).request("POST", f"http://{place.huntd}{path}", headers=headers).status
        except library.exceptions.HTTPError:
            return 0
    return send


EAGER_NGINX = """
    upstream game { server {huntd}; server {huntd}; server {huntd}; }
    server { listen {listen}; location / { proxy_pass http://game;
      proxy_next_upstream error timeout http_500 http_502 http_503 http_504 http_403 http_404 http_429 non_idempotent; } }"""
# nginx repeats a POST that it has sent only with non_idempotent: here that is for requests with a key.
NGINX = """
    upstream game { server {huntd}; server {huntd}; server {huntd}; }
    server { listen {listen};
      location / { error_page 418 = @keyed; if ($http_idempotency_key) { return 418; } proxy_pass http://game; }
      location @keyed { proxy_pass http://game; proxy_next_upstream error timeout http_503 non_idempotent; } }"""


def nginx(place: Place) -> Send:
    return partial(_curl, place, place.front(Nginx(place.folder / "nginx", EAGER_NGINX if place.eager else NGINX, place.huntd)))


def haproxy(place: Place) -> Send:
    rule = "" if place.eager else "http-request disable-l7-retry if METH_POST !{ req.hdr(Idempotency-Key) -m found }"
    return partial(_curl, place, place.front(HAProxy(place.folder / "haproxy", place.huntd, rule)))


def go(place: Place) -> Send:
    program = _build_go(place.folder.parent)

    def send(path: str, key: str) -> int:
        done = subprocess.run([str(program), f"http://{place.huntd}", path, key], capture_output=True, text=True, timeout=TOOL_S)
        assert done.returncode == 0, done.stdout + done.stderr
        return int(done.stdout) if done.stdout.strip().isdigit() else 0
    return send


def _build_go(folder: pathlib.Path) -> pathlib.Path:
    """The program in this folder, built if it is not there."""
    program, source, cache = folder / "retry", folder / "retry.go", ROOT / "build" / "go"
    if not program.exists():
        source.write_text(GO_PROGRAM)
        # The cache is kept: the first build compiles net/http too.
        subprocess.run([find_program("go", GO_FOLDER), "build", "-o", str(program), str(source)], check=True, timeout=600,
                       env={**os.environ, "GOCACHE": str(cache), "GO111MODULE": "off", "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"})
    return program


@dataclass
class Tool:
    prepare: Callable[[Place], Send]
    program: str
    where: str  # how to get the program
    repeats_statuses: bool = True


TOOLS = {
    "curl": Tool(curl, "curl", "apt-get install curl"),
    "urllib3": Tool(urllib3, "python3", ""),
    "nginx": Tool(nginx, "nginx", "./dev bench installs it"),
    "HAProxy": Tool(haproxy, "haproxy", "tools/setup-debian test installs it"),
    "Go": Tool(go, "go", "tools/setup-debian go installs it", repeats_statuses=False),
}


@pytest.fixture(params=TOOLS)
def tool(request) -> Tool:
    wanted = TOOLS[request.param]
    try:
        find_program(wanted.program, GO_FOLDER)
    except FileNotFoundError:
        pytest.skip(f"{wanted.program} is not installed ({wanted.where})")
    return wanted


@pytest.mark.parametrize("key", ["", "k"], ids=["without_a_key", "with_a_key"])
def test_an_unknown_outcome_is_awarded_once_by(own_stack, tool, key, servers, tmp_path):
    stack = own_stack(settings=HURRIED).start()
    wait_until(lambda: stack.metric("huntd_workers_live") >= 2 * HURRIED["worker.warm"], 30, "the idle workers")
    send = tool.prepare(Place(stack.http, tmp_path, True, servers))
    before = metric(stack, "huntd_http_requests_total")
    with CommitsHeld(stack):
        status = send(PAIR + "ann", key)
        sent = metric(stack, "huntd_http_requests_total") - before
    assert status in (503, 504) if key else status == 424
    if key and tool.repeats_statuses:
        assert sent > 1, "the tool repeats the request, so that this test tries something"
    if key:  # the caller that did not get a 200 repeats it once more
        wait_until(lambda: run_hunt(stack.http, "pair", "ann", key=key).status == 200, 60, "the response of that key")
    assert settled_swords(stack, "ann") == 1


@pytest.fixture
def late_stack(own_stack):
    """(a stack of one core, the proxy between it and Redis)"""
    stack = own_stack(cores=1)
    proxy = RedisProxy(int(stack.redis.port))
    proxy.start()
    stack.settings["redis.address"] = proxy.address
    yield stack.start(), proxy
    proxy.stop()


def _swords(stack, hunter: str) -> int:
    with stack.redis.client() as redis:
        return sum(int(redis.call("HGET", key, "sword") or 0) for key in redis.keys(f"held:*:{hunter}:pair"))


def _kill_the_core_that_awards(stack, proxy, hunter: str) -> int:
    """Redis has executed the commit, and the core does not know it. Returns the core's process id."""
    wait_until(lambda: _swords(stack, hunter) == 1, TOOL_S, "the commit")
    [pid] = stack.core_pids()
    os.kill(pid, signal.SIGKILL)
    proxy.mode = None
    return pid


@pytest.mark.parametrize("key", ["", "k"], ids=["without_a_key", "with_a_key"])
def test_a_broken_connection_is_awarded_once_by(late_stack, tool, key, servers, tmp_path):
    stack, proxy = late_stack
    send = tool.prepare(Place(stack.http, tmp_path, False, servers))
    seen: list[int] = []
    sending = threading.Thread(target=lambda: seen.append(send(PAIR + "ann", key)))
    # The core has read the states of hunts: it waits for that less long than a reply is late.
    assert run_hunt(stack.http, "gold", "first").status == 200
    proxy.mode = Late(REPLY_LATE_S)
    sending.start()
    try:
        killed = _kill_the_core_that_awards(stack, proxy, "ann")
    finally:
        proxy.mode = None
        sending.join(TOOL_S)
    assert seen, "the tool has ended"
    if key:
        assert seen == [200], "the tool has repeated the request, and got the stored response"
    else:
        assert seen[0] != 200
    wait_until(lambda: killed not in stack.core_pids() and stack.huntd.ready(), 60, "the next core")
    assert settled_swords(stack, "ann") == 1
