# SPDX-License-Identifier: Apache-2.0
"""What huntd says of itself to balancers and operators: huntctl health, drain and undrain; /readyz, `huntctl status` and the gauges
when a core stalls, Redis or Kafka is unavailable, or the process that starts workers is stopped, dead or failing."""
import concurrent.futures
import contextlib
import http.server
import json
import os
import signal
import subprocess
import threading

import pytest

from client import call, hunters_of, run_hunt
from harness.huntd_stack import build_folder, http_get
from harness.kafka_server import KafkaServer
from harness.process import children_of, wait_until
from test_isolation import name_of

OK, NO, USAGE, UNREACHABLE = range(4)


def huntctl(stack, *words, timeout_s: float = 60) -> subprocess.CompletedProcess:
    return subprocess.run([str(build_folder() / "huntctl"), "-c", str(stack.config), *map(str, words)], capture_output=True, text=True,
                          timeout=timeout_s)


def object_of(stack, *words, code: int) -> dict:
    done = huntctl(stack, *words, "--json")
    assert done.returncode == code, done
    return json.loads(done.stdout)


def status(stack) -> dict:
    return json.loads(http_get(stack.admin, "/status.json")[1])


def reasons(stack, path: str = "/readyz") -> list[str]:
    code, text = http_get(stack.admin, path)
    found = [reason["reason"] for reason in json.loads(text)["reasons"]]
    assert (code == 200) == (not found), (code, text)
    return found


def await_reason(stack, *words: str, path: str = "/readyz") -> str:
    """Waits until one reason has all the words, and returns it."""
    return wait_until(lambda: next((reason for reason in reasons(stack, path) if all(word in reason for word in words)), None), 60,
                      f"{path} to name {words}; it says {reasons(stack, path)}", 0.05)


def await_ready(stack) -> None:
    wait_until(stack.huntd.ready, 60, "huntd to be ready again", 0.05)


@contextlib.contextmanager
def stopped(pid: int):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


# --- health, drain, undrain -------------------------------------------------------------------------------------------

def test_health_is_0_when_ready_1_with_the_reason_and_3_without_huntd(own_stack):
    stack = own_stack().start()
    assert huntctl(stack, "health").stdout == "ready\n"
    assert object_of(stack, "health", code=OK) == {"ready": True, "reasons": []}
    huntctl(stack, "drain")
    done = huntctl(stack, "health")
    assert (done.returncode, done.stdout) == (NO, "") and "not ready: draining: by the operator" in done.stderr
    shown = object_of(stack, "health", code=NO)
    assert shown["ready"] is False and shown["exit_code"] == NO and shown["reasons"] == reasons(stack)
    stack.huntd.kill()
    assert object_of(stack, "health", code=UNREACHABLE)["exit_code"] == UNREACHABLE


def test_a_drained_host_is_not_ready_and_serves_on_until_undrain(own_stack):
    stack = own_stack().start()
    pid = stack.huntd.pid
    assert stack.metric("huntd_drained") == 0
    shown = object_of(stack, "drain", code=OK)
    assert (shown["host"], shown["changed"], shown["pid"]) == ("drained", True, pid)
    # The command has waited for it.
    assert reasons(stack) == ["draining: by the operator; huntctl undrain ends it"]
    assert stack.metric("huntd_drained") == 1 and http_get(stack.admin, "/healthz")[0] == 200
    answer = call(stack.http, "POST", "/v1/hunts/gold/hunters/ann", "")
    assert (answer.status, answer.headers.get("connection")) == (200, "close")
    assert object_of(stack, "drain", code=OK)["changed"] is False
    done = huntctl(stack, "status")
    assert done.returncode == NO and "not ready" in done.stdout and "draining: by the operator" in done.stdout

    done = huntctl(stack, "undrain")
    assert done.returncode == OK and done.stdout.startswith("no longer drained")
    assert reasons(stack) == [] and stack.metric("huntd_drained") == 0 and stack.huntd.pid == pid
    assert call(stack.http, "POST", "/v1/hunts/gold/hunters/ann", "").headers.get("connection") != "close"
    assert object_of(stack, "undrain", code=OK)["changed"] is False


def test_a_core_that_is_started_again_while_drained_stays_drained(own_stack):
    stack = own_stack().start()
    huntctl(stack, "drain")
    victims = stack.core_pids()
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    wait_until(lambda: all(core["state"] == "ready" and core["pid"] not in victims for core in status(stack)["cores"]), 60, "the cores")
    assert status(stack)["host"] == "drained" and reasons(stack) == ["draining: by the operator; huntctl undrain ends it"]
    for number in range(8):
        assert call(stack.http, "POST", f"/v1/hunts/gold/hunters/h{number}", "").headers.get("connection") == "close"
    assert huntctl(stack, "undrain").returncode == OK
    await_ready(stack)


