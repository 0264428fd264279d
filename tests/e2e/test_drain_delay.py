# SPDX-License-Identifier: Apache-2.0
"""http.drain_delay_ms: after SIGTERM, huntd says that it is not ready and serves on; then it drains. What a balancer makes of
it: test_balancers.py."""
import json
import os
import signal
import socket

import pytest

from client import RawConnection, call, run_hunt
from harness.huntd_stack import http_get
from harness.process import is_running, wait_until

NEVER_MS = 600_000  # the longest delay; no test waits for its end
HUNT = "POST /v1/hunts/gold/hunters/{} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n"


def status(stack) -> dict:
    return json.loads(http_get(stack.admin, "/status.json")[1])


def await_stopping(stack) -> None:
    wait_until(lambda: http_get(stack.admin, "/readyz")[0] == 503, 30, "/readyz to say 503")


@pytest.fixture
def patient(own_stack):
    """After SIGTERM, and serving on."""
    stack = own_stack(settings={"http.drain_delay_ms": NEVER_MS}).start()
    stack.huntd.signal(signal.SIGTERM)
    await_stopping(stack)
    return stack


def test_readyz_says_draining_while_new_connections_are_served(patient):
    code, text = http_get(patient.admin, "/readyz")
    assert code == 503 and json.loads(text)["reasons"] == [{"core": None, "reason": "draining: huntd is stopping"}]
    assert http_get(patient.admin, "/healthz")[0] == http_get(patient.admin, "/livez")[0] == 200
    assert (status(patient)["host"], status(patient)["pid"]) == ("stopping", patient.huntd.pid)
    for number in range(20):
        assert run_hunt(patient.http, "gold", f"late-{number}").status == 200
    assert {core["state"] for core in status(patient)["cores"]} == {"ready"}


def test_each_connection_closes_after_a_response_and_none_is_broken(own_stack):
    stack = own_stack(settings={"http.drain_delay_ms": NEVER_MS}).start()
    with RawConnection(stack.http) as kept:
        kept.send(HUNT.format("ann"))
        assert "close" not in kept.answer().headers.get("connection", "")
        stack.huntd.signal(signal.SIGTERM)
        await_stopping(stack)
        kept.send(HUNT.format("ann") * 3)  # what has come is served
        answers = [kept.answer()]
        while answers[-1].headers.get("connection") != "close":
            answers.append(kept.answer())
        assert [answer.status for answer in answers] == [200] * len(answers)
        assert kept.is_closed()


def test_a_core_that_is_started_again_closes_its_connections_too(patient):
    victim = patient.core_pids()[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in patient.core_pids() and all(core["state"] == "ready" for core in status(patient)["cores"]),
               30, "the core to be back")
    for number in range(10):
        answer = call(patient.http, "POST", f"/v1/hunts/gold/hunters/h{number}", "")
        assert (answer.status, answer.headers.get("connection")) == (200, "close")


def test_after_the_delay_it_drains_and_exits_0(own_stack):
    stack = own_stack(settings={"http.drain_delay_ms": 300}).start()
    family = stack.family()
    with RawConnection(stack.http) as idle:
        stack.huntd.signal(signal.SIGTERM)
        wait_until(lambda: not stack.huntd.running, 30, "huntd to end")
        assert idle.is_closed()
    assert stack.huntd.stop() == 0
    log = stack.huntd.log_text()
    assert log.index("not ready: draining soon") < log.index("draining deadline_ms") < log.index("stopped")
    assert not [pid for pid in family if is_running(pid)]


def test_a_second_sigterm_ends_it_at_once(patient):
    patient.huntd.signal(signal.SIGTERM)
    wait_until(lambda: not patient.huntd.running, 30, "huntd to end")
    assert "a second signal: stopping at once" in patient.huntd.log_text()


def test_a_reload_in_the_delay_changes_nothing(patient):
    patient.huntd.signal(signal.SIGHUP)
    assert run_hunt(patient.http, "gold", "ann").status == 200
    patient.huntd.signal(signal.SIGTERM)
    wait_until(lambda: not patient.huntd.running, 30, "huntd to end")
    assert "reloaded" not in patient.huntd.log_text()


def test_without_a_delay_it_drains_at_once(own_stack):
    stack = own_stack().start()
    assert stack.huntd.stop() == 0
    assert "not ready" not in stack.huntd.log_text()


def test_the_service_manager_learns_how_long_a_stop_may_take(own_stack, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(30)
        stack = own_stack(settings={"http.drain_delay_ms": NEVER_MS, "http.drain_deadline_ms": 20_000})
        stack.huntd.environment = {"NOTIFY_SOCKET": str(path)}
        stack.start()
        stack.huntd.signal(signal.SIGTERM)
        received = manager.recv(4096).decode()
        while "STOPPING=1" not in received:
            received = manager.recv(4096).decode()
        lines = dict(line.split("=", 1) for line in received.splitlines())
        assert int(lines["EXTEND_TIMEOUT_USEC"]) >= (NEVER_MS + 20_000 + 7_000) * 1000
        assert manager.recv(4096).decode() == f"STATUS=not ready, serving on for {NEVER_MS} ms; then draining"
        stack.huntd.signal(signal.SIGTERM)
        assert manager.recv(4096).decode() == "STATUS=draining"
