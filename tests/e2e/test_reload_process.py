# SPDX-License-Identifier: Apache-2.0
"""A reload is checked in a process of its own: meanwhile the parent feeds the watchdog, starts ended cores and acts on SIGTERM, and
the result is public. A start with a bad script serves the scripts that were saved."""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading

import pytest

from aggregator_pipeline import huntctl_program
from client import run_hunt
from harness.huntd_stack import http_get
from harness.process import children_of, is_running, wait_until

GOOD = "return function(hunt) return { number = 1 } end"
BETTER = "return function(hunt) return { number = 2 } end"
LOOP = "while true do end"
# A script that loops at its top has worker.deadline_ms; a check that hangs has hunts.check_deadline_ms.
LONG = {"worker.deadline_ms": 10_000, "worker.queue_deadline_ms": 20_000, "http.request_deadline_ms": 60_000,
        "hunts.check_deadline_ms": 600_000}


@pytest.fixture
def stack(own_stack, tmp_path):
    """One hunt, a loop at the top of a script lasts ten seconds, and a check may last ten minutes."""
    hunts = tmp_path / "hunts"
    hunts.mkdir()
    (hunts / "play.lua").write_text(GOOD)
    (tmp_path / "state").mkdir()
    return own_stack(hunts=hunts, settings={**LONG, "hunts.state_dir": str(tmp_path / "state")})


def number(stack) -> int:
    return run_hunt(stack.http, "play", "ada").json["result"]["number"]


def status(stack) -> dict:
    return json.loads(http_get(stack.admin, "/status.json")[1])


def newest(stack) -> dict:
    return status(stack)["reload"]


def is_checked(stack) -> bool:
    found = newest(stack)
    return found["started"] > found["finished"]


def reload(stack) -> dict:
    """Sends SIGHUP while no check runs, and returns the state after its end."""
    before = newest(stack)["finished"]
    stack.huntd.signal(signal.SIGHUP)
    wait_until(lambda: newest(stack)["finished"] > before, 120, "the end of the check")
    return newest(stack)


def name_of(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def check_processes(stack) -> list[int]:
    """The check and its workers."""
    checks = [pid for pid in children_of(stack.huntd.pid) if name_of(pid) == "huntd-check"]
    return checks + [worker for check in checks for worker in children_of(check)]


def loop_at_the_top(stack, count: int = 4) -> None:
    for i in range(count):
        (stack.hunts / f"loop{i}.lua").write_text(LOOP)


def start_check_of_loops(stack) -> None:
    """A reload whose check is busy; the one after it will not find the loops."""
    loop_at_the_top(stack)
    stack.huntd.signal(signal.SIGHUP)
    wait_until(lambda: len(check_processes(stack)) > 1, 60, "a worker of the check")
    for loop in stack.hunts.glob("loop*.lua"):
        loop.unlink()


def shorten_check_deadline(stack) -> None:
    """By a reload: the start has more time. The next reload has half a second."""
    stack.set(hunts__check_deadline_ms=500)
    assert reload(stack)["result"] == "applied"


def make_config_hang(stack) -> None:
    """In place of the config file there is a FIFO that has no writer."""
    stack.config.rename(stack.config.with_suffix(".kept"))
    os.mkfifo(stack.config)


def unhang_config(stack) -> None:
    stack.config.with_suffix(".kept").rename(stack.config)


@contextlib.contextmanager
def service_manager(stack, path: pathlib.Path, **environment):
    """Yields the list of messages that a service manager has been sent so far."""
    received: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))

        def receive():
            while message := manager.recv(8192):
                received.append(message.decode())

        stack.huntd.environment = {"NOTIFY_SOCKET": str(path), **environment}
        thread = threading.Thread(target=receive, daemon=True)
        thread.start()
        try:
            yield received
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(b"", str(path))
            thread.join()


# --- the parent goes on ------------------------------------------------------------------------------------------------

