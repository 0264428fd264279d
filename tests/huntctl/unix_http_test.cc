// SPDX-License-Identifier: Apache-2.0
// HTTP over a unix socket, against a server of this test that says what it was asked.
#include "huntctl/unix_http.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>

#include "base/unix_listener.h"
// doctest defines its own CHECK.
#undef CHECK
#include <doctest/doctest.h>

using namespace huntd;
using namespace huntd::huntctl;

namespace {

constexpr const char* name = "unix:/x, the test";

// Answers one connection with `response`, after it has read a request that ends with `request_end`.
class Server {
 public:
  Server(std::string response, std::string request_end) {
    char folder[] = "/tmp/huntd-http-XXXXXX";
    REQUIRE(mkdtemp(folder) != nullptr);
    folder_ = folder;
    Result<ListeningSocket> listening = listen_unix(path(), 0600, 8);
    REQUIRE(listening);
    listening_ = std::move(*listening);
    thread_ = std::thread([this, response, request_end] { answer(response, request_end); });
  }
  ~Server() {
    if (thread_.joinable()) thread_.join();
    std::filesystem::remove_all(folder_);
  }
  std::string path() const { return folder_ + "/s"; }
  // What the client has sent. REQUIRES: called after its call has ended, once.
  std::string asked() {
    thread_.join();
    return asked_;
  }

 private:
  void answer(const std::string& response, const std::string& request_end) {
    UniqueFd const client(accept(listening_.socket.get(), nullptr, nullptr));
    char bytes[4096];
    while (!asked_.ends_with(request_end)) {
      ssize_t const got = recv(client.get(), bytes, sizeof bytes, 0);
      if (got <= 0) return;
      asked_.append(bytes, static_cast<size_t>(got));
    }
    if (!response.empty()) send(client.get(), response.data(), response.size(), MSG_NOSIGNAL);
  }

  std::string folder_;
  ListeningSocket listening_;
  std::string asked_;
  std::thread thread_;
};

std::string error_of(std::string_view bytes) {
  Result<HttpResponse> const response = read_whole_response(bytes);
  return response ? "" : response.error().message;
}

}  // namespace

TEST_CASE("a GET over a unix socket has its headers, and its response is read") {
  Server server(
      "HTTP/1.1 503 Service Unavailable\r\nhunt-bundle:  b\r\nContent-LENGTH: 4\r\n\r\nbody",
      "\r\n\r\n");
  Result<HttpResponse> const got = call_over_unix(
      {server.path(), "GET", "/readyz", {{"Authorization", "Bearer t"}}}, name, 9000);
  REQUIRE_MESSAGE(got, (got ? "" : got.error().message));
  CHECK(got->status == 503);
  CHECK(got->body == "body");
  CHECK(got->bundle == "b");
  CHECK(server.asked() ==
        "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        "Authorization: Bearer t\r\n\r\n");
}

TEST_CASE("a POST over a unix socket has its body") {
  Server server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "{\"a\":1}");
  Result<HttpResponse> const got =
      call_over_unix({server.path(), "POST", "/v1", {}, "{\"a\":1}"}, name, 9000);
  REQUIRE_MESSAGE(got, (got ? "" : got.error().message));
  CHECK(got->body.empty());
  CHECK(server.asked() ==
        "POST /v1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
}

TEST_CASE("without a server, or with one that closes, the error names it") {
  Result<HttpResponse> const none = call_over_unix({"/nowhere/s", "GET", "/"}, name, 9000);
  REQUIRE_FALSE(none);
  CHECK(none.error().kind == ErrorKind::unreachable);
  CHECK(none.error().message.starts_with("nothing listens on unix:/x, the test: start"));
  Server server("", "\r\n\r\n");
  Result<HttpResponse> const closed = call_over_unix({server.path(), "GET", "/"}, name, 9000);
  REQUIRE_FALSE(closed);
  CHECK(closed.error().kind == ErrorKind::unreachable);
  CHECK(closed.error().message.starts_with("no response from unix:/x, the test: "));
}

TEST_CASE("a server that is silent is given up after the timeout") {
  Server server("", "never");
  Result<HttpResponse> const got = call_over_unix({server.path(), "GET", "/"}, name, 50);
  REQUIRE_FALSE(got);
  CHECK(got.error().message == "no response from unix:/x, the test, within 0.05 s");
}

TEST_CASE("a response that is not whole is an error and no shorter response") {
  CHECK(error_of("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab") == "");
  CHECK(error_of("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab") != "");
  CHECK(error_of("HTTP/1.1 200 OK\r\n\r\nab") != "");
  CHECK(error_of("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n") != "");
  CHECK(error_of("HTTP/1.1 20x OK\r\nContent-Length: 0\r\n\r\n") != "");
  CHECK(error_of("HTTP/1.1 2\r\n\r\n") != "");
  CHECK(error_of("SSH-2.0-OpenSSH_9.2\r\n\r\n") != "");
  CHECK(error_of("") != "");
}