def test_a_restart_ends_a_drain(own_stack):
    stack = own_stack().start()
    huntctl(stack, "drain")
    stack.huntd.stop()
    stack.huntd.start()
    assert status(stack)["host"] == "serving"


def test_a_host_that_stops_can_not_be_drained_or_undrained(own_stack):
    stack = own_stack(settings={"http.drain_delay_ms": 600_000}).start()
    stack.huntd.signal(signal.SIGTERM)
    await_reason(stack, "is stopping")
    for command in ("drain", "undrain"):
        assert "is stopping" in object_of(stack, command, code=NO)["error"]
        stack.huntd.signal(signal.SIGUSR1 if command == "drain" else signal.SIGUSR2)
    assert run_hunt(stack.http, "gold", "ann").status == 200 and status(stack)["host"] == "stopping"


def test_a_stop_does_not_wait_for_a_delay_that_the_drain_has_had(own_stack):
    stack = own_stack(settings={"http.drain_delay_ms": 1}).start()
    huntctl(stack, "drain")  # ends later than 1 ms after it
    assert stack.huntd.stop() == 0
    assert "draining soon" not in stack.huntd.log_text()


def test_a_parent_that_does_not_act_is_exit_3_within_the_timeout(own_stack):
    stack = own_stack().start()
    with stopped(stack.huntd.pid):
        done = huntctl(stack, "drain", "--timeout", "1", "--json")
        assert done.returncode == UNREACHABLE and str(stack.huntd.pid) in json.loads(done.stdout)["error"]
    wait_until(lambda: status(stack)["host"] == "drained", 30, "the signal to arrive")


@contextlib.contextmanager
def admin_port_that_says(answer: dict):
    """The address of a server that responds to everything with this object."""
    body = json.dumps(answer).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_process_that_is_not_huntd_is_never_signalled(own_stack):
    """The admin port of another host, or of another namespace: here, other processes have its pids."""
    stack = own_stack().start()
    with subprocess.Popen(["sleep", "1000"]) as other:
        try:
            for changed in ({"pid": other.pid}, {"start_ticks": 0}, {"start_ticks": status(stack)["start_ticks"] + 1}, {"pid": 2 ** 22 + 7}):
                with admin_port_that_says({**status(stack), **changed}) as admin:
                    done = huntctl(stack, "drain", "--admin", admin)
                assert done.returncode == USAGE and "does not run here" in done.stderr, done
            assert other.poll() is None and status(stack)["host"] == "serving"
        finally:
            other.kill()


def test_a_signal_to_every_process_of_huntd_drains_it_and_ends_none(own_stack):
    """`systemctl kill -s USR1` sends it to the whole unit."""
    stack = own_stack(settings={"worker.warm": 1}).start()
    assert run_hunt(stack.http, "gold", "ann").status == 200
    cores = stack.core_pids()
    for number, state in ((signal.SIGUSR1, "drained"), (signal.SIGUSR2, "serving")):
        for pid in stack.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        wait_until(lambda: status(stack)["host"] == state, 30, f"the host to be {state}")
        assert run_hunt(stack.http, "gold", "ann").status == 200
    assert stack.core_pids() == cores


# --- a core that stalls -------------------------------------------------------------------------------------------------

def test_a_stalled_core_is_neither_healthy_nor_ready_for_the_same_reason(own_stack):
    stack = own_stack().start()
    with stopped(stack.core_pids()[1]):
        await_reason(stack, "core 1 completed its last tick")
        await_reason(stack, "core 1 completed its last tick", path="/healthz")
        assert "core 1 completed its last tick" in huntctl(stack, "health").stderr
        shown = huntctl(stack, "status")
        assert shown.returncode == NO
        assert shown.stdout.count("core 1 completed its last tick") == 1, "it is one reason, of two pages"
        wait_until(lambda: "core is stalled: no tick completed core=1" in stack.huntd.log_text(), 20, "the line about the core")
        assert stack.huntd.log_text().count("core is stalled") == 1, "not a line per tick of the parent"
    await_ready(stack)
    assert reasons(stack, "/healthz") == []


# --- Redis: the address, and why ----------------------------------------------------------------------------------------

def redis_of(stack, core: int = 0) -> dict:
    return status(stack)["cores"][core]["redis"]


def check_redis_reason(stack, words: str) -> None:
    """/readyz, status.json and `huntctl status` have the address and the words."""
    reason = await_reason(stack, "core 0", stack.settings["redis.address"], words)
    wait_until(lambda: words in redis_of(stack)["reason"], 30, "status.json to have the reason", 0.05)
    assert redis_of(stack)["address"] == stack.settings["redis.address"]
    shown = huntctl(stack, "status").stdout
    assert "not ready" in shown and words in shown and stack.settings["redis.address"] in shown, shown
    assert reason.startswith("core ")