def test_during_a_check_the_watchdog_is_fed_and_a_killed_core_comes_back(stack, tmp_path):
    with service_manager(stack, tmp_path / "notify", WATCHDOG_USEC="400000") as received:
        stack.start()
        loop_at_the_top(stack)
        stack.huntd.signal(signal.SIGHUP)
        wait_until(lambda: len(check_processes(stack)) > 1, 60, "a worker of the check")
        before = stack.core_pids()[0]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: stack.core_pids()[0] not in (before, 0) and stack.huntd.ready(), 60, "the core to be back")
        assert number(stack) == 1
        count = sum("WATCHDOG=1" in message for message in received)
        wait_until(lambda: sum("WATCHDOG=1" in message for message in received) >= count + 3, 60, "the watchdog to be fed")
        assert is_checked(stack), "all of this happened during the check"
        wait_until(lambda: newest(stack)["finished"] == 1, 120, "the end of the check")
        found = newest(stack)
        assert found["result"] == "rejected" and [line for line in found["error"].splitlines()] == [
            f"{stack.hunts}/loop{i}.lua: its top-level code exceeded the deadline of 10000 ms" for i in range(4)]
        assert any(re.search(r"STATUS=serving the previous scripts; the newest reload was rejected: \S+loop0\.lua", message)
                   for message in received), received
        begins = next(i for i, message in enumerate(received) if "RELOADING=1" in message)
        assert any(re.search("STATUS=reload: checking scripts", message) for message in received[begins:]), received
        assert any("READY=1" in message for message in received[begins:])
        assert number(stack) == 1


def test_sigterm_ends_huntd_during_a_check(stack):
    stack.start()
    make_config_hang(stack)
    stack.huntd.signal(signal.SIGHUP)
    check = wait_until(lambda: check_processes(stack), 60, "the check")
    assert stack.huntd.stop() == 0, "the check would have lasted for ten minutes"
    wait_until(lambda: not any(is_running(pid) for pid in check), 30, "the check to end")
    unhang_config(stack)


def test_a_killed_huntd_leaves_no_check_and_no_worker(stack):
    stack.start()
    loop_at_the_top(stack)
    stack.huntd.signal(signal.SIGHUP)
    wait_until(lambda: len(check_processes(stack)) > 1, 60, "a worker of the check")
    family = stack.family()
    os.kill(stack.huntd.pid, signal.SIGKILL)
    # By itself, a looping worker would end after 15 s of CPU time.
    wait_until(lambda: not [pid for pid in family if is_running(pid)], 10, "the family to end")


def test_a_check_that_is_killed_is_a_rejected_reload(stack):
    stack.start()
    make_config_hang(stack)
    stack.huntd.signal(signal.SIGHUP)
    check = wait_until(lambda: check_processes(stack), 60, "the check")
    os.kill(check[0], signal.SIGKILL)
    wait_until(lambda: newest(stack)["finished"] == 1, 60, "the result")
    assert newest(stack)["error"].startswith("the check process ended without a result (signal 9)")
    unhang_config(stack)
    (stack.hunts / "play.lua").write_text(BETTER)
    assert reload(stack)["result"] == "applied"


def test_a_check_that_hangs_is_rejected_at_its_deadline_with_what_it_waited_for(stack):
    stack.start()
    shorten_check_deadline(stack)
    make_config_hang(stack)
    found = reload(stack)
    assert found["result"] == "rejected"
    assert found["error"] == "the check did not end within 500 ms (hunts.check_deadline_ms); it was reading the config"
    wait_until(lambda: not check_processes(stack), 30, "the check to end")
    unhang_config(stack)
    assert number(stack) == 1


def test_scripts_that_the_deadline_leaves_no_time_for_are_named(stack):
    stack.start()
    shorten_check_deadline(stack)
    loop_at_the_top(stack, count=40)  # more than there are CPUs
    found = reload(stack)
    assert found["result"] == "rejected"
    assert f"{stack.hunts}/loop39.lua: not checked: the time for the check of all scripts" in stack.huntd.log_text()
    assert "loop0.lua" in found["error"]


@pytest.mark.parametrize("key", ["redis.password_file", "auth.tokens_file"])
def test_a_fifo_as_a_file_of_secrets_is_rejected(stack, key, tmp_path):
    stack.start()
    os.mkfifo(tmp_path / "fifo", 0o600)
    stack.set(**{key.replace(".", "__"): str(tmp_path / "fifo"), "auth__mode": "bearer" if "auth" in key else "none"})
    found = reload(stack)
    assert found["result"] == "rejected" and key in found["error"] and "not a regular file" in found["error"]


def test_signals_during_a_check_make_one_more_reload(stack):
    stack.settings["worker.deadline_ms"] = 3000
    stack.start()
    start_check_of_loops(stack)
    (stack.hunts / "play.lua").write_text(BETTER)
    for _ in range(3):
        stack.huntd.signal(signal.SIGHUP)
        stack.core_pids()  # gives the parent a moment
    assert is_checked(stack) and newest(stack)["started"] == 1
    wait_until(lambda: newest(stack)["finished"] == 2, 120, "the second result")
    found = newest(stack)
    assert (found["started"], found["result"], found["applied"], found["rejected"]) == (2, "applied", 1, 1)
    wait_until(lambda: number(stack) == 2, 30, "the new script")


