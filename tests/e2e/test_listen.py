# SPDX-License-Identifier: Apache-2.0
"""The sockets of the public port and of the ports for operators: several of them, unix sockets, and those that systemd passes."""
import json
import os
import pathlib
import re
import signal
import socket
import stat
import subprocess
import sys
import textwrap

import pytest

from client import RawConnection, call, run_hunt
from harness.huntd_stack import UnixConnection, build_folder, http_get
from harness.ports import reserve_port
from harness.process import wait_until

# Binds what its arguments say and becomes huntd, as systemd does it: tcp:ADDRESS:PORT, unix:PATH or dgram:ADDRESS:PORT, each
# with =NAME. Then "--" and the command.
LAUNCHER = textwrap.dedent("""
    import os, socket, sys
    split = sys.argv.index("--")
    sockets, names = [], []
    for word in sys.argv[1:split]:
        kind, _, rest = word.partition(":")
        where, _, name = rest.rpartition("=")
        if kind == "unix":
            made = socket.socket(socket.AF_UNIX)
            made.bind(where)
        else:
            host, _, port = where.rpartition(":")
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "dgram" else socket.SOCK_STREAM)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((host, int(port)))
        if kind in ("tcp", "unix"):
            made.listen(64)
        sockets.append(made)
        names.append(name)
    high = [os.dup2(each.fileno(), 100 + i) for i, each in enumerate(sockets)]
    for i, fd in enumerate(high):
        os.dup2(fd, 3 + i)
        os.close(fd)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": ":".join(names)}
    os.execv(sys.argv[split + 1], sys.argv[split + 1:])
""")


def hunt_over(path: pathlib.Path, hunter: str) -> int:
    """The status of a hunt."""
    connection = UnixConnection(path)
    try:
        connection.request("POST", f"/v1/hunts/gold/hunters/{hunter}")
        return connection.getresponse().status
    finally:
        connection.close()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


@pytest.fixture
def ports():
    """Two more free ports."""
    made = [reserve_port(), reserve_port()]
    yield [int(port) for port in made]
    for port in made:
        port.release()


@pytest.fixture
def path(tmp_path_factory) -> pathlib.Path:
    """Of a unix socket: short, however long the test's name is."""
    return tmp_path_factory.mktemp("run") / "h.sock"


def run_huntd(stack, program: str) -> subprocess.CompletedProcess:
    return subprocess.run([program, "-c", str(stack.config)], capture_output=True, text=True, timeout=60)


def test_tcp_and_unix_sockets_serve_at_once(own_stack, ports, path):
    stack = own_stack()
    stack.settings["http.listen"] = [stack.http, f"127.0.0.2:{ports[0]}", f"unix:{path}"]
    stack.start()
    for address in (stack.http, f"127.0.0.2:{ports[0]}"):
        assert run_hunt(address, "gold", "ada").status == 200
        assert f"address={address} by=http.listen" in stack.huntd.log_text()
    # Of either core: a connection that moves to its hunter's core stays a unix socket.
    assert [hunt_over(path, f"hunter-{i}") for i in range(20)] == [200] * 20
    assert f"address=unix:{path} by=http.listen" in stack.huntd.log_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    stack.huntd.signal(signal.SIGHUP)
    wait_until(lambda: "reloaded" in stack.huntd.log_text(), 30, "the reload")
    assert "needs a restart" not in stack.huntd.log_text()
    assert stack.huntd.stop() == 0
    assert not path.exists()
    for address in (stack.http, f"127.0.0.2:{ports[0]}"):
        with pytest.raises(ConnectionRefusedError):
            call(address, "GET", "/v1/core-map")


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6")
def test_ipv4_and_ipv6_of_one_port_serve_at_once(own_stack):
    stack = own_stack()
    port = stack.http.rpartition(":")[2]
    stack.settings |= {"http.listen": [f"0.0.0.0:{port}", f"[::]:{port}"], "auth.allow_unauthenticated": True}
    stack.start()
    for host in ("127.0.0.1", "::1"):
        assert run_hunt(f"{host}:{port}", "gold", "ada").status == 200
    assert f"address=[::]:{port} by=http.listen" in stack.huntd.log_text()


def test_the_port_that_the_kernel_chose_is_logged(own_stack):
    stack = own_stack()
    stack.settings["http.listen"] = "127.0.0.1:0"
    stack.start()
    bound = re.search(r"listening address=(127\.0\.0\.1:\d+) by=http\.listen", stack.huntd.log_text())
    assert run_hunt(bound[1], "gold", "ada").status == 200


