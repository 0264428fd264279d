# SPDX-License-Identifier: Apache-2.0
"""huntctl as scripts use it: with --json one object on standard output in each case, the exit codes of huntctl(1), and
--timeout. The commands are those of `huntctl --help`: a new one fails here until COMMANDS has its words."""
import concurrent.futures
import contextlib
import functools
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

from aggregator_pipeline import huntctl_program
from client import run_hunt
from harness.huntd_stack import http_get, write_config
from harness.ports import reserve_port
from harness.postgres_server import OtherSession
from harness.process import wait_until

pytestmark = pytest.mark.kafka
STATE = tempfile.TemporaryDirectory()  # the bundles that huntd keeps
STACK = {"aggregator": True, "kafka": True, "settings": {"hunts.state_dir": STATE.name}}
HUNTS = pathlib.Path(__file__).resolve().parent / "hunts"
OK, NO, USAGE, UNREACHABLE, REJECTED = range(5)
# With --timeout 1 or 3. A command that ignores it would take the 30 s of an HTTP response, or wait for ever.
SOON_S = 25
AT_ONCE = 6  # commands that wait for a peer at the same time
EDITOR = tempfile.TemporaryDirectory()  # the one folder that `editor` writes to
# The words after each command's name, with which it succeeds.
COMMANDS = {
    "latency": [], "status": [], "top": ["--count", "1"], "reload": [], "health": [], "drain": [], "undrain": [], "core-map": [],
    "held": ["gold", "ann"], "lag": [], "supplies": [], "reconcile": ["--wait", "60"],
    "token": ["--hunter", "ann", "--expires-in", "1h"], "forget": ["nobody", "--yes", "--wait", "0"], "restore": ["--yes"],
    "dead list": [], "dead retry": ["--all"], "try": [HUNTS / "gold.lua", "ann", "--key", "k-1"],  # reads Redis for the key
    "simulate": [HUNTS / "gold.lua", "--hunters", "10", "--hunts", "2"], "check": [HUNTS / "gold.lua"],
    "test": [HUNTS.parents[2] / "lua"], "new": [], "editor": [EDITOR.name],
    "hunt run": ["gold", "ann"], "hunt close": ["never-played"], "hunt open": ["never-played"], "hunt list": [],
    "hunt purge": ["never-purged", "--yes"],
    "deploy": ["--hunts-dir"], "rollback": [], "bundles": [], "errors": [], "tail": ["gold", "--for", "0.5"],
}
WITHOUT_PEER = {"token", "check", "simulate", "test", "new", "editor"}
# Not twice at the same time.
WRITES = {"editor", "reload", "deploy", "rollback", "drain", "undrain", "forget", "restore", "dead retry", "hunt run", "hunt close", "hunt open", "hunt purge"}
OF_POSTGRES = ["hunt list", "hunt purge", "forget", "restore", "reconcile"]
OF_REDIS = ["supplies", "hunt list", "hunt close", "forget", "reconcile", "try"]
OF_KAFKA = ["dead list", "dead retry", "reconcile"]
OF_HTTP = {"status": "--admin", "latency": "--admin", "top": "--admin", "health": "--admin", "drain": "--admin", "deploy": "--admin",
           "rollback": "--admin", "bundles": "--admin", "errors": "--admin", "tail": "--admin", "core-map": "--http",
           "held": "--http", "hunt run": "--http", "lag": "--aggregator"}  # with the option for the address


def huntctl(*words, **how) -> subprocess.CompletedProcess:
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **how}
    return subprocess.run([huntctl_program(), *map(str, words)], text=True, timeout=120, **how)


def words_of(command: str) -> list[str]:
    return [*command.split(), *map(str, COMMANDS[command])]


def impatient_words_of(command: str) -> list[str]:
    """For a peer that does not answer: --wait is shorter."""
    return [word if word != "60" else "1" for word in words_of(command)]


def at_once(calls: list, limit: int = AT_ONCE) -> list:
    """The results of the functions, called at the same time: most of them only wait."""
    with concurrent.futures.ThreadPoolExecutor(limit) as pool:
        return [running.result() for running in [pool.submit(call) for call in calls]]


