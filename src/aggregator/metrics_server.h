// SPDX-License-Identifier: Apache-2.0
// Serves GET /metrics, /livez, /readyz and /healthz on aggregator.listen, on its own thread.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "admin_http/admin_server.h"
#include "aggregator/metrics.h"
#include "base/result.h"
#include "base/unix_listener.h"
#include "config/config.h"

namespace huntd::aggregator {

class MetricsServer {
 public:
  // Listens on aggregator.listen and starts serving `metrics`, which must outlive the server. The
  // error names the address. The file of a unix socket is removed with the server.
  static Result<std::unique_ptr<MetricsServer>> start(const Config& config, const Metrics& metrics);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

 private:
  MetricsServer(std::unique_ptr<AdminServer> server, SocketFile file)
      : server_(std::move(server)), file_(std::move(file)) {}
  void run();

  std::unique_ptr<AdminServer> server_;
  SocketFile file_;
  std::atomic<bool> ends_ = false;
  std::thread thread_;
};

}  // namespace huntd::aggregator
