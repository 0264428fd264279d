// SPDX-License-Identifier: Apache-2.0
#include "world.h"

#include <algorithm>
#include <cstdio>

#include "base/hash.h"

namespace huntd::server::sim {

World::World(uint64_t seed, bool traced) : random(seed), traced_(traced) {}

void World::at(uint64_t when_ns, std::function<void()> what) {
  queue_.push_back({std::max(when_ns, now_ns_), next_number_++, std::move(what)});
  std::push_heap(queue_.begin(), queue_.end(), later);
}

void World::run_until(uint64_t until_ns) {
  while (!violated() && !queue_.empty() && queue_.front().at_ns <= until_ns) {
    std::pop_heap(queue_.begin(), queue_.end(), later);
    Event event = std::move(queue_.back());
    queue_.pop_back();
    now_ns_ = event.at_ns;
    ++events_;
    event.what();
  }
  if (!violated()) now_ns_ = std::max(now_ns_, until_ns);
}

uint64_t World::hop_ns() {
  // Lost and retransmitted.
  if (faults_on && random.chance(0.0003)) return random.between(200 * ms, 3 * s);
  if (faults_on && random.chance(0.002)) return random.between(2 * ms, 60 * ms);
  return random.between(15 * us, 250 * us);
}

void World::fault(std::string_view name, std::string_view of) {
  ++faults_[std::string(name)];
  trace("FAULT {} {}", name, of);
}

void World::violation(std::string_view invariant, std::string_view what) {
  violations_.push_back(fmt::format("{}: {}", invariant, what));
  trace("VIOLATION {}: {}", invariant, what);
}

void World::write(const std::string& line) {
  digest_ = digest_ * 31 + hash64(line) + now_ns_;
  if (traced_)
    std::fprintf(stderr, "%12.6f %s\n", static_cast<double>(now_ns_) / static_cast<double>(s),
                 line.c_str());
}

}  // namespace huntd::server::sim
