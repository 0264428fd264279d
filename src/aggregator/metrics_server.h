// GET /metrics and /healthz on aggregator.listen, from threads of their own.
#pragma once
#include <memory>
#include <thread>

#include "aggregator/metrics.h"
#include "base/result.h"

namespace httplib {
class Server;
}

namespace huntd {

class MetricsServer {
 public:
  // Binds and starts to serve `metrics`, which must outlive it. The error names the address.
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

}  // namespace huntd
