// SPDX-License-Identifier: Apache-2.0
#include "huntd/admin/admin.h"

#include <arpa/inet.h>
#include <httplib.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "admin_http/admin_http_limits.h"
#include "base/clock.h"
#include "base/net.h"
#include "metrics/sample_metrics.h"
#undef CHECK
#include <doctest/doctest.h>

using namespace huntd;
using namespace huntd::server;

namespace {

uint16_t port_of(int listener) {
  sockaddr_in address = {};
  socklen_t size = sizeof address;
  REQUIRE(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return ntohs(address.sin_port);
}

// The admin port in a process of its own, as in huntd.
class ForkedAdmin {
 public:
  explicit ForkedAdmin(const SharedRegion& region) {
    Result<UniqueFd> listener = listen_tcp("127.0.0.1", 0, limits::admin_backlog);
    REQUIRE(listener);
    port = port_of(listener->get());
    child_ = fork();
    if (child_ == 0) _exit(run_admin(region, std::move(*listener), Private::shown));
  }
  ~ForkedAdmin() {
    kill(child_, SIGTERM);
    int status = 0;
    waitpid(child_, &status, 0);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGTERM);
  }
  httplib::Client client() const { return httplib::Client("127.0.0.1", port); }

  int port = 0;

 private:
  pid_t child_ = -1;
};

// So that a pause of the test cannot make the cores stale.
void beat_in_the_future(SharedRegion& region) {
  for (uint32_t core = 0; core < region.cores(); ++core)
    region.core(core).heartbeat_ns.store(UINT64_MAX / 2);
}

// A client that connects and then does nothing.
int idle_client(int port) {
  int const client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return client;
}

}  // namespace

TEST_CASE("every admin path responds with its type") {
  SharedRegion region = testing::sample_region(2, 100);
  beat_in_the_future(region);
  ForkedAdmin const admin(region);
  httplib::Client client = admin.client();
  struct {
    const char* path;
    const char* type;
    const char* contains;
  } const routes[] = {
      {"/readyz", "application/json", R"("ready":true)"},
      {"/livez", "application/json", R"("live":true)"},
      {"/metrics", "text/plain; version=0.0.4; charset=utf-8", "huntd_core_resident_memory_bytes{"},
      {"/latency.json", "application/json", R"("p99_9_us":)"},
      {"/latency.hlog", "text/plain; charset=utf-8", "Tag=core1.request,"},
      {"/status.json", "application/json", R"("state":"ready")"},
      {"/hunts.json", "application/json", R"({"hunt":"gold","runs":186,"ok":180,"failed":0,)"},
      {"/", "text/html; charset=utf-8", "<title>huntd</title>"},
  };
  for (auto const& route : routes) {
    CAPTURE(route.path);
    auto const response = client.Get(route.path);
    REQUIRE(response);
    CHECK(response->status == 200);
    CHECK(response->get_header_value("Content-Type") == route.type);
    CHECK(response->body.find(route.contains) != std::string::npos);
    CHECK(response->get_header_value("Cache-Control") == "no-store");
  }
  auto const nothing = client.Get("/v1/hunts/a/hunters/b");
  REQUIRE(nothing);
  CHECK(nothing->status == 404);
  CHECK(nothing->get_header_value("Content-Type") == "application/problem+json");
}

TEST_CASE("health follows what the cores write after the fork") {
  SharedRegion region = testing::sample_region(2, 1);
  ForkedAdmin const admin(region);
  httplib::Client client = admin.client();
  region.core(0).heartbeat_ns.store(monotonic_ns());
  region.core(1).heartbeat_ns.store(monotonic_ns() - 60'000'000'000);
  auto stalled = client.Get("/healthz");
  REQUIRE(stalled);
  CHECK(stalled->status == 503);
  CHECK(stalled->body.find("core 1 completed its last tick") != std::string::npos);
  beat_in_the_future(region);
  auto healthy = client.Get("/healthz");
  REQUIRE(healthy);
  CHECK(healthy->status == 200);

  region.core(1).set(Gauge::redis_up, 0);
  auto not_ready = client.Get("/readyz");
  REQUIRE(not_ready);
  CHECK(not_ready->status == 503);
  CHECK(not_ready->body.find("core 1 has no connection to Redis") != std::string::npos);
}

TEST_CASE("liveness is of the parent's loop too") {
  SharedRegion region = testing::sample_region(1, 1);
  region.core(0).heartbeat_ns.store(UINT64_MAX / 2);
  ForkedAdmin const admin(region);
  httplib::Client client = admin.client();
  region.parent_heartbeat_ns().store(monotonic_ns());
  auto alive = client.Get("/livez");
  REQUIRE(alive);
  CHECK(alive->status == 200);
  region.parent_heartbeat_ns().store(monotonic_ns() - 60'000'000'000);
  auto stuck = client.Get("/livez");
  REQUIRE(stuck);
  CHECK(stuck->status == 503);
  CHECK(stuck->body.find(R"({"core":null,"reason":"the parent's loop last ran )") !=
        std::string::npos);
}

TEST_CASE("idle clients do not delay others and are disconnected") {
  SharedRegion region = testing::sample_region(1, 1);
  beat_in_the_future(region);
  ForkedAdmin const admin(region);
  std::vector<int> idle;
  for (int i = 0; i < 100; ++i) idle.push_back(idle_client(admin.port));
  auto const response = admin.client().Get("/readyz");
  REQUIRE(response);
  CHECK(response->status == 200);
  for (int const client : idle) {
    char byte;
    CHECK(recv(client, &byte, 1, 0) <= 0);  // waits until the server closes
    close(client);
  }
}

TEST_CASE("a request body is rejected") {
  SharedRegion const region = testing::sample_region(1, 1);
  ForkedAdmin const admin(region);
  auto const response = admin.client().Post("/metrics", std::string(100'000, 'x'), "text/plain");
  if (response) CHECK(response->status == 413);
  CHECK(admin.client().Get("/metrics")->status == 200);
}
