// SPDX-License-Identifier: Apache-2.0
#include "metrics/core_metrics.h"

#include <algorithm>
#include <cstring>

namespace huntd {

template <size_t bytes_max>
void SharedText<bytes_max>::set(std::string_view text) {
  uint64_t words[sizeof words_ / sizeof words_[0]] = {};
  std::memcpy(words, text.data(), std::min(text.size(), bytes_max));
  uint64_t const version = __atomic_load_n(&version_, __ATOMIC_RELAXED);
  __atomic_store_n(&version_, version | 1, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_RELEASE);
  for (size_t i = 0; i < std::size(words); ++i)
    __atomic_store_n(&words_[i], words[i], __ATOMIC_RELAXED);
  __atomic_store_n(&version_, (version | 1) + 1, __ATOMIC_RELEASE);
}

template <size_t bytes_max>
std::string SharedText<bytes_max>::get() const {
  // A writer that died in set() leaves an odd version until the next set(): stop after some tries.
  constexpr int tries_max = 1000;
  uint64_t words[sizeof words_ / sizeof words_[0]];
  for (int tries = 0; tries < tries_max; ++tries) {
    uint64_t const before = __atomic_load_n(&version_, __ATOMIC_ACQUIRE);
    for (size_t i = 0; i < std::size(words); ++i)
      words[i] = __atomic_load_n(&words_[i], __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (before % 2 == 0 && __atomic_load_n(&version_, __ATOMIC_RELAXED) == before) {
      char text[bytes_max];
      std::memcpy(text, words, bytes_max);
      return std::string(text, strnlen(text, bytes_max));
    }
  }
  return "";
}

template class SharedText<32>;
template class SharedText<64>;
template class SharedText<128>;
template class SharedText<192>;
template class SharedText<512>;
template class SharedText<limits::reload_error_bytes_max + 256>;

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
