// SPDX-License-Identifier: Apache-2.0
// Requests, each with the expected result in the form of summary() in parser_test.cc. Shared by the
// tests of the parser, the differential test against llhttp and the seeds of the fuzz target.
#pragma once
#include <string>
#include <vector>

#include "base/limits.h"

namespace huntd::tests {

using namespace std::string_literals;

struct Case {
  std::string bytes;
  std::string want;
};

// A GET with one more field.
inline std::string with(const std::string& field) {
  return "GET / HTTP/1.1\r\nHost: h\r\n" + field + "\r\n\r\n";
}
inline std::string with_target(const std::string& target) {
  return "GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n";
}
inline std::string chunked(const std::string& body) {
  return "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body;
}

inline const Case request_lines[] = {
    {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET /"},
    {"GET /v1/core-map HTTP/1.1\r\nHost: h\r\n\r\n", "GET /v1/core-map"},
    {"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD /"},
    {"POST / HTTP/1.1\r\nHost: h\r\n\r\n", "POST /"},
    {"PUT / HTTP/1.1\r\nHost: h\r\n\r\n", "PUT /"},
    {"PATCH / HTTP/1.1\r\nHost: h\r\n\r\n", "PATCH /"},
    {"DELETE / HTTP/1.1\r\nHost: h\r\n\r\n", "DELETE /"},
    {"OPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS /"},
    {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS *"},
    {"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", "TRACE /"},
    {"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET /"},
    {"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / H", "GET / rest=7"},
    {"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "400 the request line is empty"},
    {"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "400 a line ends in a bare LF"},
    {"\r\n\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "400 a line ends in a bare LF"},
    {"GET / HTTP/1.1\nHost: h\r\n\r\n", "400 a line ends in a bare LF"},
    {"GET / HTTP/1.1\r\nHost: h\n\r\n", "400 a line ends in a bare LF"},
    {"GET / HTTP/1.1\r\nHost: h\r\n\n", "400 a line ends in a bare LF"},
    {"GET / HTTP/1.1\rHost: h\r\n\r\n", "400 the request line contains a bare CR"},
    {"GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", "400 the request line contains a bare CR"},
    {"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", "400 the request line contains a bare CR"},
    {" GET / HTTP/1.1\r\nHost: h\r\n\r\n",
     "400 the request line does not start with a method and one space"},
    {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "400 the method is not followed by one space and a URI"},
    {"GET /  HTTP/1.1\r\nHost: h\r\n\r\n", "400 the version is not HTTP/1.1"},
    {"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "400 the version is not HTTP/1.1"},
    {"GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n",
     "400 the request line does not start with a method and one space"},
    {"GET /\tHTTP/1.1 HTTP/1.1\r\nHost: h\r\n\r\n",
     "400 the target contains a character that a URI must not"},
    {"GET /\r\n\r\n", "400 the request line is not METHOD TARGET VERSION"},
    {"GET\r\n\r\n", "400 the request line does not start with a method and one space"},
    {"GET  HTTP/1.1\r\nHost: h\r\n\r\n", "400 the method is not followed by one space and a URI"},
    {"G@T / HTTP/1.1\r\nHost: h\r\n\r\n",
     "400 the request line does not start with a method and one space"},
    {"G\0T / HTTP/1.1\r\nHost: h\r\n\r\n"s,
     "400 the request line does not start with a method and one space"},
    {"get / HTTP/1.1\r\nHost: h\r\n\r\n", "501 the method is unknown"},
    {"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", "501 the method is unknown"},
    {"GETT / HTTP/1.1\r\nHost: h\r\n\r\n", "501 the method is unknown"},
    {"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", "501 the method is unknown"},
    {"GET / HTTP/1.2\r\nHost: h\r\n\r\n", "505 only HTTP/1.0 and HTTP/1.1 are supported"},
    {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505 only HTTP/1.0 and HTTP/1.1 are supported"},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 only HTTP/1.0 and HTTP/1.1 are supported"},
    {"GET / HTTP/0.9\r\nHost: h\r\n\r\n", "505 only HTTP/1.0 and HTTP/1.1 are supported"},
    {"GET / http/1.1\r\nHost: h\r\n\r\n", "400 the version is not HTTP/1.1"},
    {"GET / HTTP/1,1\r\nHost: h\r\n\r\n", "400 the version is not HTTP/1.1"},
    {"GET / HTTP/11\r\nHost: h\r\n\r\n", "400 the version is not HTTP/1.1"},
    {"GET / HTTP/1.10\r\nHost: h\r\n\r\n", "400 the version is not HTTP/1.1"},
    {"GET / HTTPS/1.1\r\nHost: h\r\n\r\n", "400 the version is not HTTP/1.1"},
    {"GET / HTTP/1.1\r\nHost: h\r\n", "more"},
    {"\r\n", "more"},
    {"", "more"},
};

inline const Case targets[] = {
    {with_target("/a?b=c&d"), "GET /a"},
    {with_target("/a?"), "GET /a"},
    {with_target("/a?b?c"), "GET /a"},
    {with_target("/?/v1/core-map"), "GET /"},
    {with_target("//a"), "GET //a"},
    {with_target("/a/../b"), "GET /a/../b"},
    {with_target("/%41"), "GET /%41"},
    {with_target("http://h/a?b"), "GET /a"},
    {with_target("HTTP://H/a"), "GET /a"},
    {with_target("http://h"), "GET /"},
    {with_target("http://h?b"), "GET /"},
    {"GET http://h:80/a HTTP/1.1\r\nHost: h:80\r\n\r\n", "GET /a"},
    {"GET http://[::1]:80/a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET /a"},
    {"GET http://h/a HTTP/1.0\r\n\r\n", "GET /a 1.0 close"},
    {with_target("http://other/a"), "GET /a"},
    {with_target("http://h:80/a"), "GET /a"},
    {"GET http://h/a HTTP/1.1\r\nHost:\r\n\r\n", "GET /a"},
    {"GET http://h/a HTTP/1.1\r\n\r\n", "400 Host is missing"},
    {"GET http://h/a HTTP/1.1\r\nHost: a b\r\n\r\n", "400 Host is malformed"},
    {"GET http://h/a HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", "400 Host is repeated"},
    {with_target("https://h/a?b"), "GET /a"},
    {with_target("HttpS://other:443/a"), "GET /a"},
    {with_target("https://h"), "GET /"},
    {with_target("https://u@h/a"), "400 the target's authority is malformed"},
    {with_target("https:///a"), "400 the target's authority is malformed"},
    {with_target("https:/h/a"), "400 the target is neither a path nor an http or https URI"},
    {with_target("http://u@h/a"), "400 the target's authority is malformed"},
    {with_target("http:///a"), "400 the target's authority is malformed"},
    {with_target("http://"), "400 the target is neither a path nor an http or https URI"},
    {with_target("ftp://h/a"), "400 the target is neither a path nor an http or https URI"},
    {with_target("h:80"), "400 the target is neither a path nor an http or https URI"},
    {with_target("a"), "400 the target is neither a path nor an http or https URI"},
    {with_target("?a"), "400 the target is neither a path nor an http or https URI"},
    {with_target("*"), "400 the target * is only for OPTIONS"},
    {with_target("/a#b"), "400 the target contains a character that a URI must not"},
    {with_target("/a\\b"), "400 the target contains a character that a URI must not"},
    {with_target("/{a}"), "400 the target contains a character that a URI must not"},
    {with_target("/\"a\""), "400 the target contains a character that a URI must not"},
    {with_target("/a\x7f"), "400 the target contains a character that a URI must not"},
    {with_target("/a\rb"), "400 the request line contains a bare CR"},
    {with_target("/a\0b"s), "400 the target contains a character that a URI must not"},
    {with_target("/\xc3\xa9"), "400 the target contains a character that a URI must not"},
};

inline const Case fields[] = {
    {with("X: y"), "GET /"},
    {with("X:y"), "GET /"},
    {with("X:\t y \t"), "GET /"},
    {with("X:"), "GET /"},
    {with("X: :"), "GET /"},
    {with("X: a\tb"), "GET /"},
    {with("X: \xff\xfe"), "GET /"},
    {with("!#$%&'*+-.^_`|~09aZ: y"), "GET /"},
    {with("X: y\r\nX: z"), "GET /"},
    {with("X"), "400 a header does not start with a token and a colon"},
    {with(": y"), "400 a header does not start with a token and a colon"},
    {with("X : y"), "400 a header does not start with a token and a colon"},
    {with("X\t: y"), "400 a header does not start with a token and a colon"},
    {with("X y: z"), "400 a header does not start with a token and a colon"},
    {with("X(: z"), "400 a header does not start with a token and a colon"},
    {with("X\x80: z"), "400 a header does not start with a token and a colon"},
    {with("X\0: z"s), "400 a header does not start with a token and a colon"},
    {with("\rX: z"), "400 a header does not start with a token and a colon"},
    {with(" X: y"), "400 a header continues on a second line"},
    {with("X: y\r\n z"), "400 a header continues on a second line"},
    {with("X: y\r\n\tz"), "400 a header continues on a second line"},
    {"GET / HTTP/1.1\r\n Host: h\r\n\r\n", "400 a header continues on a second line"},
    {with("X: a\rb"), "400 a header value contains a control character"},
    {with("X: a\r"), "400 a header value contains a control character"},
    {with("X: a\0b"s), "400 a header value contains a control character"},
    {with("X: a\x01"), "400 a header value contains a control character"},
    {with("X: a\x7f"), "400 a header value contains a control character"},
    {with("X: a\x0b"), "400 a header value contains a control character"},
    {with("X: a\nContent-Length: 5"), "400 a line ends in a bare LF"},

    {"GET / HTTP/1.1\r\n\r\n", "400 Host is missing"},
    {"GET / HTTP/1.1\r\nX: y\r\n\r\n", "400 Host is missing"},
    {"GET / HTTP/1.0\r\n\r\n", "GET / 1.0 close"},
    {"GET / HTTP/1.1\r\nhOST: h\r\n\r\n", "GET /"},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET /"},
    {"GET / HTTP/1.1\r\nHost: example.com:8080\r\n\r\n", "GET /"},
    {"GET / HTTP/1.1\r\nHost: example.com:\r\n\r\n", "GET /"},
    {"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", "GET /"},
    {"GET / HTTP/1.1\r\nHost: [::ffff:1.2.3.4]:80\r\n\r\n", "GET /"},
    {"GET / HTTP/1.1\r\nHost: a%2db_c\r\n\r\n", "GET /"},
    {with("Host: h"), "400 Host is repeated"},
    {with("host: other"), "400 Host is repeated"},
    {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "400 Host is repeated"},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400 Host is malformed"},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400 Host is malformed"},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "400 Host is malformed"},
    {"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "400 Host is malformed"},
    {"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "400 Host is malformed"},
    {"GET / HTTP/1.1\r\nHost: a:000080\r\n\r\n", "400 Host is malformed"},
    {"GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", "400 Host is malformed"},
    {"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", "400 Host is malformed"},
    {"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", "400 Host is malformed"},
    {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "400 Host is malformed"},
    {"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", "400 Host is malformed"},
    {"GET / HTTP/1.1\r\nHost: []\r\n\r\n", "400 Host is malformed"},
    {"GET / HTTP/1.1\r\nHost: [g::]\r\n\r\n", "400 Host is malformed"},
    {"GET / HTTP/1.1\r\nHost: a%2\r\n\r\n", "400 Host is malformed"},
    {"GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n", "400 Host is malformed"},

    {with("Connection: close"), "GET / close"},
    {with("Connection: CLOSE"), "GET / close"},
    {with("Connection: keep-alive"), "GET /"},
    {with("Connection: keep-alive, close"), "GET / close"},
    {with("Connection: keep-alive\r\nConnection: close"), "GET / close"},
    {with("Connection: ,, close ,"), "GET / close"},
    {with("Connection: closed"), "GET /"},
    {with("Connection: upgrade"), "GET /"},
    {with("Connection:"), "GET /"},
    {with("Connection: close\t"), "400 Connection contains a tab"},
    {with("Connection: a\t, close"), "400 Connection contains a tab"},
    {with("Content-Length: 3\t") + "abc", "400 Content-Length contains a tab"},
    {with("Transfer-Encoding:\tchunked"), "400 Transfer-Encoding contains a tab"},
    {with("Connection: a b"), "400 Connection is malformed"},
    {with("Connection: close;x"), "400 Connection is malformed"},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET / 1.0"},
    {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "GET / 1.0 close"},

    {with("Expect: 100-continue"), "GET / expect"},
    {with("Expect: 100-Continue"), "GET / expect"},
    {with("Expect: 100-continue\r\nExpect: 100-continue"), "417 Expect must be 100-continue"},
    {with("Expect: 200-ok"), "417 Expect must be 100-continue"},
    {with("Expect:"), "417 Expect must be 100-continue"},
    {"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", "GET / 1.0 close"},

    {with("Content-Type: application/json"), "GET / type=application/json"},
    {with("Content-Type: a\r\nContent-Type: a"), "400 Content-Type is repeated"},
    {with("TraceParent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"),
     "GET / trace=0123456789abcdef0123456789abcdef-0123456789abcdef-01"},
    {with("traceparent: \t00-00000000000000000000000000000001-0000000000000001-00 "),
     "GET / trace=00000000000000000000000000000001-0000000000000001-00"},
    {with("traceparent: cc-0123456789abcdef0123456789abcdef-0123456789abcdef-01-more"),
     "GET / trace=0123456789abcdef0123456789abcdef-0123456789abcdef-01"},
    {with("traceparent: cc-0123456789abcdef0123456789abcdef-0123456789abcdef-01.more"), "GET /"},
    {with("traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01-more"), "GET /"},
    {with("traceparent: ff-0123456789abcdef0123456789abcdef-0123456789abcdef-01"), "GET /"},
    {with("traceparent: 0x-0123456789abcdef0123456789abcdef-0123456789abcdef-01"), "GET /"},
    {with("traceparent: 00-0123456789ABCDEF0123456789abcdef-0123456789abcdef-01"), "GET /"},
    {with("traceparent: 00-0123456789abcdeg0123456789abcdef-0123456789abcdef-01"), "GET /"},
    {with("traceparent: 00-00000000000000000000000000000000-0123456789abcdef-01"), "GET /"},
    {with("traceparent: 00-0123456789abcdef0123456789abcdef-0000000000000000-01"), "GET /"},
    {with("traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-0g"), "GET /"},
    {with("traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-0"), "GET /"},
    {with("traceparent: 00_0123456789abcdef0123456789abcdef-0123456789abcdef-01"), "GET /"},
    {with("traceparent:"), "GET /"},
    {with("traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01\r\n"
          "traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"),
     "GET /"},
    {with("Idempotency-Key: k-1"), "GET / key=k-1"},
    {with("Idempotency-Key:"), "GET / key="},
    {with("Idempotency-Key: a\r\nIdempotency-Key: a"), "400 Idempotency-Key is repeated"},
};

inline const Case framings[] = {
    {with("Content-Length: 0"), "GET /"},
    {with("Content-Length: 3") + "abc", "GET / length=3 body=abc"},
    {with("content-length:3 ") + "abcGET", "GET / length=3 body=abc rest=3"},
    {with("Content-Length: 0003") + "abc", "GET / length=3 body=abc"},
    {with("Content-Length: 3") + "ab", "more"},
    {with("Content-Length: 3"), "more"},
    {with("Content-Length: 3") + "a\r\n", "GET / length=3 body=a\r\n"},
    {"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\na", "POST / 1.0 close length=1 body=a"},
    {with("Content-Length:"), "400 Content-Length is not a number"},
    {with("Content-Length: x"), "400 Content-Length is not a number"},
    {with("Content-Length: +3"), "400 Content-Length is not a number"},
    {with("Content-Length: -3"), "400 Content-Length is not a number"},
    {with("Content-Length: 3, 3"), "400 Content-Length is not a number"},
    {with("Content-Length: 3 3"), "400 Content-Length is not a number"},
    {with("Content-Length: 0x3"), "400 Content-Length is not a number"},
    {with("Content-Length: 3.0"), "400 Content-Length is not a number"},
    {with("Content-Length: 3\r\nContent-Length: 3"), "400 Content-Length is repeated"},
    {with("Content-Length: 3\r\nContent-Length: 4"), "400 Content-Length is repeated"},
    {with("Content-Length: 16385"), "413 the body has more than 16384 bytes"},
    {with("Content-Length: 18446744073709551616"), "413 the body has more than 16384 bytes"},
    {with("Content-Length: 99999999999999999999999999"), "413 the body has more than 16384 bytes"},
    {with("Content-Length : 3"), "400 a header does not start with a token and a colon"},
    {with("Content-Length: 3\r\nTransfer-Encoding: chunked"),
     "400 Content-Length and Transfer-Encoding cannot be combined"},
    {with("Transfer-Encoding: chunked\r\nContent-Length: 3"),
     "400 Content-Length and Transfer-Encoding cannot be combined"},
    {with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
     "400 Transfer-Encoding is repeated"},
    {with("Transfer-Encoding: gzip, chunked"), "501 Transfer-Encoding must be chunked"},
    {with("Transfer-Encoding: chunked, gzip"), "501 Transfer-Encoding must be chunked"},
    {with("Transfer-Encoding: chunked, chunked"), "501 Transfer-Encoding must be chunked"},
    {with("Transfer-Encoding: chunked;q=1"), "501 Transfer-Encoding must be chunked"},
    {with("Transfer-Encoding: identity"), "501 Transfer-Encoding must be chunked"},
    {with("Transfer-Encoding: \"chunked\""), "501 Transfer-Encoding must be chunked"},
    {with("Transfer-Encoding: xchunked"), "501 Transfer-Encoding must be chunked"},
    {with("Transfer-Encoding:"), "501 Transfer-Encoding must be chunked"},
    {with("Transfer-Encoding: \x0b"
          "chunked"),
     "400 a header value contains a control character"},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
     "400 HTTP/1.0 has no Transfer-Encoding"},

    {chunked("0\r\n\r\n"), "POST / chunked"},
    {chunked("3\r\nabc\r\n0\r\n\r\n"), "POST / chunked body=abc"},
    {chunked("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET"), "POST / chunked body=abcde rest=3"},
    {chunked("00000003\r\nabc\r\n000\r\n\r\n"), "POST / chunked body=abc"},
    {chunked("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"),
     "POST / chunked body=01234567890123456789"},
    {chunked("3;a\r\nabc\r\n0\r\n\r\n"), "POST / chunked body=abc"},
    {chunked("3;a=b;c;d=e\r\nabc\r\n0;z\r\n\r\n"), "POST / chunked body=abc"},
    {chunked("3\r\nabc\r\n0\r\nX: y\r\nZ:\r\n\r\n"), "POST / chunked body=abc"},
    {chunked("0\r\nContent-Lengths: 5\r\n\r\n"), "POST / chunked"},
    {chunked("0\r\nX-Name-Longer-Than-Twenty: 5\r\nHosts: h\r\n\r\n"), "POST / chunked"},
    {chunked("0\r\nX: y\r\nCONTENT-Length: 5\r\n\r\n"),
     "400 a trailer must not frame or route the request"},
    {chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n"),
     "400 a trailer must not frame or route the request"},
    {chunked("0\r\nConnection: close\r\n\r\n"),
     "400 a trailer must not frame or route the request"},
    {chunked("0\r\nHost: h\r\n\r\n"), "400 a trailer must not frame or route the request"},
    {chunked("0\r\nUpgrade: x\r\n\r\n"), "400 a trailer must not frame or route the request"},
    {"POST / HTTP/1.1\r\nHost: h\r\ntransfer-encoding:  CHUNKED \r\n\r\n0\r\n\r\n",
     "POST / chunked"},
    {chunked("3\r\nabc\r\n0\r\n"), "more"},
    {chunked("\r\n0\r\n\r\n"), "400 a chunk size is not a hexadecimal number"},
    {chunked("g\r\n"), "400 a chunk size is not a hexadecimal number"},
    {chunked("0x3\r\nabc\r\n0\r\n\r\n"), "400 a chunk size is not a hexadecimal number"},
    {chunked("-3\r\nabc\r\n0\r\n\r\n"), "400 a chunk size is not a hexadecimal number"},
    {chunked(" 3\r\nabc\r\n0\r\n\r\n"), "400 a chunk size is not a hexadecimal number"},
    {chunked("3 \r\nabc\r\n0\r\n\r\n"), "400 a chunk size is not a hexadecimal number"},
    {chunked("3 ;a\r\nabc\r\n0\r\n\r\n"), "400 a chunk size is not a hexadecimal number"},
    {chunked("3\nabc\r\n0\r\n\r\n"), "400 a chunk size is not a hexadecimal number"},
    {chunked("3\rabc\r\n0\r\n\r\n"), "400 a chunk size line does not end in CR LF"},
    {chunked("000000003\r\nabc\r\n0\r\n\r\n"), "400 a chunk size has more than 8 digits"},
    {chunked("fffffffffffffffff\r\n"), "400 a chunk size has more than 8 digits"},
    {chunked("ffffffff\r\n"), "413 the body has more than 16384 bytes"},
    {chunked("3\r\nabc0\r\n\r\n"), "400 a chunk is not followed by CR LF"},
    {chunked("3\r\nabc\n0\r\n\r\n"), "400 a chunk is not followed by CR LF"},
    {chunked("3\r\nabcX\n0\r\n\r\n"), "400 a chunk is not followed by CR LF"},
    {chunked("1;" + std::string(255, 'a') + "\r\na\r\n1;" + std::string(255, 'b') +
             "\r\nb\r\n0\r\n\r\n"),
     "POST / chunked body=ab"},
    {chunked("3\r\nabc\r0\r\n\r\n"), "400 a chunk is not followed by CR LF"},
    {chunked("3\r\nabcd\r\n0\r\n\r\n"), "400 a chunk is not followed by CR LF"},
    {chunked("3;\r\nabc\r\n0\r\n\r\n"), "400 a chunk extension is not ;NAME or ;NAME=TOKEN"},
    {chunked("3;a=\r\nabc\r\n0\r\n\r\n"), "400 a chunk extension is not ;NAME or ;NAME=TOKEN"},
    {chunked("3;a b\r\nabc\r\n0\r\n\r\n"), "400 a chunk extension is not ;NAME or ;NAME=TOKEN"},
    {chunked("3;a=b=c\r\nabc\r\n0\r\n\r\n"), "400 a chunk extension is not ;NAME or ;NAME=TOKEN"},
    {chunked("3;a=\"b\"c\r\nabc\r\n0\r\n\r\n"),
     "400 a chunk extension is not ;NAME or ;NAME=TOKEN"},
    {chunked("3;a=\"\\\r\nabc\r\n0\r\n\r\n"), "400 a chunk extension is not ;NAME or ;NAME=TOKEN"},
    {chunked("3;a\nabc\r\n0\r\n\r\n"), "400 a chunk extension is not ;NAME or ;NAME=TOKEN"},
    {chunked("3;a\rabc\r\n0\r\n\r\n"), "400 a chunk size line does not end in CR LF"},
    {chunked("3;" + std::string(255, 'a') + "\r\nabc\r\n0\r\n\r\n"), "POST / chunked body=abc"},
    {chunked("3;" + std::string(256, 'a') + "\r\nabc\r\n0\r\n\r\n"),
     "400 a chunk extension has more than 256 bytes"},
    {chunked("0\r\n X: y\r\n\r\n"), "400 a trailer is malformed"},
    {chunked("0\r\nX\r\n\r\n"), "400 a trailer is malformed"},
    {chunked("0\r\nX : y\r\n\r\n"), "400 a trailer is malformed"},
    {chunked("0\r\n: y\r\n\r\n"), "400 a trailer is malformed"},
    {chunked("0\r\nX: y\n\r\n"), "400 a trailer is malformed"},
    {chunked("0\r\nX: y\rz\r\n\r\n"), "400 a trailer does not end in CR LF"},
    {chunked("0\r\nX: y\r\n z\r\n\r\n"), "400 a trailer is malformed"},
    {chunked("0\r\n\n"), "400 a trailer is malformed"},
    {chunked("0\r\n\rX"), "400 the body does not end in CR LF"},
};

// Lengths at each bound and one above it.
inline std::vector<Case> bounds() {
  using namespace limits;
  std::vector<Case> cases;
  std::string const line_without_target = "GET  HTTP/1.1";
  std::string const longest_path =
      "/" + std::string(request_line_bytes_max - line_without_target.size() - 1, 'a');
  cases.push_back({with_target(longest_path), "GET " + longest_path});
  cases.push_back(
      {with_target(longest_path + "a"), "431 the request line has more than 4096 bytes"});
  std::string const around = with("X: ");
  std::string const longest_value(request_head_bytes_max - around.size(), 'v');
  cases.push_back({with("X: " + longest_value), "GET /"});
  cases.push_back({"\r\n" + with("X: " + longest_value), "GET /"});
  cases.push_back({with("X: " + longest_value + "v"),
                   "431 the request line and headers have more than 8192 bytes"});
  cases.push_back({std::string(request_head_bytes_max, 'a'), "more"});
  cases.push_back({std::string(request_head_bytes_max + 1, 'a'),
                   "431 the request line and headers have more than 8192 bytes"});
  std::string most_fields;
  for (size_t i = 1; i < request_headers_max; ++i) most_fields += "X:" + std::to_string(i) + "\r\n";
  cases.push_back({"GET / HTTP/1.1\r\nHost: h\r\n" + most_fields + "\r\n", "GET /"});
  cases.push_back({"GET / HTTP/1.1\r\nHost: h\r\n" + most_fields + "X:\r\n\r\n",
                   "431 the request has more than 64 headers"});
  std::string const longest_body(request_body_bytes_max, 'b');
  cases.push_back(
      {with("Content-Length: 16384") + longest_body, "GET / length=16384 body=" + longest_body});
  cases.push_back({chunked("3fff\r\n" + longest_body.substr(1) + "\r\n1\r\nb\r\n0\r\n\r\n"),
                   "POST / chunked body=" + longest_body});
  cases.push_back({chunked("3fff\r\n" + longest_body.substr(1) + "\r\n2\r\n"),
                   "413 the body has more than 16384 bytes"});
  std::string const trailer = "X:" + std::string(request_head_bytes_max - 3, 'y');
  cases.push_back({chunked("0\r\n" + trailer + "\r\n\r\n"), "POST / chunked"});
  cases.push_back(
      {chunked("0\r\n" + trailer + "yy\r\n\r\n"), "431 the trailers have more than 8192 bytes"});
  return cases;
}

}  // namespace huntd::tests
