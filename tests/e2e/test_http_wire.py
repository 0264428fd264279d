# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as bytes on a socket: framing, order, limits and rejected requests (RFC 9110, RFC 9112)."""
import contextlib
import json
import threading

import pytest
import re

from client import RawConnection, call, held
from harness.ports import reserve_port
from harness.process import wait_until

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


def test_pipelined_requests_get_responses_in_order(raw):
    # Of several hunters, so that several cores work on them; hunts among them that end at once.
    hunters = [f"pipe-{number % 7}" for number in range(60)]
    raw.send("".join(post(f"/v1/hunts/echo/hunters/{hunter}", "Content-Length: 0") + get("/nowhere")
                     for hunter in hunters))
    for hunter in hunters:
        assert raw.answer().json["result"]["hunter"] == hunter
        assert raw.answer().status == 404


def sends(stack) -> float:
    return stack.metric("huntd_http_response_sends_total")


def responses(stack) -> float:
    return stack.metric("huntd_http_requests_total")


def test_sixteen_pipelined_requests_get_their_responses_in_order_and_in_fewer_sends(own_stack):
    stack = own_stack(cores=1).start()
    expected = [200, 404, 404, 200, 405, 200, 404, 405, 405, 200, 200, 404, 405, 404, 200, 405]
    of_status = {200: get(), 404: get("/nowhere"), 405: get().replace("GET", "PUT", 1)}
    with RawConnection(stack.http) as raw:
        before = sends(stack)
        raw.send("".join(of_status[status] for status in expected))
        assert [raw.answer().status for _ in expected] == expected
        # One, unless the kernel delivered the requests in pieces.
        assert 1 <= sends(stack) - before <= len(expected) / 4


def test_hunts_among_pipelined_requests_keep_the_order(own_stack):
    stack = own_stack(cores=1).start()
    with RawConnection(stack.http) as raw:
        raw.send(get())  # so that the connection does not move any more
        assert raw.answer().status == 200
        before = sends(stack)
        raw.send(get("/nowhere") * 6 + post(ECHO, "Content-Length: 0") + get("/nowhere") * 5
                 + post(HUNT + "among", "Content-Length: 0") + get() * 4)
        assert [raw.answer().status for _ in range(6)] == [404] * 6
        assert raw.answer().json["result"]["hunter"] == "wire"
        assert [raw.answer().status for _ in range(5)] == [404] * 5
        assert raw.answer().json["result"]["before"] == 0
        assert [raw.answer().status for _ in range(4)] == [200] * 4
        # Three, before each hunt and at the end, unless the kernel delivered the requests in pieces.
        assert 1 <= sends(stack) - before <= 6


def test_a_response_is_not_held_back_by_the_next_hunt(own_stack):
    stack = own_stack(cores=1, settings={"worker.deadline_ms": 10_000}).start()
    with RawConnection(stack.http) as raw:
        raw.send(get("/nowhere") + post(ECHO, "Content-Length: 0") + post("/v1/hunts/forever/hunters/wire", "Content-Length: 0"))
        assert raw.answer().status == 404
        assert raw.answer().json["result"]["hunter"] == "wire"
        # The hunt after it cannot have ended: it runs until its deadline.
        assert stack.metric('huntd_hunts_total{outcome="deadline"}') == 0


def test_pipelined_runs_that_a_standing_queue_rejects_get_503_in_few_sends(own_stack):
    stack = own_stack(cores=1, settings={"worker.max_live": 1, "worker.deadline_ms": 300, "worker.queue_target_ms": 20}).start()
    with contextlib.ExitStack() as opened:
        for number in range(20):  # six seconds of work
            busy = opened.enter_context(RawConnection(stack.http))
            busy.send(post(f"/v1/hunts/forever/hunters/busy-{number}", "Content-Length: 0"))

        def sheds() -> bool:
            one_more = opened.enter_context(RawConnection(stack.http))
            one_more.send(post(ECHO, "Content-Length: 0"))
            return stack.metric('huntd_hunts_total{outcome="shed_standing_queue"}') > 0

        wait_until(sheds, 10, "a standing queue")
        raw = opened.enter_context(RawConnection(stack.http))
        before = sends(stack)
        raw.send(post(ECHO, "Content-Length: 0") * 16)
        answers = [raw.answer() for _ in range(16)]
        # Beside them only the responses to the hunts that wait, one per 300 ms.
        assert sends(stack) - before < 16
        assert {(answer.status, answer.problem) for answer in answers} == {(503, "overloaded")}
        assert all(int(answer.headers["retry-after"]) > 0 and answer.headers["hunt-bundle"] for answer in answers)
        assert len({answer.headers["x-request-id"] for answer in answers}) == 16