def test_a_redis_that_is_gone_is_named_and_recovers(own_stack):
    stack = own_stack().start()
    assert redis_of(stack)["reason"] == "" and redis_of(stack)["address"] == stack.redis.address
    assert f"at {stack.redis.address}" in huntctl(stack, "status").stdout
    stack.redis.kill()
    check_redis_reason(stack, "nothing listens there (connect: Connection refused)")
    stack.redis.start()
    await_ready(stack)
    assert redis_of(stack)["reason"] == ""


def test_a_redis_that_does_not_reply_has_timed_out(own_stack):
    stack = own_stack().start()
    with stopped(stack.redis.pid):
        check_redis_reason(stack, "timed out: connected, and Redis does not reply")
    await_ready(stack)


def test_a_wrong_password_and_none_are_different_reasons(own_stack, tmp_path):
    password = tmp_path / "password"
    password.write_text("wrong\n")
    password.chmod(0o600)
    for settings, words in (({}, "Redis asks for a password: set redis.password_file (NOAUTH"),
                            ({"redis.password_file": str(password)}, "wrong password: see redis.password_file (WRONGPASS")):
        stack = own_stack(settings=settings)
        stack.start_stores()
        stack.redis.call("CONFIG", "SET", "requirepass", "right")
        stack.huntd.launch()
        wait_until(lambda admin=stack.admin: answers(admin), 60, "the admin port")
        check_redis_reason(stack, words)
        stack.kill()


def answers(admin: str) -> bool:
    try:
        return http_get(admin, "/livez")[0] in (200, 503)
    except OSError:
        return False


def test_a_unix_socket_that_does_not_exist_is_named(own_stack, tmp_path):
    stack = own_stack(settings={"redis.address": f"unix:{tmp_path}/none.sock"})
    stack.start_stores()
    stack.huntd.launch()
    wait_until(lambda: answers(stack.admin), 60, "the admin port")
    check_redis_reason(stack, "there is no such unix socket")


# --- Kafka: no hunter notices, and the operator does ---------------------------------------------------------------------

def kafka_reasons(stack) -> set[str]:
    return {core["kafka"]["reason"] for core in status(stack)["cores"]}


def await_kafka(stack, up: int) -> None:
    cores = int(stack.settings["cores.count"])
    wait_until(lambda: stack.metric("huntd_kafka_up") == up * cores, 90, f"huntd_kafka_up to be {up}", 0.1)


def check_degraded(stack) -> None:
    done = huntctl(stack, "status")
    assert done.returncode == OK and "healthy, ready, degraded" in done.stdout, done
    assert "Kafka takes no events" in done.stdout and "no loot is lost" in done.stdout
    shown = object_of(stack, "status", code=OK)
    assert shown["ready"] is True and "Kafka takes no events" in shown["degraded"][0]
    assert reasons(stack) == []


def kafka_stack(own_stack):
    stack = own_stack(kafka=True, cores=1, settings={"kafka.sweep_after_s": 1, "kafka.delivery_timeout_ms": 5000}).start()
    if not isinstance(stack.kafka, KafkaServer):
        pytest.skip(f"needs a broker that can be started again: {stack.kafka.why}")
    return stack


@pytest.mark.kafka
def test_a_kafka_that_is_gone_is_visible_and_loot_stays_in_the_outbox(own_stack):
    stack = kafka_stack(own_stack)
    assert run_hunt(stack.http, "gold", "ann").status == 200
    wait_until(lambda: stack.metric("huntd_kafka_acked_total") == 1, 60, "the first event")
    assert object_of(stack, "status", code=OK)["degraded"] == [] and stack.metric("huntd_kafka_up") == 1
    stack.kafka.kill()
    assert run_hunt(stack.http, "gold", "ann").status == 200
    await_kafka(stack, 0)
    check_degraded(stack)
    wait_until(lambda: stack.metric("huntd_outbox_pending") >= 1, 30, "the outbox to be counted", 0.1)
    stack.kafka.start()
    await_kafka(stack, 1)
    assert kafka_reasons(stack) == {""} and "degraded" not in huntctl(stack, "status").stdout


@pytest.mark.kafka
def test_a_kafka_that_starts_after_huntd_is_noticed_without_an_event(own_stack):
    stack = kafka_stack(own_stack)
    stack.huntd.stop()
    stack.kafka.kill()
    stack.huntd.start()
    await_kafka(stack, 0)
    port = stack.kafka.bootstrap.rsplit(":", 1)[1]
    wait_until(lambda: all(port in reason for reason in kafka_reasons(stack)), 30, "the reason to name the broker", 0.1)
    check_degraded(stack)
    stack.kafka.start()
    await_kafka(stack, 1)


