// SPDX-License-Identifier: Apache-2.0
// Words of commands that are printed to be typed again.
#pragma once
#include <fmt/format.h>

#include <string>

namespace huntd::huntctl {

// `word` as a shell reads it: in quotes if it needs them.
std::string shell_word(const std::string& word);

// The value of --held and --left of `huntctl try`: "iron=3,wood=1". `counts` has pairs of a loot_id
// and a count.
template <class Counts>
std::string counts_word(const Counts& counts) {
  std::string word;
  for (auto const& [loot_id, count] : counts)
    word += fmt::format("{}{}={}", word.empty() ? "" : ",", loot_id, count);
  return word;
}

}  // namespace huntd::huntctl