def test_a_close_among_pipelined_requests_ends_the_responses(raw, stack):
    raw.send(get() * 5 + post(HUNT + "closer", "Content-Length: 0", "Connection: close") + post(HUNT + "closer", "Content-Length: 0"))
    assert [raw.answer().status for _ in range(5)] == [200] * 5
    last = raw.answer()
    assert (last.json["result"]["before"], last.headers["connection"]) == (0, "close")
    assert raw.is_closed()
    assert held(stack.http, "gold", "closer") == {"gold": 1}, "the request after the close does not run"


def test_a_slow_reader_of_pipelined_responses_gets_all_of_them_in_order(own_stack):
    stack = own_stack(cores=1).start()
    count = 6000  # responses of 2 KiB each, more than the sockets' buffers hold
    with RawConnection(stack.http, receive_buffer_bytes=16 * 1024) as slow:
        sender = threading.Thread(target=slow.send, args=((get() + get("/nowhere")) * (count // 2),), daemon=True)
        sender.start()
        # It reads nothing until huntd makes no more responses.
        wait_until(lambda: 0 < responses(stack) == responses(stack) < count, 30, "huntd to wait for the client")
        for _ in range(count // 2):
            assert slow.answer().status == 200
            assert slow.answer().status == 404
        sender.join()
    assert sends(stack) < count / 4


def test_a_request_may_arrive_byte_by_byte(raw):
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


def test_expect_100_continue_is_rejected_for_a_bad_head(raw):
    raw.send(post(ECHO, "Content-Type: application/json", "Content-Length: 20000", "Expect: 100-continue"))
    assert raw.answer().status == 413, "not 100: the body is not wanted"


def test_head_is_get_without_the_body(raw):
    raw.send(get() + get().replace("GET", "HEAD", 1) + get(HUNT + "unknown").replace("GET", "HEAD", 1) + get("/end"))
    whole = raw.answer()
    head = raw.answer(to_head=True)
    assert (head.status, head.headers["content-length"]) == (200, whole.headers["content-length"])
    assert raw.answer(to_head=True).status == 200
    assert raw.answer().status == 404


def test_connection_close_is_honoured(raw):
    raw.send(get("/v1/core-map", "Connection: close"))
    assert raw.answer().headers["connection"] == "close"
    assert raw.is_closed()


def test_http_1_0_closes_without_keep_alive(stack):
    with RawConnection(stack.http) as raw:
        raw.send("GET /v1/core-map HTTP/1.0\r\n\r\n")
        assert raw.answer().status == 200
        assert raw.is_closed()
    with RawConnection(stack.http) as raw:
        for _ in range(2):
            raw.send("GET /v1/core-map HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            answer = raw.answer()
            assert (answer.status, answer.headers["connection"].lower()) == (200, "keep-alive")


def test_a_half_closed_client_still_gets_its_responses(raw):
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


def test_an_incomplete_request_is_not_run(stack):
    with RawConnection(stack.http) as raw:
        raw.send(post(HUNT + "broken-off", "Content-Type: application/json", "Content-Length: 10", body='{"n"'))
        raw.end_sending()
        assert raw.is_closed()
    assert held(stack.http, "gold", "broken-off") == {}


def test_a_request_that_never_ends_is_408_and_an_idle_connection_is_closed(own_stack):
    stack = own_stack(settings={"http.read_deadline_ms": 200, "http.idle_deadline_ms": 400}).start()
    with RawConnection(stack.http) as slow, RawConnection(stack.http) as idle:
        slow.send("POST /v1/hunts/gold/hunters/slow HTTP/1.1\r\nHost: te")
        idle.send(get())
        assert idle.answer().status == 200
        assert slow.answer().problem == "request-timeout"
        assert slow.is_closed()
        assert idle.is_closed()


def test_a_peer_that_does_not_read_is_disconnected(own_stack):
    stack = own_stack(cores=1, settings={"http.send_deadline_ms": 300}).start()
    with RawConnection(stack.http) as deaf:
        with pytest.raises(ConnectionError):
            for _ in range(100_000):  # each response is a few KiB: soon more than both sockets' buffers hold
                deaf.send(get() * 50)
        assert call(stack.http, "GET", "/v1/core-map").status == 200


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


def test_a_connection_without_a_first_request_is_closed_early(own_stack):
    stack = own_stack(cores=1, settings={"http.first_byte_deadline_ms": 2000}).start()
    with RawConnection(stack.http) as silent, RawConnection(stack.http) as spoke:
        spoke.send(get())
        assert spoke.answer().status == 200
        assert silent.is_closed()
        assert stack.metric('huntd_connections_expired_total{reason="first_byte"}') == 1
        spoke.send(get())
        assert spoke.answer().status == 200


def from_address(stack, address: str) -> RawConnection:
    return RawConnection(stack.http, source=address)


# Both ways in: slots of the ring, and plain descriptors where the limit is too small for the ring's table.
@pytest.mark.parametrize("before", [[], ["prlimit", "--nofile=500"]], ids=["slots", "descriptors"])
def test_connections_are_limited_per_address(own_stack, before):
    stack = own_stack(cores=1, before_huntd=before, settings={"http.connections_per_address_max": 3, "http.access_log": "errors"}).start()
    assert ("client sockets are plain descriptors" in stack.huntd.log_text()) == bool(before)
    with from_address(stack, "127.0.0.2") as first, from_address(stack, "127.0.0.2") as second, \
            from_address(stack, "127.0.0.2") as third:
        for connection in (first, second, third):
            connection.send(get())
            assert connection.answer().status == 200
        with from_address(stack, "127.0.0.2") as fourth:
            answer = fourth.answer()
            assert (answer.status, answer.problem) == (503, "too-many-connections")
            assert answer.headers["connection"] == "close" and int(answer.headers["retry-after"]) > 0
            assert fourth.is_closed()
        assert stack.metric("huntd_connections_rejected_total") == 1
        wait_until(lambda: re.search(r"^<6>access .*client=127\.0\.0\.2 .*status=503", stack.huntd.log_text(), re.MULTILINE), 20, "its line")
        with from_address(stack, "127.0.0.3") as other:
            other.send(get())
            assert other.answer().status == 200
        third.close()
        wait_until(lambda: stack.metric("huntd_connections_open") <= 2, 30, "the closed one to be gone")
        with from_address(stack, "127.0.0.2") as again:
            again.send(get())
            assert again.answer().status == 200


def test_a_moved_connection_counts_on_its_new_core(own_stack):
    stack = own_stack(settings={"http.connections_per_address_max": 4}).start()
    with contextlib.ExitStack() as opened:
        answers = []
        for _ in range(8):  # all of one hunter, so they all move to one core
            connection = opened.enter_context(from_address(stack, "127.0.0.2"))
            connection.send(get(HUNT + "gatherer"))
            answers.append(connection.answer())
        # A hunt that a busy machine was too slow for has its connection counted too.
        found = [answer.status if answer.status == 200 else answer.problem for answer in answers]
        assert [one == "too-many-connections" for one in found] == [False] * 4 + [True] * 4, found


def test_an_ipv4_client_of_an_ipv6_socket_is_counted_by_its_own_address(own_stack):
    port = reserve_port()
    stack = own_stack(cores=1, settings={"http.listen": f"[::]:{int(port)}", "http.connections_per_address_max": 1,
                                         "auth.allow_unauthenticated": True}).start()
    stack.http = f"127.0.0.1:{int(port)}"
    with from_address(stack, "127.0.0.2") as first, from_address(stack, "127.0.0.3") as other, \
            from_address(stack, "127.0.0.2") as second, RawConnection(f"::1:{int(port)}") as sixth:
        for connection in (first, other, sixth):
            connection.send(get())
            assert connection.answer().status == 200
        assert second.answer().problem == "too-many-connections"
    port.release()