def test_the_result_is_in_the_metrics_the_status_and_huntctl(stack):
    stack.start()
    assert newest(stack)["result"] == "none" and status(stack)["pid"] == stack.huntd.pid
    assert stack.metric("huntd_reload_rejected") == 0
    (stack.hunts / "bad.lua").write_text("x x")
    found = reload(stack)
    assert found["result"] == "rejected" and "bad.lua:1:" in found["error"]
    assert stack.metric("huntd_reload_rejected") == 1
    assert stack.metric('huntd_reloads_total{result="rejected"}') == 1
    shown = subprocess.run([huntctl_program(), "status", "--admin", stack.admin], capture_output=True, text=True, timeout=60).stdout
    assert f"process {stack.huntd.pid}" in shown
    assert re.search(r"the newest reload was rejected .* ago; huntd serves the previous scripts:\n\S*bad\.lua:1:", shown), shown
    (stack.hunts / "bad.lua").unlink()
    assert reload(stack)["result"] == "applied"
    assert stack.metric("huntd_reload_rejected") == 0
    assert stack.metric('huntd_reloads_total{result="applied"}') == 1


# --- huntctl reload ----------------------------------------------------------------------------------------------------

def huntctl(*words) -> subprocess.CompletedProcess:
    return subprocess.run([huntctl_program(), *map(str, words)], capture_output=True, text=True, timeout=120)


def test_huntctl_reload_exits_by_the_result(stack):
    stack.start()
    (stack.hunts / "play.lua").write_text(BETTER)
    done = huntctl("-c", stack.config, "reload", "--pid", stack.huntd.pid)
    assert done.returncode == 0, done
    bundle = run_hunt(stack.http, "play", "ada").headers["hunt-bundle"]
    assert number(stack) == 2 and done.stdout == f"reloaded: bundle {bundle}\n"

    (stack.hunts / "bad.lua").write_text("x x")
    done = huntctl("-c", stack.config, "reload")
    assert done.returncode == 1 and not done.stdout
    assert re.search(r"huntctl: the reload was rejected: \S*/bad\.lua:1:", done.stderr), done.stderr
    done = huntctl("-c", stack.config, "reload", "--json")
    shown = json.loads(done.stdout)
    assert (done.returncode, shown["exit_code"], shown["result"]) == (1, 1, "rejected")
    assert "bad.lua:1:" in shown["error"] and shown["bundle"] == bundle

    (stack.hunts / "bad.lua").unlink()
    shown = json.loads(huntctl("-c", stack.config, "--json", "reload").stdout)
    assert shown["result"] == "applied" and "error" not in shown and shown["reload"] == 4


def test_a_reload_says_which_keys_wait_for_a_restart(stack):
    stack.start()
    stack.set(http__connections_max=500, worker__max_live=24)
    done = huntctl("-c", stack.config, "reload")
    assert done.returncode == 0 and done.stderr == "a restart has yet to apply: http.connections_max\n"
    assert newest(stack)["waiting_keys"] == ["http.connections_max"]
    assert "a restart has yet to apply: http.connections_max" in huntctl("-c", stack.config, "status").stdout

    (stack.hunts / "bad.lua").write_text("x x")
    assert json.loads(huntctl("-c", stack.config, "reload", "--json").stdout)["waiting_keys"] == ["http.connections_max"]
    (stack.hunts / "bad.lua").unlink()
    stack.huntd.stop()
    stack.huntd.start()
    assert newest(stack)["waiting_keys"] == []
    assert json.loads(huntctl("-c", stack.config, "reload", "--json").stdout)["waiting_keys"] == []


def test_huntctl_reload_signals_no_other_process(stack):
    stack.start()
    done = huntctl("-c", stack.config, "reload", "--pid", os.getpid())
    assert done.returncode == 2 and "--pid" in done.stderr
    assert newest(stack)["started"] == 0
    stack.huntd.stop()
    done = huntctl("-c", stack.config, "reload")
    assert done.returncode == 3 and "nothing listens" in done.stderr


