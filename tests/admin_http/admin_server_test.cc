// SPDX-License-Identifier: Apache-2.0
// The server of the admin ports, by raw sockets: what it responds, and that no client holds up
// another one or takes memory without bound.
#include "admin_http/admin_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "admin_http/admin_http_limits.h"
#include "base/limits.h"
#include "base/net.h"
#undef CHECK
#include <doctest/doctest.h>

using namespace huntd;

namespace {

// A page that is made only when it may.
class Gate {
 public:
  AdminPage pass() {
    std::unique_lock lock(mutex_);
    ++entered_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_ >= entered_; });
    return {200, "text/plain", "page " + std::to_string(entered_)};
  }
  // Lets the first `passes` calls of pass() return.
  void open(int passes) {
    std::lock_guard const lock(mutex_);
    open_ = passes;
    changed_.notify_all();
  }
  void await_entered(int calls) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return entered_ >= calls; });
  }
  int entered() {
    std::lock_guard const lock(mutex_);
    return entered_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int entered_ = 0;
  int open_ = 0;
};

constexpr size_t large_bytes = 6 * 1024 * 1024;

class Server {
 public:
  Server() {
    Result<UniqueFd> listener = listen_tcp("127.0.0.1", 0, limits::admin_backlog);
    REQUIRE(listener);
    sockaddr_in address = {};
    socklen_t size = sizeof address;
    REQUIRE(getsockname(listener->get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = ntohs(address.sin_port);
    using Made = AdminRoute::Made;
    auto opened =
        AdminServer::open(std::move(*listener),
                          {{"/health", Made::at_once,
                            [] {
                              return AdminPage{503, "text/plain", "not well"};
                            }},
                           {"/slow", Made::by_second_thread, [this] { return gate.pass(); }},
                           {"/large", Made::at_once,
                            [] {
                              return AdminPage{200, "text/plain", std::string(large_bytes, 'x')};
                            }},
                           {"/", Made::at_once, [] {
                              return AdminPage{200, "text/html", "<p>", "default-src"};
                            }}});
    REQUIRE(opened);
    server_ = std::move(*opened);
    thread_ = std::thread([this] {
      while (!ends_ && server_->turn(60'000)) {
      }
    });
  }
  ~Server() {
    gate.open(1'000'000);
    ends_ = true;
    server_->wake();
    thread_.join();
  }

  uint16_t port = 0;
  Gate gate;

 private:
  std::unique_ptr<AdminServer> server_;
  std::atomic<bool> ends_ = false;
  std::thread thread_;
};

class Client {
 public:
  explicit Client(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    // So that the kernel does not keep a large response for a client that reads nothing.
    int const receive_bytes = 64 * 1024;
    setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  // Returns whether the connection took all of it.
  bool send(std::string_view bytes) {
    return ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  // Everything until the server closes.
  std::string rest() {
    std::string all;
    char bytes[65536];
    for (ssize_t n; (n = recv(socket_.get(), bytes, sizeof bytes, 0)) > 0;)
      all.append(bytes, static_cast<size_t>(n));
    return all;
  }
  // Waits for the first bytes of a response, and leaves them unread.
  bool responds() {
    pollfd wait{socket_.get(), POLLIN, 0};
    return poll(&wait, 1, 30'000) == 1;
  }
  // One response, by its Content-Length.
  std::string response() {
    while (!complete()) {
      char bytes[65536];
      ssize_t const n = recv(socket_.get(), bytes, sizeof bytes, 0);
      if (n <= 0) break;
      held_.append(bytes, static_cast<size_t>(n));
    }
    std::string const one = held_.substr(0, end_);
    held_.erase(0, end_);
    return one;
  }

 private:
  bool complete() {
    end_ = held_.size();
    size_t const head = held_.find("\r\n\r\n");
    if (head == std::string::npos) return false;
    size_t const length = std::stoul(held_.substr(held_.find("Content-Length: ") + 16));
    if (held_.size() < head + 4 + length) return false;
    end_ = head + 4 + length;
    return true;
  }

  UniqueFd socket_;
  std::string held_;
  size_t end_ = 0;
};

std::string get(std::string_view path, std::string_view more = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n" + std::string(more) + "\r\n";
}

std::string ask(uint16_t port, std::string_view request) {
  Client client(port);
  REQUIRE(client.send(request));
  return client.response();
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

void raise_descriptor_limit() {
  rlimit files{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &files) == 0);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

}  // namespace

TEST_CASE("a page has its status, type and headers; HEAD has no body") {
  Server server;
  std::string const page = ask(server.port, get("/?refresh=5"));
  CHECK(page.starts_with("HTTP/1.1 200 OK\r\nDate: "));
  for (const char* header :
       {"\r\nContent-Type: text/html\r\n", "\r\nContent-Length: 3\r\n",
        "\r\nCache-Control: no-store\r\n", "\r\nX-Content-Type-Options: nosniff\r\n",
        "\r\nContent-Security-Policy: default-src\r\n"})
    CHECK(has(page, header));
  CHECK(page.ends_with("\r\n\r\n<p>"));
  CHECK(ask(server.port, get("/health")).starts_with("HTTP/1.1 503 Service Unavailable\r\n"));

  Client client(server.port);
  CHECK(client.send("HEAD /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  std::string const head = client.rest();
  CHECK(has(head, "\r\nContent-Length: 8\r\n"));
  CHECK(head.ends_with("Connection: close\r\n\r\n"));
}

TEST_CASE("other paths, methods, bodies and malformed requests are rejected") {
  Server server;
  std::string const nothing = ask(server.port, get("/v1/core-map"));
  CHECK(nothing.starts_with("HTTP/1.1 404 Not Found\r\n"));
  CHECK(nothing.ends_with(
      "\r\n\r\n{\"type\":\"about:blank\",\"title\":\"No such path\",\"status\":404}\n"));
  std::string const method = ask(server.port, "POST /health HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(method.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
  CHECK(has(method, "\r\nAllow: GET, HEAD\r\n"));
  struct {
    std::string request;
    const char* status;
  } const rejected[] = {
      {get("/health", "Content-Length: 5\r\n"), "413"},
      {get("/health", "Transfer-Encoding: chunked\r\n"), "413"},
      {"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", "413"},
      {get("/health", "X: " + std::string(limits::request_head_bytes_max, 'x')), "431"},
      {"GET /health HTTP/1.1\r\n\r\n", "400"},
      {"GET /health\r\n\r\n", "400"},
      {"GET /health HTTP/2.0\r\nHost: a\r\n\r\n", "505"},
      {"BREW /health HTTP/1.1\r\nHost: a\r\n\r\n", "501"},
  };
  for (auto const& each : rejected) {
    CAPTURE(each.request.substr(0, 80));
    Client client(server.port);
    CHECK(client.send(each.request));
    std::string const response = client.rest();
    CHECK(response.starts_with(std::string("HTTP/1.1 ") + each.status + " "));
    CHECK(has(response, "\r\nConnection: close\r\n"));
  }
}

TEST_CASE("a connection is kept, and requests sent ahead get their responses in order") {
  Server server;
  Client client(server.port);
  std::string ahead;
  for (int i = 0; i < 50; ++i) ahead += get(i % 2 == 0 ? "/health" : "/");
  CHECK(client.send(ahead));
  for (int i = 0; i < 50; ++i) CHECK(has(client.response(), i % 2 == 0 ? " 503 " : " 200 "));
  CHECK(client.send("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
  CHECK(has(client.response(), "\r\nConnection: keep-alive\r\n"));
  CHECK(client.send("GET /health HTTP/1.0\r\n\r\n"));
  CHECK(has(client.rest(), "\r\nConnection: close\r\n"));
}

TEST_CASE("health does not wait for a page that takes long, nor for who asks byte by byte") {
  Server server;
  Client slow(server.port);
  CHECK(slow.send(get("/slow")));
  server.gate.await_entered(1);
  Client by_bytes(server.port);
  std::string const request = get("/health");
  for (char const byte : request) {
    CHECK(by_bytes.send(std::string_view(&byte, 1)));
    CHECK(has(ask(server.port, get("/health")), "not well"));
  }
  CHECK(has(by_bytes.response(), "not well"));
  server.gate.open(1);
  CHECK(has(slow.response(), "page 1"));
}

TEST_CASE("a page that takes long is made once for all who wait for it") {
  Server server;
  Client first(server.port);
  CHECK(first.send(get("/slow")));
  server.gate.await_entered(1);
  std::vector<Client> others;
  for (int i = 0; i < 100; ++i) {
    others.emplace_back(server.port);
    CHECK(others.back().send(get("/slow")));
  }
  CHECK(has(ask(server.port, get("/health")), "not well"));  // the server has read all of them
  server.gate.open(2);
  CHECK(has(first.response(), "page 1"));
  for (Client& other : others) CHECK(has(other.response(), "page 2"));
  CHECK(server.gate.entered() == 2);
}

TEST_CASE("a new client is served while 1,000 idle and slow ones are connected") {
  raise_descriptor_limit();
  Server server;
  std::vector<Client> idle;
  for (int i = 0; i < 1000; ++i) {
    idle.emplace_back(server.port);
    if (i % 2 == 0) CHECK(idle.back().send("GET /health HTTP/1.1\r\nHo"));
  }
  for (int i = 0; i < 20; ++i) CHECK(has(ask(server.port, get("/health")), "not well"));
  for (Client& client : idle) CHECK(client.rest().empty());  // each is closed in the end
}

TEST_CASE("a body without an end is not read to memory: its connection ends") {
  Server server;
  Client client(server.port);
  CHECK(client.send("POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
  std::string const chunk = "4000\r\n" + std::string(0x4000, 'x') + "\r\n";
  size_t sent = 0;
  while (sent < 1'000'000'000 && client.send(chunk)) sent += chunk.size();
  CHECK(sent < 1'000'000'000);
  CHECK(has(ask(server.port, get("/health")), "not well"));
}

TEST_CASE("responses that no client reads are bounded: the oldest one is dropped") {
  Server server;
  std::vector<Client> clients;
  for (int i = 0; i < 6; ++i) {
    clients.emplace_back(server.port);
    CHECK(clients.back().send(get("/large")));
    CHECK(clients.back().responds());  // else the next client would get the same page
  }
  CHECK(clients.front().response().size() < large_bytes);
  CHECK(clients.back().response().size() > large_bytes);
}
