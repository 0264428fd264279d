// SPDX-License-Identifier: Apache-2.0
#include "metrics/shared_region.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "base/limits.h"

namespace huntd {

// Fresh zero pages are already a valid region, so nothing is constructed (that would touch every
// page).
static_assert(std::is_trivially_default_constructible_v<CoreMetrics>);
static_assert(std::is_trivially_destructible_v<CoreMetrics>);

void SharedRegion::Unmap::operator()(void* region) const { munmap(region, bytes); }

Result<SharedRegion> SharedRegion::create(uint32_t cores, std::string_view version,
                                          int64_t started_at_ms) {
  CHECK(cores >= 1 && cores <= limits::cores_max);
  size_t const bytes = sizeof(Head) + cores * sizeof(CoreMetrics);
  void* const memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return Error{
        fmt::format("can't map {} bytes of shared memory for the statistics of {} cores: {}", bytes,
                    cores, std::strerror(errno))};
  SharedRegion region(std::unique_ptr<void, Unmap>(memory, Unmap{bytes}));
  region.head().cores = cores;
  region.head().started_at_ms = started_at_ms;
  region.head().version.set(version);
  return region;
}

void SharedRegion::set_parent(uint64_t pid, uint64_t start_ticks) {
  head().parent_pid.store(pid);
  head().parent_start_ticks.store(start_ticks);
}

CoreMetrics* SharedRegion::all() const {
  static_assert(sizeof(Head) % alignof(CoreMetrics) == 0);
  return reinterpret_cast<CoreMetrics*>(static_cast<char*>(region_.get()) + sizeof(Head));
}

CoreMetrics& SharedRegion::core(uint32_t index) {
  CHECK(index < cores());
  return all()[index];
}

const CoreMetrics& SharedRegion::core(uint32_t index) const {
  CHECK(index < cores());
  return all()[index];
}

MetricsSnapshot take_snapshot(const SharedRegion& region, SnapshotDepth depth) {
  MetricsSnapshot snapshot;
  snapshot.version = region.version();
  snapshot.started_at_ms = region.started_at_ms();
  snapshot.parent_heartbeat_ns = region.parent_heartbeat_ns().load();
  snapshot.parent_pid = region.parent_pid();
  snapshot.parent_start_ticks = region.parent_start_ticks();
  snapshot.reload = region.reload().get();
  snapshot.reload_progress = region.reload().progress();
  snapshot.save_error = region.reload().save_error();
  snapshot.host_state = region.host_state();
  for (uint32_t core = 0; core < region.cores(); ++core) {
    const CoreMetrics& live = region.core(core);
    CoreSnapshot copy;
    copy.core = core;
    copy.state = live.state();
    copy.pid = live.pid.load();
    copy.cpu = live.cpu.load();
    copy.started_at_ms = static_cast<int64_t>(live.started_at_ms.load());
    uint64_t const starts = live.starts.load();
    copy.restarts = starts == 0 ? 0 : starts - 1;
    copy.heartbeat_ns = live.heartbeat_ns.load();
    copy.bundle = live.bundle.get();
    copy.redis_reason = live.redis_reason.get();
    copy.redis_server = live.redis_server.get();
    copy.redis_address = live.redis_address.get();
    copy.kafka_reason = live.kafka_reason.get();
    copy.kafka_address = live.kafka_address.get();
    copy.last_end = live.last_end.get();
    copy.failures = live.failures.rows();
    for (const auto& row : counter_rows)
      copy.counter[static_cast<size_t>(row.which)] = live.value(row.which);
    for (const auto& row : gauge_rows)
      copy.gauge[static_cast<size_t>(row.which)] = live.value(row.which);
    if (depth != SnapshotDepth::without_histograms) copy.hunts = live.hunts.snapshot();
    if (depth == SnapshotDepth::all)
      for (size_t stage = 0; stage < stage_names.size(); ++stage)
        copy.stages[stage] = live.stage(static_cast<Stage>(stage)).snapshot();
    snapshot.cores.push_back(std::move(copy));
  }
  snapshot.taken_at_ms = wall_ms();
  snapshot.taken_at_ns = monotonic_ns();
  return snapshot;
}

}  // namespace huntd
