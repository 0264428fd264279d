# SPDX-License-Identifier: Apache-2.0
"""X-Request-Id: one id per request, in its response, in the body of a run and in the log (docs/http-api.md, "Request ids")."""
import os
import re
import signal

import pytest

from client import RawConnection, call, core_of, run_hunt
from harness.process import wait_until
from rest_calls import event, produce

HURRIED = {"http.request_deadline_ms": 2000, "worker.deadline_ms": 1200, "worker.queue_deadline_ms": 700}
ID = re.compile("[0-9a-f]{32}")
HUNT = "/v1/hunts/gold/hunters/ann"
HEAD = f"{HUNT} HTTP/1.1\r\nHost: t\r\n"

# What is sent, and the status of its response.
ERRORS = {
    "malformed": ("nonsense\r\n\r\n", 400),
    "bad header": (f"POST {HEAD}X : y\r\n\r\n", 400),
    "bad id": ("POST /v1/hunts/gold/hunters/%20 HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "no such path": ("GET /nowhere HTTP/1.1\r\nHost: t\r\n\r\n", 404),
    "no such hunt": ("POST /v1/hunts/nothing/hunters/ann HTTP/1.1\r\nHost: t\r\n\r\n", 404),
    "method": (f"PUT {HEAD}\r\n", 405),
    "body too large": (f"POST {HEAD}Content-Length: 16385\r\n\r\n", 413),
    "type": (f"POST {HEAD}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{{}}", 415),
    "expectation": (f"POST {HEAD}Expect: more\r\n\r\n", 417),
    "head too large": (f"POST {HEAD}X: {'x' * 9000}\r\n\r\n", 431),
    "unknown method": ("BREW / HTTP/1.1\r\nHost: t\r\n\r\n", 501),
    "version": ("GET / HTTP/2.0\r\nHost: t\r\n\r\n", 505),
}


def id_of(answer) -> str:
    found = answer.headers.get("x-request-id", "")
    assert ID.fullmatch(found), answer
    return found


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_has_an_id(stack, name):
    data, status = ERRORS[name]
    with RawConnection(stack.http) as connection:
        connection.send(data)
        answer = connection.answer()
    assert answer.status == status
    id_of(answer)


def test_a_run_has_the_id_of_its_body_on_whichever_core_it_ran(stack):
    cores, seen = set(), set()
    with RawConnection(stack.http) as connection:  # it stays on one core, and the hunters are of both
        for number in range(20):
            hunter = f"ids-{number}"
            connection.send(f"POST /v1/hunts/gold/hunters/{hunter} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n")
            answer = connection.answer()
            assert answer.status == 200 and answer.json["request_id"] == id_of(answer)
            seen.add(id_of(answer))
            cores.add(core_of(stack, hunter))
    assert len(seen) == 20 and cores == {0, 1}


def test_reads_the_core_map_and_head_have_ids_of_their_own(stack):
    answers = [call(stack.http, method, path) for path in (HUNT, "/v1/core-map") for method in ("GET", "HEAD", "GET")]
    assert [answer.status for answer in answers] == [200] * 6
    assert len({id_of(answer) for answer in answers}) == 6


def test_a_produce_call_has_an_id(stack):
    answer = produce(stack.http, [{"value": event("ann", 1)}])
    assert answer.status == 404, "this stack has no Kafka"
    id_of(answer)


def test_a_client_does_not_choose_the_id(stack):
    answer = call(stack.http, "POST", HUNT, headers={"X-Request-Id": "0" * 32})
    assert answer.status == 200
    assert answer.json["request_id"] == id_of(answer) != "0" * 32


def test_a_replay_has_an_id_of_its_own_and_names_the_run_in_its_body(stack):
    first = run_hunt(stack.http, "gold", "replayed", key="k")
    again = run_hunt(stack.http, "gold", "replayed", key="k")
    assert first.json["request_id"] == id_of(first)
    assert again.json["replayed"] is True and again.json["request_id"] == id_of(first) != id_of(again)


def test_the_log_line_about_a_failed_hunt_has_the_id(stack):
    answer = run_hunt(stack.http, "broken", "ann")
    assert answer.status == 500
    line = f"request_id={id_of(answer)}"
    wait_until(lambda: line in stack.huntd.log_text(), 10, "the log line with the request id")


def test_a_request_that_is_late_has_an_id(own_stack):
    stack = own_stack(settings={"http.read_deadline_ms": 300}).start()
    with RawConnection(stack.http) as connection:
        connection.send(f"POST {HEAD}")
        answer = connection.answer()
    assert answer.status == 408
    id_of(answer)


def test_an_unknown_outcome_names_the_id_as_the_key(own_stack):
    stack = own_stack(settings=HURRIED).start()
    far = next(name for name in (f"far-{number}" for number in range(100)) if core_of(stack, name) == 1)
    near = next(name for name in (f"near-{number}" for number in range(100)) if core_of(stack, name) == 0)
    with RawConnection(stack.http) as connection:
        connection.send(f"POST /v1/hunts/gold/hunters/{near} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n")
        assert connection.answer().status == 200  # the connection is on core 0 from now on
        pid = stack.core_pids()[1]
        os.kill(pid, signal.SIGSTOP)
        try:
            connection.send(f"POST /v1/hunts/gold/hunters/{far} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n")
            answer = connection.answer()
        finally:
            os.kill(pid, signal.SIGCONT)
    assert answer.problem == "outcome-unknown"
    assert answer.json["request_id"] == id_of(answer)


TRACE = "0af7651916cd43dd8448eb211c80319c"


def log_line_of(stack, hunter: str, traceparent: str) -> str:
    """The log line about a failed hunt of this hunter, whose request has this header."""
    answer = call(stack.http, "POST", f"/v1/hunts/broken/hunters/{hunter}", headers={"traceparent": traceparent})
    assert answer.status == 500

    def lines() -> list[str]:
        return [line for line in stack.huntd.log_text().splitlines()
                if "hunt failed" in line and f"request_id={id_of(answer)}" in line]
    wait_until(lambda: lines(), 10, "the log line about the hunt")
    [line] = lines()
    return line


def test_the_trace_id_is_in_the_log_line_on_whichever_core_it_ran(stack):
    for number in range(8):
        assert f" trace_id={TRACE} " in log_line_of(stack, f"traced-{number}", f"00-{TRACE}-b7ad6b7169203331-01")


@pytest.mark.parametrize("traceparent", [f"00-{TRACE.upper()}-b7ad6b7169203331-01", f"00-{'0' * 32}-b7ad6b7169203331-01",
                                         f"ff-{TRACE}-b7ad6b7169203331-01", "nonsense"])
def test_a_trace_id_that_is_not_valid_is_ignored(stack, traceparent):
    assert "trace_id" not in log_line_of(stack, "untraced", traceparent)
