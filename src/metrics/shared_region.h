// SPDX-License-Identifier: Apache-2.0
// The shared memory that holds every core's histograms and counters. The parent maps it before it
// forks; each core writes its own CoreMetrics, the admin process reads all of them.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "metrics/core_metrics.h"
#include "metrics/reload_status.h"
#include "metrics/shared_text.h"
#include "metrics/shared_word.h"

namespace huntd {

// Whether the host wants traffic, for those who send it.
enum class HostState : uint8_t {
  serving,
  drained,   // by the operator: it says that it is not ready, and serves on
  stopping,  // the same since a SIGTERM, for http.drain_delay_ms; then the cores drain
};
inline constexpr std::array<std::string_view, 3> host_state_names = {"serving", "drained",
                                                                     "stopping"};
static_assert(static_cast<size_t>(HostState::stopping) + 1 == host_state_names.size());

// Owns one mapping (MAP_SHARED, anonymous), which forked children inherit. A page takes memory when
// it is first written: at most about 2.5 MB per core.
class SharedRegion {
 public:
  // Maps the region for `cores` cores (1 to limits::cores_max). `version` is the version of huntd,
  // cut at 32 bytes; `started_at_ms` is since 1970. The caller is the parent. The error has the
  // reason of mmap().
  static Result<SharedRegion> create(uint32_t cores, std::string_view version,
                                     int64_t started_at_ms);

  SharedRegion(SharedRegion&&) noexcept = default;
  SharedRegion& operator=(SharedRegion&&) noexcept = default;

  uint32_t cores() const { return head().cores; }
  std::string version() const { return head().version.get(); }
  // CLOCK_MONOTONIC at the last turn of the parent's loop; 0 before the first. By the parent.
  SharedWord& parent_heartbeat_ns() { return head().parent_heartbeat_ns; }
  const SharedWord& parent_heartbeat_ns() const { return head().parent_heartbeat_ns; }
  // The newest reload. By the parent.
  SharedReload& reload() { return head().reload; }
  const SharedReload& reload() const { return head().reload; }
  // The bundles that are kept, as /bundles.json; empty before the first. By the parent.
  using SharedBundles = SharedText<24 * 1024>;
  SharedBundles& bundles() { return head().bundles; }
  const SharedBundles& bundles() const { return head().bundles; }
  // The tables of odds that the scripts in use have, a JSON array (huntd/meant_odds.h); empty before
  // the first. By the parent.
  using SharedOdds = SharedText<limits::odds_bytes_max>;
  SharedOdds& odds() { return head().odds; }
  const SharedOdds& odds() const { return head().odds; }
  // The parent's pid, and its start time in clock ticks since the boot (proc(5)), which together
  // name a process of this boot; 0 before set_parent().
  void set_parent(uint64_t pid, uint64_t start_ticks);
  uint64_t parent_pid() const { return head().parent_pid.load(); }
  uint64_t parent_start_ticks() const { return head().parent_start_ticks.load(); }
  int64_t started_at_ms() const { return head().started_at_ms; }
  HostState host_state() const { return static_cast<HostState>(head().host_state.load()); }
  // Only the parent calls this.
  void set_host_state(HostState state) { head().host_state.store(static_cast<uint64_t>(state)); }
  // REQUIRES: index < cores().
  CoreMetrics& core(uint32_t index);
  const CoreMetrics& core(uint32_t index) const;

 private:
  struct alignas(64) Head {
    uint32_t cores;
    int64_t started_at_ms;
    SharedWord host_state;
    SharedWord parent_heartbeat_ns;
    SharedWord parent_pid;
    SharedWord parent_start_ticks;
    SharedName version;
    SharedReload reload;
    SharedBundles bundles;
    SharedOdds odds;
  };
  struct Unmap {
    size_t bytes = 0;
    void operator()(void* region) const;
  };

  explicit SharedRegion(std::unique_ptr<void, Unmap> region) : region_(std::move(region)) {}
  Head& head() const { return *static_cast<Head*>(region_.get()); }
  CoreMetrics* all() const;

  std::unique_ptr<void, Unmap> region_;
};

// One core at one moment.
struct CoreSnapshot {
  uint32_t core = 0;
  CoreState state = CoreState::starting;
  uint64_t pid = 0;
  uint64_t cpu = 0;
  int64_t started_at_ms = 0;
  uint64_t restarts = 0;
  uint64_t heartbeat_ns = 0;  // CLOCK_MONOTONIC
  std::string bundle;
  std::string redis_reason;  // as in CoreMetrics
  std::string redis_server;
  std::string redis_address;
  std::string kafka_reason;
  std::string kafka_address;
  std::string last_end;
  std::array<uint64_t, counters> counter{};
  std::array<uint64_t, gauges> gauge{};
  std::array<HistogramSnapshot, stage_names.size()> stages;
  std::vector<ScriptFailureRow> failures;
  HuntTableSnapshot hunts;

  uint64_t value(Counter which) const { return counter[static_cast<size_t>(which)]; }
  uint64_t value(Gauge which) const { return gauge[static_cast<size_t>(which)]; }
};

// The time since the last tick of the core's loop. 0 if the heartbeat is newer than `now_ns`
// (CLOCK_MONOTONIC).
inline uint64_t heartbeat_age_ns(const CoreSnapshot& core, uint64_t now_ns) {
  return now_ns > core.heartbeat_ns ? now_ns - core.heartbeat_ns : 0;
}

// All cores at one moment. Each number is consistent; numbers of one core may be ticks apart.
struct MetricsSnapshot {
  std::string version;
  int64_t started_at_ms = 0;
  int64_t taken_at_ms = 0;           // since 1970
  uint64_t taken_at_ns = 0;          // CLOCK_MONOTONIC
  uint64_t parent_heartbeat_ns = 0;  // as in SharedRegion
  uint64_t parent_pid = 0;
  uint64_t parent_start_ticks = 0;
  ReloadStatus reload;
  std::string reload_progress;
  std::string save_error;  // why the scripts in use are not saved for a later start
  HostState host_state = HostState::serving;
  std::vector<CoreSnapshot> cores;
};

// The part of a snapshot that its reader needs. Histograms are most of the work.
enum class SnapshotDepth {
  all,
  without_histograms,  // neither CoreSnapshot::stages nor CoreSnapshot::hunts
  with_hunts,          // without CoreSnapshot::stages
};
MetricsSnapshot take_snapshot(const SharedRegion& region, SnapshotDepth depth = SnapshotDepth::all);

}  // namespace huntd