def test_the_limit_of_an_address_holds_for_all_sockets(own_stack, ports, path):
    stack = own_stack(cores=1, settings={"http.connections_per_address_max": 1})
    stack.settings["http.listen"] = [stack.http, f"127.0.0.1:{ports[0]}", f"unix:{path}"]
    stack.start()
    request = b"GET /v1/core-map HTTP/1.1\r\nHost: x\r\n\r\n"
    with RawConnection(stack.http) as first:
        first.send(request)
        assert first.answer().status == 200
        with RawConnection(f"127.0.0.1:{ports[0]}") as second:
            assert second.answer().problem == "too-many-connections"
        # A unix socket has no address.
        opened = [UnixConnection(path) for _ in range(3)]
        for connection in opened:
            connection.request("GET", "/v1/core-map")
            assert connection.getresponse().status == 200
        for connection in opened:
            connection.close()


def test_a_core_with_little_room_accepts_on_each_socket(own_stack, ports, path):
    stack = own_stack(cores=1, settings={"http.connections_max": 3})
    stack.settings["http.listen"] = [stack.http, f"127.0.0.1:{ports[0]}", f"unix:{path}"]
    stack.start()
    for round in range(20):
        for address in (stack.http, f"127.0.0.1:{ports[0]}"):
            assert run_hunt(address, "gold", f"hunter-{round}").status == 200
        assert hunt_over(path, f"hunter-{round}") == 200


def test_one_public_address_of_several_needs_authentication(own_stack, ports, huntd_program):
    stack = own_stack()
    stack.start_stores()
    stack.set(http__listen=[stack.http, f"0.0.0.0:{ports[0]}"])
    done = run_huntd(stack, huntd_program)
    assert done.returncode == 78 and "is not a loopback address" in done.stderr


def test_the_file_of_a_dead_process_is_replaced_and_that_of_a_live_one_is_not(own_stack, huntd_program, path):
    stack = own_stack(settings={"http.unix_mode": "0600"})
    stack.settings["http.listen"] = [stack.http, f"unix:{path}"]
    stack.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    stack.huntd.kill()
    assert path.exists()
    stack.huntd.start()
    assert hunt_over(path, "ada") == 200
    # A second huntd for the same path only.
    second = own_stack(settings={"http.listen": f"unix:{path}"})
    second.start_stores()
    done = run_huntd(second, huntd_program)
    assert done.returncode == 1
    assert f"http.listen: cannot listen on unix:{path}: another process listens there" in done.stderr
    assert hunt_over(path, "ada") == 200
    # What is no longer its own, it leaves alone.
    path.unlink()
    path.write_text("mine")
    assert stack.huntd.stop() == 0
    assert path.read_text() == "mine"
    done = run_huntd(second, huntd_program)
    assert done.returncode == 1 and f"{path} is not a socket" in done.stderr
    assert path.read_text() == "mine"


def test_a_start_that_fails_leaves_no_file(own_stack, huntd_program, path):
    stack = own_stack().start()
    other = own_stack(settings={"http.listen": [f"unix:{path}", stack.http]})
    other.start_stores()
    done = run_huntd(other, huntd_program)
    assert done.returncode == 1 and "in use" in done.stderr
    assert not path.exists()


def launch_with(stack, sockets: list[str]) -> None:
    command = stack.huntd.command()
    stack.huntd.command = lambda: [sys.executable, "-c", LAUNCHER, *sockets, "--", *command]


def test_all_sockets_of_systemd_serve_and_the_admin_port_is_named(own_stack, ports, path):
    stack = own_stack()
    stack.start_stores()
    first, second, admin = f"127.0.0.1:{ports[0]}", f"127.0.0.2:{ports[0]}", f"127.0.0.1:{ports[1]}"
    launch_with(stack, [f"tcp:{first}=http", f"tcp:{admin}=admin", f"unix:{path}=local", f"tcp:{second}=http"])
    stack.huntd.admin = admin
    stack.huntd.start()
    for address in (first, second):
        assert run_hunt(address, "gold", "ada").status == 200
        assert f"address={address} by=systemd" in stack.huntd.log_text()
    assert hunt_over(path, "ada") == 200
    assert f"address={admin} by=systemd" in stack.huntd.log_text()
    # They replace http.listen and admin.listen.
    for address in (stack.http, stack.admin):
        with pytest.raises(ConnectionRefusedError):
            call(address, "GET", "/livez")
    # No other process than the cores and the admin process has the sockets.
    inode = re.search(r"socket:\[\d+\]", os.readlink(f"/proc/{stack.huntd.pid}/fd/3"))[0]
    holders = [pid for pid in stack.family() if inode in _links_of(pid)]
    assert sorted(holders) == sorted([stack.huntd.pid, *_cores(stack, admin)])
    assert stack.huntd.stop() == 0
    assert path.exists()  # it is systemd's


