#include "admin/admin.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <httplib.h>
#include <netdb.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "admin/admin_limits.h"
#include "admin/connection_threads.h"
#include "admin/health.h"
#include "admin/page.h"
#include "base/config.h"
#include "base/log.h"
#include "stats/hlog.h"
#include "stats/process_figures.h"
#include "stats/prometheus.h"
#include "stats/stats_json.h"

namespace huntd {
namespace {

// httplib serves a socket that it made itself; this one serves a socket that it is given.
class AdoptingServer final : public httplib::Server {
 public:
  bool serve(int listener) {
    svr_sock_ = listener;
    return listen_after_bind();
  }
};

void take_signals() {
  for (int const ended_by : {SIGTERM, SIGQUIT}) std::signal(ended_by, SIG_DFL);
  for (int const of_the_parent : {SIGINT, SIGHUP, SIGPIPE}) std::signal(of_the_parent, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

std::string metrics(const SharedRegion& region) {
  StatsSnapshot const snapshot = take_snapshot(region);
  std::vector<std::optional<ProcessFigures>> processes;
  for (const CoreSnapshot& core : snapshot.cores)
    processes.push_back(read_process_figures(core.pid));
  return write_prometheus(snapshot, processes);
}

void answer_health(const HealthAnswer& health, httplib::Response& response) {
  response.status = health.good ? 200 : 503;
  response.set_content(health.json, "application/json");
}

void add_routes(httplib::Server& server, const SharedRegion& region) {
  using httplib::Request;
  using httplib::Response;
  auto const cores = [&region] { return take_snapshot(region, SnapshotDepth::without_histograms); };

  server.Get("/healthz", [cores](const Request&, Response& response) {
    answer_health(check_health(cores()), response);
  });
  server.Get("/readyz", [cores](const Request&, Response& response) {
    answer_health(check_ready(cores()), response);
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
                    response.status == 404 ? "No such route" : "Bad request", response.status),
        "application/problem+json");
  });
}

}  // namespace

Result<int> open_admin_listener(const std::string& address_text) {
  Result<Address> const address = parse_address(address_text);
  if (!address) return address.error();
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  int const lookup =
      getaddrinfo(address->host.c_str(), std::to_string(address->port).c_str(), &hints, &found);
  if (lookup != 0)
    return Error{
        fmt::format("admin.listen: can't look up {}: {}", address_text, gai_strerror(lookup))};
  std::unique_ptr<addrinfo, void (*)(addrinfo*)> const owner(found, freeaddrinfo);

  int const listener = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int const on = 1;
  if (listener >= 0 && setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      bind(listener, found->ai_addr, found->ai_addrlen) == 0 &&
      listen(listener, limits::admin_backlog) == 0)
    return listener;
  int const cause = errno;
  if (listener >= 0) close(listener);
  return Error{
      fmt::format("admin.listen: can't listen on {}: {}{}", address_text, std::strerror(cause),
                  cause == EADDRINUSE ? "; end what listens there or choose another port" : "")};
}

int run_admin(const SharedRegion& region, int listener) {
  take_signals();
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  // httplib waits in accept().
  fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) & ~O_NONBLOCK);

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
  bool const ended_well = server.serve(listener);
  log::error("the admin port's listening socket failed", {{"errno", std::strerror(errno)}});
  return ended_well ? 0 : 1;
}

}  // namespace huntd
