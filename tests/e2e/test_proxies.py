# SPDX-License-Identifier: Apache-2.0
"""Who the client is behind a proxy: X-Forwarded-For and the PROXY protocol, by hand and as HAProxy and nginx send them
(docs/configuration.md, "The client's address behind a proxy"). The proxy of these tests has the address 127.0.0.1."""
import contextlib
import ipaddress
import struct

import pytest

from client import RawConnection
from harness.huntd_stack import UnixConnection
from harness.ports import reserve_port
from harness.process import Server, find_program, wait_until
from test_access_log import lines_of
from test_responses import Nginx

PROXY = {"http.trusted_proxies": ["127.0.0.1"], "http.access_log": "all"}
PROTOCOL = {**PROXY, "http.proxy_protocol": True}
GET = "GET /v1/core-map HTTP/1.1\r\nHost: t\r\n{}\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def get(client: str = "") -> str:
    return GET.format(f"X-Forwarded-For: {client}\r\n" if client else "")


def version_1(client: str) -> bytes:
    return f"PROXY TCP4 {client} 127.0.0.1 4711 80\r\n".encode()


def version_2(client: str) -> bytes:
    """With a TLV of a kind that huntd does not know."""
    address = ipaddress.ip_address(client)
    own = "127.0.0.1" if address.version == 4 else "::1"
    rest = address.packed + ipaddress.ip_address(own).packed + struct.pack(">HH", 4711, 80) + b"\xe0\0\x03abc"
    return SIGNATURE + bytes([0x21, 0x11 if address.version == 4 else 0x21]) + struct.pack(">H", len(rest)) + rest


def await_clients(stack, wanted: list) -> None:
    """The access log has one line per response of these clients, in this order; None: the line names none."""
    wait_until(lambda: len(lines_of(stack)) >= len(wanted), 10, "the lines in the access log")
    assert [line.get("client") for line in lines_of(stack)] == wanted


def answers(connection, *requests: bytes | str) -> list:
    for request in requests:
        connection.send(request)
    return [connection.answer() for _ in requests]


# Both ways in: slots of the ring, and plain descriptors where the limit is too small for the ring's table.
@pytest.mark.parametrize("before", [[], ["prlimit", "--nofile=500"]], ids=["slots", "descriptors"])
def test_the_client_is_the_one_that_a_trusted_proxy_names(own_stack, before):
    stack = own_stack(cores=1, before_huntd=before, settings=PROXY).start()
    with RawConnection(stack.http) as proxy, RawConnection(stack.http, source="127.0.0.2") as other:
        for connection in (proxy, other):
            for client in ("192.0.2.1", "198.51.100.9, 2001:db8::7, 127.0.0.1", "unknown", ""):
                assert answers(connection, get(client))[0].status == 200
    await_clients(stack, ["192.0.2.1", "2001:db8::7", "127.0.0.1", "127.0.0.1", *["127.0.0.2"] * 4])


def test_the_peers_of_a_unix_socket_may_be_trusted(own_stack, tmp_path):
    path = tmp_path / "http.sock"
    stack = own_stack(cores=1, settings={**PROXY, "http.trusted_proxies": ["unix:"]})
    stack.settings["http.listen"] = [stack.http, f"unix:{path}"]
    stack.start()
    proxy = UnixConnection(path)
    for headers in ({"X-Forwarded-For": "192.0.2.1"}, {}):
        proxy.request("GET", "/v1/core-map", headers=headers)
        assert proxy.getresponse().read()
    proxy.close()
    with RawConnection(stack.http) as other:
        assert answers(other, get("192.0.2.1"))[0].status == 200
    await_clients(stack, ["192.0.2.1", None, "127.0.0.1"])


def test_the_running_requests_of_a_client_are_limited_and_not_its_proxy(own_stack):
    stack = own_stack(cores=1, settings={**PROXY, "http.connections_per_address_max": 2}).start()
    with contextlib.ExitStack() as opened:
        proxy = [opened.enter_context(RawConnection(stack.http)) for _ in range(6)]
        for connection in proxy[:2]:  # these run until their bodies are here
            connection.send("POST /v1/hunts/gold/hunters/ann HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 192.0.2.1\r\n"
                            "Content-Length: 2\r\n\r\n{")
        wait_until(lambda: stack.metric("huntd_http_request_bytes_total") > 200, 10, "both to arrive")
        for _ in range(2):  # the connection stays usable
            answer = answers(proxy[2], get("192.0.2.1"))[0]
            assert (answer.status, answer.problem) == (503, "too-many-connections")
            assert int(answer.headers["retry-after"]) > 0 and answer.headers["connection"] != "close"
            assert answers(proxy[2], get("192.0.2.2"))[0].status == 200
        assert stack.metric("huntd_requests_over_address_limit_total") == 2
        assert [answers(connection, "}")[0].status for connection in proxy[:2]] == [200, 200]
        assert [answers(connection, get("192.0.2.1"))[0].status for connection in proxy] == [200] * 6
        assert stack.metric("huntd_connections_rejected_total") == 0


