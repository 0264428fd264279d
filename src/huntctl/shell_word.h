// SPDX-License-Identifier: Apache-2.0
// Words of commands that are printed to be typed again.
#pragma once
#include <fmt/format.h>

#include <cstdint>
#include <map>
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

// " --gone crown --left cup=1": the options of `huntctl try` for the supplies of a run that is to
// be repeated. `gone` has loot_ids of which the run got no unit, `left` what was left before the run
// of those that it asked about. A supply in both is one whose last units the run took itself, so its
// repeat begins with them.
template <class Gone>
std::string supply_options(const Gone& gone, const std::map<std::string, uint64_t>& left) {
  std::string without_unit;
  for (const std::string& loot_id : gone)
    if (!left.contains(loot_id)) without_unit += (without_unit.empty() ? "" : ",") + loot_id;
  std::string text;
  if (!without_unit.empty()) text += " --gone " + shell_word(without_unit);
  if (!left.empty()) text += " --left " + shell_word(counts_word(left));
  return text;
}

}  // namespace huntd::huntctl