def test_huntctl_reload_during_a_check_waits_for_the_next_one(stack):
    stack.settings["worker.deadline_ms"] = 3000
    stack.start()
    start_check_of_loops(stack)
    done = huntctl("-c", stack.config, "reload", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["reload"] == 2, done


def test_huntctl_reload_with_a_timeout_does_not_wait_longer(stack):
    stack.start()
    make_config_hang(stack)
    done = huntctl("reload", "--admin", stack.admin, "--timeout", "1")
    assert done.returncode == 3 and "--timeout" in done.stderr and is_checked(stack)
    unhang_config(stack)


# --- the saved scripts -------------------------------------------------------------------------------------------------

def saved(stack) -> pathlib.Path:
    return pathlib.Path(stack.settings["hunts.state_dir"]) / "last-good.bundle"


def start_once(stack, program: str, *words, **environment) -> subprocess.CompletedProcess:
    """For a start that fails."""
    return subprocess.run([program, "-c", stack.config, *words], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **environment})


def save_and_break(stack) -> str:
    """Serves once, then stops, and a script gets an error; returns the name of the bundle that was served."""
    stack.start()
    bundle = newest(stack)["bundle"]
    wait_until(saved(stack).exists, 30, "the scripts to be saved")
    stack.huntd.stop()
    (stack.hunts / "play.lua").write_text("return function(hunt)\n  x x\nend")
    return bundle


def test_a_start_with_a_bad_script_serves_the_saved_ones_until_it_is_fixed(stack, tmp_path, huntd_program):
    bundle = save_and_break(stack)
    with service_manager(stack, tmp_path / "notify") as received:
        stack.huntd.start()
        assert number(stack) == 1 and run_hunt(stack.http, "play", "ada").headers["hunt-bundle"] == bundle
        found = newest(stack)
        assert (found["result"], found["serves_saved"], found["bundle"]) == ("rejected", True, bundle)
        assert found["error"].startswith(f"{stack.hunts}/play.lua:2:") and found["finished"] == 0
        assert stack.metric("huntd_reload_rejected") == 1
        assert f"{stack.hunts}/play.lua:2:" in stack.huntd.log_text()
        assert any(re.search(r"READY=1\nSTATUS=serving the saved scripts; hunts\.dir was rejected: \S*play\.lua:2:", message)
                   for message in received), received
        shown = huntctl("status", "--admin", stack.admin).stdout
        assert re.search(r"hunts\.dir was rejected at the start .*; huntd serves the saved scripts", shown), shown
        assert start_once(stack, huntd_program, "-t").returncode == 78
        (stack.hunts / "play.lua").write_text(BETTER)
        assert huntctl("-c", stack.config, "reload").returncode == 0
        assert number(stack) == 2
        assert (newest(stack)["result"], newest(stack)["serves_saved"]) == ("applied", False)
        assert stack.metric("huntd_reload_rejected") == 0


def test_what_a_reload_applied_is_saved_and_what_it_rejected_is_not(stack):
    stack.start()
    (stack.hunts / "play.lua").write_text(BETTER)
    bundle = reload(stack)["bundle"]
    wait_until(lambda: saved(stack).exists() and bundle.encode() in saved(stack).read_bytes()[:64], 30, "the new scripts to be saved")
    (stack.hunts / "play.lua").write_text("x x")
    assert reload(stack)["result"] == "rejected"
    stack.huntd.stop()
    stack.huntd.start()
    assert number(stack) == 2


def test_an_empty_directory_of_scripts_is_an_error_of_the_scripts(stack):
    save_and_break(stack)
    (stack.hunts / "play.lua").unlink()
    stack.huntd.start()
    assert number(stack) == 1 and "no *.lua file" in newest(stack)["error"]


def test_a_corrupt_saved_file_is_an_error_and_78(stack, huntd_program):
    save_and_break(stack)
    good = saved(stack).read_bytes()
    flipped = bytes([*good[:-1], good[-1] ^ 1])
    for corrupt in (b"", b"huntd", flipped, good[:-3], good + b"\0", os.urandom(200)):
        saved(stack).write_bytes(corrupt)
        done = start_once(stack, huntd_program)
        assert done.returncode == 78, (corrupt, done)
        assert "play.lua:2:" in done.stderr and f"{saved(stack)}: is corrupt" in done.stderr, done.stderr


def test_without_saved_scripts_or_with_a_bad_config_a_start_is_78(stack, huntd_program):
    save_and_break(stack)
    stack.set(redis__database="many")
    done = start_once(stack, huntd_program)
    assert done.returncode == 78 and "redis.database" in done.stderr and "play.lua" not in done.stderr
    stack.set(redis__database=0)
    saved(stack).unlink()
    done = start_once(stack, huntd_program)
    assert done.returncode == 78 and "play.lua:2:" in done.stderr


