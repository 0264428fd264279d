# SPDX-License-Identifier: Apache-2.0
"""Who may call the public port: tokens, their rotation by SIGHUP, and paths that it does not serve. Two cores."""
import asyncio
import pathlib
import signal
import subprocess
from collections import Counter

import pytest

from client import RawConnection, call
from harness.huntd_stack import build_folder
from harness.process import wait_until
from rest_calls import event, produce

OLD, NEW = "an-old-token-of-enough-letters", "a-new-token-of-enough-letters!"
HUNT = "/v1/hunts/gold/hunters/"


def secrets(path: pathlib.Path, *lines: str) -> pathlib.Path:
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


def huntctl(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([str(build_folder() / "huntctl"), *arguments], capture_output=True, text=True)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def rejected(stack) -> dict[str, float]:
    return {reason: stack.metric(f'huntd_auth_rejected_total{{reason="{reason}"}}')
            for reason in ("no_token", "bad_token", "expired", "forbidden")}


@pytest.fixture
def keys(tmp_path):
    return secrets(tmp_path / "keys", "# made in a test", NEW, OLD)


@pytest.fixture
def hunter_stack(own_stack, keys):
    return own_stack(settings={"auth.mode": "hunter", "auth.hunter_keys_file": str(keys)}).start()


@pytest.fixture
def token_stack(own_stack, tmp_path):
    tokens = secrets(tmp_path / "tokens", OLD)
    stack = own_stack(settings={"auth.mode": "bearer", "auth.tokens_file": str(tokens)}).start()
    stack.tokens = tokens
    return stack


def token(keys: pathlib.Path, hunter: str, expires_in: str = "1h") -> str:
    made = huntctl("token", "--keys-file", str(keys), "--hunter", hunter, "--expires-in", expires_in)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def test_without_a_token_the_response_names_the_scheme(token_stack):
    for method, path in (("POST", HUNT + "eve"), ("GET", HUNT + "eve"), ("GET", "/v1/core-map")):
        answer = call(token_stack.http, method, path)
        assert (answer.status, answer.problem) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == 'Bearer realm="huntd"'
    wrong = call(token_stack.http, "POST", HUNT + "eve", headers=bearer("x" * 30))
    assert wrong.headers["www-authenticate"] == 'Bearer realm="huntd", error="invalid_token"'
    assert rejected(token_stack) == {"no_token": 3, "bad_token": 1, "expired": 0, "forbidden": 0}
    assert call(token_stack.http, "GET", HUNT + "eve", headers=bearer(OLD)).json["loot"] == {}


def test_an_unauthorized_request_keeps_its_connection_open(token_stack):
    with RawConnection(token_stack.http) as raw:
        raw.send(f"POST {HUNT}eve HTTP/1.1\r\nHost: a\r\nContent-Length: 21\r\n\r\n{{\"GET / HTTP/1.1\": 1}}"
                 f"POST {HUNT}eve HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {OLD}\r\n\r\n")
        assert [raw.answer().status for _ in range(2)] == [401, 200]
        raw.send(f"GET {HUNT}eve HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {OLD}\r\nAuthorization: Bearer {OLD}\r\n\r\n")
        assert raw.answer().problem == "malformed-request", "two parsers could choose different ones of two"


def test_a_hunters_token_acts_only_for_that_hunter_on_every_core(hunter_stack, keys):
    # Hunters of both cores, over one connection: the core that reads a request checks it, also if another core serves it.
    hunters = [f"hunter-{n}" for n in range(12)]
    with RawConnection(hunter_stack.http) as raw:
        for hunter in hunters:
            raw.send(f"POST {HUNT}{hunter} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token(keys, hunter)}\r\n\r\n")
            assert raw.answer().json["hunter_id"] == hunter
        others = f"POST {HUNT}{hunters[1]} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token(keys, hunters[0])}\r\n\r\n"
        raw.send(others)
        answer = raw.answer()
        assert (answer.status, answer.problem) == (403, "forbidden")
    assert call(hunter_stack.http, "GET", "/v1/core-map", headers=bearer(token(keys, "eve"))).status == 200
    assert call(hunter_stack.http, "GET", HUNT + hunters[1], headers=bearer(token(keys, hunters[1]))).json["loot"] == {"gold": 1}
    assert rejected(hunter_stack)["forbidden"] == 1


def test_a_hunters_token_expires(hunter_stack, keys):
    short = token(keys, "eve", "1s")
    wait_until(lambda: call(hunter_stack.http, "GET", HUNT + "eve", headers=bearer(short)).status == 401, 20, "its end")
    answer = call(hunter_stack.http, "GET", HUNT + "eve", headers=bearer(short))
    assert answer.json["detail"] == "the token has expired"


def test_the_older_key_still_signs_valid_tokens_and_another_key_does_not(hunter_stack, keys, tmp_path):
    for line, status in ((OLD, 200), (NEW, 200), ("a-key-that-huntd-does-not-have", 401)):
        alone = secrets(tmp_path / "alone", line)
        assert call(hunter_stack.http, "GET", HUNT + "eve", headers=bearer(token(alone, "eve"))).status == status


def test_tokens_are_changed_under_load_and_no_request_fails(token_stack):
    ended = False
    statuses: Counter = Counter()

    async def client(number: int):
        host, port = token_stack.http.rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, int(port))
        while not ended:
            writer.write(f"POST {HUNT}load-{number} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {current}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            statuses[int(head.split()[1])] += 1
        writer.close()

    def statuses_of(token: str) -> set[int]:
        """What each core says to it: a connection has moved to its hunter's core when the token is read."""
        found = set()
        for hunter in (f"h{n}" for n in range(8)):
            with RawConnection(token_stack.http) as raw:
                for each in (current, token):
                    raw.send(f"GET {HUNT}{hunter} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {each}\r\n\r\n")
                    status = raw.answer().status
                found.add(status)
        return found

    async def rotate():
        nonlocal ended, current
        await asyncio.sleep(0)
        secrets(token_stack.tokens, OLD, NEW)  # first both, then clients change, then the old one is removed
        token_stack.huntd.signal(signal.SIGHUP)
        await asyncio.to_thread(wait_until, lambda: statuses_of(NEW) == {200}, 60, "the new token to be good")
        assert await asyncio.to_thread(statuses_of, OLD) == {200}
        current = NEW
        seen = sum(statuses.values())
        await asyncio.to_thread(wait_until, lambda: sum(statuses.values()) > seen + 100, 60, "every client to have changed over")
        secrets(token_stack.tokens, NEW)
        token_stack.huntd.signal(signal.SIGHUP)
        await asyncio.to_thread(wait_until, lambda: statuses_of(OLD) == {401}, 60, "the old token to go")
        ended = True

    async def all_of_it():
        await asyncio.gather(rotate(), *[client(n) for n in range(8)])

    current = OLD
    asyncio.run(all_of_it())
    assert set(statuses) == {200} and statuses[200] > 100
    assert call(token_stack.http, "GET", HUNT + "h1", headers=bearer(OLD)).status == 401


def test_a_bad_secrets_file_at_reload_changes_nothing_and_logs_no_secret(token_stack):
    token_stack.tokens.write_text("short\n")
    token_stack.huntd.signal(signal.SIGHUP)
    wait_until(lambda: "reload failed" in token_stack.huntd.log_text(), 20, "the failed reload")
    assert "24 to 128" in token_stack.huntd.log_text() and "short" not in token_stack.huntd.log_text()
    assert call(token_stack.http, "GET", HUNT + "eve", headers=bearer(OLD)).status == 200


def test_a_restarted_core_has_the_tokens_of_the_last_reload(token_stack):
    secrets(token_stack.tokens, NEW)
    token_stack.huntd.signal(signal.SIGHUP)
    wait_until(lambda: call(token_stack.http, "GET", HUNT + "eve", headers=bearer(NEW)).status == 200, 20, "the reload")
    for pid in token_stack.core_pids():
        subprocess.run(["kill", "-9", str(pid)], check=True)

    def both_serve() -> bool:
        try:
            return all(call(token_stack.http, "POST", f"{HUNT}h{n}", headers=bearer(NEW)).status == 200 for n in range(12))
        except OSError:
            return False
    wait_until(both_serve, 30, "both cores")
    assert call(token_stack.http, "GET", HUNT + "eve", headers=bearer(OLD)).status == 401


def test_a_public_address_without_auth_is_rejected_at_start(own_stack, huntd_program, tmp_path):
    config = tmp_path / "open.toml"
    config.write_text('[http]\nlisten = "0.0.0.0:0"\n')
    for option in ([], ["-t"]):
        ended = subprocess.run([huntd_program, "-c", str(config), *option], capture_output=True, text=True, timeout=20)
        assert ended.returncode == 78
        assert "auth.allow_unauthenticated = true" in ended.stderr


def test_a_reload_that_would_open_a_public_socket_is_rejected(own_stack, tmp_path):
    tokens = secrets(tmp_path / "tokens", OLD)
    stack = own_stack(settings={"auth.mode": "bearer", "auth.tokens_file": str(tokens)})
    port = stack.http.rsplit(":", 1)[1]
    stack.settings["http.listen"] = f"0.0.0.0:{port}"
    stack.start()
    # The file has a loopback address now; the socket is unchanged.
    stack.set(http__listen=f"127.0.0.1:{port}", auth__mode="none", auth__tokens_file="")
    stack.huntd.signal(signal.SIGHUP)
    wait_until(lambda: "reload failed" in stack.huntd.log_text(), 20, "the failed reload")
    assert call(f"127.0.0.1:{port}", "GET", HUNT + "eve").status == 401


def test_huntctl_shows_the_token_of_a_file(token_stack, tmp_path):
    mine = secrets(tmp_path / "mine", OLD)
    assert huntctl("held", "gold", "eve", "--http", token_stack.http).returncode == 1
    assert huntctl("--token-file", str(mine), "held", "gold", "eve", "--http", token_stack.http).returncode == 0
    assert huntctl("hunt", "gold", "eve", "--http", token_stack.http, "--token-file", str(mine)).returncode == 0
    assert "--token-file" in huntctl("core-map", "--http", token_stack.http).stderr
    assert huntctl("core-map", "--http", token_stack.http, "--token-file", str(mine)).returncode == 0
    mine.chmod(0o644)
    assert "chmod" in huntctl("core-map", "--http", token_stack.http, "--token-file", str(mine)).stderr


def test_huntctl_token_rejects_wrong_arguments(keys, tmp_path):
    assert huntctl("token", "--keys-file", str(keys), "--hunter", "a b", "--expires-in", "1h").returncode == 2
    assert huntctl("token", "--keys-file", str(keys), "--hunter", "eve", "--expires-in", "0").returncode == 2
    assert huntctl("token", "--keys-file", str(keys), "--hunter", "eve", "--expires-in", "soon").returncode == 2
    readable = secrets(tmp_path / "readable", NEW)
    readable.chmod(0o644)
    assert "chmod" in huntctl("token", "--keys-file", str(readable), "--hunter", "eve", "--expires-in", "1h").stderr


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/latency.json", "/latency.hlog", "/status.json", "/", "/favicon.ico"])
def test_admin_pages_are_not_on_the_public_port(stack, path):
    for asked in (path, f"http://{stack.admin}{path}", path + "?x"):
        with RawConnection(stack.http) as raw:
            host = stack.admin if asked.startswith("http:") else "a"
            raw.send(f"GET {asked} HTTP/1.1\r\nHost: {host}\r\n\r\n")
            assert raw.answer().problem == "no-such-route"


def test_client_input_cannot_forge_a_log_line(stack):
    # Ids can't contain such bytes; keys, headers, targets and bodies can, and none of them may reach the log unescaped.
    forged = "\n<2>check failed at=forged"
    lines = len(stack.huntd.log_text().splitlines())
    for request in (f"GET /v1/hunts/gold/hunters/{forged} HTTP/1.1\r\nHost: a\r\n\r\n",
                    f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {forged}\r\n\r\n",
                    f"POST {HUNT}eve HTTP/1.1\r\nHost: a\r\nIdempotency-Key: a\x1b[31m\r\n\r\n"):
        with RawConnection(stack.http) as raw:
            raw.send(request)
            assert raw.answer().status == 400
    body = '{"text":"\\n<2>check failed at=forged \\u001b[31m"}'
    for hunt in ("broken", "reject", "echo"):
        call(stack.http, "POST", f"/v1/hunts/{hunt}/hunters/eve", body, {"Content-Type": "application/json"})
    text = stack.huntd.log_text()
    assert not any(line.startswith("<2>") for line in text.splitlines()[lines:])
    assert "\x1b" not in text


def test_a_script_that_logs_its_input_cannot_forge_a_log_line(own_stack, tmp_path):
    hunts = tmp_path / "hunts"
    hunts.mkdir()
    (hunts / "loud.lua").write_text("return function(hunt) hunt.log(hunt.input.text) hunt.reject(hunt.input.text) end\n")
    (hunts / "fails.lua").write_text("return function(hunt) error(hunt.input.text) end\n")
    stack = own_stack(hunts=hunts).start()
    before = len(stack.huntd.log_text().splitlines())
    body = '{"text":"a\\r\\n<2>check failed at=forged\\u001b[31m\\u0000\\u2028\\" hunter=\\"admin"}'
    for hunt in ("loud", "fails"):
        assert call(stack.http, "POST", f"/v1/hunts/{hunt}/hunters/eve", body, {"Content-Type": "application/json"}).status >= 400
    wait_until(lambda: "hunt failed" in stack.huntd.log_text(), 20, "the log")
    text = stack.huntd.log_text()
    for line in text.splitlines()[before:]:
        assert not line.startswith("<2>"), line
        # A quote within a value is escaped, so that a value cannot start another field.
        assert ' hunter="admin' not in line.replace('\\"', ""), line
    assert "\x1b" not in text and "\0" not in text


def test_producing_events_needs_a_bearer_token_not_a_hunters(token_stack, hunter_stack, keys):
    """Neither has a Kafka: an authorized caller gets the error that there is no topic."""
    def rejection(stack, headers):
        answer = produce(stack.http, [{"value": event("eve", 1)}], headers=headers)
        assert answer.headers["content-type"] == "application/vnd.kafka.v2+json"
        return answer.status, answer.json["error_code"], answer.headers.get("www-authenticate")

    assert rejection(token_stack, {}) == (401, 40101, 'Bearer realm="huntd"')
    assert rejection(token_stack, bearer("x" * 30)) == (401, 40101, 'Bearer realm="huntd", error="invalid_token"')
    assert rejection(token_stack, bearer(OLD)) == (404, 40401, None)
    assert rejection(hunter_stack, {}) == (401, 40101, 'Bearer realm="huntd"')
    assert rejection(hunter_stack, bearer(token(keys, "eve"))) == (403, 40301, 'Bearer realm="huntd", error="insufficient_scope"')
    assert rejected(hunter_stack) == {"no_token": 1, "bad_token": 0, "expired": 0, "forbidden": 1}