def for_each(commands, check) -> None:
    """Calls check(command) for each, and shows every failure."""
    def failure_of(command):
        try:
            check(command)
        except Exception as error:  # also of pytest's assertions
            return f"{command}: {error}"
        return None

    failures = [failure for failure in at_once([functools.partial(failure_of, command) for command in commands]) if failure]
    assert not failures, "\n".join(failures)


def commands_in_help(*path: str) -> list[str]:
    """Every command that can be run, as `huntctl --help` and the help of its groups list them."""
    shown = huntctl(*path, "--help").stdout
    _, found, listed = shown.partition("Subcommands:\n")
    if not found:
        return [" ".join(path)]
    names = re.findall(r"^  ([a-z][a-z-]*)\b", listed, re.MULTILINE)
    assert names, shown
    return [command for name in names for command in commands_in_help(*path, name)]


def the_object(done: subprocess.CompletedProcess) -> dict:
    """The one JSON object on standard output, with the rules that hold for each."""
    shown, end = json.JSONDecoder().raw_decode(done.stdout)
    assert isinstance(shown, dict) and done.stdout[end:] == "\n", done.stdout
    assert shown.get("exit_code", OK) == done.returncode, done
    if done.returncode == OK:
        assert "error" not in shown, shown
    else:
        assert shown["error"] and done.stderr, done
    return shown


