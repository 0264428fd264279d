// SPDX-License-Identifier: Apache-2.0
// A shared region with known content, for tests of what reads one.
#pragma once
#include <unistd.h>

#include <cmath>
#include <random>
#include <string>
#include <utility>

#include "metrics/shared_region.h"

namespace huntd::testing {

// `cores` cores that are ready, with a heartbeat of now and `records` seeded latencies in each
// stage but kafka_ack, which stays empty. Its hunts are gold and those without a slot.
inline SharedRegion sample_region(uint32_t cores, int records) {
  Result<SharedRegion> created = SharedRegion::create(cores, "0.1.0-test", wall_ms() - 60'000);
  CHECK(created);
  SharedRegion region = std::move(*created);
  region.set_parent(static_cast<uint64_t>(getpid()), 1);
  std::mt19937_64 random(11);
  constexpr double typical_ns[] = {2e4, 4e5, 6e5, 3e5, 0, 2e6, 3e4};
  for (uint32_t index = 0; index < cores; ++index) {
    CoreMetrics& core = region.core(index);
    core.note_start(getpid(), index, wall_ms() - 59'000);
    core.set_state(CoreState::ready);
    core.heartbeat_ns.store(monotonic_ns());
    core.bundle.set("00112233445566778899aabbccddeeff");
    core.add(Counter::hunts_ok, 100 + index);
    core.add(Counter::hunts_rejected, 3);
    core.add(Counter::hunts_owner, 103 + index);
    core.hunts.assign(0, "gold");
    for (int i = 0; i < 90; ++i) {
      core.hunts.count(0, HuntOutcome::ok);
      core.hunts.record(0, 2'000'000);
    }
    for (int i = 0; i < 3; ++i) core.hunts.count(0, HuntOutcome::refused);
    for (uint32_t i = 0; i < 10 + index; ++i) core.hunts.count(HuntTable::other, HuntOutcome::ok);
    core.set(Gauge::redis_up, 1);
    core.set(Gauge::workers_live, 4);
    for (size_t stage = 0; stage < stage_names.size(); ++stage) {
      if (static_cast<Stage>(stage) == Stage::kafka_ack) continue;
      std::lognormal_distribution<double> latency(std::log(typical_ns[stage] * (1 + 0.3 * index)),
                                                  0.8);
      for (int i = 0; i < records; ++i)
        core.record(static_cast<Stage>(stage), static_cast<uint64_t>(latency(random)));
    }
  }
  return region;
}

}  // namespace huntd::testing
