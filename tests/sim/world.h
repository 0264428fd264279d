// SPDX-License-Identifier: Apache-2.0
// Virtual time, the one source of randomness, the trace and the violations of a run. Everything
// that happens in a simulation is an event in one queue; events of the same time happen in the
// order in which they were queued, so a seed always gives the same run.
#pragma once
#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace huntd::server::sim {

inline constexpr uint64_t us = 1'000;
inline constexpr uint64_t ms = 1'000'000;
inline constexpr uint64_t s = 1'000'000'000;

// splitmix64 (Steele, Lea, Flood, OOPSLA 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15ULL;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  // A number from 0 to `count` - 1.
  uint64_t below(uint64_t count) { return next() % count; }
  // Both limits are inclusive.
  uint64_t between(uint64_t least, uint64_t most) { return least + below(most - least + 1); }
  bool chance(double probability) {
    return static_cast<double>(next() >> 11) * 0x1.0p-53 < probability;
  }
  template <class T>
  const T& one_of(const std::vector<T>& of) {
    return of[below(of.size())];
  }

 private:
  uint64_t state_;
};

class World {
 public:
  World(uint64_t seed, bool traced);

  uint64_t now_ns() const { return now_ns_; }
  void at(uint64_t when_ns, std::function<void()> what);
  void after(uint64_t delay_ns, std::function<void()> what) {
    at(now_ns_ + delay_ns, std::move(what));
  }
  // Runs the events until `until_ns`, or until the first violation.
  void run_until(uint64_t until_ns);

  // The time of one hop, between two kernels or two processes.
  uint64_t hop_ns();
  // Counts an injected fault.
  void fault(std::string_view name, std::string_view of = "");
  // Notes that an invariant does not hold, and ends the run.
  void violation(std::string_view invariant, std::string_view what);
  bool violated() const { return !violations_.empty(); }

  template <class... T>
  void trace(fmt::format_string<T...> format, T&&... values) {
    write(fmt::format(format, std::forward<T>(values)...));
  }

  Random random;
  bool faults_on = true;
  uint64_t events() const { return events_; }
  const std::map<std::string, uint64_t>& faults() const { return faults_; }
  const std::vector<std::string>& violations() const { return violations_; }
  // A hash of the trace: two runs of one seed have the same.
  uint64_t digest() const { return digest_; }

 private:
  struct Event {
    uint64_t at_ns;
    uint64_t number;
    std::function<void()> what;
  };
  static bool later(const Event& a, const Event& b) {
    return a.at_ns != b.at_ns ? a.at_ns > b.at_ns : a.number > b.number;
  }
  void write(const std::string& line);

  bool traced_;
  uint64_t now_ns_ = 1000 * s;
  uint64_t events_ = 0;
  uint64_t next_number_ = 0;
  uint64_t digest_ = 0;
  std::vector<Event> queue_;  // a heap
  std::map<std::string, uint64_t> faults_;
  std::vector<std::string> violations_;
};

}  // namespace huntd::server::sim
