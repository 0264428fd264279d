// SPDX-License-Identifier: Apache-2.0
#include "metrics/hunt_lines.h"

#include <algorithm>

namespace huntd {

HuntLines::Snapshot HuntLines::snapshot() const {
  Snapshot copy;
  copy.added = added_.load();
  uint64_t const first = copy.added - std::min<uint64_t>(copy.added, lines_.size());
  for (uint64_t number = first; number < copy.added; ++number)
    copy.lines.push_back(lines_[number % lines_.size()].get());
  // Those that the core has replaced meanwhile are newer lines now.
  uint64_t const replaced = added_.load() - copy.added;
  size_t const full = copy.lines.size() == lines_.size() ? replaced : 0;
  copy.lines.erase(
      copy.lines.begin(),
      copy.lines.begin() + static_cast<std::ptrdiff_t>(std::min<size_t>(full, copy.lines.size())));
  return copy;
}

}  // namespace huntd
