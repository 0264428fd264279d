// SPDX-License-Identifier: Apache-2.0
// Serves GET /metrics, /livez, /readyz and /healthz on aggregator.listen, on its own thread.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "admin_http/admin_server.h"
#include "aggregator/metrics.h"
#include "base/result.h"

namespace huntd::aggregator {

class MetricsServer {
 public:
  // Binds `listen` and starts serving `metrics`, which must outlive the server. The error names the
  // address.
  static Result<std::unique_ptr<MetricsServer>> start(const std::string& listen,
                                                      const Metrics& metrics);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

 private:
  explicit MetricsServer(std::unique_ptr<AdminServer> server) : server_(std::move(server)) {}
  void run();

  std::unique_ptr<AdminServer> server_;
  std::atomic<bool> ends_ = false;
  std::thread thread_;
};

}  // namespace huntd::aggregator
