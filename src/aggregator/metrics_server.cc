// SPDX-License-Identifier: Apache-2.0
#include "aggregator/metrics_server.h"

#include <httplib.h>

#include <cerrno>
#include <cstring>

#include "config/config.h"

namespace huntd::aggregator {

MetricsServer::MetricsServer() : server_(std::make_unique<httplib::Server>()) {}

Result<std::unique_ptr<MetricsServer>> MetricsServer::start(const std::string& listen,
                                                            const Metrics& metrics) {
  Result<Address> address = parse_address(listen);
  if (!address) return Error{"aggregator.listen: " + address.error().message};
  std::unique_ptr<MetricsServer> self(new MetricsServer);
  self->server_->new_task_queue = [] { return new httplib::ThreadPool(2); };
  self->server_->Get("/metrics", [&metrics](const httplib::Request&, httplib::Response& response) {
    response.set_content(metrics.render(), "text/plain; version=0.0.4; charset=utf-8");
  });
  self->server_->Get("/healthz", [&metrics](const httplib::Request&, httplib::Response& response) {
    std::string const reason = metrics.unhealthy();
    response.status = reason.empty() ? 200 : 503;
    response.set_content(reason.empty() ? "ok\n" : reason + "\n", "text/plain; charset=utf-8");
  });
  if (!self->server_->bind_to_port(address->host, address->port))
    return Error{"aggregator.listen: cannot listen on " + listen + ": " + std::strerror(errno)};
  self->thread_ = std::thread([server = self->server_.get()] { server->listen_after_bind(); });
  return self;
}

MetricsServer::~MetricsServer() {
  if (!thread_.joinable()) return;
  while (!server_->is_running())
    std::this_thread::yield();  // a stop() before the server runs would have no effect
  server_->stop();
  thread_.join();
}

}  // namespace huntd::aggregator
