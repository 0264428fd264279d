# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 framing, case by case: the bytes, their responses, and if the connection stays open. Each case names its section, of
RFC 9112 if no other RFC is named before the number. If the RFC leaves a choice, the case's text has huntd's."""
from dataclasses import dataclass

ECHO = "/v1/hunts/echo/hunters/wire"
SMUGGLED = "POST /v1/hunts/gold/hunters/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
OK = "GET /v1/core-map HTTP/1.1\r\nHost: a\r\n\r\n"

OPEN, CLOSED = "open", "closed"
MALFORMED = ("400 malformed-request",)


@dataclass(frozen=True)
class Case:
    section: str
    says: str
    pieces: tuple[bytes, ...]  # each is sent separately
    answers: tuple[str, ...]   # each "STATUS", "STATUS PROBLEM", "STATUS =JSON" of echo's input, or "HEAD STATUS"
    then: str                  # the connection afterwards

    @property
    def name(self) -> str:
        return f"{self.section}: {self.says}"


def _bytes(data: str | bytes) -> bytes:
    return data if isinstance(data, bytes) else data.encode("latin-1")


def case(section: str, says: str, *pieces: str | bytes, answers: tuple[str, ...] | str = ("200",), then: str = OPEN) -> Case:
    return Case(section, says, tuple(map(_bytes, pieces)), (answers,) if isinstance(answers, str) else answers, then)


def bad(section: str, says: str, *pieces: str | bytes, answers: tuple[str, ...] | str = MALFORMED) -> Case:
    """A rejected request; the connection closes after it."""
    return case(section, says, *pieces, answers=answers, then=CLOSED)


def line(text: str | bytes) -> bytes:
    """A request with this request line."""
    return _bytes(text) + b"\r\nHost: a\r\n\r\n"


def field(text: str | bytes) -> bytes:
    """A request with this additional header line."""
    return b"GET /v1/core-map HTTP/1.1\r\nHost: a\r\n" + _bytes(text) + b"\r\n\r\n"


def host(text: str | None, version: str = "1.1") -> str:
    return f"GET /v1/core-map HTTP/{version}\r\n" + ("" if text is None else f"Host: {text}\r\n") + "\r\n"


def post(*fields: str, body: str = "", version: str = "1.1") -> str:
    head = "".join(f"{each}\r\n" for each in ("Host: a", "Content-Type: application/json", *fields))
    return f"POST {ECHO} HTTP/{version}\r\n{head}\r\n{body}"


def chunked(body: str, *fields: str) -> str:
    return post("Transfer-Encoding: chunked", *fields, body=body)


MESSAGE = [
    case("2.1", "a request with no body", OK),
    case("2.2", "one empty line before a request is skipped", "\r\n" + OK),
    case("2.2", "an empty line between two requests is skipped", OK, "\r\n", OK, answers=("200", "200")),
    bad("2.2", "two empty lines before a request are not skipped", "\r\n\r\n" + OK),
    bad("2.2", "an empty line that ends in LF alone is not skipped", "\n" + OK),
    bad("2.2", "lines that end in LF alone", "GET /v1/core-map HTTP/1.1\nHost: a\n\n"),
    bad("2.2", "only the request line ends in LF alone", "GET /v1/core-map HTTP/1.1\nHost: a\r\n\r\n"),
    bad("2.2", "only a header ends in LF alone", "GET /v1/core-map HTTP/1.1\r\nHost: a\n\r\n"),
    bad("2.2", "only the last line ends in LF alone", "GET /v1/core-map HTTP/1.1\r\nHost: a\r\n\n"),
    bad("2.2", "CR alone does not end a line", "GET /v1/core-map HTTP/1.1\rHost: a\r\r\n\r\n"),
    bad("2.2", "CR CR LF does not end a line", "GET /v1/core-map HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    bad("2.2", "white space between the request line and the first header", "GET /v1/core-map HTTP/1.1\r\n Host: a\r\n\r\n"),
    bad("2.2", "a line of white space between the request line and the first header",
        "GET /v1/core-map HTTP/1.1\r\n \r\nHost: a\r\n\r\n"),
    bad("2.2", "a NUL in place of a request", b"\0\r\n\r\n"),
    bad("2.2", "a TLS client hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
]

VERSION = [
    case("2.3", "HTTP/1.0 without a Host; closes", host(None, "1.0"), then=CLOSED),
    bad("2.3", "HTTP/1.2 is not supported", line("GET / HTTP/1.2"), answers="505 version-not-supported"),
    bad("2.3", "HTTP/2.0 is not supported", line("GET / HTTP/2.0"), answers="505 version-not-supported"),
    bad("2.3", "HTTP/0.9 is not supported", line("GET / HTTP/0.9"), answers="505 version-not-supported"),
    bad("2.3", "HTTP/3.0 is not supported", line("GET / HTTP/3.0"), answers="505 version-not-supported"),
    bad("9113 3.4", "the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", answers="505 version-not-supported"),
    bad("2.3", "the name is in capitals", line("GET / http/1.1")),
    bad("2.3", "another name", line("GET / HTCPCP/1.1")),
    bad("2.3", "no minor version", line("GET / HTTP/1")),
    bad("2.3", "two digits", line("GET / HTTP/1.10")),
    bad("2.3", "a leading zero", line("GET / HTTP/01.1")),
    bad("2.3", "a comma for the point", line("GET / HTTP/1,1")),
    bad("2.3", "a space after the slash", line("GET / HTTP/ 1.1")),
    bad("2.3", "no digit", line("GET / HTTP/x.y")),
]

REQUEST_LINE = [
    bad("3", "no version: HTTP/0.9's request", "GET /v1/core-map\r\n\r\n"),
    bad("3", "nothing but a method", line("GET")),
    bad("3", "a method and a space", line("GET ")),
    bad("3", "two spaces before the target", line("GET  / HTTP/1.1")),
    bad("3", "two spaces before the version", line("GET /  HTTP/1.1")),
    bad("3", "a tab before the target", line("GET\t/ HTTP/1.1")),
    bad("3", "a tab before the version", line("GET /\tHTTP/1.1")),
    bad("3", "a space before the method", line(" GET / HTTP/1.1")),
    bad("3", "a space after the version", line("GET / HTTP/1.1 ")),
    bad("3", "a fourth word", line("GET / x HTTP/1.1")),
    bad("3", "a form feed for a space", line("GET\x0c/ HTTP/1.1")),
    bad("3", "a request line that is too long is 431", line("GET /" + "x" * 4200 + " HTTP/1.1"),
        answers="431 head-too-large"),
    bad("3", "a request line without an end is 431", "GET /" + "x" * 9000, answers="431 head-too-large"),
    case("3", "4,000 bytes of query are read", line("GET /v1/core-map?" + "x" * 4000 + " HTTP/1.1")),
]

METHOD = [
    case("3.1", "HEAD", line("HEAD /v1/core-map HTTP/1.1"), answers="HEAD 200"),
    case("3.1", "a method of another path is 405", line("DELETE /v1/core-map HTTP/1.1"), answers="405 method-not-allowed"),
    case("3.1", "PUT is known", line("PUT /v1/core-map HTTP/1.1"), answers="405 method-not-allowed"),
    case("3.1", "PATCH is known", line("PATCH /v1/core-map HTTP/1.1"), answers="405 method-not-allowed"),
    case("3.1", "TRACE is known, but no path has it", line("TRACE /v1/core-map HTTP/1.1"), answers="405 method-not-allowed"),
    case("3.1", "OPTIONS of a path", line("OPTIONS /v1/core-map HTTP/1.1"), answers="405 method-not-allowed"),
    bad("3.1", "methods are case-sensitive", line("get /v1/core-map HTTP/1.1"), answers="501 method-unknown"),
    bad("3.1", "an unknown method", line("BREW / HTTP/1.1"), answers="501 method-unknown"),
    bad("3.1", "an unknown method that starts with a known one", line("GETX / HTTP/1.1"), answers="501 method-unknown"),
    bad("3.1", "a method that is not a token", line("G(T / HTTP/1.1")),
    bad("3.1", "a method of 8-bit letters", line(b"G\xc9T / HTTP/1.1")),
    bad("9110 9.3.6", "CONNECT is not supported", line("CONNECT a:80 HTTP/1.1"), answers="501 method-unknown"),
]

TARGET = [
    case("3.2.1", "an unknown path", line("GET / HTTP/1.1"), answers="404 no-such-route"),
    case("3.2.1", "a query is ignored", line("GET /v1/core-map?a=b&c HTTP/1.1")),
    case("3.2.1", "an empty query", line("GET /v1/core-map? HTTP/1.1")),
    case("3.2.1", "percent escapes are not decoded", line("GET /v1/core%2dmap HTTP/1.1"), answers="404 no-such-route"),
    case("3.2.1", "dots are not resolved", line("GET /v1/x/../core-map HTTP/1.1"), answers="404 no-such-route"),
    case("3.2.1", "slashes are not merged", line("GET //v1/core-map HTTP/1.1"), answers="404 no-such-route"),
    bad("3.2", "a fragment", line("GET /v1/core-map#x HTTP/1.1")),
    bad("3.2", "a control character", line("GET /\x01 HTTP/1.1")),
    bad("3.2", "a NUL", line(b"GET /\0 HTTP/1.1")),
    bad("3.2", "DEL", line("GET /\x7f HTTP/1.1")),
    bad("3.2", "an 8-bit letter", line(b"GET /\xe9 HTTP/1.1")),
    bad("3.2", "a quote", line('GET /"x HTTP/1.1')),
    bad("3.2", "a path without its slash", line("GET v1/core-map HTTP/1.1")),
    bad("3.2", "a backslash", line("GET \\v1\\core-map HTTP/1.1")),
    case("3.2.2", "an absolute URI, as proxies send it", line("GET http://a/v1/core-map HTTP/1.1")),
    case("3.2.2", "the scheme in capitals", line("GET HTTP://a/v1/core-map HTTP/1.1")),
    case("3.2.2", "the host in capitals", line("GET http://A/v1/core-map HTTP/1.1")),
    case("3.2.2", "an absolute URI without a path", line("GET http://a HTTP/1.1"), answers="404 no-such-route"),
    case("3.2.2", "an absolute URI with a query and no path", line("GET http://a?x HTTP/1.1"), answers="404 no-such-route"),
    case("3.2.2", "the host of the URI replaces that of Host", line("GET http://b/v1/core-map HTTP/1.1")),
    case("3.2.2", "the port of the URI differs from Host", line("GET http://a:81/v1/core-map HTTP/1.1")),
    bad("3.2.2", "another scheme", line("GET ftp://a/v1/core-map HTTP/1.1")),
    case("3.2.2", "an https URI, as a proxy with TLS sends it", line("GET https://a/v1/core-map HTTP/1.1")),
    bad("9110 4.2.4", "user and password in the URI", line("GET http://u:p@a/v1/core-map HTTP/1.1")),
    bad("9110 4.2.1", "no host in the URI", line("GET http:///v1/core-map HTTP/1.1")),
    bad("3.2.3", "the authority form is for CONNECT", line("GET a:80 HTTP/1.1")),
    case("3.2.4", "OPTIONS *", line("OPTIONS * HTTP/1.1"), answers="404 no-such-route"),
    bad("3.2.4", "* is for OPTIONS", line("GET * HTTP/1.1")),
]

HOST = [
    bad("3.2", "no Host", host(None)),
    bad("3.2", "two equal Hosts", "GET /v1/core-map HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    bad("3.2", "two Hosts that differ", "GET /v1/core-map HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    bad("3.2", "two Hosts whose names differ in case", "GET /v1/core-map HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n"),
    case("3.2", "an empty Host", host("")),
    case("3.2", "a name and a port", host("hunts.example:8080")),
    case("3.2", "an IPv4 address", host("127.0.0.1:8080")),
    case("3.2", "an IPv6 address", host("[::1]:8080")),
    case("3.2", "percent escapes in it", host("h%C3%BCnt")),
    case("3.2", "an empty port", host("a:")),
    bad("3.2", "a port that is not a number", host("a:b")),
    bad("3.2", "a port above 65535", host("a:65536")),
    bad("3.2", "a port without a name", host(":80")),
    bad("3.2", "a list", host("a, b")),
    bad("3.2", "a path in it", host("a/b")),
    bad("3.2", "a user in it", host("u@a")),
    bad("3.2", "a space in it", host("a b")),
    bad("3.2", "an IPv6 address without its bracket", host("[::1")),
    bad("3.2", "half an escape", host("a%4")),
    bad("3.2", "on HTTP/1.0 too, if there is one", host("a b", "1.0")),
]

FIELDS = [
    case("5", "a header without a value", field("X-Empty:")),
    case("5", "no white space around the value", field("X:a")),
    case("5", "much white space around the value", field("X: \t  a \t ")),
    case("5.1", "names are case-insensitive", "GET /v1/core-map HTTP/1.1\r\nhOsT: a\r\n\r\n"),
    bad("5.1", "a space before the colon", field("X : a")),
    bad("5.1", "a tab before the colon", field("X\t: a")),
    bad("5.1", "a space before the colon of a framing header", post("Content-Length : 2", body="{}")),
    bad("5", "no colon", field("X")),
    bad("5", "no name", field(": a")),
    bad("5", "a space in the name", field("X Y: a")),
    bad("5", "a name that is not a token", field("X(: a")),
    bad("5", "an 8-bit letter in the name", field(b"X\xe9: a")),
    bad("5", "a NUL in the name", field(b"X\0: a")),
    case("9110 5.5", "8-bit letters in a value are accepted", field(b"X: \xc3\xa9")),
    bad("9110 5.5", "a NUL in a value", field(b"X: a\0b")),
    bad("9110 5.5", "a CR in a value", field("X: a\rb")),
    bad("9110 5.5", "an LF in a value", field("X: a\nY: b")),
    bad("9110 5.5", "an escape character in a value", field("X: \x1b[31m")),
    bad("9110 5.5", "DEL in a value", field("X: \x7f")),
    bad("5.2", "a folded line", field("X: a\r\n b")),
    bad("5.2", "a line folded with a tab", field("X: a\r\n\tb")),
    bad("5.2", "a folded framing header", post("Transfer-Encoding:\r\n chunked", body="0\r\n\r\n"), answers="501 coding-unknown"),
    case("9110 5.4", "64 headers", "GET /v1/core-map HTTP/1.1\r\nHost: a\r\n" + "X: 1\r\n" * 63 + "\r\n"),
    bad("9110 5.4", "65 headers", "GET /v1/core-map HTTP/1.1\r\nHost: a\r\n" + "X: 1\r\n" * 64 + "\r\n", answers="431 head-too-large"),
    bad("9110 5.4", "a head has at most 8,192 bytes", field("X: " + "x" * 8200), answers="431 head-too-large"),
    bad("9110 8.3", "Content-Type twice", post("Content-Type: text/plain", "Content-Length: 2", body="{}")),
]

LENGTH = [
    case("6.2", "a body of the declared length", post("Content-Length: 7", body='{"n":1}'), answers='200 ={"n":1}'),
    case("6.2", "a length of 0", post("Content-Length: 0"), answers="200"),
    case("6.2", "leading zeros", post("Content-Length: 0007", body='{"n":1}'), answers='200 ={"n":1}'),
    case("6.3", "a POST without length and coding has no body", post(), OK, answers=("200", "200")),
    case("6.3", "a body ends after its length", post("Content-Length: 2", body="{}" + OK), answers=("200 ={}", "200")),
    case("6.3", "the body of a GET is ignored", "GET /v1/core-map HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nGET" + OK,
         answers=("200", "200")),
    case("6.3", "a rejected request's body is skipped", "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET " + OK,
         answers=("404 no-such-route", "200")),
    bad("6.3", "two equal lengths", post("Content-Length: 2", "Content-Length: 2", body="{}")),
    bad("6.3", "two lengths, with a request behind the shorter",
        post("Content-Length: 0", f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED)),
    bad("6.3", "a list of equals", post("Content-Length: 2, 2", body="{}")),
    bad("6.3", "a list that differs", post("Content-Length: 2, 3", body="{}")),
    bad("6.2", "a plus", post("Content-Length: +2", body="{}")),
    bad("6.2", "a minus", post("Content-Length: -2", body="{}")),
    bad("6.2", "hexadecimal", post("Content-Length: 0x2", body="{}")),
    bad("6.2", "a fraction", post("Content-Length: 2.0", body="{}")),
    bad("6.2", "a space in it", post("Content-Length: 1 0", body="{}")),
    bad("6.2", "a tab before it", post("Content-Length:\t2", body="{}")),
    bad("6.2", "quotes", post('Content-Length: "2"', body="{}")),
    bad("6.2", "nothing", post("Content-Length:", body="{}")),
    bad("6.2", "letters", post("Content-Length: two", body="{}")),
    bad("6.2", "a digit of another script", post("Content-Length: \xb2", body="{}")),
    bad("6.2", "above the limit", post("Content-Length: 16385"), answers="413 body-too-large"),
    bad("6.2", "2^64 + 2 is not 2", post("Content-Length: 18446744073709551618", body="{}"), answers="413 body-too-large"),
    case("6.2", "HTTP/1.0 with a length", post("Content-Length: 7", body='{"n":1}', version="1.0"), answers='200 ={"n":1}', then=CLOSED),
]

CODING = [
    case("6.1", "chunked", chunked("2\r\n{}\r\n0\r\n\r\n"), answers="200 ={}"),
    case("6.1", "CHUNKED: codings are case-insensitive", post("Transfer-Encoding: CHUNKED", body="2\r\n{}\r\n0\r\n\r\n"),
         answers="200 ={}"),
    bad("6.1", "gzip", post("Transfer-Encoding: gzip"), answers="501 coding-unknown"),
    bad("6.1", "gzip, chunked", post("Transfer-Encoding: gzip, chunked", body="0\r\n\r\n"), answers="501 coding-unknown"),
    bad("6.1", "chunked, gzip: the last is not chunked", post("Transfer-Encoding: chunked, gzip", body="0\r\n\r\n"),
        answers="501 coding-unknown"),
    bad("6.1", "chunked twice in a list", post("Transfer-Encoding: chunked, chunked", body="0\r\n\r\n"), answers="501 coding-unknown"),
    bad("6.1", "identity is obsolete", post("Transfer-Encoding: identity"), answers="501 coding-unknown"),
    bad("6.1", "xchunked", post("Transfer-Encoding: xchunked", body="0\r\n\r\n"), answers="501 coding-unknown"),
    bad("6.1", "chunked with a parameter", post("Transfer-Encoding: chunked;q=1", body="0\r\n\r\n"), answers="501 coding-unknown"),
    bad("6.1", "an empty list", post("Transfer-Encoding:", body="0\r\n\r\n"), answers="501 coding-unknown"),
    bad("6.1", "a vertical tab before it", post("Transfer-Encoding: \x0bchunked", body="0\r\n\r\n")),
    bad("6.1", "a tab before it", post("Transfer-Encoding:\tchunked", body="0\r\n\r\n")),
    bad("6.1", "the header twice", post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body="0\r\n\r\n")),
    bad("6.1", "with a Content-Length", post("Content-Length: 5", "Transfer-Encoding: chunked", body="0\r\n\r\n")),
    bad("6.1", "followed by a Content-Length", chunked("0\r\n\r\n", "Content-Length: 5")),
    bad("6.1", "with a Content-Length that hides a request",
        post("Transfer-Encoding: chunked", f"Content-Length: {5 + len(SMUGGLED)}", body="0\r\n\r\n" + SMUGGLED)),
    bad("6.1", "on HTTP/1.0", post("Transfer-Encoding: chunked", body="0\r\n\r\n", version="1.0")),
]

CHUNKS = [
    case("7.1", "several chunks", chunked('1\r\n{\r\n6\r\n"n":1}\r\n0\r\n\r\n'), answers='200 ={"n":1}'),
    case("7.1", "sizes in either case", chunked('A\r\n{"n": 12 }\r\n0\r\n\r\n'), chunked('a\r\n{"n": 12 }\r\n0\r\n\r\n'),
         answers=('200 ={"n":12}', '200 ={"n":12}')),
    case("7.1", "leading zeros of a size", chunked("00000002\r\n{}\r\n0\r\n\r\n"), answers="200 ={}"),
    case("7.1", "the last chunk may have several zeros", chunked("2\r\n{}\r\n000\r\n\r\n"), answers="200 ={}"),
    case("7.1", "nothing but the last chunk", chunked("0\r\n\r\n"), answers="200"),
    case("7.1", "data that looks like a chunk", chunked('9\r\n"0\\r\\n\\r"\r\n0\r\n\r\n'), answers='200 ="0\\r\\n\\r"'),
    bad("7.1", "a size of more than 8 digits", chunked("000000002\r\n{}\r\n0\r\n\r\n")),
    bad("7.1", "a size of 2^64 + 2", chunked("10000000000000002\r\n{}\r\n0\r\n\r\n")),
    bad("7.1", "0x before the size", chunked("0x2\r\n{}\r\n0\r\n\r\n")),
    bad("7.1", "a sign", chunked("-2\r\n{}\r\n0\r\n\r\n")),
    bad("7.1", "white space before the size", chunked(" 2\r\n{}\r\n0\r\n\r\n")),
    bad("7.1", "white space after the size", chunked("2 \r\n{}\r\n0\r\n\r\n")),
    bad("7.1", "no size", chunked("\r\n{}\r\n0\r\n\r\n")),
    bad("7.1", "a letter that is not a digit", chunked("g\r\n{}\r\n0\r\n\r\n")),
    bad("7.1", "an LF alone after the size", chunked("2\n{}\r\n0\r\n\r\n")),
    bad("7.1", "a CR alone after the size", chunked("2\r{}\r\n0\r\n\r\n")),
    bad("7.1", "no line end after the data", chunked("2\r\n{}0\r\n\r\n")),
    bad("7.1", "an LF alone after the data", chunked("2\r\n{}\n0\r\n\r\n")),
    bad("7.1", "more data than the size says", chunked("2\r\n{} \r\n0\r\n\r\n")),
    bad("7.1", "an LF alone at the end", chunked("2\r\n{}\r\n0\r\n\n")),
    bad("7.1", "the limit applies to the sum of the chunks", chunked("2000\r\n" + " " * 0x2000 + "\r\n2001\r\n"),
        answers="413 body-too-large"),
    bad("7.1", "the limit applies to one chunk, before its data", chunked("4001\r\n"), answers="413 body-too-large"),
    case("7.1.1", "an extension is ignored", chunked("2;a\r\n{}\r\n0\r\n\r\n"), answers="200 ={}"),
    case("7.1.1", "an extension with a value is ignored", chunked("2;a=b;c=d\r\n{}\r\n0;e\r\n\r\n"), answers="200 ={}"),
    bad("7.1.1", "a quoted value is rejected: parsers differ on its end", chunked('2;a="b"\r\n{}\r\n0\r\n\r\n')),
    bad("7.1.1", "an LF in an extension", chunked("2;a\n{}\r\n0\r\n\r\n")),
    bad("7.1.1", "a space before an extension", chunked("2 ;a\r\n{}\r\n0\r\n\r\n")),
    bad("7.1.1", "an extension without a name", chunked("2;\r\n{}\r\n0\r\n\r\n")),
    bad("7.1.1", "extensions of more than 256 bytes", chunked("2;" + "a" * 300 + "\r\n{}\r\n0\r\n\r\n")),
    case("7.1.2", "a trailer is ignored", chunked("2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n"), answers="200 ={}"),
    bad("7.1.2", "a trailer cannot set the length", chunked(f"2\r\n{{}}\r\n0\r\nContent-Length: {len(SMUGGLED)}\r\n\r\n" + SMUGGLED)),
    bad("7.1.2", "a trailer cannot set the coding", chunked("2\r\n{}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n")),
    bad("7.1.2", "a trailer cannot set the host", chunked("2\r\n{}\r\n0\r\nHost: b\r\n\r\n")),
    bad("7.1.2", "a folded trailer", chunked("2\r\n{}\r\n0\r\nX: a\r\n b\r\n\r\n")),
    bad("7.1.2", "a trailer without a colon", chunked("2\r\n{}\r\n0\r\nX\r\n\r\n")),
    bad("7.1.2", "trailers of more than 8,192 bytes", chunked("2\r\n{}\r\n0\r\nX: " + "x" * 8200), answers="431 head-too-large"),
]

HEAD_REQUESTS = [
    bad("9110 9.3.2", "HEAD with a malformed header", "HEAD /v1/core-map HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", answers="HEAD 400"),
    bad("9110 9.3.2", "HEAD with a malformed header, after an empty line", "\r\nHEAD /v1/core-map HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
        answers="HEAD 400"),
    bad("9110 9.3.2", "HEAD with a malformed body", "HEAD /v1/core-map HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        answers="HEAD 400"),
    bad("9110 9.3.2", "a POST with a malformed body that looks like HEAD", chunked("HEAD / HTTP/1.1\r\n\r\n")),
]

EXPECT = [
    case("9110 10.1.1", "100 is sent before the body", post("Content-Length: 2", "Expect: 100-continue"), answers="100"),
    case("9110 10.1.1", "none if the body has arrived", post("Content-Length: 2", "Expect: 100-continue", body="{}"), answers="200 ={}"),
    case("9110 10.1.1", "none without a body", post("Expect: 100-continue"), answers="200"),
    case("9110 10.1.1", "no 100 for an HTTP/1.0 client", post("Content-Length: 2", "Expect: 100-continue", body="{}", version="1.0"),
         answers="200 ={}", then=CLOSED),
    bad("9110 10.1.1", "the final response instead of 100 if the head is rejected",
        "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", answers="404 no-such-route"),
    bad("9110 10.1.1", "another expectation", field("Expect: miracles"), answers="417 expectation-failed"),
]

PERSISTENCE = [
    case("9.3", "HTTP/1.1 keeps the connection open", OK, OK, answers=("200", "200")),
    case("9.6", "close closes", field("Connection: close"), then=CLOSED),
    case("9.6", "close in any case and among other options", field("Connection: x, CLOSE , y"), then=CLOSED),
    case("9.6", "requests after close are ignored", field("Connection: close") + OK.encode(), then=CLOSED),
    case("9.3", "keep-alive is the default of HTTP/1.1", field("Connection: keep-alive")),
    case("9.3", "close wins over keep-alive", field("Connection: keep-alive, close"), then=CLOSED),
    case("9.3", "two Connection headers are one list", field("Connection: keep-alive\r\nConnection: close"), then=CLOSED),
    case("9.3", "HTTP/1.0 with keep-alive keeps the connection open", "GET /v1/core-map HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    case("9.3", "HTTP/1.0 without keep-alive closes", OK.replace("1.1", "1.0"), then=CLOSED),
    bad("9.3", "a Connection that is not a list", field("Connection: (close)")),
    case("7.8 of 9110", "an upgrade is ignored", field("Connection: Upgrade\r\nUpgrade: h2c")),
    case("9.6", "a rejected request leaves the connection open", line("GET /nowhere HTTP/1.1"), answers="404 no-such-route"),
]

PIPELINING = [
    case("9.3.2", "responses come in order", OK + line("GET /nowhere HTTP/1.1").decode() + OK, answers=("200", "404 no-such-route", "200")),
    case("9.3.2", "requests with bodies", post("Content-Length: 7", body='{"n":1}') + chunked("2\r\n{}\r\n0\r\n\r\n") + OK,
         answers=('200 ={"n":1}', "200 ={}", "200")),
    case("9.3.2", "a HEAD followed by a GET", OK.replace("GET", "HEAD") + OK, answers=("HEAD 200", "200")),
    bad("9.3.2", "a malformed request closes, after the earlier responses", OK + "GET\r\n\r\n" + OK, answers=("200", *MALFORMED)),
    case("9.3.2", "no request after close gets a response", OK + field("Connection: close").decode() + OK,
         answers=("200", "200"), then=CLOSED),
    case("9.3.2", "200 requests at once", OK * 200, answers=("200",) * 200),
]

SLOW = [
    case("2.2", "byte by byte", *post("Content-Length: 7", body='{"n":1}'), answers='200 ={"n":1}'),
    case("7.1", "chunks byte by byte", *chunked('1;a=b\r\n{\r\n6\r\n"n":1}\r\n0\r\nX: y\r\n\r\n'), answers='200 ={"n":1}'),
    case("2.2", "CR and LF in different packets", "GET /v1/core-map HTTP/1.1\r", "\nHost: a\r", "\n\r", "\n"),
    case("6.2", "head and body in different packets", post("Content-Length: 2"), "{", "}", answers="200 ={}"),
    case("9.3.2", "a request and half of the next", OK + OK[:20], OK[20:], answers=("200", "200")),
    bad("2.2", "a malformed line, byte by byte", *"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
]

CASES = [*MESSAGE, *VERSION, *REQUEST_LINE, *METHOD, *TARGET, *HOST, *FIELDS, *LENGTH, *CODING, *CHUNKS, *HEAD_REQUESTS, *EXPECT,
         *PERSISTENCE, *PIPELINING, *SLOW]