def object_of(*words, code: int) -> dict:
    done = huntctl(*words)
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return the_object(done)


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text("k" * 40 + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def played(stack, keys_file):
    """The stack, with a config of huntctl in which every command succeeds. huntd has a config of its own, without auth."""
    stack.config = stack.directory / "huntctl.toml"
    stack.set(auth__mode="hunter", auth__hunter_keys_file=str(keys_file))
    assert run_hunt(stack.http, "gold", "ann").status == 200
    for number in range(6):  # more than the commands that roll back
        folder = shutil.copytree(HUNTS, stack.directory / f"deployed-{number}")
        (folder / "gold.lua").write_text((HUNTS / "gold.lua").read_text() + f"-- {number}\n")
        assert huntctl("-c", stack.config, "deploy", folder).returncode == OK
    assert huntctl("-c", stack.config, "hunt", "close", "never-purged").returncode == OK
    wait_until(lambda: huntctl("-c", stack.config, "lag").returncode == OK, 90, "the table to be up to date", 0.2)
    return stack


def peers_config(path: pathlib.Path, addresses: list[str], keys_file, **instead) -> pathlib.Path:
    http, admin, aggregator, redis, postgres, kafka = addresses
    host, port = postgres.split(":")
    settings = {"http.listen": http, "admin.listen": admin, "aggregator.listen": aggregator, "redis.address": redis,
                "aggregator.postgres": f"host={host} port={port} user=nobody dbname=none", "kafka.bootstrap": kafka,
                "auth.mode": "hunter", "auth.hunter_keys_file": str(keys_file)}
    write_config(path, {**settings, **{key.replace("__", "."): value for key, value in instead.items()}})
    return path


@pytest.fixture
def unused_config(tmp_path, keys_file):
    """Nothing listens at any address."""
    ports = [reserve_port() for _ in range(6)]
    yield peers_config(tmp_path / "unused.toml", [port.address for port in ports], keys_file)
    for port in ports:
        port.release()


@contextlib.contextmanager
def silent_addresses(count: int):
    """Addresses that the kernel accepts connections for, and that nobody serves."""
    with contextlib.ExitStack() as sockets:
        made = []
        for _ in range(count):
            listener = sockets.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(100)
            made.append(f"127.0.0.1:{listener.getsockname()[1]}")
        yield made


def ends_soon(config, *words, timeout_s: int, code: int = UNREACHABLE) -> dict:
    started_s = time.monotonic()
    done = huntctl("-c", config, "--json", "--timeout", timeout_s, *words)
    took_s = time.monotonic() - started_s
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    assert took_s < SOON_S, (words, took_s)
    return the_object(done)


def blames(pattern: str, config, command: str) -> None:
    """The command ends, and its error names the peer. The others respond: they have more time than on an idle machine."""
    shown = ends_soon(config, *impatient_words_of(command), timeout_s=3)
    assert re.search(pattern, shown["error"], re.IGNORECASE), shown


def test_every_command_of_the_help_is_tried_here():
    assert sorted(commands_in_help()) == sorted(COMMANDS)


def test_every_command_has_json_and_timeout_in_its_help():
    for command in COMMANDS:
        shown = huntctl(*command.split(), "--help").stdout
        assert "--json" in shown and "--timeout" in shown, command


@pytest.mark.parametrize("command", COMMANDS)
def test_with_json_a_command_that_succeeds_prints_one_object(played, command):
    words = words_of(command)
    shown, before = at_once([lambda: object_of("-c", played.config, *words, "--json", code=OK),
                             lambda: object_of("-c", played.config, "--json", *words, code=OK)], 1 if command in WRITES else 2)
    assert shown and "output" not in shown, shown  # an object of the command's own
    assert shown.keys() == before.keys()


def test_with_json_an_unreachable_peer_is_an_object_and_exit_3(unused_config):
    def check(command):
        code = OK if command in WITHOUT_PEER else UNREACHABLE
        object_of("-c", unused_config, *words_of(command), "--json", "--timeout", "5", code=code)

    for_each(COMMANDS, check)


def test_a_peer_that_never_answers_is_exit_3_within_the_timeout(tmp_path, keys_file):
    with silent_addresses(6) as addresses:
        config = peers_config(tmp_path / "silent.toml", addresses, keys_file)

        def check(command):
            code = OK if command in WITHOUT_PEER else UNREACHABLE
            ends_soon(config, *impatient_words_of(command), timeout_s=1, code=code)

        for_each(COMMANDS, check)


def test_a_silent_postgresql_beside_a_redis_is_exit_3_within_the_timeout(played, tmp_path, keys_file):
    with silent_addresses(6) as addresses:
        config = peers_config(tmp_path / "silent.toml", addresses, keys_file, redis__address=played.redis.address)
        for_each(OF_POSTGRES, lambda command: blames("postgres", config, command))


def test_a_silent_kafka_beside_the_other_stores_is_exit_3_within_the_timeout(played, tmp_path):
    with silent_addresses(1) as [kafka]:
        config = tmp_path / "silent.toml"
        write_config(config, {**played.settings, "kafka.bootstrap": kafka})
        for_each(OF_KAFKA, lambda command: blames("kafka", config, command))


def test_a_stopped_redis_is_exit_3_within_the_timeout(played):
    os.kill(played.redis.pid, signal.SIGSTOP)
    try:
        for_each(OF_REDIS, lambda command: blames("redis", played.config, command))
    finally:
        os.kill(played.redis.pid, signal.SIGCONT)


def test_a_statement_that_postgresql_does_not_answer_ends_after_the_timeout(played):
    """A lock that another session holds: the server answers the log-in, and not the statement."""
    locked = ("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted "
              "AND relation IN ('hunt_session'::regclass, 'hunt_floor'::regclass)")
    other = OtherSession(played.postgres.uri)
    try:
        other.do("BEGIN; LOCK TABLE hunt_session, hunt_floor IN ACCESS EXCLUSIVE MODE")
        wait_until(lambda: played.postgres.sql(locked) == [["2"]], 60, "the lock", 0.1)
        for_each(("hunt list", "restore", "hunt purge"), lambda command: blames("postgres", played.config, command))
    finally:
        other.kill()


@contextlib.contextmanager
def served(answer: bytes, then: bytes = b""):
    """The address of a server that sends `answer` to each connection; then with `then`, again and again."""
    ended = threading.Event()

    def serve(connection):
        with contextlib.suppress(OSError), connection:
            connection.recv(65536)
            connection.sendall(answer)
            while then and not ended.wait(0.1):
                connection.sendall(then)

    def accept(listener):
        with contextlib.suppress(OSError):
            while not ended.is_set():
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)  # ends accept()