@pytest.mark.kafka
def test_a_kafka_that_is_silent_is_not_up(own_stack):
    stack = kafka_stack(own_stack)
    assert run_hunt(stack.http, "gold", "ann").status == 200
    wait_until(lambda: stack.metric("huntd_kafka_acked_total") == 1, 60, "the first event")
    with stopped(stack.kafka.pid):
        assert run_hunt(stack.http, "gold", "ann").status == 200
        await_kafka(stack, 0)
        check_degraded(stack)
    await_kafka(stack, 1)


def test_without_kafka_the_gauge_is_1(own_stack):
    stack = own_stack().start()
    assert stack.metric("huntd_kafka_up") == 2 and object_of(stack, "status", code=OK)["degraded"] == []


# --- the process that starts workers ------------------------------------------------------------------------------------
# One that fails (EAGAIN): test_scripts_and_workers.py.

def launcher_of(stack, name: str, core: int = 0) -> int | None:
    spawners = [pid for pid in children_of(stack.core_pids()[core]) if name_of(pid) == "huntd-spawner"]
    found = spawners if name == "huntd-spawner" else [pid for spawner in spawners for pid in children_of(spawner) if name_of(pid) == name]
    return found[0] if found else None


@pytest.mark.parametrize("isolation, name", [("process", "huntd-spawner"), ("batch", "huntd-spawner"), ("fork", "hunt-zygote")])
def test_a_stopped_launcher_makes_its_core_not_ready_and_it_recovers(own_stack, isolation, name):
    stack = own_stack(settings={"worker.isolation": isolation, "worker.hunts_per_worker": 1}).start()
    mine, other = hunters_of(stack.http, 0, 30, "mine"), hunters_of(stack.http, 1, 1, "other")[0]
    assert run_hunt(stack.http, "gold", mine[0]).status == 200
    with stopped(launcher_of(stack, name)):
        reason = await_reason(stack, "core 0 cannot start workers", "does not answer")
        assert reasons(stack) == [reason]
        assert stack.metric("huntd_worker_start_failure") == 65535
        assert "does not answer" in huntctl(stack, "status").stdout
        for hunter in mine:  # rejected at once: none waits for its deadline
            answer = run_hunt(stack.http, "gold", hunter)
            assert answer.problem == "overloaded" and "cannot start a worker" in answer.json["detail"]
        assert run_hunt(stack.http, "gold", other).status == 200
    await_ready(stack)
    assert stack.metric("huntd_worker_start_failure") == 0
    assert [run_hunt(stack.http, "gold", hunter).status for hunter in mine] == [200] * len(mine)
    assert stack.metric("huntd_core_restarts_total") == 0


def test_hunts_that_wait_for_a_stopped_spawner_end_and_give_their_places_back(own_stack):
    stack = own_stack(cores=1, settings={"worker.max_live": 4, "http.request_deadline_ms": 12_000}).start()
    assert run_hunt(stack.http, "gold", "ann").status == 200
    with stopped(launcher_of(stack, "huntd-spawner")), concurrent.futures.ThreadPoolExecutor(8) as pool:
        waiting = list(pool.map(lambda number: run_hunt(stack.http, "gold", f"w-{number}"), range(8)))
        assert {answer.status for answer in waiting} == {503}
    await_ready(stack)
    wait_until(lambda: stack.metric("huntd_workers_live") == 0, 30, "the workers that are not needed any more to end")
    assert [run_hunt(stack.http, "gold", f"w-{number}").status for number in range(8)] == [200] * 8


def test_a_dead_spawner_makes_its_core_not_ready_with_the_reason_and_it_recovers(own_stack):
    stack = own_stack().start()
    wanted = "core 0 is down; its last process ended: its spawner was gone"
    for _ in range(10):  # the pauses between the starts grow, so that it is seen
        pid = wait_until(lambda: stack.core_pids()[0] and launcher_of(stack, "huntd-spawner"), 60, "a spawner")
        core = stack.core_pids()[0]
        os.kill(pid, signal.SIGKILL)
        if wait_until(lambda core=core: (wanted in reasons(stack) and "seen") or (stack.core_pids()[0] not in (0, core) and "again"), 60,
                      "the end of the core", 0.005) == "seen":
            break
    else:
        raise AssertionError("no start took long enough to be seen")
    await_ready(stack)
    assert status(stack)["cores"][0]["last_end"] == "its spawner was gone"
    assert stack.metric("huntd_core_restarts_total") >= 1
    for hunter in hunters_of(stack.http, 0, 3, "mine"):
        assert run_hunt(stack.http, "gold", hunter).status == 200
