# SPDX-License-Identifier: Apache-2.0
"""Every case of rfc9112_cases.py on a connection of its own to a huntd with two cores."""
import json

import pytest

from client import RawConnection, held
from rfc9112_cases import CASES, OPEN

PROBE = "GET /v1/hunts/gold/hunters/probe HTTP/1.1\r\nHost: a\r\n\r\n"


def check(answer, expected: str) -> None:
    status, _, what = expected.removeprefix("HEAD ").partition(" ")
    assert answer.status == int(status), answer
    if what.startswith("="):
        assert answer.json["result"]["input"] == json.loads(what[1:])
    elif what:
        assert answer.problem == what
    elif answer.status >= 400 and not expected.startswith("HEAD "):
        pytest.fail(f"the case names no problem for {answer}")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_bytes_get_their_responses_and_no_others(stack, case):
    with RawConnection(stack.http) as raw:
        for piece in case.pieces:
            raw.send(piece)
        for expected in case.answers:
            answer = raw.answer(to_head=expected.startswith("HEAD "))
            check(answer, expected)
        if case.answers[-1] == "100":
            raw.send("{}")
            check(raw.answer(), "200 ={}")
        if case.then == OPEN:
            assert answer.headers.get("connection", "") != "close"
            raw.send(PROBE)
            assert raw.answer().json["hunter_id"] == "probe", "a response came that the case does not name"
        else:
            assert answer.headers["connection"] == "close"
            assert raw.is_closed(), "a response came that the case does not name"


def test_no_case_is_written_twice():
    assert len({case.name for case in CASES}) == len(CASES)
    assert len({case.pieces for case in CASES}) == len(CASES)
    assert len(CASES) >= 150


def test_smuggled_requests_were_not_run(stack):
    assert held(stack.http, "gold", "smuggled") == {}
