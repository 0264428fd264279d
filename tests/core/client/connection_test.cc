// SPDX-License-Identifier: Apache-2.0
// A connection on a stream whose bytes the test sends and receives.
#include "core/client/connection.h"

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"

namespace huntd::server {
namespace {

constexpr uint64_t ms = 1'000'000;

// Accepts every byte at once, unless it is slow. Owned by the test; the connection's StreamPtr only
// closes it.
struct TestStream final : Stream {
  void set_user(StreamUser& new_user) override { user = &new_user; }
  void read() override { reading = true; }
  void pause() override {
    reading = false;
    user->on_end(ECANCELED);
  }
  void send(std::string& bytes) override {
    CHECK(!sending());
    CHECK_FALSE(bytes.empty());
    CHECK_FALSE(finished);
    ++sends;
    in_flight.swap(bytes);
    bytes.clear();
    if (!slow) complete_send(0);
  }
  bool sending() const override { return !in_flight.empty(); }
  // Ends the send in flight.
  void complete_send(int error) {
    std::string const bytes = std::exchange(in_flight, {});
    if (error == 0) sent += bytes;
    user->on_sent(error);
  }
  void release() override {
    released = true;
    user->on_released(descriptor);
  }
  void finish_sending() override { finished = true; }
  void close() override { closed = true; }

  StreamUser* user = nullptr;
  std::string sent;       // by the sends that have completed
  std::string in_flight;  // by the send that has not
  int sends = 0;
  bool slow = false;         // a send ends only with complete_send()
  int descriptor = -EINVAL;  // that release() gives
  bool reading = false;
  bool released = false;
  bool finished = false;
  bool closed = false;
};

struct TestClock final : Clock {
  uint64_t now_ns() override { return 1; }
  int64_t wall_ms() override { return 0; }
  uint64_t random() override { return ++numbers; }
  uint64_t numbers = 0;
};

// A core without hunts: each hunt has the response of its hunt_id and body, at once unless hunts
// are held.
struct TestService final : HttpService {
  TestService(Scheduler& its_scheduler, Clock& its_clock, CoreMetrics& its_metrics,
              uint32_t first_byte_ms)
      : HttpService(its_scheduler, its_clock, its_metrics,
                    {.read_ms = 10,
                     .first_byte_ms = first_byte_ms,
                     .idle_ms = 30,
                     .send_ms = 40,
                     .request_ms = 50}),
        hunt_end(its_scheduler),
        room(its_scheduler) {}
  Task<Response> handle(HuntRequest request) override {
    Response response;
    response.body = request.hunt_id + ":" + request.body;
    request_id = request.request_id;
    ++hunts;
    if (holds_hunts) co_await hunt_end.wait();
    co_return response;
  }
  std::optional<Response> shed(std::string_view hunt_id, std::string_view hunter_id) override {
    if (!sheds) return std::nullopt;
    Response response;
    response.status = 503;
    response.body = std::string(hunt_id) + " of " + std::string(hunter_id);
    return response;
  }
  Task<Response> produce(ProduceRequest) override { co_return Response(); }
  int better_core(std::string_view) override { return better; }
  Task<bool> reserve_hand_over(int, size_t bytes, uint64_t deadline_at_ns) override {
    reserved_bytes += bytes;
    if (has_room) co_return true;
    std::optional<bool> const came = co_await room.wait(deadline_at_ns);
    bool const granted = came.value_or(false);
    if (!granted) reserved_bytes -= bytes;
    co_return granted;
  }
  void cancel_hand_over(int, size_t bytes) override { reserved_bytes -= bytes; }
  void hand_over(int core, int descriptor, const Peer& client, std::string_view bytes) override {
    handed_over_client = client;
    reserved_bytes -= bytes.size();
    handed_over =
        std::to_string(core) + " " + std::to_string(descriptor) + " " + std::string(bytes);
  }
  Response reject_unsent(HuntRequest::Kind kind, std::string_view, bool keyed) override {
    Response response;
    response.status = 503;
    response.body = kind == HuntRequest::Kind::run ? "run" : "read";
    response.body += keyed ? " with a key" : "";
    return response;
  }
  std::string_view core_map_json() override { return "{}"; }
  Authenticator& authenticator() override { return open; }
  bool draining() const override { return is_draining; }
  bool leaving() const override { return is_leaving; }

