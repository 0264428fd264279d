// SPDX-License-Identifier: Apache-2.0
#include "aggregator/metrics_server.h"

#include <utility>
#include <vector>

#include "admin_http/admin_http_limits.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/net.h"

namespace huntd::aggregator {
namespace {

constexpr uint32_t turn_wait_max_ms = 60'000;  // the destructor ends the wait

AdminPage health_page(const std::string& reason) {
  return {reason.empty() ? 200 : 503, "text/plain; charset=utf-8",
          reason.empty() ? "ok\n" : reason + "\n"};
}

// Each page is made within a millisecond, and only waits for the loop while that changes a number.
std::vector<AdminRoute> routes_of(const Metrics& metrics) {
  using Made = AdminRoute::Made;
  auto const ready = [&metrics] { return health_page(metrics.unhealthy()); };
  return {
      {"/livez", Made::at_once, [&metrics] { return health_page(metrics.stuck(monotonic_ms())); }},
      {"/readyz", Made::at_once, ready},
      {"/healthz", Made::at_once, ready},
      {"/metrics", Made::at_once,
       [&metrics] {
         return AdminPage{200, "text/plain; version=0.0.4; charset=utf-8", metrics.render()};
       }},
  };
}

Result<ListeningSocket> listen_at(const Address& address, mode_t unix_mode) {
  if (address.unix_socket) return listen_unix(address.host, unix_mode, limits::admin_backlog);
  Result<UniqueFd> socket = listen_tcp(address.host, address.port, limits::admin_backlog);
  if (!socket) return socket.error();
  return ListeningSocket{std::move(*socket)};
}

}  // namespace

Result<std::unique_ptr<MetricsServer>> MetricsServer::start(const Config& config,
                                                            const Metrics& metrics) {
  Result<Address> const address = parse_address(config.aggregator.listen);
  if (!address) return Error{"aggregator.listen: " + address.error().message};
  Result<ListeningSocket> listener = listen_at(*address, file_mode_of(config.aggregator.unix_mode));
  if (!listener) return Error{"aggregator.listen: " + listener.error().message};
  Result<std::unique_ptr<AdminServer>> server =
      AdminServer::open(std::move(listener->socket), routes_of(metrics));
  if (!server) return Error{"aggregator.listen: " + server.error().message};
  std::unique_ptr<MetricsServer> self(
      new MetricsServer(std::move(*server), std::move(listener->file)));
  self->thread_ = std::thread([server = self.get()] { server->run(); });
  return self;
}

void MetricsServer::run() {
  while (!ends_) {
    if (Result<void> turned = server_->turn(turn_wait_max_ms); !turned) {
      log::error("aggregator.listen is not served any more", {{"error", turned.error().message}});
      return;
    }
  }
}

MetricsServer::~MetricsServer() {
  ends_ = true;
  server_->wake();
  thread_.join();
}

}  // namespace huntd::aggregator
