# SPDX-License-Identifier: Apache-2.0
"""The parent and its cores: ended processes are restarted, no connection is refused, shutdown is graceful; and the command line."""
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from client import RawConnection, call, core_of, held, run_hunt
from harness.process import children_of, is_running, wait_until

WITHOUT_IO_URING = [sys.executable, str(pathlib.Path(__file__).with_name("without_io_uring.py"))]
PATIENT = {"worker.deadline_ms": 5000, "worker.queue_deadline_ms": 20000, "http.request_deadline_ms": 40000}


def test_a_killed_core_is_restarted_and_new_connections_succeed(own_stack):
    stack = own_stack(settings=PATIENT).start()
    rejected, answered, ended = [], [], threading.Event()

    def send_hunts():
        number = 0
        while not ended.is_set():
            number += 1
            try:
                answered.append(run_hunt(stack.http, "gold", f"caller-{number % 50}").status)
            except ConnectionRefusedError as error:
                rejected.append(error)
            except (OSError, EOFError):
                pass  # it was a connection of the killed core; the next one is not

    threads = [threading.Thread(target=send_hunts) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for core in (0, 1):
            before = stack.core_pids()
            os.kill(before[core], signal.SIGKILL)
            wait_until(lambda: stack.core_pids()[core] not in (before[core], 0, -1) and stack.huntd.ready(), 30,
                       f"core {core} to be back")
            count = len(answered)
            wait_until(lambda: len(answered) > count + 100, 30, "hunts to run again")
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert not rejected
    assert set(answered) <= {200, 424, 500, 503}
    assert answered.count(200) > 200
    # All hunters are served again, by their own cores.
    for number in range(30):
        assert run_hunt(stack.http, "gold", f"after-{number}").status == 200


def core_0_is_down(stack) -> bool:
    return call(stack.http, "GET", "/v1/core-map").json["up"] == [False, True]


def hold_core_0_down(stack) -> None:
    """Kills core 0 and stops the parent after it has informed the other core and before it restarts core 0."""
    for _ in range(50):
        pid = wait_until(lambda: max(stack.core_pids()[0], 0), 20, "core 0 to run")
        os.kill(pid, signal.SIGKILL)
        try:
            wait_until(lambda: core_0_is_down(stack), 2, "core 1 to notice it", poll_s=0)
        except (OSError, EOFError, TimeoutError):
            continue  # the killed core had this connection, or it is back already
        stack.huntd.signal(signal.SIGSTOP)
        if core_0_is_down(stack) and len(children_of(stack.huntd.pid)) == 2:  # core 1 and the admin process
            return
        stack.huntd.signal(signal.SIGCONT)
    raise AssertionError("core 0 was always back before the parent could be stopped")


def test_while_a_core_is_down_the_next_one_serves_its_hunters(own_stack):
    stack = own_stack(settings=PATIENT).start()
    mine = [f"h{number}" for number in range(40) if core_of(stack, f"h{number}") == 0][:5]
    assert len(mine) == 5
    for hunter in mine:
        assert run_hunt(stack.http, "gold", hunter).status == 200
    hold_core_0_down(stack)
    try:
        assert [run_hunt(stack.http, "gold", hunter).status for hunter in mine] == [200] * 5
        assert core_0_is_down(stack)
    finally:
        stack.huntd.signal(signal.SIGCONT)
    wait_until(stack.huntd.ready, 20, "core 0 to be back")
    for hunter in mine:
        assert run_hunt(stack.http, "gold", hunter).status == 200
        assert held(stack.http, "gold", hunter) == {"gold": 3}


def test_a_killed_spawner_or_admin_process_does_not_stop_the_service(own_stack):
    stack = own_stack(settings=PATIENT).start()
    for pid in stack.family()[1:]:
        name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip() if is_running(pid) else ""
        if name in ("huntd-admin", "huntd-spawner"):
            os.kill(pid, signal.SIGKILL)

    def served():
        try:
            return all(run_hunt(stack.http, "gold", f"h{number}").status == 200 for number in range(8))
        except (OSError, EOFError):
            return False
    wait_until(served, 30, "hunts to run again")
    wait_until(stack.huntd.ready, 30, "the admin port")


def test_sigterm_lets_running_hunts_finish_and_ends_with_0(own_stack):
    stack = own_stack(settings=PATIENT).start()
    family = stack.family()
    with RawConnection(stack.http) as busy, RawConnection(stack.http) as idle:
        idle.send("GET /v1/core-map HTTP/1.1\r\nHost: t\r\n\r\n")
        assert idle.answer().status == 200
        busy.send("POST /v1/hunts/slow/hunters/late HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n" * 20)
        assert busy.answer().status == 200
        stack.huntd.signal(signal.SIGTERM)
        answers = [busy.answer()]
        while answers[-1].headers.get("connection") != "close":
            answers.append(busy.answer())
        assert all(answer.status in (200, 503) for answer in answers)
        assert answers[0].status == 200
        assert busy.is_closed() and idle.is_closed()
    given = 1 + sum(answer.status == 200 for answer in answers)
    assert stack.huntd.stop() == 0
    assert "drain deadline" not in stack.huntd.log_text()
    assert not [pid for pid in family if is_running(pid)]
    stack.huntd.start()
    assert held(stack.http, "slow", "late")["gold"] >= given, "each response 200 has its award"


def test_new_connections_are_not_served_while_draining(own_stack):
    stack = own_stack(settings=PATIENT).start()
    stack.huntd.stop()
    with pytest.raises(ConnectionRefusedError):
        call(stack.http, "GET", "/v1/core-map")


def test_nothing_outlives_a_killed_parent(own_stack):
    stack = own_stack().start()
    family = stack.family()
    assert len(family) >= 4  # parent, two cores, their spawners, the admin process
    os.kill(stack.huntd.pid, signal.SIGKILL)
    wait_until(lambda: not [pid for pid in family if is_running(pid)], 30, "the family to end")


def test_huntd_can_be_stopped_and_started_again_on_the_same_ports(own_stack):
    stack = own_stack().start()
    for count in (1, 2, 3):
        assert run_hunt(stack.http, "gold", "stays").status == 200
        assert held(stack.http, "gold", "stays") == {"gold": count}
        stack.huntd.restart()


def test_a_taken_port_is_named(own_stack, huntd_program):
    stack = own_stack().start()
    done = subprocess.run([huntd_program, "-c", stack.config], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert "http.listen" in done.stderr and "in use" in done.stderr


def test_the_service_manager_is_sent_ready_and_stopping(own_stack, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(20)
        stack = own_stack()
        stack.huntd.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"}
        stack.start()
        received = manager.recv(4096).decode()
        while "READY=1" not in received:
            received = manager.recv(4096).decode()
        for _ in range(3):
            while "WATCHDOG=1" not in manager.recv(4096).decode():
                pass
        stack.huntd.signal(signal.SIGHUP)
        received = manager.recv(4096).decode()
        while "RELOADING=1" not in received:
            received = manager.recv(4096).decode()
        assert "MONOTONIC_USEC=" in received
        while "READY=1" not in received:
            received = manager.recv(4096).decode()
        stack.huntd.signal(signal.SIGTERM)
        while "STOPPING=1" not in received:
            received = manager.recv(4096).decode()
        assert stack.huntd.stop() == 0


def test_the_service_manager_is_informed_why_the_host_is_not_ready(own_stack, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(20)
        stack = own_stack()
        stack.huntd.environment = {"NOTIFY_SOCKET": str(path)}
        stack.start()

        def await_status(text: str) -> None:
            while text not in manager.recv(4096).decode():
                pass
        await_status("STATUS=serving")
        stack.redis.kill()
        await_status("STATUS=not ready: core 0 can't use Redis")
        stack.redis.start()
        await_status("STATUS=serving")


def test_a_stopped_core_stops_the_watchdog_notifications(own_stack, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        stack = own_stack()
        stack.huntd.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"}
        stack.start()
        core = stack.core_pids()[1]
        os.kill(core, signal.SIGSTOP)
        try:
            manager.settimeout(1.5)
            fed, deadline = time.monotonic(), time.monotonic() + 20
            while time.monotonic() < fed + 1.5:
                assert time.monotonic() < deadline
                with contextlib.suppress(TimeoutError):
                    if "WATCHDOG=1" in manager.recv(4096).decode():  # STATUS= comes too
                        fed = time.monotonic()
        finally:
            os.kill(core, signal.SIGCONT)
        manager.settimeout(20)
        while "WATCHDOG=1" not in manager.recv(4096).decode():
            pass


def test_a_socket_from_the_service_manager_is_used(own_stack, huntd_program):
    stack = own_stack(cores=1)
    stack.start_stores()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        # As systemd does it: descriptor 3, and LISTEN_PID is the process itself.
        code = ("import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_FDS='1', "
                "LISTEN_PID=str(os.getpid())); os.execv(sys.argv[2], sys.argv[2:])")
        child = subprocess.Popen([sys.executable, "-c", code, str(listener.fileno()), huntd_program, "-c", stack.config],
                                 pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL)
        try:
            wait_until(stack.huntd.ready, 20, "huntd")
            assert run_hunt(address, "gold", "activated").status == 200
        finally:
            child.terminate()
            assert child.wait(30) == 0


# --- the command line ------------------------------------------------------------------------------------------------

def huntd(program: str, *words, before=()) -> subprocess.CompletedProcess:
    return subprocess.run([*before, program, *map(str, words)], capture_output=True, text=True, timeout=30)


@pytest.fixture
def config(tmp_path):
    """A function that writes a config and scripts and returns the config's path."""
    def write(text: str = "", **scripts: str) -> pathlib.Path:
        hunts = tmp_path / "hunts"
        hunts.mkdir(exist_ok=True)
        for name, script in scripts.items():
            (hunts / f"{name}.lua").write_text(script)
        path = tmp_path / "huntd.toml"
        path.write_text(f'[hunts]\ndir = "{hunts}"\n{text}')
        return path
    return write


GOOD = "return function(hunt) end"


def test_check_prints_ok_and_the_number_of_hunts(huntd_program, config):
    done = huntd(huntd_program, "-t", "-c", config(a=GOOD, b=GOOD))
    assert done.returncode == 0 and "ok" in done.stdout and "2 hunts" in done.stdout


@pytest.mark.parametrize("text, reported", [
    ("[http]\nlisen = \"x\"", r"huntd\.toml:4: .*http\.lisen.*http\.listen"),
    ("[worker]\ndeadline_ms = 0", r"huntd\.toml:4: .*worker\.deadline_ms"),
    ("[worker]\ndeadline_ms = \"50\"", r"huntd\.toml:4: .*worker\.deadline_ms"),
    ("[worker", r"huntd\.toml:\d"),
    ("[redis]\naddress = \"nowhere\"", r"huntd\.toml:4: .*redis\.address")])
def test_a_bad_config_is_78_and_names_file_line_and_key(huntd_program, config, text, reported):
    for words in (["-t"], []):
        done = huntd(huntd_program, *words, "-c", config(text, a=GOOD))
        assert done.returncode == 78
        assert re.search(reported, done.stderr), done.stderr


@pytest.mark.parametrize("script, reported", [
    ("return function(hunt)\n  hunt.award(\nend", r"bad\.lua:3:"),
    ("local x = nil\nreturn x.y", r"bad\.lua:2:"),
    ("return 7", r"bad\.lua"),
    ("os.exit(0)", r"bad\.lua:1:"),
    ("return function(hunt)\n  local s = 'no end\nend", r"bad\.lua:2:")])
def test_a_bad_script_is_78_and_names_file_and_line(huntd_program, config, script, reported):
    done = huntd(huntd_program, "-t", "-c", config(good=GOOD, bad=script))
    assert done.returncode == 78
    assert re.search(reported, done.stderr), done.stderr


def test_all_bad_scripts_are_reported_together(huntd_program, config):
    done = huntd(huntd_program, "-t", "-c", config(one="x x", two="y y", good=GOOD))
    assert done.returncode == 78 and "one.lua:1:" in done.stderr and "two.lua:1:" in done.stderr


def test_a_missing_config_or_folder_is_78(huntd_program, config, tmp_path):
    assert huntd(huntd_program, "-t", "-c", tmp_path / "none.toml").returncode == 78
    path = config()
    path.write_text('[hunts]\ndir = "/nowhere/at/all"\n')
    done = huntd(huntd_program, "-t", "-c", path)
    assert done.returncode == 78 and "/nowhere/at/all" in done.stderr


def test_a_world_readable_redis_password_is_78_and_says_chmod(huntd_program, config, tmp_path):
    secret = tmp_path / "redis-password"
    secret.write_text("tide and moon\n")
    path = config(f'[redis]\npassword_file = "{secret}"', a=GOOD)
    for mode, status in ((0o644, 78), (0o640, 0)):
        secret.chmod(mode)
        done = huntd(huntd_program, "-t", "-c", path)
        assert done.returncode == status, done.stderr
        assert ("redis.password_file" in done.stderr and "chmod" in done.stderr) == (status == 78)
        assert "tide" not in done.stderr


def test_print_config_names_every_value_and_its_source(huntd_program, config):
    done = huntd(huntd_program, "--print-config", "-c", config("[worker]\ndeadline_ms = 77", a=GOOD))
    assert done.returncode == 0
    assert re.search(r"deadline_ms = 77.*huntd\.toml:4", done.stdout), done.stdout
    assert re.search(r"listen = .*default", done.stdout), done.stdout


def test_version_and_help(huntd_program):
    assert re.match(r"huntd \d+\.\d+\.\d+\n", huntd(huntd_program, "--version").stdout)
    assert "--print-config" in huntd(huntd_program, "--help").stdout


@pytest.mark.parametrize("words", [["--nonsense"], ["-c"], ["surplus"]])
def test_wrong_usage_is_2(huntd_program, words):
    assert huntd(huntd_program, *words).returncode == 2


def test_forbidden_io_uring_is_reported_in_one_line(huntd_program, own_stack):
    stack = own_stack()
    stack.start_stores()
    done = huntd(huntd_program, "-c", stack.config, before=WITHOUT_IO_URING)
    assert done.returncode == 1
    complaints = [line for line in done.stderr.splitlines() if "io_uring" in line]
    assert len(complaints) == 1, done.stderr
    assert "seccomp" in complaints[0], "the reason and the hint are logged"


def test_a_drain_finishes_requests_forwarded_between_cores(own_stack):
    stack = own_stack(settings=PATIENT).start()
    statuses, ended = [], []

    def proxy(number: int):
        """One connection that carries many hunters: half of its requests are another core's."""
        with RawConnection(stack.http) as connection:
            try:
                for turn in range(100_000):
                    connection.send(f"POST /v1/hunts/gold/hunters/p{number}-{turn % 40} HTTP/1.1\r\nHost: test\r\n"
                                    "Content-Length: 0\r\n\r\n")
                    statuses.append(connection.answer().status)
            except (OSError, EOFError) as error:
                ended.append(error)

    threads = [threading.Thread(target=proxy, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(statuses) > 500, 30, "hunts to run")
    assert stack.huntd.stop() == 0
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}
    assert len(ended) == 24
    assert "drain deadline" not in stack.huntd.log_tail(200)


def test_the_service_manager_is_sent_ready_without_redis(own_stack, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(20)
        stack = own_stack(settings={"redis.address": "127.0.0.1:1"})
        stack.huntd.environment = {"NOTIFY_SOCKET": str(path)}
        stack.start_stores()
        stack.huntd.launch()
        while "READY=1" not in manager.recv(4096).decode():
            pass
    assert run_hunt(stack.http, "gold", "ada").status == 503
    assert not stack.huntd.ready()