  Authenticator open{Secrets()};
  std::string request_id;  // of the newest request
  int hunts = 0;           // that have started
  bool sheds = false;      // every run that may be
  bool holds_hunts = false;
  OneShot<Signal> hunt_end;  // of the hunt that is held
  int better = -1;
  bool has_room = true;
  OneShot<bool> room;  // what a connection that waits for room gets
  size_t reserved_bytes = 0;
  std::string handed_over;  // CORE DESCRIPTOR BYTES
  Peer handed_over_client;
  bool is_draining = false;
  bool is_leaving = false;
};

struct Fixture {
  explicit Fixture(uint32_t first_byte_ms = 20, const Peer& peer = Peer(),
                   bool proxy_protocol = false)
      : service(scheduler, clock, *metrics, first_byte_ms) {
    service.proxies = TrustedProxies({"10.0.0.0/8"});
    service.proxy_protocol = proxy_protocol;
    connection = std::make_unique<Connection>(service, StreamPtr(&stream), peer, "", true);
    start(serve());
  }
  ~Fixture() {
    stream.slow = false;
    service.holds_hunts = false;
    if (!done && stream.sending()) stream.complete_send(0);
    if (!done) stream.user->on_end(0);
    service.hunt_end.set({});
    run();
  }
  Task<> serve() {
    bool known = true;
    if (connection->awaits_proxy_header()) known = co_await connection->read_proxy_header();
    if (known) co_await connection->serve();
    done = true;
  }
  void run() {
    scheduler.expire(scheduler.now_ns());
    scheduler.run_ready();
  }
  void wait_ms(uint64_t wait) {
    scheduler.set_now(scheduler.now_ns() + wait * ms);
    run();
  }
  void end_hunt() {
    service.hunt_end.set({});
    run();
  }
  void complete_send(int error = 0) {
    stream.complete_send(error);
    run();
  }
  // Sends bytes to the connection, and returns the bytes that it sends back.
  std::string exchange(std::string_view bytes) {
    stream.sent.clear();
    stream.user->on_bytes(bytes);
    run();
    return stream.sent;
  }

