// SPDX-License-Identifier: Apache-2.0
#include "metrics/hunt_lines.h"

#include <algorithm>

namespace huntd {

HuntLines::Snapshot HuntLines::snapshot() const {
  Snapshot copy;
  copy.added = added_.load_published();
  uint64_t const first = copy.added - std::min<uint64_t>(copy.added, lines_.size());
  for (uint64_t number = first; number < copy.added; ++number)
    copy.lines.push_back(lines_[number % lines_.size()].get());
  // The core may have replaced these meanwhile, and may be writing the next line over one more.
  uint64_t const reached = added_.load_published() + 1;
  uint64_t const kept_from = reached - std::min<uint64_t>(reached, lines_.size());
  size_t const gone = std::min<size_t>(kept_from - std::min(kept_from, first), copy.lines.size());
  copy.lines.erase(copy.lines.begin(), copy.lines.begin() + static_cast<std::ptrdiff_t>(gone));
  return copy;
}

}  // namespace huntd