def test_the_directory_of_systemd_is_used_if_no_other_is_set(stack, tmp_path):
    folder = pathlib.Path(stack.settings["hunts.state_dir"])
    stack.settings["hunts.state_dir"] = ""
    stack.huntd.environment = {"STATE_DIRECTORY": f"{folder}:{tmp_path}/other"}
    stack.start()
    wait_until((folder / "last-good.bundle").exists, 30, "the scripts to be saved")


def test_a_directory_that_cannot_be_written_is_a_warning(stack, tmp_path):
    stack.settings["hunts.state_dir"] = str(tmp_path / "nowhere")
    stack.start()
    wait_until(lambda: "the scripts cannot be saved for a later start" in stack.huntd.log_text(), 30, "the warning")
    assert number(stack) == 1
    assert "nowhere" in newest(stack)["save_error"] and stack.metric("huntd_scripts_not_saved") == 1
    done = huntctl("-c", stack.config, "status")
    assert done.returncode == 0 and "the scripts in use are not saved for a later start: " in done.stdout
    (tmp_path / "nowhere").mkdir()
    assert huntctl("-c", stack.config, "reload").returncode == 0
    wait_until(lambda: newest(stack)["save_error"] == "", 30, "the scripts to be saved")
    assert stack.metric("huntd_scripts_not_saved") == 0 and "not saved" not in huntctl("-c", stack.config, "status").stdout


# --- memory ------------------------------------------------------------------------------------------------------------

LARGE = "local t = {} for i = 1, 5e4 do t[i] = {i} end return function(hunt) return { number = #t } end"
MB = 1024 * 1024


def peak_bytes(pid: int) -> int:
    """The most memory that the process has had at once."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def bundles_of(pid: int) -> dict[int, int]:
    """The size of each bundle that the process has open, by inode."""
    found = {}
    for link in pathlib.Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            if os.readlink(link).startswith("/memfd:huntd-bundle"):
                found[os.stat(link).st_ino] = os.stat(link).st_size
    return found


def bundles_of_family(stack) -> dict[int, int]:
    found = {}
    for pid in stack.family():
        with contextlib.suppress(OSError):
            found.update(bundles_of(pid))
    return found


def await_bundle(stack, name: str) -> None:
    wait_until(lambda: all(core["bundle"] == name for core in status(stack)["cores"]), 60, "each core to have the bundle")


def test_cores_do_not_read_the_images_and_no_process_keeps_a_replaced_bundle(stack):
    stack.start()
    cores = stack.core_pids()
    before = [peak_bytes(pid) for pid in cores]
    for i in range(8):
        (stack.hunts / f"large{i}.lua").write_text(LARGE)
    found = reload(stack)
    assert found["result"] == "applied", found
    await_bundle(stack, found["bundle"])
    assert stack.core_pids() == cores
    size = max(bundles_of(cores[0]).values())
    assert size > 20 * MB
    for pid, peak in zip(cores, before):
        assert peak_bytes(pid) - peak < size / 4, "the images are not read"
    assert run_hunt(stack.http, "large7", "ada").json["result"]["number"] == 50_000
    for i in range(8):
        (stack.hunts / f"large{i}.lua").unlink()
    await_bundle(stack, reload(stack)["bundle"])
    # Also not the one of the start, which every process inherited.
    wait_until(lambda: len(bundles_of_family(stack)) == 1, 60, "the replaced bundles to be closed")
    assert max(bundles_of_family(stack).values()) < MB


def test_a_reload_of_200_mb_makes_no_tick_long(stack):
    large = "local t = {} for i = 1, 7000 do t[i] = ('x'):rep(1000) .. i end return function(hunt) return { number = #t } end"
    stack.start()
    for i in range(32):
        (stack.hunts / f"large{i}.lua").write_text(large)
    long_ticks = 'huntd_ticks_long_total{reason="ran"}'
    before = stack.metric(long_ticks)
    for turn in range(3):
        (stack.hunts / "large0.lua").write_text(large.replace("#t", f"#t + {turn}"))
        found = reload(stack)
        assert found["result"] == "applied", found
        await_bundle(stack, found["bundle"])
        assert run_hunt(stack.http, "large0", "ada").json["result"]["number"] == 7_000 + turn
    assert max(bundles_of(stack.core_pids()[0]).values()) > 200 * MB
    assert stack.metric(long_ticks) == before, "no core computed for more than 5 ms (limits::tick_long_ns) in one tick"