  Scheduler scheduler;
  TestClock clock;
  std::unique_ptr<CoreMetrics> metrics = std::make_unique<CoreMetrics>();
  TestService service;
  TestStream stream;
  std::unique_ptr<Connection> connection;
  bool done = false;
};

bool is_head_only(const std::string& response) { return response.ends_with("\r\n\r\n"); }

std::string run_hunt(std::string_view headers, std::string_view body) {
  return "POST /v1/hunts/echo/hunters/eve HTTP/1.1\r\nHost: a\r\n" + std::string(headers) + "\r\n" +
         std::string(body);
}

TEST_CASE("a malformed HEAD gets a response without a body") {
  std::string const head = "HEAD /v1/core-map HTTP/1.1\r\nHost: a\r\n";
  for (const std::string& request : {head + "X : y\r\n\r\n", "\r\n" + head + "X : y\r\n\r\n",
                                     head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    CAPTURE(request);
    Fixture f;
    std::string const response = f.exchange(request);
    CHECK(response.starts_with("HTTP/1.1 400 "));
    CHECK(response.find("Connection: close\r\n") != std::string::npos);
    CHECK(is_head_only(response));
    CHECK(f.stream.finished);
  }
}

TEST_CASE("a malformed body that looks like HEAD gets a response with a body") {
  Fixture f;
  std::string const response =
      f.exchange(run_hunt("Transfer-Encoding: chunked\r\n", "HEAD / HTTP/1.1\r\n"));
  CHECK(response.starts_with("HTTP/1.1 400 "));
  CHECK(response.ends_with("}"));
}

TEST_CASE("pipelined requests get their responses in order") {
  Fixture f;
  std::string const response =
      f.exchange(run_hunt("Content-Length: 1\r\n", "1") + run_hunt("Content-Length: 1\r\n", "2"));
  size_t const first = response.find("echo:1");
  REQUIRE(first != std::string::npos);
  CHECK(response.find("echo:2", first) != std::string::npos);
  CHECK_FALSE(f.done);
}

constexpr std::string_view core_map = "GET /v1/core-map HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr std::string_view nowhere = "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n";

std::string repeat(std::string_view request, int count) {
  std::string requests;
  for (int i = 0; i < count; ++i) requests += request;
  return requests;
}

// The statuses of whole responses, in their order.
std::string statuses_of(std::string_view responses) {
  std::string statuses;
  for (size_t at = 0; (at = responses.find("HTTP/1.1 ", at)) != std::string_view::npos; ++at)
    statuses += std::string(statuses.empty() ? "" : " ") + std::string(responses.substr(at + 9, 3));
  return statuses;
}

size_t count_of(std::string_view responses) { return (statuses_of(responses).size() + 1) / 4; }

TEST_CASE("pipelined requests that need no wait have their responses in one send") {
  Fixture f;
  std::string requests;
  std::string expected;
  for (int i = 0; i < 16; ++i) {
    requests += i % 3 == 0 ? nowhere : core_map;
    expected += std::string(i == 0 ? "" : " ") + (i % 3 == 0 ? "404" : "200");
  }
  CHECK(statuses_of(f.exchange(requests)) == expected);
  CHECK(f.stream.sends == 1);
  CHECK(f.metrics->value(Counter::response_sends) == 1);
  CHECK(f.metrics->value(Counter::response_bytes) == f.stream.sent.size());
}

TEST_CASE("a send takes no more than its bound and one response") {
  Fixture f;
  f.stream.slow = true;
  f.exchange(repeat(core_map, 1000));
  CHECK(f.stream.sends == 1);
  size_t const first = f.stream.in_flight.size();
  CHECK(first >= limits::connection_output_bytes_max);
  CHECK(first < limits::connection_output_bytes_max + 1024);
  CHECK(f.metrics->value(Counter::http_2xx) == count_of(f.stream.in_flight));
  while (f.stream.sending()) {
    CHECK(f.stream.in_flight.size() < limits::connection_output_bytes_max + 1024);
    f.complete_send();
  }
  CHECK(count_of(f.stream.sent) == 1000);
  CHECK(f.stream.sends == static_cast<int>(f.stream.sent.size() / first + 1));
  CHECK(f.stream.reading);
}

TEST_CASE("responses leave before a hunt, and its own with those after it") {
  Fixture f;
  f.service.holds_hunts = true;
  CHECK(statuses_of(f.exchange(repeat(core_map, 3) + run_hunt("", "") + repeat(nowhere, 3))) ==
        "200 200 200");
  CHECK(f.stream.sends == 1);
  f.end_hunt();
  CHECK(statuses_of(f.stream.sent) == "200 200 200 200 404 404 404");
  CHECK(f.stream.sent.find("echo:") > f.stream.sent.rfind("{}"));
  CHECK(f.stream.sent.find("echo:") < f.stream.sent.find("404"));
  CHECK(f.stream.sends == 2);
}

TEST_CASE("the response of a hunt does not wait for the hunt after it") {
  Fixture f;
  f.service.holds_hunts = true;
  f.exchange(run_hunt("", "") + run_hunt("", ""));
  CHECK(f.service.hunts == 1);
  f.end_hunt();
  CHECK(f.service.hunts == 2);
  CHECK(count_of(f.stream.sent) == 1);
  f.end_hunt();
  CHECK(count_of(f.stream.sent) == 2);
}

TEST_CASE("a hunt does not wait for a send; what it follows is sent while it runs") {
  Fixture f;
  f.stream.slow = true;
  f.service.holds_hunts = true;
  f.exchange(core_map);
  REQUIRE(f.stream.sending());
  f.exchange(run_hunt("", "") + run_hunt("", ""));
  CHECK(f.service.hunts == 1);
  f.end_hunt();
  CHECK(f.service.hunts == 2);
  CHECK(f.stream.sends == 1);  // the response of the first hunt waits for the send
  f.complete_send();
  CHECK(f.stream.sends == 2);
  CHECK(f.stream.in_flight.ends_with("echo:"));
  f.complete_send();
  CHECK_FALSE(f.stream.sending());
  f.end_hunt();
  CHECK(f.stream.in_flight.ends_with("echo:"));
}

TEST_CASE("runs that are shed have no hunt, leave in one send and count as requests") {
  Fixture f;
  f.service.sheds = true;
  std::string const read = "GET /v1/hunts/echo/hunters/eve HTTP/1.1\r\nHost: a\r\n\r\n";
  CHECK(statuses_of(f.exchange(repeat(run_hunt("Content-Length: 2\r\n", "{}"), 3))) ==
        "503 503 503");
  CHECK(f.stream.sent.ends_with("\r\n\r\necho of eve"));
  CHECK(f.stream.sends == 1);
  CHECK(f.service.hunts == 0);
  CHECK(f.metrics->value(Counter::http_5xx) == 3);
  CHECK(f.metrics->stage(Stage::request).snapshot().count() == 3);
  // Their retry gets a stored response.
  CHECK(f.exchange(run_hunt("Idempotency-Key: k\r\n", "")).ends_with("echo:"));
  CHECK(f.exchange(read).ends_with("echo:"));
  CHECK(statuses_of(f.exchange(run_hunt("X : y\r\n", ""))) == "400");
}

TEST_CASE("responses that come while a send is in flight leave together after it") {
  Fixture f;
  f.stream.slow = true;
  for (int i = 0; i < 5; ++i) f.exchange(core_map);
  CHECK(count_of(f.stream.in_flight) == 1);
  CHECK(f.metrics->value(Counter::http_2xx) == 5);
  f.complete_send();
  CHECK(count_of(f.stream.in_flight) == 4);
  f.complete_send();
  CHECK(f.stream.sends == 2);
}

TEST_CASE("a client that sends requests and reads no responses is held back, then closed") {
  Fixture f;
  f.stream.slow = true;
  f.exchange(repeat(core_map, 2000));
  f.exchange(repeat(core_map, 2000));
  CHECK_FALSE(f.stream.reading);
  CHECK(f.metrics->value(Counter::http_2xx) == count_of(f.stream.in_flight));
  f.wait_ms(39);
  CHECK_FALSE(f.done);
  f.wait_ms(1);
  CHECK(f.done);
  CHECK(f.metrics->value(Counter::expired_response) == 1);
  CHECK(f.stream.sends == 1);
}

TEST_CASE("the deadline of a send holds while the client sends further requests") {
  Fixture f;
  f.stream.slow = true;
  f.exchange(core_map);
  for (int i = 0; i < 4; ++i) {
    CHECK_FALSE(f.done);
    f.wait_ms(10);
    if (!f.done) f.exchange(core_map);
  }
  CHECK(f.done);
  CHECK(f.metrics->value(Counter::expired_response) == 1);
  CHECK(f.metrics->value(Counter::expired_idle) == 0);
  CHECK(f.stream.sends == 1);
}

TEST_CASE("a send that fails or is late ends the connection after the hunt that runs") {
  for (bool const fails : {true, false}) {
    CAPTURE(fails);
    Fixture f;
    f.stream.slow = true;
    f.service.holds_hunts = true;
    f.exchange(std::string(core_map) + run_hunt("", "") + run_hunt("", ""));
    if (fails)
      f.complete_send(EPIPE);
    else
      f.wait_ms(40);
    CHECK_FALSE(f.done);
    f.end_hunt();
    CHECK(f.done);
    CHECK(f.service.hunts == 1);
    CHECK(f.stream.sent == "");
    CHECK_FALSE(f.stream.finished);
    CHECK(f.metrics->value(Counter::expired_response) == (fails ? 0 : 1));
  }
}

TEST_CASE("a connection may idle from the end of its last send on") {
  Fixture f;
  f.stream.slow = true;
  f.exchange(core_map);
  f.wait_ms(35);
  CHECK_FALSE(f.done);
  f.complete_send();
  f.wait_ms(29);
  CHECK_FALSE(f.done);
  f.wait_ms(1);
  CHECK(f.done);
  CHECK(f.metrics->value(Counter::expired_idle) == 1);
  CHECK(f.metrics->value(Counter::expired_response) == 0);
}

TEST_CASE("a close among pipelined requests ends the responses, and waits for their send") {
  Fixture f;
  f.stream.slow = true;
  f.exchange(std::string(core_map) + run_hunt("Connection: close\r\n", "") + repeat(core_map, 3));
  CHECK(f.service.hunts == 1);
  CHECK(count_of(f.stream.in_flight) == 1);
  CHECK_FALSE(f.stream.finished);
  f.complete_send();
  CHECK(f.stream.in_flight.find("Connection: close\r\n") != std::string::npos);
  CHECK(f.stream.in_flight.ends_with("echo:"));
  CHECK_FALSE(f.stream.finished);
  f.complete_send();
  CHECK(f.stream.finished);
  CHECK(count_of(f.stream.sent) == 2);
}

TEST_CASE("a client that has closed its side gets the responses to what it has sent") {
  Fixture f;
  f.stream.slow = true;
  f.exchange(repeat(core_map, 2));
  f.exchange(std::string(core_map) + "GET /half");
  f.stream.user->on_end(0);
  f.run();
  CHECK_FALSE(f.done);
  f.complete_send();
  CHECK_FALSE(f.done);
  f.complete_send();
  CHECK(f.done);
  CHECK(count_of(f.stream.sent) == 3);
}

TEST_CASE("a drain closes an idle connection after the send in flight") {
  Fixture f;
  f.stream.slow = true;
  f.exchange(core_map);
  f.service.is_draining = true;
  f.connection->drain();
  f.run();
  CHECK_FALSE(f.done);
  f.complete_send();
  CHECK(f.done);
  CHECK(f.stream.sent.ends_with("{}"));
}

// The request ids of responses, in their order.
std::vector<std::string> ids_of(const std::string& responses) {
  constexpr std::string_view name = "\r\nX-Request-Id: ";
  std::vector<std::string> ids;
  for (size_t at = 0; (at = responses.find(name, at)) != std::string::npos; ++at) {
    size_t const start = at + name.size();
    ids.push_back(responses.substr(start, responses.find("\r\n", start) - start));
    CHECK(ids.back().size() == 32);
    CHECK(ids.back().find_first_not_of("0123456789abcdef") == std::string::npos);
  }
  return ids;
}

TEST_CASE("the X-Request-Id of a response is the request_id of its run or read") {
  for (std::string_view method : {"POST", "GET"}) {
    Fixture f;
    std::string const request =
        std::string(method) + " /v1/hunts/echo/hunters/eve HTTP/1.1\r\nHost: a\r\n\r\n";
    std::vector<std::string> const first = ids_of(f.exchange(request));
    REQUIRE(first.size() == 1);
    CHECK(f.service.request_id == first[0]);
    std::vector<std::string> const second = ids_of(f.exchange(request));
    REQUIRE(second.size() == 1);
    CHECK(f.service.request_id == second[0]);
    CHECK(second[0] != first[0]);
  }
}

TEST_CASE("pipelined requests and requests in pieces have one id each") {
  Fixture f;
  std::vector<std::string> const two = ids_of(f.exchange(run_hunt("", "") + run_hunt("", "")));
  REQUIRE(two.size() == 2);
  CHECK(two[0] != two[1]);
  uint64_t const before = f.clock.numbers;
  CHECK(f.exchange("POST /v1/hunts/echo/hun") == "");
  CHECK(f.exchange("ters/eve HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n1") == "");
  CHECK(ids_of(f.exchange("2")).size() == 1);
  CHECK(f.clock.numbers == before + 2);
}

TEST_CASE("a client does not choose the request id") {
  Fixture f;
  std::string const response = f.exchange(run_hunt("X-Request-Id: mine\r\n", ""));
  CHECK(response.starts_with("HTTP/1.1 200 "));
  CHECK(response.find("mine") == std::string::npos);
  REQUIRE(ids_of(response).size() == 1);
  CHECK(f.service.request_id == ids_of(response)[0]);
}

TEST_CASE("errors that come before a hunt have a request id") {
  const std::string line = " /v1/hunts/echo/hunters/eve HTTP/1.1\r\nHost: a\r\n";
  struct Case {
    std::string bytes;
    std::string status;
  };
  Case const cases[] = {
      {"\r\n\r\n", "400"},
      {"POST" + line + "X : y\r\n\r\n", "400"},
      {"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", "404"},
      {"PUT" + line + "\r\n", "405"},
      {"POST" + line + "Content-Length: 16385\r\n\r\n", "413"},
      {"POST" + line + "X: " + std::string(limits::request_head_bytes_max, 'x'), "431"},
      {"POST" + line + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "400"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.bytes.substr(0, 90));
    Fixture f;
    std::string const response = f.exchange(c.bytes);
    CHECK(response.starts_with("HTTP/1.1 " + c.status + " "));
    CHECK(ids_of(response).size() == 1);
  }
  Fixture late;
  CHECK(late.exchange("GET /v1/core-map HTTP/1.1\r\n") == "");
  late.wait_ms(10);
  CHECK(late.stream.sent.starts_with("HTTP/1.1 408 "));
  CHECK(ids_of(late.stream.sent).size() == 1);
}

TEST_CASE("a page may read why its request was rejected, if its Origin was read") {
  const std::vector<std::string> allowed{"https://play.example"};
  const std::string origin = "Origin: https://play.example\r\n";
  std::string many;
  for (size_t i = 0; i < limits::request_headers_max; ++i) many += "X: y\r\n";
  for (const std::string& headers :
       {"Content-Length: 16385\r\n" + origin, origin + many, origin + "X : y\r\n"}) {
    CAPTURE(headers.substr(0, 60));
    Fixture f;
    f.service.cors = CorsOrigins(allowed);
    std::string const response = f.exchange(run_hunt(headers, ""));
    CHECK(response.starts_with("HTTP/1.1 4"));
    CHECK(response.find("Access-Control-Allow-Origin: https://play.example") != response.npos);
  }
  // A head that does not end is not read.
  Fixture late;
  late.service.cors = CorsOrigins(allowed);
  CHECK(late.exchange("GET /v1/core-map HTTP/1.1\r\n" + origin) == "");
  late.wait_ms(10);
  CHECK(late.stream.sent.starts_with("HTTP/1.1 408 "));
  CHECK(late.stream.sent.find("Access-Control") == std::string::npos);
}

TEST_CASE("a connection that is rejected before its first byte gets a request id") {
  Scheduler scheduler;
  TestClock clock;
  auto const metrics = std::make_unique<CoreMetrics>();
  TestService service(scheduler, clock, *metrics, 20);
  TestStream stream;
  Connection connection(service, StreamPtr(&stream), Peer(), "", true);
  Response busy;
  busy.status = 503;
  start(connection.reject(std::move(busy)));
  scheduler.run_ready();
  CHECK(stream.sent.starts_with("HTTP/1.1 503 "));
  CHECK(ids_of(stream.sent).size() == 1);
  service.is_draining = true;
  stream.user->on_end(0);
  scheduler.run_ready();
}

// Its lines go to the log of the test. That the views which it reads are valid is what the build
// with AddressSanitizer sees.
TEST_CASE("responses are the same with an access log") {
  for (const std::string& request :
       {run_hunt("", ""), run_hunt("Transfer-Encoding: chunked\r\n", "zz\r\n"),
        run_hunt("X : y\r\n", ""), run_hunt("Expect: 100-continue\r\nContent-Length: 0\r\n", ""),
        std::string("nonsense\r\n\r\n"), std::string("GET /no HTTP/1.1\r\nHost: a\r\n\r\n")}) {
    CAPTURE(request);
    Fixture without;
    Fixture with;
    with.service.access_log.mode = AccessLog::Mode::all;
    CHECK(with.exchange(request) == without.exchange(request));
    CHECK(with.stream.sent.starts_with("HTTP/1.1 "));
  }
}

TEST_CASE("a request is read in pieces; 100 Continue is sent if its body is awaited") {
  Fixture f;
  CHECK(f.exchange("POST /v1/hunts/echo/hunters/eve HTTP/1.1\r\nHo") == "");
  CHECK(f.exchange("st: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n") ==
        continue_response);
  CHECK(f.exchange("a") == "");
  CHECK(f.exchange("b").ends_with("echo:ab"));
}

TEST_CASE("100 Continue leaves with the responses before it") {
  Fixture f;
  std::string const sent = f.exchange(
      std::string(core_map) + run_hunt("Content-Length: 1\r\nExpect: 100-continue\r\n", ""));
  CHECK(statuses_of(sent) == "200 100");
  CHECK(sent.ends_with(continue_response));
  CHECK(f.stream.sends == 1);
  CHECK(f.exchange("a").ends_with("echo:a"));
}

TEST_CASE("a rejected request that awaits 100 Continue closes the connection") {
  Fixture f;
  std::string const response = f.exchange(
      "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  CHECK(response.starts_with("HTTP/1.1 404 "));
  CHECK(response.find("Connection: close\r\n") != std::string::npos);
  CHECK(f.stream.finished);
}

TEST_CASE("the body of a rejected request is skipped, and the connection stays open") {
  Fixture f;
  CHECK(f.exchange("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")
            .starts_with("HTTP/1.1 404 "));
  CHECK(f.exchange(run_hunt("", "")).ends_with("echo:"));
}

TEST_CASE("a response says how long the connection may idle, unless it closes") {
  Fixture f;
  f.service.timeouts.idle_ms = 10'000;
  CHECK(f.exchange(run_hunt("", "")).find("\r\nKeep-Alive: timeout=8\r\n") != std::string::npos);
  CHECK(f.exchange("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").find("\r\nKeep-Alive: ") !=
        std::string::npos);
  CHECK(f.exchange(run_hunt("Connection: close\r\n", "")).find("\r\nKeep-Alive: ") ==
        std::string::npos);
}

TEST_CASE("a client that sends nothing is closed without a response") {
  Fixture f;
  f.wait_ms(19);
  CHECK_FALSE(f.done);
  f.wait_ms(1);
  CHECK(f.done);
  CHECK(f.stream.sent == "");
  CHECK(f.metrics->value(Counter::expired_first_byte) == 1);
}

TEST_CASE("a request that is not complete in time gets 408") {
  for (std::string_view bytes :
       {"GET /v1/core-map HTTP/1.1\r\n",
        "GET /v1/core-map HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"}) {
    CAPTURE(bytes);
    Fixture f;
    CHECK(f.exchange(bytes) == "");
    f.wait_ms(9);
    CHECK(f.exchange("X") == "");
    f.wait_ms(1);
    CHECK(f.stream.sent.starts_with("HTTP/1.1 408 "));
    CHECK(f.metrics->value(Counter::expired_request) == 1);
    CHECK(f.metrics->value(Counter::http_bad_requests) == 1);
  }
}

TEST_CASE("a drain closes an idle connection, and others after their response") {
  Fixture idle;
  CHECK(idle.exchange("GET /v1/core-map HTTP/1.1\r\nHost: a\r\n\r\n").ends_with("{}"));
  idle.service.is_draining = true;
  idle.connection->drain();
  idle.run();
  CHECK(idle.done);
  Fixture busy;
  CHECK(busy.exchange("POST /v1/hunts/echo/hunters/eve HTTP/1.1\r\n") == "");
  busy.service.is_draining = true;
  busy.connection->drain();
  CHECK(busy.exchange("Host: a\r\n\r\n").find("Connection: close\r\n") != std::string::npos);
}

TEST_CASE("a connection of a host that leaves closes after a response, and stays while idle") {
  Fixture idle;
  idle.service.is_leaving = true;
  idle.run();
  CHECK_FALSE(idle.done);
  CHECK(idle.exchange(run_hunt("", "")).find("Connection: close\r\n") != std::string::npos);
  CHECK(idle.stream.finished);
}

TEST_CASE("requests that a host that leaves has received are all served") {
  Fixture f;
  f.service.is_leaving = true;
  std::string const response =
      f.exchange(run_hunt("Content-Length: 1\r\n", "1") + run_hunt("Content-Length: 1\r\n", "2"));
  size_t const second = response.find("HTTP/1.1 200", 1);
  REQUIRE(second != std::string::npos);
  CHECK(response.substr(0, second).find("Connection: close") == std::string::npos);
  CHECK(response.find("Connection: close\r\n", second) != std::string::npos);
  CHECK(response.ends_with("echo:2"));
}

TEST_CASE("a drain serves the first request of a new connection, which may be on its way") {
  Fixture f;
  f.service.is_draining = true;
  f.connection->drain();
  f.run();
  CHECK_FALSE(f.done);
  std::string const response = f.exchange(run_hunt("", ""));
  CHECK(response.ends_with("echo:"));
  CHECK(response.find("Connection: close\r\n") != std::string::npos);
}

TEST_CASE("a drain waits half a second for a new connection that sends nothing") {
  Fixture f(600);
  f.wait_ms(10);
  f.service.is_draining = true;
  f.connection->drain();
  f.run();
  f.wait_ms(limits::drain_first_byte_ms - 1);
  CHECK_FALSE(f.done);
  f.wait_ms(1);
  CHECK(f.done);
  CHECK(f.stream.sent == "");
}

TEST_CASE("a connection that cannot be handed over is served here") {
  Fixture f;
  f.service.better = 1;
  CHECK(f.exchange(run_hunt("", "")).ends_with("echo:"));
  CHECK(f.service.reserved_bytes == 0);
}

TEST_CASE("a connection moves with what was read of it") {
  Fixture f;
  f.service.better = 1;
  f.stream.descriptor = 7;
  std::string const half = run_hunt("Content-Length: 2\r\n", "[");
  CHECK(f.exchange(half) == "");
  CHECK(f.done);
  CHECK(f.service.handed_over == "1 7 " + half);
  CHECK(f.service.reserved_bytes == 0);
}

TEST_CASE("a connection that waits for room is not read and not closed, then it moves") {
  Fixture f;
  f.service.better = 1;
  f.service.has_room = false;
  f.stream.descriptor = 7;
  std::string const request = run_hunt("Content-Length: 2\r\n", "[");
  CHECK(f.exchange(request) == "");
  f.wait_ms(49);
  CHECK_FALSE(f.done);
  CHECK_FALSE(f.stream.reading);
  CHECK_FALSE(f.stream.released);
  f.service.room.set(true);
  f.run();
  CHECK(f.done);
  CHECK(f.service.handed_over == "1 7 " + request);
  CHECK(f.stream.sent == "");
}

TEST_CASE("a connection that finds no room in time gets a rejection and stays usable") {
  for (std::string_view key : {"", "Idempotency-Key: k\r\n"}) {
    Fixture f;
    f.service.better = 1;
    f.service.has_room = false;
    CHECK(f.exchange(run_hunt(std::string(key) + "Content-Length: 2\r\n", "[")) == "");
    f.wait_ms(49);
    CHECK(f.stream.sent == "");
    f.wait_ms(1);
    // The wait does not count as the client's: it still has read_ms for the rest of the body.
    f.wait_ms(8);
    CHECK(f.stream.reading);
    CHECK(f.exchange("]").starts_with("HTTP/1.1 503 "));
    CHECK(f.stream.sent.ends_with(key.empty() ? "\r\n\r\nrun" : "\r\n\r\nrun with a key"));
    CHECK_FALSE(f.done);
    CHECK(f.exchange(run_hunt("", "")).ends_with("echo:"));
    CHECK(f.service.reserved_bytes == 0);
  }
}

TEST_CASE("a connection whose core goes down while it waits for room is served here") {
  Fixture f;
  f.service.better = 1;
  f.service.has_room = false;
  CHECK(f.exchange(run_hunt("", "")) == "");
  f.service.better = -1;
  f.service.room.set(false);
  f.run();
  CHECK(f.stream.sent.ends_with("echo:"));
}

// Whom requests of these tests come from: a trusted proxy, and two clients of it.
const Peer proxy{Peer::Kind::ip, *parse_ip("10.0.0.1")};
const Peer ada{Peer::Kind::ip, *parse_ip("192.0.2.1")};
constexpr std::string_view header_of_ada = "PROXY TCP4 192.0.2.1 192.0.2.9 1 2\r\n";
constexpr uint32_t patient_ms = 20;

std::string run_of(std::string_view client) {
  return run_hunt("X-Forwarded-For: " + std::string(client) + "\r\n", "");
}

TEST_CASE("a header of the PROXY protocol names the client, however it arrives") {
  for (size_t cut = 0; cut <= header_of_ada.size(); ++cut) {
    CAPTURE(cut);
    Fixture f(patient_ms, proxy, true);
    CHECK_FALSE(f.connection->counted_address());
    std::string const all = std::string(header_of_ada) + run_hunt("", "");
    if (cut > 0) CHECK(f.exchange(all.substr(0, cut)) == "");
    CHECK(f.exchange(all.substr(cut)).ends_with("echo:"));
    CHECK(f.connection->counted_address() == client_address(ada.address));
    CHECK(f.metrics->value(Counter::proxy_headers_rejected) == 0);
  }
}

TEST_CASE("whom a header does not name is not believed what it forwards") {
  std::string const unspecified("\r\n\r\n\0\r\nQUIT\n\x21\0\0\0", 16);
  std::string unix_stream("\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8", 16);
  unix_stream.resize(16 + 216, 'p');
  for (const std::string& header : {std::string("PROXY UNKNOWN\r\n"), unspecified, unix_stream}) {
    Fixture f(patient_ms, proxy, true);
    f.service.address_limit = AddressLimit(1);
    REQUIRE(f.service.address_limit.enter(client_address(ada.address)));
    CHECK(f.exchange(header + run_of("192.0.2.1")).ends_with("echo:"));
    CHECK_FALSE(f.connection->counted_address());
  }
}

TEST_CASE("a connection of the proxy itself is believed what it forwards") {
  Fixture f(patient_ms, proxy, true);
  f.service.address_limit = AddressLimit(1);
  REQUIRE(f.service.address_limit.enter(client_address(ada.address)));
  std::string const local("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16);
  CHECK(f.exchange(local + run_of("192.0.2.1")).starts_with("HTTP/1.1 503 "));
  CHECK_FALSE(f.connection->counted_address());
}

TEST_CASE("a connection of a trusted proxy without a valid header is closed") {
  for (std::string_view bytes : {core_map, std::string_view("PROXY TCP4 x\r\n")}) {
    CAPTURE(bytes);
    Fixture f(patient_ms, proxy, true);
    CHECK(f.exchange(bytes) == "");
    CHECK(f.done);
    CHECK(f.metrics->value(Counter::proxy_headers_rejected) == 1);
    CHECK(f.metrics->value(Counter::http_4xx) == 0);
  }
}

TEST_CASE("a header has the deadlines of a request's head") {
  Fixture silent(patient_ms, proxy, true);
  silent.wait_ms(19);
  CHECK_FALSE(silent.done);
  silent.wait_ms(1);
  CHECK(silent.done);
  CHECK(silent.metrics->value(Counter::expired_first_byte) == 1);
  Fixture slow(patient_ms, proxy, true);
  slow.wait_ms(15);
  CHECK(slow.exchange(header_of_ada.substr(0, 5)) == "");
  slow.wait_ms(9);
  CHECK(slow.exchange(header_of_ada.substr(5, 5)) == "");
  CHECK_FALSE(slow.done);
  slow.wait_ms(1);
  CHECK(slow.done);
  CHECK(slow.metrics->value(Counter::expired_request) == 1);
}

TEST_CASE("a drain closes a connection that waits for its header") {
  Fixture f(600, proxy, true);
  f.service.is_draining = true;
  f.connection->drain();
  f.run();
  f.wait_ms(limits::drain_first_byte_ms - 1);
  CHECK_FALSE(f.done);
  f.wait_ms(1);
  CHECK(f.done);
}

TEST_CASE("from other peers, and if it is off, the header is a malformed request") {
  for (bool const on : {true, false}) {
    Fixture f(patient_ms, on ? ada : proxy, on);
    CHECK(f.exchange(std::string(header_of_ada) + "\r\n").starts_with("HTTP/1.1 400 "));
  }
}

TEST_CASE("a connection moves with the client that its header named") {
  Fixture f(patient_ms, proxy, true);
  f.service.better = 1;
  f.stream.descriptor = 7;
  CHECK(f.exchange(std::string(header_of_ada) + run_hunt("", "")) == "");
  CHECK(f.service.handed_over == "1 7 " + run_hunt("", ""));
  CHECK(f.service.handed_over_client == ada);
}

TEST_CASE("a request through a trusted proxy counts for its client while it runs") {
  Fixture f(patient_ms, proxy);
  f.service.address_limit = AddressLimit(1);
  CHECK_FALSE(f.connection->counted_address());
  REQUIRE(f.service.address_limit.enter(client_address(ada.address)));
  CHECK(f.exchange(run_of("192.0.2.1")).starts_with("HTTP/1.1 503 "));
  CHECK(f.stream.sent.find("too-many-connections") != std::string::npos);
  CHECK(f.stream.sent.find("Connection: close") == std::string::npos);
  CHECK(f.metrics->value(Counter::requests_over_address_limit) == 1);
  CHECK(f.exchange(run_of("192.0.2.2")).ends_with("echo:"));
  f.service.address_limit.leave(client_address(ada.address));
  CHECK(f.exchange(run_of("192.0.2.1")).ends_with("echo:"));
  CHECK(f.service.hunts == 2);
  CHECK(f.service.address_limit.addresses() == 0);
  f.service.holds_hunts = true;
  f.exchange(run_of("192.0.2.1"));
  CHECK_FALSE(f.service.address_limit.enter(client_address(ada.address)));
  f.end_hunt();
  CHECK(f.service.address_limit.addresses() == 0);
}

TEST_CASE("a request whose connection ends while it is read counts no more") {
  Fixture f(patient_ms, proxy);
  f.service.address_limit = AddressLimit(1);
  f.exchange(run_hunt("X-Forwarded-For: 192.0.2.1\r\nContent-Length: 2\r\n", "["));
  CHECK(f.service.address_limit.addresses() == 1);
  f.stream.user->on_end(0);
  f.run();
  CHECK(f.done);
  CHECK(f.service.address_limit.addresses() == 0);
}

TEST_CASE("what another peer forwards counts for its own connection") {
  Fixture f(patient_ms, ada);
  f.service.address_limit = AddressLimit(1);
  CHECK(f.connection->counted_address() == client_address(ada.address));
  CHECK(f.exchange(run_of("192.0.2.7")).ends_with("echo:"));
  CHECK(f.service.address_limit.addresses() == 0);
}

}  // namespace
}  // namespace huntd::server
