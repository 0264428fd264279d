// SPDX-License-Identifier: Apache-2.0
// Serves GET /metrics and /healthz on aggregator.listen, on its own threads.
#pragma once
#include <memory>
#include <thread>

#include "aggregator/metrics.h"
#include "base/result.h"

namespace httplib {
class Server;
}

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
  MetricsServer();

  std::unique_ptr<httplib::Server> server_;
  std::thread thread_;
};

}  // namespace huntd::aggregator
