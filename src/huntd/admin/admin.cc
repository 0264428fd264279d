// SPDX-License-Identifier: Apache-2.0
#include "huntd/admin/admin.h"

#include <sys/prctl.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "admin_http/admin_server.h"
#include "base/clock.h"
#include "base/log.h"
#include "huntd/admin/health.h"
#include "huntd/admin/page.h"
#include "metrics/errors_json.h"
#include "metrics/hlog.h"
#include "metrics/hunts_json.h"
#include "metrics/loot_json.h"
#include "metrics/metrics_json.h"
#include "metrics/process_figures.h"
#include "metrics/prometheus.h"

namespace huntd::server {
namespace {

constexpr uint32_t turn_wait_max_ms = 1000;  // the log is flushed between two turns

void set_signal_handling() {
  for (int const number : {SIGTERM, SIGQUIT}) std::signal(number, SIG_DFL);
  for (int const number : {SIGINT, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2}) std::signal(number, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

std::string metrics(const SharedRegion& region) {
  MetricsSnapshot const snapshot = take_snapshot(region);
  std::vector<std::optional<ProcessFigures>> processes;
  for (const CoreSnapshot& core : snapshot.cores)
    processes.push_back(read_process_figures(core.pid));
  return write_prometheus(snapshot, processes);
}

AdminPage health_page(const HealthReport& health) {
  return {health.good ? 200 : 503, "application/json", health.json};
}

// Every page is made from the shared memory alone.
std::vector<AdminRoute> routes_of(const SharedRegion& region, Private what) {
  using Made = AdminRoute::Made;
  auto const cores = [&region] { return take_snapshot(region, SnapshotDepth::without_histograms); };
  return {
      {"/livez", Made::at_once, [cores] { return health_page(check_live(cores())); }},
      {"/healthz", Made::at_once, [cores] { return health_page(check_health(cores())); }},
      {"/readyz", Made::at_once, [cores] { return health_page(check_ready(cores())); }},
      {"/metrics", Made::by_second_thread,
       [&region] {
         return AdminPage{200, "text/plain; version=0.0.4; charset=utf-8", metrics(region)};
       }},
      {"/latency.json", Made::by_second_thread,
       [&region] {
         return AdminPage{200, "application/json", write_latency_json(take_snapshot(region))};
       }},
      {"/latency.hlog", Made::by_second_thread,
       [&region] {
         return AdminPage{200, "text/plain; charset=utf-8", write_hlog(take_snapshot(region))};
       }},
      {"/status.json", Made::by_second_thread,
       [cores] {
         return AdminPage{200, "application/json", write_status_json(cores())};
       }},
      {"/hunts.json", Made::by_second_thread,
       [&region] {
         return AdminPage{200, "application/json",
                          write_hunts_json(take_snapshot(region, SnapshotDepth::with_hunts))};
       }},
      {"/loot.json", Made::by_second_thread,
       [&region, what] {
         return AdminPage{200, "application/json", write_loot_json(region, what)};
       }},
      {"/errors.json", Made::by_second_thread,
       [&region, what] {
         return AdminPage{200, "application/json", write_errors_json(region, what)};
       }},
      {"/lines.json", Made::by_second_thread,
       [&region, what] {
         return AdminPage{200, "application/json", write_lines_json(region, what)};
       }},
      {"/bundles.json", Made::at_once,
       [&region] {
         std::string const kept = region.bundles().get();
         return AdminPage{200, "application/json",
                          kept.empty() ? R"({"bundles":[],"deployed":false})" : kept};
       }},
      {"/", Made::at_once,
       [] {
         return AdminPage{
             200, "text/html; charset=utf-8", std::string(admin_page),
             "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
             "connect-src 'self'; frame-ancestors 'none'"};
       }},
  };
}

}  // namespace

int run_admin(const SharedRegion& region, UniqueFd listener, Private what) {
  set_signal_handling();
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  Result<std::unique_ptr<AdminServer>> server =
      AdminServer::open(std::move(listener), routes_of(region, what));
  Result<void> turned;
  while (server && turned) {
    turned = (*server)->turn(turn_wait_max_ms);
    log::flush(monotonic_ns());
  }
  log::error("the admin process ends",
             {{"error", server ? turned.error().message : server.error().message}});
  return 1;
}

}  // namespace huntd::server
