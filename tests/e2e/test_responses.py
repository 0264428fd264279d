# SPDX-License-Identifier: Apache-2.0
"""Responses are true and safe to pass on: retry rules, equal bodies, paths, caches, idle connections."""
import ctypes
import os
import signal
import socket
import subprocess

import pytest

from client import RawConnection, _split, call, core_of, held, run_hunt
from harness.huntd_stack import build_folder
from harness.ports import reserve_port
from harness.process import Server, find_program, wait_until

HUNT = "/v1/hunts/gold/hunters/"


def post(hunter: str, *, hunt: str = "gold", body: str = "", key: str = "", host: str = "test", path: str = "") -> bytes:
    """The bytes of one POST."""
    key_line = f"Idempotency-Key: {key}\r\n" if key else ""
    type_line = "Content-Type: application/json\r\n" if body else ""
    return (f"POST {path or f'/v1/hunts/{hunt}/hunters/{hunter}'} HTTP/1.1\r\nHost: {host}\r\n{key_line}{type_line}"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode()


def hunter_of_core(stack, core: int) -> str:
    return next(name for name in (f"on-{core}-{number}" for number in range(100)) if core_of(stack, name) == core)


def xxh3(data: bytes) -> int:
    """XXH3-64 with seed 0; libxxhash0 is a dependency of apt."""
    library = ctypes.CDLL("libxxhash.so.0")
    library.XXH3_64bits.restype = ctypes.c_uint64
    library.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return library.XXH3_64bits(data, len(data))


class Nginx(Server):
    """nginx in front of huntd with one configuration of `http`; {listen} and {huntd} are filled in."""
    name = "nginx"

    def __init__(self, directory, http_config: str, huntd: str):
        super().__init__(directory)
        self.port = reserve_port()
        self.ports = [self.port]
        self.http_config = http_config.replace("{listen}", self.port.address).replace("{huntd}", huntd)

    def prepare(self) -> None:
        temporary = "".join(f"{kind}_temp_path {self.directory}/{kind};" for kind in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.directory / "nginx.conf").write_text(
            f"daemon off; master_process off; pid {self.directory}/nginx.pid; error_log stderr;\n"
            f"events {{}}\nhttp {{ access_log off; {temporary}\n{self.http_config}\n}}\n")

    def command(self) -> list[str]:
        return [find_program("nginx"), "-e", "stderr", "-p", str(self.directory), "-c", str(self.directory / "nginx.conf")]

    def ready(self) -> bool:
        try:
            socket.create_connection(_split(self.port.address), timeout=1).close()
            return True
        except OSError:
            return False


@pytest.fixture
def nginx(tmp_path):
    try:
        find_program("nginx")
    except FileNotFoundError:
        pytest.skip("nginx is not installed (./dev bench installs it)")
    servers = []

    def start(http_config: str, huntd: str) -> str:
        servers.append(Nginx(tmp_path / f"nginx{len(servers)}", http_config, huntd).start())
        return servers[-1].port.address

    yield start
    for server in servers:
        server.kill()


# --- what generic retry rules do --------------------------------------------------------------------------------------

# What curl --retry, urllib3 (its usual status_forcelist, and Retry-After), go-retryablehttp, nginx proxy_next_upstream,
# HAProxy retry-on, Envoy retry_on (5xx, retriable-4xx), OkHttp and Polly may send again.
RETRIED_BY_TOOLS = {401, 403, 404, 408, 409, 413, 421, 425, 429, *range(500, 600)}
PAUSE_MS = 60_000


class CommitsHeld:
    """Redis holds back every write from here to the end of the `with`, then does them all."""

    def __init__(self, stack):
        self.stack = stack

    def __enter__(self):
        self.stack.redis.call("CLIENT", "PAUSE", PAUSE_MS, "WRITE")
        return self

    def release(self):
        self.stack.redis.call("CLIENT", "UNPAUSE")

    def __exit__(self, *_):
        if self.stack.redis.running:
            self.release()


# No commit is answered within it; far less than the 5 s after which the link reconnects, and time for a worker on a busy machine.
HURRIED = {"http.request_deadline_ms": 2000, "worker.deadline_ms": 1200, "worker.queue_deadline_ms": 700}


PAIR = "/v1/hunts/pair/hunters/"  # asks Redis nothing before its commit, so each retry sends one


def settled_swords(stack, hunter: str) -> int:
    """What the hunter holds once everything sent before has been executed: the link of a core keeps the order."""
    for number in range(4):  # both cores' links
        wait_until(lambda number=number: run_hunt(stack.http, "gold", f"fence-{number}").status == 200, 40, "hunts to be run again")
    return held(stack.http, "pair", hunter).get("sword", 0)


def test_an_unknown_outcome_without_a_key_has_a_status_that_no_tool_retries(own_stack):
    stack = own_stack(settings=HURRIED).start()
    with CommitsHeld(stack):
        response = run_hunt(stack.http, "pair", "ann")
    assert response.problem == "outcome-unknown"
    assert response.status not in RETRIED_BY_TOOLS
    assert 400 <= response.status < 500, "2xx and 3xx would be taken for a success"
    assert "retry-after" not in response.headers


def test_curl_retry_without_a_key_awards_once(own_stack, tmp_path):
    stack = own_stack(settings=HURRIED).start()
    with CommitsHeld(stack):
        subprocess.run(["curl", "-s", "-o", str(tmp_path / "response"), "--retry", "2", "--retry-delay", "1", "-X", "POST",
                        f"http://{stack.http}{PAIR}ann"], check=True, timeout=60)
    assert settled_swords(stack, "ann") == 1


def test_a_urllib3_session_that_retries_without_a_key_awards_once(own_stack):
    urllib3 = pytest.importorskip("urllib3" if _has("urllib3") else "pip._vendor.urllib3")
    stack = own_stack(settings=HURRIED).start()
    retry = urllib3.util.retry.Retry(total=2, status_forcelist=[408, 429, 500, 502, 503, 504], backoff_factor=0.1,
                                     raise_on_status=False, **{_methods_word(urllib3): None})
    with CommitsHeld(stack):
        urllib3.PoolManager(retries=retry).request("POST", f"http://{stack.http}{PAIR}ann")
    assert settled_swords(stack, "ann") == 1


def _has(module: str) -> bool:
    import importlib.util
    return importlib.util.find_spec(module) is not None


def _methods_word(urllib3) -> str:
    return "allowed_methods" if hasattr(urllib3.util.retry.Retry, "DEFAULT_ALLOWED_METHODS") else "method_whitelist"


def test_nginx_that_tries_the_next_upstream_without_a_key_awards_once(own_stack, nginx):
    stack = own_stack(settings=HURRIED).start()
    front = nginx("""
        upstream game { server {huntd}; server {huntd}; server {huntd}; }
        server { listen {listen}; location / { proxy_pass http://game;
          proxy_next_upstream error http_500 http_502 http_503 http_504 http_403 http_404 http_429 non_idempotent; } }""", stack.http)
    with CommitsHeld(stack):
        call(front, "POST", PAIR + "ann")
    assert settled_swords(stack, "ann") == 1


def test_a_forwarded_request_whose_core_hangs_has_a_status_that_no_tool_retries(own_stack):
    """Only the owner core knows the outcome; the core that the client is connected to must still say it well."""
    stack = own_stack(settings=HURRIED).start()
    near, far = hunter_of_core(stack, 0), hunter_of_core(stack, 1)
    pid = stack.core_pids()[1]
    with RawConnection(stack.http) as connection:
        connection.send(post(near))
        assert connection.answer().status == 200
        os.kill(pid, signal.SIGSTOP)
        try:
            connection.send(post(far))
            response = connection.answer()
        finally:
            os.kill(pid, signal.SIGCONT)
    assert response.problem == "outcome-unknown"
    assert response.status not in RETRIED_BY_TOOLS and "retry-after" not in response.headers
    assert len(response.json["request_id"]) == 32


def test_an_unknown_outcome_names_a_key_whose_retry_awards_nothing_more(own_stack):
    stack = own_stack(settings=HURRIED).start()
    with CommitsHeld(stack):
        unknown = run_hunt(stack.http, "pair", "ann")
    assert unknown.problem == "outcome-unknown"
    request_id = unknown.json.get("request_id")
    assert request_id and request_id in unknown.json["detail"]
    assert settled_swords(stack, "ann") == 1
    again = run_hunt(stack.http, "pair", "ann", key=request_id)
    assert again.status == 200 and again.json["replayed"] is True
    assert again.json["request_id"] == request_id
    assert held(stack.http, "pair", "ann") == {"shield": 1, "sword": 1}


def test_the_request_id_of_a_commit_that_never_ran_awards_once_as_a_key(own_stack):
    stack = own_stack(settings=HURRIED).start()
    with CommitsHeld(stack):
        unknown = run_hunt(stack.http, "pair", "ann")
        stack.redis.kill()  # with the write that it held back
    stack_redis_start(stack)
    request_id = unknown.json.get("request_id")
    assert request_id, "the problem names a key"
    for replayed in (False, True):
        again = run_hunt(stack.http, "pair", "ann", key=request_id)
        assert (again.status, again.json["replayed"]) == (200, replayed)
    assert held(stack.http, "pair", "ann") == {"shield": 1, "sword": 1}


def stack_redis_start(stack) -> None:
    stack.redis.start()
    fences = [hunter_of_core(stack, core) for core in range(len(stack.core_pids()))]  # each core has a link of its own
    wait_until(lambda: all(run_hunt(stack.http, "gold", fence).status == 200 for fence in fences), 40,
               "every core to find Redis again")


def test_with_a_key_an_unknown_outcome_may_be_retried_by_anyone(own_stack):
    """503 with Retry-After, so that every generic retry rule does the right thing."""
    stack = own_stack(settings=HURRIED).start()
    with CommitsHeld(stack):
        response = run_hunt(stack.http, "pair", "ann", key="k")
        assert (response.status, response.problem) == (503, "outcome-unknown")
        assert int(response.headers["retry-after"]) >= 1
    wait_until(lambda: run_hunt(stack.http, "pair", "ann", key="k").status == 200, 20, "the kept response")
    assert settled_swords(stack, "ann") == 1


# --- equal JSON is the same request -----------------------------------------------------------------------------------

EQUAL = {
    "spaces": ('{"a":1}', '{"a": 1}'),
    "lines and a newline at the end": ('{"a":[1,2]}', '{\n\t"a": [1,\r\n 2]\n}\n'),
    "key order": ('{"a":1,"b":2}', '{"b":2,"a":1}'),
    "key order in depth": ('[{"x":{"a":1,"b":[{"c":1,"d":2}]}}]', '[{"x":{"b":[{"d":2,"c":1}],"a":1}}]'),
    "1.0 and 1": ('{"a":1}', '{"a":1.0}'),
    "exponents": ('[100,0.5]', '[1e2,5E-1]'),
    "minus zero": ('[0]', '[-0.0]'),
    "one number by more digits": ('[0.1]', '[0.10000000000000000555]'),
    "an escape": ('{"a":"\u00e9/A"}', '{"\\u0061":"\\u00e9\\/\\u0041"}'),
    "a surrogate pair": ('["\U0001f48e"]', '["\\ud83d\\udc8e"]'),
    "a key twice: the last counts": ('{"a":2}', '{"a":1,"a":2}'),
}
DIFFERENT = {
    "no body and an empty object": ("", "{}"),
    "no body and null": ("", "null"),
    "an empty list and an empty object": ("[]", "{}"),
    "a number and its text": ("[1]", '["1"]'),
    "null and nothing": ('{"a":null}', "{}"),
    "order of a list": ("[1,2]", "[2,1]"),
    "false and null": ("[false]", "[null]"),
    "composed and decomposed letters": ('["\u00e9"]', '["e\u0301"]'),
    "neighbouring numbers": ("[0.1]", "[0.10000000000000002]"),
    "nesting": ("[[1],2]", "[[1,2]]"),
    "a name moved into a value": ('{"a":"b","c":"d"}', '{"a":"d","c":"b"}'),
}


def keyed(stack, hunter: str, body: str):
    return call(stack.http, "POST", HUNT + hunter, body.encode() or None,
                {"Idempotency-Key": "k", **({"Content-Type": "application/json"} if body else {})})


@pytest.mark.parametrize("kind", EQUAL)
def test_a_key_with_equal_json_is_the_same_request(stack, kind):
    hunter = f"equal-{list(EQUAL).index(kind)}"
    for place, body in enumerate([*EQUAL[kind], EQUAL[kind][0]]):
        response = keyed(stack, hunter, body)
        assert (response.status, response.json.get("replayed")) == (200, place > 0), response
    assert held(stack.http, "gold", hunter) == {"gold": 1}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_a_key_with_different_json_is_another_request(stack, kind):
    hunter = f"different-{list(DIFFERENT).index(kind)}"
    first, second = DIFFERENT[kind]
    assert keyed(stack, hunter, first).status == 200
    response = keyed(stack, hunter, second)
    assert (response.status, response.problem) == (409, "key-reused")
    assert held(stack.http, "gold", hunter) == {"gold": 1}


def test_a_kept_rejection_is_replayed_for_equal_json(stack):
    for body in ('{"a":1,"b":2}', '{"b":2.0, "a":1}'):
        response = call(stack.http, "POST", "/v1/hunts/reject/hunters/equal", body,
                        {"Idempotency-Key": "k", "Content-Type": "application/json"})
        assert (response.status, response.problem) == (422, "rejected"), response


def test_a_response_that_an_older_huntd_stored_is_still_found(stack):
    """Its hash is of the body's bytes; an upgrade must not turn a retry into key-reused."""
    body = '{"b": 2, "a": 1.0}'
    assert keyed(stack, "upgraded", body).status == 200
    with stack.redis.client() as redis:
        [done] = redis.call("KEYS", "done:*:upgraded:gold:k")
        version, _, rest = redis.call("GET", done).split(" ", 2)
        assert version == "v2"
        redis.call("SET", done, f"v1 {xxh3(body.encode()):016x} {rest}")
    response = keyed(stack, "upgraded", body)
    assert (response.status, response.json["replayed"]) == (200, True)
    assert keyed(stack, "upgraded", '{"a": 2}').problem == "key-reused"


# --- ids that are path segments of their own --------------------------------------------------------------------------

@pytest.mark.parametrize("path", ["/v1/hunts/gold/hunters/..", "/v1/hunts/gold/hunters/.", "/v1/hunts/../hunters/ann",
                                  "/v1/hunts/./hunters/ann", "/v1/hunts/../hunters/..", "/v1/hunts/gold/hunters/..?x=1"])
@pytest.mark.parametrize("method", ["POST", "GET", "HEAD"])
def test_an_id_that_proxies_resolve_away_is_400(stack, method, path):
    with RawConnection(stack.http) as connection:
        connection.send(f"{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
        response = connection.answer(to_head=method == "HEAD")
    assert response.status == 400, (response.status, response.body)
    if method != "HEAD":
        assert response.problem == "malformed-request"


def test_an_id_of_dots_in_an_absolute_target_is_400(stack):
    with RawConnection(stack.http) as connection:
        connection.send(post("", path=f"http://{stack.http}/v1/hunts/gold/hunters/..", host=stack.http))
        assert connection.answer().status == 400


def test_an_id_of_dots_gets_no_token(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("a-signing-key-of-enough-letters\n")
    keys.chmod(0o600)
    for hunter in ("..", "."):
        made = subprocess.run([str(build_folder() / "huntctl"), "token", "--keys-file", str(keys), "--hunter", hunter,
                               "--expires-in", "1h"], capture_output=True, text=True)
        assert made.returncode != 0, hunter


@pytest.mark.parametrize("hunter", ["...", "..a", "a..", ".a", "-", "_", "a.b"])
def test_other_ids_with_dots_are_taken(stack, hunter):
    with RawConnection(stack.http) as connection:
        connection.send(post(hunter, hunt="echo"))
        response = connection.answer()
    assert response.status == 200 and response.json["result"]["hunter"] == hunter


def test_a_guarded_location_of_nginx_guards_every_hunt(stack, nginx):
    front = nginx("""
        server { listen {listen};
          location ~ ^/v1/hunts/[^/]+/hunters/ { return 403; }
          location / { proxy_pass http://{huntd}; } }""", stack.http)
    with RawConnection(front) as connection:
        connection.send(post(".."))  # nginx resolves the path, finds the open location, and passes the path on as it came
        response = connection.answer()
    assert response.status in (400, 403), (response.status, response.body)


# --- no cache keeps anything ------------------------------------------------------------------------------------------

CACHED = [
    ("GET", "/v1/hunts/gold/hunters/ann", None, {}, 200),
    ("HEAD", "/v1/hunts/gold/hunters/ann", None, {}, 200),
    ("POST", "/v1/hunts/gold/hunters/ann", None, {}, 200),
    ("GET", "/v1/core-map", None, {}, 200),
    ("GET", "/nowhere", None, {}, 404),
    ("POST", "/v1/hunts/atlantis/hunters/ann", None, {}, 404),
    ("DELETE", "/v1/core-map", None, {}, 405),
    ("GET", "/v1/hunts/gold/hunters/a:b", None, {}, 400),
    ("POST", "/v1/hunts/gold/hunters/ann", "{", {}, 400),
    ("POST", "/v1/hunts/reject/hunters/ann", None, {}, 422),
    ("POST", "/v1/hunts/broken/hunters/ann", None, {}, 500),
    ("POST", "/v1/hunts/gold/hunters/ann", "x" * 16385, {}, 413),
    ("GET", "/v1/core-map", None, {"Expect": "miracles"}, 417),
    ("FROBNICATE", "/v1/core-map", None, {}, 501),
    ("POST", "/topics/loot_events", "{}", {"Content-Type": "application/vnd.kafka.json.v2+json"}, None),
    ("GET", "/topics/loot_events", None, {}, 405),
]


@pytest.mark.parametrize("method, path, body, headers, status", CACHED,
                         ids=[f"{method} {path} {status}" for method, path, _, _, status in CACHED])
def test_no_cache_keeps_a_response(stack, method, path, body, headers, status):
    response = call(stack.http, method, path, body, headers)
    assert status in (None, response.status)
    assert response.headers.get("cache-control") == "no-store"


def test_no_cache_keeps_a_response_to_bytes_that_are_no_request(stack):
    with RawConnection(stack.http) as connection:
        connection.send("GET / HTTP/1.1\r\nHost : x\r\n\r\n")
        response = connection.answer()
    assert (response.status, response.headers.get("cache-control")) == (400, "no-store")


def test_no_cache_keeps_a_timeout(own_stack):
    stack = own_stack(settings={"http.read_deadline_ms": 200}).start()
    with RawConnection(stack.http) as connection:
        connection.send("GET /v1/core-map HTTP/1.1\r\n")
        response = connection.answer()
    assert (response.status, response.headers.get("cache-control")) == (408, "no-store")


def test_no_cache_keeps_a_503_or_a_401(own_stack, tmp_path):
    stack = own_stack().start()
    stack.redis.kill()
    response = call(stack.http, "GET", HUNT + "ann")
    assert (response.status, response.headers.get("cache-control")) == (503, "no-store")
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-more-than-enough-letters\n")
    tokens.chmod(0o600)
    guarded = own_stack(settings={"auth.mode": "bearer", "auth.tokens_file": str(tokens)}).start()
    response = call(guarded.http, "GET", HUNT + "ann")
    assert (response.status, response.headers.get("cache-control")) == (401, "no-store")
    response = call(guarded.http, "GET", HUNT + "ann", headers={"Authorization": "Bearer a-token-of-more-than-enough-letters"})
    assert (response.status, response.headers.get("cache-control")) == (200, "no-store")


def test_no_cache_keeps_too_many_connections(own_stack):
    stack = own_stack(cores=1, settings={"http.connections_per_address_max": 1}).start()
    with RawConnection(stack.http) as first:
        first.send(post("ann"))
        assert first.answer().status == 200
        with RawConnection(stack.http) as second:
            response = second.answer()
    assert (response.status, response.headers.get("cache-control")) == (503, "no-store")


def test_nginx_with_a_cache_serves_what_a_hunter_holds_now(stack, nginx):
    front = nginx("""
        proxy_cache_path cache keys_zone=all:1m;
        server { listen {listen}; location / { proxy_pass http://{huntd}; proxy_cache all; proxy_cache_valid any 1h; } }""", stack.http)
    for count in (1, 2, 3):
        assert call(front, "POST", HUNT + "cached").status == 200
        assert held(front, "gold", "cached") == {"gold": count}


# --- how long a connection may idle -----------------------------------------------------------------------------------

def keep_alive_s(response) -> int:
    assert response.headers.get("keep-alive", "").startswith("timeout="), response.headers
    return int(response.headers["keep-alive"].removeprefix("timeout="))


@pytest.mark.parametrize("path, method", [("/v1/core-map", "GET"), (HUNT + "ann", "GET"), (HUNT + "ann", "POST"),
                                          ("/nowhere", "GET"), ("/v1/core-map", "DELETE"), ("/topics/x", "POST")])
def test_a_response_says_how_long_the_connection_may_idle(stack, path, method):
    with RawConnection(stack.http) as connection:
        for _ in range(2):
            connection.send(f"{method} {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n")
            response = connection.answer()
            assert 5 <= keep_alive_s(response) < 75, "some seconds below http.idle_deadline_ms"
            assert response.headers["connection"].lower() == "keep-alive", "it is of this hop (RFC 9110 section 7.6.1)"


@pytest.mark.parametrize("idle_s", [3, 10, 120])
def test_the_keep_alive_timeout_is_below_the_idle_deadline(own_stack, idle_s):
    stack = own_stack(cores=1, settings={"http.idle_deadline_ms": idle_s * 1000}).start()
    with RawConnection(stack.http) as connection:
        connection.send(post("ann"))
        assert 1 <= keep_alive_s(connection.answer()) < idle_s


def test_an_idle_deadline_of_a_second_or_less_promises_nothing(own_stack):
    stack = own_stack(cores=1, settings={"http.idle_deadline_ms": 1000}).start()
    with RawConnection(stack.http) as connection:
        connection.send(post("ann"))
        assert "keep-alive" not in connection.answer().headers


def test_http_1_0_gets_the_timeout_too_and_a_closing_response_does_not(stack):
    with RawConnection(stack.http) as connection:
        connection.send("GET /v1/core-map HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        with_1_0 = head_of(connection)
        assert "keep-alive" in with_1_0 and with_1_0["connection"].lower() == "keep-alive"
    with RawConnection(stack.http) as connection:
        connection.send("GET /v1/core-map HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        closing = head_of(connection)
        assert "keep-alive" not in closing and closing["connection"] == "close"


def head_of(connection) -> dict[str, str]:
    return connection.answer().headers
