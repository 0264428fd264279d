// SPDX-License-Identifier: Apache-2.0
#include "metrics/core_metrics.h"

namespace huntd {

void CoreMetrics::note_start(int new_pid, uint32_t new_cpu, int64_t new_started_at_ms) {
  for (SharedWord& gauge : gauges_) gauge.store(0);
  redis_reason.set("");
  redis_server.set("");
  redis_address.set("");
  kafka_reason.set("");
  kafka_address.set("");
  heartbeat_ns.store(0);
  pid.store(static_cast<uint64_t>(new_pid));
  cpu.store(new_cpu);
  started_at_ms.store(static_cast<uint64_t>(new_started_at_ms));
  set_state(CoreState::starting);
}

void CoreMetrics::note_end(std::string_view how) {
  last_end.set(how);
  for (SharedWord& gauge : gauges_) gauge.store(0);
  redis_reason.set("");
  redis_server.set("");
  redis_address.set("");
  kafka_reason.set("");
  kafka_address.set("");
  pid.store(0);
  set_state(CoreState::down);
}

}  // namespace huntd