def _links_of(pid: int) -> set[str]:
    found = set()
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(os.readlink(link))
        except OSError:
            pass  # closed meanwhile
    return found


def _cores(stack, admin: str) -> list[int]:
    return [core["pid"] for core in call(admin, "GET", "/status.json").json["cores"]]


@pytest.mark.parametrize("sockets, words", [
    (["tcp:127.0.0.1:0=http", "dgram:127.0.0.1:0=metrics"], "the socket metrics that systemd passed (descriptor 4) can't be used: it is not a stream"),
    (["tcp:127.0.0.1:0=http"] * 17, "one too many: at most 16"),
    (["tcp:127.0.0.1:0=admin"] * 2, "another one has the name")])
def test_a_socket_that_cannot_be_used_is_named(own_stack, sockets, words):
    stack = own_stack()
    stack.start_stores()
    done = subprocess.run([sys.executable, "-c", LAUNCHER, *sockets, "--", *stack.huntd.command()], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 78, done.stderr
    assert words in done.stderr


def test_an_admin_port_of_systemd_may_be_a_unix_socket(own_stack, path):
    stack = own_stack()
    stack.start_stores()
    launch_with(stack, [f"tcp:{stack.http}=http", f"unix:{path}=admin"])
    stack.huntd.admin = f"unix:{path}"
    stack.huntd.start()
    assert f"address=unix:{path} by=systemd" in stack.huntd.log_text()
    assert stack.huntd.stop() == 0
    assert path.exists()  # it is systemd's


@pytest.fixture
def operated(own_stack, path):
    """A stack whose ports for operators are unix sockets."""
    admin, aggregator = path.with_name("a.sock"), path.with_name("g.sock")
    return own_stack(aggregator=True, settings={"admin.listen": f"unix:{admin}", "admin.unix_mode": "0600",
                                                "aggregator.listen": f"unix:{aggregator}"}).start()


def huntctl(stack, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([build_folder() / "huntctl", "-c", stack.config, *words], capture_output=True, text=True, timeout=60)


def test_the_ports_for_operators_may_be_unix_sockets(operated):
    stack, admin, aggregator = operated, pathlib.Path(operated.admin[5:]), pathlib.Path(operated.aggregator_address[5:])
    assert (stat.S_IMODE(admin.stat().st_mode), stat.S_IMODE(aggregator.stat().st_mode)) == (0o600, 0o660)
    assert run_hunt(stack.http, "gold", "ada").status == 200
    # As the documents call them.
    for socket_path, page in ((admin, "/readyz"), (admin, "/latency.hlog"), (aggregator, "/metrics")):
        done = subprocess.run(["curl", "-sSf", "--unix-socket", str(socket_path), f"http://localhost{page}"], capture_output=True, timeout=60)
        assert done.returncode == 0 and done.stdout, done
    assert stack.metric("huntd_hunts_total{outcome=\"ok\"}") == 1
    assert stack.huntd.stop() == 0
    assert not admin.exists()
    assert stack.aggregator.stop() == 0
    assert not aggregator.exists()


def test_huntctl_calls_unix_sockets(operated):
    stack = operated
    for words in (["status"], ["health"], ["latency"], ["lag"], ["reload"], ["drain"], ["undrain"], ["top", "--count", "1"],
                  ["status", "--admin", stack.admin], ["lag", "--aggregator", stack.aggregator_address]):
        done = huntctl(stack, *words, "--json")
        assert done.returncode == 0, (words, done)
        assert json.loads(done.stdout)
    assert huntctl(stack, "lag", "--aggregator", stack.admin + "x").returncode == 3
    assert "nothing listens" in huntctl(stack, "status", "--admin", stack.admin + "x").stderr
    stack.huntd.kill()  # leaves its file
    done = huntctl(stack, "status")
    assert done.returncode == 3 and "nothing listens" in done.stderr, done
    stack.huntd.start()
    assert huntctl(stack, "status").returncode == 0


def test_huntctl_calls_a_public_port_that_is_only_a_unix_socket(own_stack, path):
    stack = own_stack()
    stack.settings["http.listen"] = f"unix:{path}"
    stack.start()
    done = huntctl(stack, "hunt", "gold", "ada", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["loot"], done
    assert json.loads(huntctl(stack, "held", "gold", "ada", "--json", "--http", f"unix:{path}").stdout)["loot"] == {"gold": 1}


def test_an_admin_socket_of_a_live_huntd_is_not_taken(operated, own_stack, huntd_program):
    second = own_stack(settings={"admin.listen": operated.admin})
    second.start_stores()
    done = run_huntd(second, huntd_program)
    assert done.returncode == 1 and f"admin.listen: cannot listen on {operated.admin}: another process listens there" in done.stderr
    assert http_get(operated.admin, "/livez")[0] == 200
