// SPDX-License-Identifier: Apache-2.0
#include "metrics/hunt_table.h"

#include <cmath>
#include <cstring>
#include <ctime>
#include <numeric>

#include "base/check.h"

namespace huntd {

uint64_t HuntFigures::runs() const {
  return std::accumulate(outcomes.begin(), outcomes.end(), uint64_t{0});
}

uint64_t HuntFigures::timed() const {
  return std::accumulate(durations.begin(), durations.end(), uint64_t{0});
}

uint64_t HuntFigures::percentile_ns(double percent) const {
  uint64_t const count = timed();
  if (count == 0) return 0;
  double const wanted =
      std::ceil(std::clamp(percent, 0.0, 100.0) * static_cast<double>(count) / 100);
  uint64_t const rank = std::max<uint64_t>(1, static_cast<uint64_t>(wanted));
  uint64_t passed = 0;
  for (size_t i = 0; i < HuntDurationLayout::bounds_ns.size(); ++i) {
    passed += durations[i];
    if (passed >= rank) return HuntDurationLayout::bounds_ns[i];
  }
  return HuntDurationLayout::bounds_ns.back();
}

uint64_t HuntFigures::timed_up_to(uint64_t bound_ns) const {
  size_t const last = HuntDurationLayout::index_of(bound_ns);
  CHECK(last < HuntDurationLayout::bounds_ns.size() &&
        HuntDurationLayout::bounds_ns[last] == bound_ns);
  return std::accumulate(durations.begin(),
                         durations.begin() + static_cast<std::ptrdiff_t>(last) + 1, uint64_t{0});
}

void HuntFigures::merge(const HuntFigures& others) {
  for (size_t i = 0; i < outcomes.size(); ++i) outcomes[i] += others.outcomes[i];
  for (size_t i = 0; i < durations.size(); ++i) durations[i] += others.durations[i];
  sum_ns += others.sum_ns;
}

void HuntTable::start_change() {
  version_.store(version_.load() | 1);
  __atomic_thread_fence(__ATOMIC_RELEASE);
}

void HuntTable::end_change() {
  __atomic_thread_fence(__ATOMIC_RELEASE);
  version_.store((version_.load() | 1) + 1);
}

// Moves the numbers of a slot. If the writer dies in it, repair() moves the rest; only the number
// that was being moved may then count twice.
void HuntTable::move_to_replaced(Row& row) {
  auto const move = [](SharedWord& from, SharedWord& to) {
    to.add(from.load());
    from.store(0);
  };
  Row& to = rows_[replaced];
  for (size_t i = 0; i < row.outcomes.size(); ++i) move(row.outcomes[i], to.outcomes[i]);
  for (size_t i = 0; i < row.durations.size(); ++i) move(row.durations[i], to.durations[i]);
  move(row.sum_ns, to.sum_ns);
}

void HuntTable::assign(size_t slot, std::string_view hunt_id) {
  size_t const in_use = used();
  CHECK(slot <= in_use && slot < slots && hunt_id.size() <= limits::id_bytes_max);
  uint64_t words[limits::id_bytes_max / sizeof(uint64_t)] = {};
  std::memcpy(words, hunt_id.data(), hunt_id.size());
  start_change();
  Row& row = rows_[slot];
  move_to_replaced(row);
  for (size_t i = 0; i < row.hunt_id.size(); ++i) row.hunt_id[i].store(words[i]);
  if (slot == in_use) used_.store(in_use + 1);
  end_change();
}

void HuntTable::repair() {
  if (version_.load() % 2 == 0) return;
  for (size_t slot = 0; slot < slots; ++slot) move_to_replaced(rows_[slot]);
  used_.store(0);
  end_change();
}

std::string HuntTable::hunt_of(size_t slot) const {
  CHECK(slot < slots);
  uint64_t words[limits::id_bytes_max / sizeof(uint64_t)];
  for (size_t i = 0; i < rows_[slot].hunt_id.size(); ++i) words[i] = rows_[slot].hunt_id[i].load();
  char text[sizeof words];
  std::memcpy(text, words, sizeof text);
  return std::string(text, strnlen(text, sizeof text));
}

HuntFigures HuntTable::copy_row(const Row& row) const {
  HuntFigures copy;
  for (size_t i = 0; i < row.outcomes.size(); ++i) copy.outcomes[i] = row.outcomes[i].load();
  copy.sum_ns = row.sum_ns.load();
  for (size_t i = 0; i < row.durations.size(); ++i) copy.durations[i] = row.durations[i].load();
  return copy;
}

HuntTableSnapshot HuntTable::copy_rows() const {
  HuntTableSnapshot copy;
  size_t const in_use = used();
  copy.hunts.reserve(in_use);
  for (size_t slot = 0; slot < in_use; ++slot) {
    copy.hunts.push_back(copy_row(rows_[slot]));
    copy.hunts.back().hunt_id = hunt_of(slot);
  }
  copy.other = copy_row(rows_[other]);
  copy.replaced = copy_row(rows_[replaced]);
  return copy;
}

HuntTableSnapshot HuntTable::snapshot() const {
  // A writer may lose its CPU in a change. One that died in it leaves an odd version until the next
  // one repairs the table: after 0.2 s the copy is made all the same, and one hunt's numbers may be
  // in it twice.
  constexpr int tries_max = 2000;
  constexpr timespec pause = {.tv_sec = 0, .tv_nsec = 100'000};
  for (int tries = 0; tries < tries_max; ++tries) {
    uint64_t const before = version_.load();
    if (before % 2 != 0) {
      nanosleep(&pause, nullptr);
      continue;
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    HuntTableSnapshot copy = copy_rows();
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (version_.load() == before) return copy;
  }
  return copy_rows();
}

}  // namespace huntd
