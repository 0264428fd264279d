// SPDX-License-Identifier: Apache-2.0
// Sessions of all groups whose differences may be only events in motion, until they are read again.
#pragma once
#include <cstddef>
#include <vector>

#include "reconcile/compare.h"

namespace huntd::reconcile {

class Doubts {
 public:
  Doubts(Supplies& supplies, Findings& findings) : comparison_(snapshots_, supplies, findings) {}
  Doubts(const Doubts&) = delete;
  Doubts& operator=(const Doubts&) = delete;

  // Copies the session of `doubt`, an index in `from`, with its events.
  void add(const Snapshots& from, Comparison::Doubt doubt);
  // About what they take.
  size_t bytes() const { return bytes_; }
  static size_t bytes_of(const Comparison::Doubt& doubt, const Snapshots& from);

  Comparison& comparison() { return comparison_; }
  Snapshots& snapshots() { return snapshots_; }
  // Reports all that are left, and has none afterwards.
  void end();

 private:
  Snapshots snapshots_;
  Comparison comparison_;
  size_t bytes_ = 0;
};

}  // namespace huntd::reconcile
