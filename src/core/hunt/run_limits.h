// SPDX-License-Identifier: Apache-2.0
// How many runs of a hunt a core has at the same time, and how many one hunter has had in an hour
// and a day, by the hunt's RunRules (decision 63). In the memory of one core: a restart begins again.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/clock.h"
#include "base/pool.h"
#include "settings/run_rules.h"

namespace huntd::server {

// Windows that a core remembers, of hours and of days each. Above it, those that were not used for
// longest are dropped: the next run of that hunter begins a new one.
inline constexpr size_t run_windows_max = 131'072;

// Counts what one hunter has run of one hunt, from the first run of a window to its end.
class RunWindows {
 public:
  explicit RunWindows(uint64_t window_ns, size_t windows_max = run_windows_max)
      : window_ns_(window_ns), generation_max_(windows_max / 2) {}

  // How long until the window that has `limit` runs is over; 0: another run may begin now.
  uint64_t wait_ns(uint64_t key, uint32_t limit, uint64_t now_ns) const;
  void count(uint64_t key, uint64_t now_ns);
  size_t size() const { return newer_.size() + older_.size(); }

 private:
  struct Window {
    uint64_t begin_ns = 0;
    uint32_t runs = 0;
  };
  // That of `now_ns`; without runs if there is none.
  Window window(uint64_t key, uint64_t now_ns) const;

  uint64_t const window_ns_;
  size_t const generation_max_;
  // A used window is in `newer_`; when that is full, it becomes `older_`, whose windows are dropped.
  PoolMap<uint64_t, Window> newer_;
  PoolMap<uint64_t, Window> older_;
};

class RunLimits {
 public:
  // `secret`: without it, hunters could be chosen whose runs count together.
  explicit RunLimits(uint64_t secret) : secret_(secret) {}

  struct Wait {
    uint64_t ns = 0;         // 0: another run may begin now
    std::string_view limit;  // "per_hour" or "per_day"
  };
  // Whether the hunter may run the hunt once more.
  Wait wait(const RunRules& rules, std::string_view hunt_id, std::string_view hunter_id,
            uint64_t now_ns) const;
  // Counts a run that the hunter begins.
  void count(const RunRules& rules, std::string_view hunt_id, std::string_view hunter_id,
             uint64_t now_ns);

  // Whether the next run of the hunt is to let others go first: its last runs exceeded their
  // deadlines. One run is as any other after 5 seconds, and after twice as long each time up to
  // 320 s, to see if that is over.
  bool must_yield(std::string_view hunt_id, uint64_t now_ns);
  // A run of the hunt ended, at its deadline or otherwise. `bundle` names the bundle that it ran: one
  // that is not in use any more says nothing about the script that is.
  void note_end(std::string_view bundle, std::string_view hunt_id, bool at_deadline);
  // New runs use this bundle. If it is another one, no hunt has exceeded a deadline yet.
  void use(std::string_view bundle);

  // Counts a run of a hunt as long as it exists; empty if there are as many as may be.
  class InFlight {
   public:
    InFlight(RunLimits& limits, const RunRules& rules, std::string_view hunt_id);
    InFlight(const InFlight&) = delete;
    InFlight& operator=(const InFlight&) = delete;
    ~InFlight();
    bool admitted() const { return admitted_; }

   private:
    RunLimits& limits_;
    PoolString hunt_id_;  // empty: the hunt has no bound
    bool admitted_ = true;
  };

 private:
  uint64_t key_of(std::string_view hunt_id, std::string_view hunter_id) const;

  struct Endless {
    uint32_t in_a_row = 0;       // runs that exceeded their deadlines
    uint64_t wait_ns = 0;        // from one run that does not yield to the next
    uint64_t next_probe_ns = 0;  // when that is; 0: not known
  };

  uint64_t const secret_;
  RunWindows hours_{3600 * ns_per_s};
  RunWindows days_{24 * 3600 * ns_per_s};
  PoolString bundle_;                        // of which endless_ is
  PoolMap<PoolString, Endless> endless_;     // by hunt_id, if its last run exceeded its deadline
  PoolMap<PoolString, uint32_t> in_flight_;  // by hunt_id, if it has a bound and runs
};

}  // namespace huntd::server
