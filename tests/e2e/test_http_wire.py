"""HTTP/1.1 as bytes on a socket: framing, order, limits, and what is refused (RFC 9110, RFC 9112)."""
import json
import time

import pytest

from client import RawConnection, call, held

HUNT = "/v1/hunts/gold/hunters/"
ECHO = "/v1/hunts/echo/hunters/wire"


def get(path: str = "/v1/core-map", *headers: str) -> str:
    return f"GET {path} HTTP/1.1\r\nHost: test\r\n" + "".join(f"{line}\r\n" for line in headers) + "\r\n"


def post(path: str, *headers: str, body: str = "") -> str:
    return f"POST {path} HTTP/1.1\r\nHost: test\r\n" + "".join(f"{line}\r\n" for line in headers) + "\r\n" + body


@pytest.fixture
def raw(stack):
    with RawConnection(stack.http) as connection:
        yield connection


def test_a_connection_is_kept_for_many_requests(raw):
    for count in range(50):
        raw.send(post(HUNT + "keeper", "Content-Length: 0"))
        assert raw.answer().json["result"]["before"] == count


def test_pipelined_requests_are_answered_in_their_order(raw):
    # Of several hunters, so that several cores work on them; hunts among them that end at once.
    hunters = [f"pipe-{number % 7}" for number in range(60)]
    raw.send("".join(post(f"/v1/hunts/echo/hunters/{hunter}", "Content-Length: 0") + get("/nowhere")
                     for hunter in hunters))
    for hunter in hunters:
        assert raw.answer().json["result"]["hunter"] == hunter
        assert raw.answer().status == 404


def test_a_request_may_come_byte_by_byte(raw):
    body = '{"n":1}'
    for byte in post(ECHO, "Content-Type: application/json", f"Content-Length: {len(body)}", body=body):
        raw.send(byte)
    assert raw.answer().json["result"]["input"] == {"n": 1}


@pytest.mark.parametrize("chunks", ["7\r\n{\"n\":1}\r\n0\r\n\r\n", "1\r\n{\r\n6;ext=1\r\n\"n\":1}\r\n0\r\n\r\n",
                                    "0007\r\n{\"n\":1}\r\n000\r\nTrailer-Field: x\r\n\r\n",
                                    "1\r\n{\r\n1\r\n\"\r\n1\r\nn\r\n1\r\n\"\r\n1\r\n:\r\n1\r\n1\r\n1\r\n}\r\n0\r\n\r\n"])
def test_a_chunked_body_is_read(raw, chunks):
    raw.send(post(ECHO, "Content-Type: application/json", "Transfer-Encoding: chunked", body=chunks) + get("/after"))
    assert raw.answer().json["result"]["input"] == {"n": 1}
    assert raw.answer().status == 404, "the next request begins right after the trailers"


def test_a_chunked_body_that_grows_too_large_is_413_before_it_ends(raw):
    raw.send(post(ECHO, "Content-Type: application/json", "Transfer-Encoding: chunked"))
    raw.send("4000\r\n" + "x" * 0x4000 + "\r\n1\r\n")
    assert raw.answer().problem == "body-too-large"
    assert raw.is_closed()


def test_expect_100_continue_is_answered_before_the_body(raw):
    raw.send(post(ECHO, "Content-Type: application/json", "Content-Length: 7", "Expect: 100-continue"))
    assert raw.answer().status == 100
    raw.send('{"n":1}')
    assert raw.answer().json["result"]["input"] == {"n": 1}


def test_expect_is_refused_where_the_head_alone_is_wrong(raw):
    raw.send(post(ECHO, "Content-Type: application/json", "Content-Length: 20000", "Expect: 100-continue"))
    assert raw.answer().status == 413, "not 100: the body is not wanted"


def test_head_is_get_without_the_body(raw):
    raw.send(get() + get().replace("GET", "HEAD", 1) + get(HUNT + "nobody").replace("GET", "HEAD", 1) + get("/end"))
    whole = raw.answer()
    head = raw.answer(to_head=True)
    assert (head.status, head.headers["content-length"]) == (200, whole.headers["content-length"])
    assert raw.answer(to_head=True).status == 200
    assert raw.answer().status == 404


def test_connection_close_is_honoured(raw):
    raw.send(get("/v1/core-map", "Connection: close"))
    assert raw.answer().headers["connection"] == "close"
    assert raw.is_closed()


def test_http_1_0_closes_unless_asked_to_stay(stack):
    with RawConnection(stack.http) as raw:
        raw.send("GET /v1/core-map HTTP/1.0\r\n\r\n")
        assert raw.answer().status == 200
        assert raw.is_closed()
    with RawConnection(stack.http) as raw:
        for _ in range(2):
            raw.send("GET /v1/core-map HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            answer = raw.answer()
            assert (answer.status, answer.headers["connection"].lower()) == (200, "keep-alive")


def test_a_client_that_ends_its_side_still_gets_its_answers(raw):
    raw.send(post(HUNT + "half", "Content-Length: 0") * 3)
    raw.end_sending()
    assert [raw.answer().json["result"]["before"] for _ in range(3)] == [0, 1, 2]
    assert raw.is_closed()


def test_a_smuggled_request_is_not_run(stack):
    hidden = post(HUNT + "smuggler", "Content-Length: 0")
    with RawConnection(stack.http) as raw:
        raw.send(post(ECHO, "Content-Length: 4", "Transfer-Encoding: chunked", body="0\r\n\r\n" + hidden))
        assert raw.answer().status == 400
        assert raw.is_closed()
    assert held(stack.http, "gold", "smuggler") == {}


def test_a_request_that_breaks_off_is_not_run(stack):
    with RawConnection(stack.http) as raw:
        raw.send(post(HUNT + "broken-off", "Content-Type: application/json", "Content-Length: 10", body='{"n"'))
        raw.end_sending()
        assert raw.is_closed()
    assert held(stack.http, "gold", "broken-off") == {}


def test_a_request_that_never_ends_is_408_and_an_idle_connection_is_closed(own_stack):
    stack = own_stack(settings={"http.header_deadline_ms": 200, "http.idle_deadline_ms": 400}).start()
    with RawConnection(stack.http) as slow, RawConnection(stack.http) as idle:
        slow.send("POST /v1/hunts/gold/hunters/slow HTTP/1.1\r\nHost: te")
        idle.send(get())
        assert idle.answer().status == 200
        assert slow.answer().problem == "request-timeout"
        assert slow.is_closed()
        assert idle.is_closed()


def test_a_peer_that_does_not_read_is_cut_off_and_others_are_served(own_stack):
    stack = own_stack(cores=1, settings={"http.send_deadline_ms": 300}).start()
    with RawConnection(stack.http) as deaf:
        with pytest.raises(ConnectionError):
            for _ in range(100_000):  # each answer is a few KiB: soon more than both sockets' buffers hold
                deaf.send(get() * 50)
        began = time.monotonic()
        assert call(stack.http, "GET", "/v1/core-map").status == 200
        assert time.monotonic() - began < 5


def test_many_connections_at_once(stack):
    connections = [RawConnection(stack.http) for _ in range(300)]
    try:
        for number, connection in enumerate(connections):
            connection.send(get(HUNT + f"crowd-{number}"))
        for connection in connections:
            assert json.loads(connection.answer().body)["loot"] == {}
    finally:
        for connection in connections:
            connection.close()
