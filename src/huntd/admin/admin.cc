// SPDX-License-Identifier: Apache-2.0
#include "huntd/admin/admin.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <httplib.h>
#include <sys/prctl.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "huntd/admin/admin_limits.h"
#include "huntd/admin/connection_threads.h"
#include "huntd/admin/health.h"
#include "huntd/admin/page.h"
#include "metrics/hlog.h"
#include "metrics/metrics_json.h"
#include "metrics/process_figures.h"
#include "metrics/prometheus.h"

namespace huntd::server {
namespace {

// An httplib::Server on a socket that it did not open.
class AdoptingServer final : public httplib::Server {
 public:
  bool serve(int listener) {
    svr_sock_ = listener;
    return listen_after_bind();
  }
};

void set_signal_handling() {
  for (int const number : {SIGTERM, SIGQUIT}) std::signal(number, SIG_DFL);
  for (int const number : {SIGINT, SIGHUP, SIGPIPE}) std::signal(number, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

std::string metrics(const SharedRegion& region) {
  MetricsSnapshot const snapshot = take_snapshot(region);
  log::flush(snapshot.taken_at_ns);  // this process has no loop of its own
  std::vector<std::optional<ProcessFigures>> processes;
  for (const CoreSnapshot& core : snapshot.cores)
    processes.push_back(read_process_figures(core.pid));
  return write_prometheus(snapshot, processes);
}

void send_health(const HealthReport& health, httplib::Response& response) {
  response.status = health.good ? 200 : 503;
  response.set_content(health.json, "application/json");
}

void add_routes(httplib::Server& server, const SharedRegion& region) {
  using httplib::Request;
  using httplib::Response;
  auto const cores = [&region] { return take_snapshot(region, SnapshotDepth::without_histograms); };

  server.Get("/healthz", [cores](const Request&, Response& response) {
    send_health(check_health(cores()), response);
  });
  server.Get("/readyz", [cores](const Request&, Response& response) {
    send_health(check_ready(cores()), response);
  });
  server.Get("/metrics", [&region](const Request&, Response& response) {
    response.set_content(metrics(region), "text/plain; version=0.0.4; charset=utf-8");
  });
  server.Get("/latency.json", [&region](const Request&, Response& response) {
    response.set_content(write_latency_json(take_snapshot(region)), "application/json");
  });
  server.Get("/latency.hlog", [&region](const Request&, Response& response) {
    response.set_content(write_hlog(take_snapshot(region)), "text/plain; charset=utf-8");
  });
  server.Get("/status.json", [cores](const Request&, Response& response) {
    response.set_content(write_status_json(cores()), "application/json");
  });
  server.Get("/", [](const Request&, Response& response) {
    response.set_header(
        "Content-Security-Policy",
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "connect-src 'self'; frame-ancestors 'none'");
    response.set_content(admin_page.data(), admin_page.size(), "text/html; charset=utf-8");
  });
  server.set_error_handler([](const Request&, Response& response) {
    if (!response.body.empty()) return;
    response.set_content(
        fmt::format(R"({{"type":"about:blank","title":"{}","status":{}}})"
                    "\n",
                    response.status == 404 ? "No such path" : "Bad request", response.status),
        "application/problem+json");
  });
}

}  // namespace

int run_admin(const SharedRegion& region, UniqueFd listener) {
  set_signal_handling();
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  // httplib waits in accept().
  fcntl(listener.get(), F_SETFL, fcntl(listener.get(), F_GETFL) & ~O_NONBLOCK);

  AdoptingServer server;
  std::chrono::milliseconds const idle_max(limits::admin_idle_max_ms);
  server.set_read_timeout(idle_max);
  server.set_write_timeout(idle_max);
  server.set_keep_alive_timeout(std::chrono::ceil<std::chrono::seconds>(idle_max).count());
  server.set_payload_max_length(limits::admin_body_bytes_max);
  server.set_tcp_nodelay(true);
  server.set_default_headers(
      {{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}});
  server.new_task_queue = [] { return new ConnectionThreads(limits::admin_connections_max); };
  add_routes(server, region);
  bool const served = server.serve(listener.release());  // httplib closes it
  log::error("the admin port's listening socket failed", {{"error", std::strerror(errno)}});
  return served ? 0 : 1;
}

}  // namespace huntd::server
