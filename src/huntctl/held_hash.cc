// SPDX-License-Identifier: Apache-2.0
#include "huntctl/held_hash.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/read_text.h"
#include "wire/generation.h"
#include "wire/redis_keys.h"

namespace huntd::huntctl {
namespace {

// Reads one field into `held`; returns false if it is malformed.
bool read_field(HeldHash& held, std::string_view name, std::string_view value) {
  if (name == keys::gen_field) {
    std::optional<HeldGeneration> const present = read_held_generation(value);
    if (present) held.generation = present->generation;
    return present.has_value();
  }
  bool const earlier = name.starts_with(keys::was_prefix);
  if (!name.starts_with(keys::field_mark)) {
    std::optional<int64_t> const count = read_number<int64_t>(value);
    if (count && *count != 0) held.loot.emplace(name, *count);
    return count.has_value();
  }
  uint64_t* const into = name == keys::seq_field      ? &held.seq
                         : name == keys::before_field ? &held.before
                         : name == keys::added_field  ? &held.added
                         : name == keys::taken_field  ? &held.taken
                                                      : nullptr;
  if (!earlier && into == nullptr) return true;
  std::optional<uint64_t> const number = read_number<uint64_t>(value);
  if (!number || *number > limits::seq_max) return false;
  if (earlier) {
    std::optional<uint64_t> const generation =
        read_generation(name.substr(keys::was_prefix.size()));
    if (!generation) return false;
    held.was[*generation] = *number;
  } else {
    *into = *number;
  }
  return true;
}

}  // namespace

std::map<uint64_t, uint64_t> HeldHash::reached() const {
  std::map<uint64_t, uint64_t> all = was;
  if (seq > 0) all[generation] = std::max(all[generation], seq);
  return all;
}

uint64_t HeldHash::newest_generation() const {
  return std::max(generation, was.empty() ? 0 : was.rbegin()->first);
}

Result<HeldHash> HeldHash::read(std::vector<std::pair<std::string, std::string>> fields) {
  HeldHash held;
  for (const auto& [name, value] : fields)
    if (!read_field(held, name, value))
      return Error{fmt::format("the field {} is malformed: {}",
                               std::string_view(name).substr(0, 64),
                               std::string_view(value).substr(0, 64))};
  held.fields = std::move(fields);
  return held;
}

std::optional<UncountedSeqs> uncounted(const HeldHash& held, const aggregator::Session& row) {
  for (const auto& [generation, seq] : held.reached()) {
    if (seq == 0) continue;
    if (generation == row.generation && row.seen.upto() >= seq) continue;
    auto const past = row.past.find(generation);
    if (past != row.past.end() && past->second.upto() >= seq) continue;
    // The row has dropped what it knew of this generation.
    if (generation != 0 && generation <= row.forgotten_generation) continue;
    return UncountedSeqs{generation, seq};
  }
  return std::nullopt;
}

}  // namespace huntd::huntctl