@pytest.mark.parametrize("header", [version_1, version_2], ids=["v1", "v2"])
def test_a_connection_counts_for_the_client_in_its_proxy_header(own_stack, header):
    stack = own_stack(cores=1, settings={**PROTOCOL, "http.connections_per_address_max": 1}).start()
    with contextlib.ExitStack() as opened:
        def open_for(client: str, **wanted) -> RawConnection:
            connection = opened.enter_context(RawConnection(stack.http, **wanted))
            if client:
                connection.send(header(client))
            return connection

        assert answers(open_for("192.0.2.1"), get(), get())[1].status == 200
        assert answers(open_for("192.0.2.2"), get("192.0.2.99"))[0].status == 200, "that proxy passes on what clients send"
        assert open_for("192.0.2.1").answer().problem == "too-many-connections"
        assert answers(open_for("", source="127.0.0.2"), get())[0].status == 200
        assert open_for("", source="127.0.0.2").answer().problem == "too-many-connections"
        assert stack.metric("huntd_connections_rejected_total") == 2
    clients = [line.get("client") for line in lines_of(stack) if line["status"] == "200"]
    assert clients == ["192.0.2.1", "192.0.2.1", "192.0.2.2", "127.0.0.2"]


def test_a_moved_connection_counts_for_its_client_on_its_new_core(own_stack):
    stack = own_stack(settings={**PROTOCOL, "http.connections_per_address_max": 4}).start()
    request = "GET /v1/hunts/gold/hunters/gatherer HTTP/1.1\r\nHost: t\r\n\r\n"
    with contextlib.ExitStack() as opened:
        found = []
        for _ in range(8):  # all of one hunter, so they all move to one core
            connection = opened.enter_context(RawConnection(stack.http))
            connection.send(version_2("2001:db8::1") + request.encode())
            found.append(connection.answer().status)
        assert found == [200] * 4 + [503] * 4


def test_a_proxy_without_a_valid_header_is_closed_and_logged_once(own_stack):
    stack = own_stack(cores=1, settings=PROTOCOL).start()
    for sent in (get(), b"PROXY TCP4 192.0.2.1\r\n", SIGNATURE + b"\x21\x11\xff\xff"):
        with RawConnection(stack.http) as connection:
            connection.send(sent)
            assert connection.is_closed()
    assert stack.metric("huntd_proxy_headers_rejected_total") == 3
    assert stack.huntd.log_text().count("no valid header of the PROXY protocol") == 1
    with RawConnection(stack.http) as local:  # as HAProxy checks a server
        local.send(SIGNATURE + b"\x20\0\0\0" + get("192.0.2.5").encode())
        assert local.answer().status == 200
    await_clients(stack, ["192.0.2.5"])


class HAProxy(Server):
    """HAProxy with a server line of these words."""
    name = "haproxy"

    def __init__(self, directory, huntd: str, words: str, *, backend: str = ""):
        super().__init__(directory)
        self.port = reserve_port()
        self.ports = [self.port]
        self.text = (f"defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
                     f"listen game\n  bind {self.port.address}\n  {backend}\n  server one {huntd} {words}\n")

    def prepare(self) -> None:
        (self.directory / "haproxy.cfg").write_text(self.text)

    def command(self) -> list[str]:
        return [find_program("haproxy"), "-db", "-f", str(self.directory / "haproxy.cfg")]

    def ready(self) -> bool:
        try:
            RawConnection(self.port.address).close()
            return True
        except OSError:
            return False


def start_or_skip(server: Server, servers: list) -> Server:
    servers.append(server)
    try:
        return server.start()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("words", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_haproxy_names_its_clients_by_the_proxy_protocol(own_stack, servers, tmp_path, words):
    stack = own_stack(settings=PROTOCOL).start()
    backend = "unique-id-format %{+X}o%ci%cp%fi%fp%ts%rt%pid" if "unique-id" in words else ""
    proxy = start_or_skip(HAProxy(tmp_path / "haproxy", stack.http, words, backend=backend), servers)
    for number in range(2, 6):
        with RawConnection(proxy.port.address, source=f"127.0.0.{number}") as client:
            assert [answer.status for answer in answers(client, get(), get())] == [200, 200]
    await_clients(stack, [f"127.0.0.{number}" for number in range(2, 6) for _ in range(2)])
    assert stack.metric("huntd_proxy_headers_rejected_total") == 0


def test_haproxy_names_its_clients_by_x_forwarded_for(own_stack, servers, tmp_path):
    stack = own_stack(settings=PROXY).start()
    proxy = start_or_skip(HAProxy(tmp_path / "haproxy", stack.http, "", backend="option forwardfor"), servers)
    with RawConnection(proxy.port.address, source="127.0.0.2") as client:
        assert answers(client, get("192.0.2.66"))[0].status == 200, "what the client claims is left of what HAProxy adds"
    await_clients(stack, ["127.0.0.2"])


def test_nginx_names_its_clients_by_x_forwarded_for(own_stack, servers, tmp_path):
    stack = own_stack(settings=PROXY).start()
    http = ("server { listen {listen}; location / { proxy_pass http://{huntd};\n"
            "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } }")
    proxy = start_or_skip(Nginx(tmp_path / "nginx", http, stack.http), servers)
    with RawConnection(proxy.port.address, source="127.0.0.2") as client:
        assert answers(client, get("192.0.2.66"))[0].status == 200
    await_clients(stack, ["127.0.0.2"])


@pytest.mark.parametrize("target", ["http://game.example{}", "https://game.example{}", "HTTPS://[2001:db8::1]:8443{}"])
def test_an_absolute_target_is_served_with_any_host(own_stack, target):
    stack = own_stack(cores=1).start()
    with RawConnection(stack.http) as connection:
        path = target.format("/v1/hunts/gold/hunters/ann?from=proxy")
        connection.send(f"POST {path} HTTP/1.1\r\nHost: 10.0.0.1:8080\r\nContent-Length: 0\r\n\r\n")
        answer = connection.answer()
        assert answer.status == 200 and answer.json["hunter_id"] == "ann"