def test_a_huntd_that_answers_a_byte_at_a_time_is_exit_3_within_the_timeout():
    """The read timeout of a client never expires."""
    with served(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" ") as address:
        started_s = time.monotonic()
        shown = object_of("status", "--admin", address, "--json", "--timeout", "1", code=UNREACHABLE)
        assert time.monotonic() - started_s < SOON_S
        assert address in shown["error"] and "1 s" in shown["error"]


def test_a_redis_that_answers_a_byte_at_a_time_is_exit_3_within_the_timeout(played, tmp_path):
    """Also of the commands with --wait, whose whole time --timeout does not bound."""
    config = tmp_path / "slow.toml"
    with served(b"$1000000\r\n", b"x") as address:
        write_config(config, {**played.settings, "redis.address": address})
        for_each([*OF_REDIS, "hunt open", "hunt purge", "restore"], lambda command: blames("redis", config, command))


def http_response(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def test_a_server_that_is_not_huntd_is_no_success():
    for body in (b"{}", b"[]", b"<html>", b"{", b'{"cores": []}', b"ok"):
        with served(http_response("200 OK", body)) as address:
            def check(command, at=address):
                assert object_of(*words_of(command), OF_HTTP[command], at, "--json", code=NO)["exit_code"] == NO

            for_each(OF_HTTP, check)


def test_a_response_that_lacks_a_member_is_not_huntds(played):
    """Each member of what huntd sends is needed; the whole, from the same server, is a success."""
    for command in ("held", "hunt run", "core-map", "latency"):
        whole = object_of("-c", played.config, *words_of(command), "--json", code=OK)
        whole.pop("bundle", None)  # a header

        def of_body(body, command=command, code=NO):
            with served(http_response("200 OK", json.dumps(body).encode())) as address:
                return object_of(*words_of(command), OF_HTTP[command], address, "--json", code=code)

        assert of_body(whole, code=OK) == whole
        for lacking in whole:
            error = of_body({name: value for name, value in whole.items() if name != lacking})["error"]
            assert "not huntd" in error, (command, lacking, error)
        for name in ("hunt_id", "hunter_id"):
            if name in whole:
                assert "somebody" in of_body({**whole, name: "somebody"})["error"], command


def test_an_error_of_another_server_is_not_a_problem_of_huntd():
    for status, body in (("404 Not Found", b"<html>"), ("502 Bad Gateway", b"{}"), ("422 Unprocessable", b'{"error": "no"}'),
                         ("422 Unprocessable", b'{"type": "about:blank", "title": "Unprocessable"}')):
        with served(http_response(status, body)) as address:
            for command in ("held", "hunt run"):
                shown = object_of(*words_of(command), "--http", address, "--json", code=NO)
                assert shown["status"] == int(status[:3]), shown
                assert "title" in body.decode() or "is it huntd's public port" in shown["error"], shown


def test_an_admin_port_that_is_not_well_and_gives_no_reason_is_exit_1(played):
    status = object_of("-c", played.config, "status", "--json", code=OK)
    for health in ({"healthy": False, "ready": False}, {"healthy": True, "ready": False}):
        body = json.dumps({**status, **health, "reasons": []}).encode()
        with served(http_response("200 OK", body)) as address:
            assert "without a reason" in object_of("status", "--admin", address, "--json", code=NO)["error"]


def test_lag_of_an_aggregator_that_is_not_well_and_gives_no_reason_is_exit_1(played):
    _, metrics = http_get(played.aggregator_address, "/metrics")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = metrics.encode() if self.path == "/metrics" else b""
            self.wfile.write(http_response("200 OK" if body else "503 Service Unavailable", body))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shown = object_of("lag", "--aggregator", f"127.0.0.1:{server.server_port}", "--json", code=NO)
        server.shutdown()
    assert "/healthz responds with status 503" in shown["error"]


def test_a_wait_is_not_cut_by_the_timeout(played):
    """--timeout is for one reply of a peer: the purge waits 10 s and the deadline of requests, of which 30 s are over."""
    with played.redis.client() as redis:
        redis.call("HSET", "hunts", "waited-for", f"closed {'0' * 16} {int(time.time() * 1000) - 30_000}")
        redis.call("SADD", "supplies:{waited-for}", "relic")  # something to purge
    done = huntctl("-c", played.config, "hunt", "purge", "waited-for", "--yes", "--wait", "100", "--timeout", "5", "--json")
    assert done.returncode == OK, (done.stdout, done.stderr)
    assert the_object(done)["purged"] is True


def test_with_json_wrong_usage_is_an_object_and_exit_2(unused_config):
    def check(command):
        for wrong in (["--nonsense"], ["--timeout", "soon"], ["--timeout", "0"], ["--timeout", "nan"], ["--timeout"]):
            object_of("-c", unused_config, *words_of(command), "--json", *wrong, code=USAGE)

    for_each(COMMANDS, check)


def test_wrong_usage_before_a_command_is_known_is_an_object_too(unused_config, tmp_path):
    for words in ([], ["nonsense"], ["--nonsense"], ["hunt"], ["dead"], ["hunt", "a/b", "ann"], ["--timeout", "-1", "status"],
                  ["-c", str(tmp_path / "none.toml"), "status"], ["--token-file", str(tmp_path / "none"), "held", "gold", "ann"],
                  ["status", "--admin", "nonsense"], ["held", "gold", "ann", "--http", "unix:"]):
        assert "error" in object_of("--json", *words, code=USAGE), words
    broken = tmp_path / "broken.toml"
    broken.write_text("[admin\n")
    assert str(broken) in object_of("-c", broken, "--json", "status", code=USAGE)["error"]


def test_help_and_version_with_json_are_one_object():
    assert set(object_of("--json", "--version", code=OK)) == {"output"}
    assert "Exit codes" in object_of("--json", "--help", code=OK)["output"]


def test_a_hunt_into_a_pipe_is_the_response_and_nothing_else(played):
    done = huntctl("-c", played.config, "hunt", "gold", "ann")
    assert done.returncode == OK and done.stderr.startswith("bundle ")
    plain = json.loads(done.stdout)
    assert plain["loot"][0]["loot_id"] == "gold" and "bundle" not in plain
    shown = object_of("-c", played.config, "hunt", "gold", "ann", "--json", code=OK)
    assert re.fullmatch("[0-9a-f]{32}", shown["bundle"])
    assert object_of("-c", played.config, "held", "gold", "ann", "--json", code=OK)["loot"]["gold"] >= 3


def test_a_rejection_by_the_script_is_exit_4_with_the_problem(played):
    done = huntctl("-c", played.config, "hunt", "reject", "ann")
    assert (done.returncode, done.stdout) == (REJECTED, "") and "not today" in done.stderr
    shown = object_of("-c", played.config, "hunt", "reject", "ann", "--json", code=REJECTED)
    assert shown["status"] == 422 and shown["problem"]["detail"] == "not today" and "not today" in shown["error"]
    missing = object_of("-c", played.config, "hunt", "no-such-hunt", "ann", "--json", code=NO)
    assert missing["status"] == 404 and missing["problem"]["status"] == 404


def test_an_unwell_huntd_is_exit_1_with_the_whole_status(own_stack):
    stack = own_stack().start()
    assert object_of("-c", stack.config, "status", "--json", code=OK)["ready"] is True
    stack.redis.kill()
    wait_until(lambda: huntctl("-c", stack.config, "status").returncode == NO, 30, "huntd to be not ready", 0.2)
    shown = object_of("-c", stack.config, "status", "--json", code=NO)
    assert shown["healthy"] is True and shown["ready"] is False and len(shown["cores"]) == 2
    assert shown["reasons"] and all(reason in shown["error"] for reason in shown["reasons"])


def test_what_can_be_read_is_in_the_object_of_a_failure(played, tmp_path, keys_file):
    """Redis answers and PostgreSQL does not: the hunts that Redis knows, beside the error."""
    port = reserve_port()
    config = peers_config(tmp_path / "half.toml", [port.address] * 6, keys_file, redis__address=played.redis.address,
                          http__listen="127.0.0.1:1", admin__listen="127.0.0.1:2", aggregator__listen="127.0.0.1:3")
    shown = object_of("-c", config, "hunt", "list", "--json", code=UNREACHABLE)
    config = peers_config(tmp_path / "empty.toml", [port.address] * 6, keys_file, redis__address=played.redis.address, redis__database=1,
                          http__listen="127.0.0.1:1", admin__listen="127.0.0.1:2", aggregator__listen="127.0.0.1:3")
    assert huntctl("-c", config, "hunt", "list").stdout == "no hunt was closed; which hunts have loot is in PostgreSQL\n"
    port.release()
    hunts = {hunt["hunt_id"]: hunt for hunt in shown["hunts"]}
    assert hunts["never-purged"]["state"] == "closed" and hunts["never-purged"]["hunters"] is None


def test_a_password_that_redis_rejects_is_exit_3(played, tmp_path):
    password = tmp_path / "password"
    password.write_text("wrong\n")
    password.chmod(0o600)
    config = tmp_path / "wrong.toml"
    with played.redis.client() as redis:
        redis.call("CONFIG", "SET", "requirepass", "right")
        try:
            write_config(config, played.settings)
            assert "NOAUTH" in object_of("-c", config, "supplies", "--json", code=UNREACHABLE)["error"]
            write_config(config, {**played.settings, "redis.password_file": str(password)})
            assert "WRONGPASS" in object_of("-c", config, "supplies", "--json", code=UNREACHABLE)["error"]
        finally:
            redis.call("CONFIG", "SET", "requirepass", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_output_that_cannot_be_written_is_exit_1_with_a_sentence(played, command):
    def to_full_device(*json_or_not):
        with open("/dev/full", "w") as full:
            done = huntctl("-c", played.config, *words_of(command), *json_or_not, stdout=full)
        silent = not json_or_not and done.returncode == OK  # a command that has nothing to print
        reported = done.returncode == NO and "cannot write to standard output: No space left" in done.stderr
        assert silent or reported, (command, done)

    def to_closed_output():
        words = ["sh", "-c", 'exec "$0" "$@" >&-', huntctl_program(), "-c", str(played.config), *words_of(command), "--json"]
        closed = subprocess.run(words, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        assert closed.returncode == NO and "cannot write to standard output" in closed.stderr, (command, closed)

    at_once([to_full_device, lambda: to_full_device("--json"), to_closed_output], 1 if command in WRITES else 3)


def test_a_reader_that_has_left_is_no_error(played):
    for words in (["status"], ["latency"], ["latency", "--watch"], ["hunt", "list", "--json"], ["hunt", "gold", "ann"]):
        read_end, write_end = os.pipe()
        os.close(read_end)
        done = huntctl("-c", played.config, *words, stdout=write_end)
        os.close(write_end)
        assert done.returncode == OK and "cannot" not in done.stderr and "Broken" not in done.stderr, (words, done)


def test_a_closed_standard_input_and_error_change_nothing(played):
    words = ["sh", "-c", 'exec "$0" "$@" <&- 2>&-', huntctl_program(), "-c", str(played.config), "hunt", "list", "--json"]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == OK and "hunts" in json.loads(done.stdout)


def test_colours_are_for_terminals_that_want_them(played):
    def shown_in_terminal(**environment) -> bytes:
        ours, theirs = os.openpty()
        inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        running = subprocess.Popen([huntctl_program(), "-c", str(played.config), "latency"], stdout=theirs,
                                   env={**inherited, "TERM": "xterm", **environment})
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # the end of a pseudo-terminal
            while piece := os.read(ours, 65536):
                seen += piece
        os.close(ours)
        assert running.wait(60) == OK
        return seen

    assert b"\x1b[" in shown_in_terminal()
    assert b"\x1b[" not in shown_in_terminal(NO_COLOR="1")
    assert b"\x1b[" not in shown_in_terminal(TERM="dumb")
    assert "\x1b[" not in huntctl("-c", played.config, "latency").stdout


def test_json_excludes_what_is_not_one_object(played):
    object_of("-c", played.config, "latency", "--watch", "--json", code=USAGE)
    object_of("-c", played.config, "latency", "--svg", "/dev/null", "--json", code=USAGE)
