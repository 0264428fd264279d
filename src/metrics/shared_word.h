// SPDX-License-Identifier: Apache-2.0
// One 64-bit number in shared memory: one process writes it, others read it.
#pragma once
#include <cstdint>

namespace huntd {

// A plain object (memory fresh from mmap is a valid zero), reached only through relaxed atomic
// loads and stores, so that a reader never sees half a number. One writer: add() is a load and a
// store, without a locked instruction.
class SharedWord {
 public:
  uint64_t load() const { return __atomic_load_n(&value_, __ATOMIC_RELAXED); }
  void store(uint64_t value) { __atomic_store_n(&value_, value, __ATOMIC_RELAXED); }
  void add(uint64_t n) { store(load() + n); }
  // Who loads what publish() has stored sees all that the writer stored before.
  void publish(uint64_t value) { __atomic_store_n(&value_, value, __ATOMIC_RELEASE); }
  uint64_t load_published() const { return __atomic_load_n(&value_, __ATOMIC_ACQUIRE); }

 private:
  uint64_t value_;
};

}  // namespace huntd
