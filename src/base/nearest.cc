// SPDX-License-Identifier: Apache-2.0
#include "base/nearest.h"

#include <algorithm>
#include <vector>

namespace huntd {
namespace {

// A name that is longer is not compared: the time grows with the product of the lengths.
constexpr size_t name_bytes_max = 64;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

size_t edit_distance(std::string_view from, std::string_view to) {
  // Three rows of the table of distances between all beginnings of the two.
  std::vector<size_t> before_last(to.size() + 1), last(to.size() + 1), row(to.size() + 1);
  for (size_t j = 0; j <= to.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= from.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= to.size(); ++j) {
      size_t const replaced = lower(from[i - 1]) == lower(to[j - 1]) ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + replaced});
      if (i > 1 && j > 1 && lower(from[i - 1]) == lower(to[j - 2]) &&
          lower(from[i - 2]) == lower(to[j - 1]))
        row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    before_last.swap(last);
    last.swap(row);
  }
  return last[to.size()];
}

std::string_view nearest_name(std::string_view wrong, std::span<const std::string_view> names) {
  if (wrong.size() > name_bytes_max) return {};
  size_t const allowed = wrong.size() <= 5 ? 1 : wrong.size() <= 9 ? 2 : 3;
  std::string_view best;
  size_t best_distance = allowed + 1;
  for (std::string_view const name : names) {
    // A name of one letter is one edit from any other.
    if (name == wrong || name.size() > name_bytes_max || name.size() + wrong.size() < 4) continue;
    size_t const distance = edit_distance(wrong, name);
    if (distance >= best_distance) continue;
    best = name;
    best_distance = distance;
  }
  return best;
}

}  // namespace huntd
