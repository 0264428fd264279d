# SPDX-License-Identifier: Apache-2.0
"""The ports of operators: huntd's admin port and aggregator.listen respond while a crowd hangs on them, and liveness is apart from
readiness (docs/decisions/0037-admin-ports-that-cannot-be-blocked.md)."""
import json
import os
import pathlib
import signal
import statistics
import time

import pytest

from admin_crowd import AdminCrowd
from client import RawConnection, call, run_hunt
from harness.huntd_stack import http_get
from harness.postgres_server import OtherSession
from harness.process import children_of, wait_until

STACK = {"aggregator": True}
PORTS = ("huntd", "hunt-aggregator")
CHECKS = 50
WITHIN_S = 10
GROWS_KB_MAX = 32 * 1024


def process_of(stack, port: str) -> int:
    if port == "hunt-aggregator":
        return stack.aggregator.pid
    [pid] = [pid for pid in children_of(stack.huntd.pid) if pathlib.Path(f"/proc/{pid}/comm").read_text() == "huntd-admin\n"]
    return pid


def address_of(stack, port: str) -> str:
    return stack.admin if port == "huntd" else stack.aggregator_address


def resident_kb(pid: int) -> int:
    [line] = [line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1])


def seconds_of(address: str, path: str, statuses: tuple[int, ...]) -> list[float]:
    """How long each of CHECKS requests took, each on a connection of its own."""
    took = []
    for _ in range(CHECKS):
        started = time.monotonic()
        status, body = http_get(address, path, timeout_s=WITHIN_S)
        took.append(time.monotonic() - started)
        assert status in statuses and body, (path, status, body)
    return took


def in_ms(seconds: list[float]) -> str:
    return f"median {1000 * statistics.median(seconds):.1f} ms, slowest {1000 * max(seconds):.1f} ms"


@pytest.mark.parametrize("port", PORTS)
def test_a_crowd_that_hangs_on_a_port_delays_no_check_and_takes_no_memory(stack, port):
    address, pid = address_of(stack, port), process_of(stack, port)
    paths = {"/healthz": (200, 503), "/livez": (200,), "/readyz": (200, 503), "/metrics": (200,)}
    alone = {path: seconds_of(address, path, statuses) for path, statuses in paths.items()}
    before_kb = resident_kb(pid)
    with AdminCrowd(address, idle=1000, slow=200, endless=20) as crowd:
        crowd.await_there()
        crowded = {path: seconds_of(address, path, statuses) for path, statuses in paths.items()}
        grown_kb = resident_kb(pid) - before_kb
    for path in paths:
        print(f"{port} {path}: alone {in_ms(alone[path])}; in the crowd {in_ms(crowded[path])}")
    print(f"{port}: {grown_kb} KiB more")
    assert process_of(stack, port) == pid, "the process did not end"
    assert grown_kb < GROWS_KB_MAX


@pytest.mark.parametrize("port", PORTS)
def test_a_request_with_a_body_is_answered_and_its_connection_ends(stack, port):
    for head in ("Content-Length: 3", "Transfer-Encoding: chunked"):
        with RawConnection(address_of(stack, port)) as raw:
            raw.send(f"POST /metrics HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n")
            answer = raw.answer()
            assert (answer.status, answer.headers["connection"]) == (413, "close")


@pytest.mark.parametrize("port", PORTS)
def test_each_path_has_get_and_head_on_a_connection_that_is_kept(stack, port):
    paths = ["/livez", "/readyz", "/healthz", "/metrics"]
    if port == "huntd":
        paths += ["/", "/latency.json", "/latency.hlog", "/status.json"]
    with RawConnection(address_of(stack, port)) as raw:
        for path in paths:
            raw.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\nHEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n")
            got, head = raw.answer(), raw.answer(to_head=True)
            assert got.status in (200, 503) and got.body, path
            assert head.headers["content-type"] == got.headers["content-type"], path
    wrong = call(address_of(stack, port), "DELETE", "/metrics")
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET, HEAD")
    assert call(address_of(stack, port), "GET", "/v1/core-map").json == {"type": "about:blank", "title": "No such path",
                                                                        "status": 404}


def test_a_stopped_core_is_not_live_and_a_core_without_redis_is(own_stack):
    stack = own_stack(cores=1).start()
    assert http_get(stack.admin, "/livez") == (200, '{"live":true,"reasons":[]}\n')
    stack.redis.kill()
    wait_until(lambda: http_get(stack.admin, "/readyz")[0] == 503, 30, "no core to be ready", poll_s=0.1)
    assert http_get(stack.admin, "/livez")[0] == 200, "a restart of huntd does not bring Redis back"
    stack.redis.start()
    [core] = stack.core_pids()
    os.kill(core, signal.SIGSTOP)
    try:
        wait_until(lambda: http_get(stack.admin, "/livez")[0] == 503, 60, "the core to be missed", poll_s=0.2)
        assert [reason["core"] for reason in json.loads(http_get(stack.admin, "/livez")[1])["reasons"]] == [0]
    finally:
        os.kill(core, signal.SIGCONT)
    wait_until(lambda: http_get(stack.admin, "/livez")[0] == 200, 30, "the core to run", poll_s=0.1)


def test_while_a_merge_hangs_the_aggregator_answers_and_is_live(stack):
    wait_until(lambda: http_get(stack.aggregator_address, "/readyz") == (200, "ok\n"), 30, "the aggregator")
    gate = OtherSession(stack.postgres.uri)
    waits = "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
    try:
        gate.do("BEGIN; LOCK TABLE hunt_session IN ACCESS EXCLUSIVE MODE")
        wait_until(lambda: stack.postgres.sql("select 1 from pg_locks where mode = 'AccessExclusiveLock' and granted "
                                              "and relation = 'hunt_session'::regclass"), 30, "the lock")
        assert run_hunt(stack.http, "gold", "held-up").status == 200
        wait_until(lambda: stack.postgres.sql(waits), 60, "the merge to hang", poll_s=0.2)
        assert http_get(stack.aggregator_address, "/livez") == (200, "ok\n"), "a restart does not end another one's lock"
        assert http_get(stack.aggregator_address, "/metrics")[0] == 200
        gate.do("COMMIT")
        gate.end()
    finally:
        gate.kill()
    row = "select 1 from hunt_session where hunter_id = 'held-up'"
    wait_until(lambda: stack.postgres.sql(row), 60, "the row")


def test_without_postgres_the_aggregator_is_live_and_not_ready(own_stack):
    stack = own_stack(cores=1, aggregator=True).start()
    stack.postgres.kill()
    wait_until(lambda: http_get(stack.aggregator_address, "/readyz")[1].startswith("postgres is unavailable: "), 60,
               "the aggregator to see it", poll_s=0.2)
    assert http_get(stack.aggregator_address, "/healthz")[0] == 503
    assert http_get(stack.aggregator_address, "/livez") == (200, "ok\n")
