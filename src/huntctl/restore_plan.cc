// SPDX-License-Identifier: Apache-2.0
#include "huntctl/restore_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <map>
#include <optional>

#include "base/limits.h"
#include "wire/generation.h"
#include "wire/redis_keys.h"

namespace huntd::huntctl {
namespace {

using Kind = RestorePlan::Kind;
using Seqs = std::map<uint64_t, uint64_t>;  // by generation

// The newest seq of each generation that the row has counted.
Seqs newest_of(const aggregator::Session& row) {
  Seqs newest;
  for (const auto& [generation, seen] : row.past) newest[generation] = seen.newest();
  if (!row.seen.empty()) newest[row.generation] = row.seen.newest();
  return newest;
}

// A commit keeps only the newest fields #was, so a generation below them is not lost.
bool may_be_dropped(const HeldHash& held, uint64_t generation) {
  return held.was.size() >= limits::held_was_max && generation < held.was.begin()->first;
}

// Whether the row has counted seqs that Redis does not know.
bool has_lost(const HeldHash& held, const aggregator::Session& row) {
  Seqs const reached = held.reached();
  Seqs const newest = newest_of(row);
  return std::any_of(newest.begin(), newest.end(), [&](const auto& counted) {
    auto const known = reached.find(counted.first);
    if (known == reached.end()) return !may_be_dropped(held, counted.first);
    return known->second < counted.second;
  });
}

std::string was_field(uint64_t generation) {
  return std::string(keys::was_prefix) + generation_text(generation);
}

RestorePlan skipped(Kind kind, std::string reason) {
  RestorePlan plan;
  plan.kind = kind;
  plan.reason = std::move(reason);
  return plan;
}

// Whether the row has a debt and has not counted every event: then awards that retention deleted,
// that wait or that are lost may have paid for what was taken.
bool may_lack_awards(const aggregator::Session& row) {
  auto const has_gap = [](const SeqSet& seen) { return !seen.beyond().empty(); };
  return std::any_of(row.loot.begin(), row.loot.end(),
                     [](const auto& loot) { return loot.second < 0; }) &&
         (has_gap(row.seen) ||
          std::any_of(row.past.begin(), row.past.end(),
                      [&](const auto& generation) { return has_gap(generation.second); }));
}

// What the row has counted and Redis lacks; nothing if Redis has more of it than the row, although
// it knows no event that the row has not counted. A take that Redis has lost leaves it with more of
// a loot.
std::optional<RestorePlan> add_missing(const HeldHash& held, const aggregator::Session& row) {
  if (row.added < held.added || row.taken < held.taken) return std::nullopt;
  RestorePlan plan;
  std::map<std::string, int64_t, std::less<>> missing = row.loot;
  for (const auto& [loot_id, count] : held.loot) missing[loot_id] -= count;
  for (const auto& [loot_id, more] : missing) {
    if (more == 0) continue;
    if (more < 0 && row.taken == held.taken) return std::nullopt;
    plan.loot += static_cast<uint64_t>(std::abs(more));
    auto const counted = row.loot.find(loot_id);
    if (counted == row.loot.end())
      plan.remove.push_back(loot_id);
    else
      plan.set.emplace_back(loot_id, std::to_string(counted->second));
  }
  return plan;
}

// How many events Redis lacks, by the loot of both.
uint64_t events_missing(const HeldHash& held, const aggregator::Session& row) {
  int64_t loot = row.loot_count();
  for (const auto& [loot_id, count] : held.loot) loot -= count;
  return static_cast<uint64_t>(loot) - (row.added - held.added) + (row.taken - held.taken);
}

// Adds the fields that say which seqs were given out before.
void add_generations(RestorePlan& plan, const HeldHash& held, const aggregator::Session& row) {
  Seqs was = held.was;
  uint64_t before = held.before + events_missing(held, row);
  uint64_t seq = held.seq;
  for (const auto& [generation, newest] : newest_of(row)) {
    if (generation == held.generation) {
      if (newest <= held.seq) continue;
      // Redis went back within this generation: the seqs up to `newest` must not come again.
      before += held.seq;
      seq = 0;
      bool const named = std::any_of(held.fields.begin(), held.fields.end(), [](const auto& field) {
        return field.first == keys::gen_field;
      });
      if (named) plan.remove.emplace_back(keys::gen_field);
    }
    was[generation] = std::max(was[generation], newest);
  }
  while (was.size() > limits::held_was_max) {
    if (held.was.contains(was.begin()->first)) plan.remove.push_back(was_field(was.begin()->first));
    was.erase(was.begin());
  }
  plan.set.emplace_back(keys::seq_field, std::to_string(seq));
  plan.set.emplace_back(keys::before_field, std::to_string(before));
  if (row.added != held.added) plan.set.emplace_back(keys::added_field, std::to_string(row.added));
  if (row.taken != held.taken) plan.set.emplace_back(keys::taken_field, std::to_string(row.taken));
  for (const auto& [generation, reached] : was)
    plan.set.emplace_back(was_field(generation), std::to_string(reached));
}

}  // namespace

RestorePlan plan_restore(const HeldHash& held, const aggregator::Session& row, uint64_t floor) {
  Seqs const reached = held.reached();
  if (floor > 0 && !reached.empty() && reached.begin()->first <= floor)
    return skipped(Kind::differs,
                   "Redis has loot of a season that was purged: close the hunt and purge it again");
  std::optional<UncountedSeqs> const behind = uncounted(held, row);
  if (!has_lost(held, row)) {
    if (behind || held.loot == row.loot) return {};
    // Else the row may have dropped the generation that Redis lacks.
    if (row.forgotten_generation == 0)
      return skipped(Kind::differs,
                     "Redis lacks no event, but the loot differs: see huntctl reconcile");
  }
  std::optional<RestorePlan> plan = add_missing(held, row);
  // Lost events whose loot adds up to nothing are in the sums.
  if (!behind && plan && plan->set.empty() && plan->remove.empty() && row.added == held.added &&
      row.taken == held.taken)
    return {};
  if (behind)
    return skipped(Kind::later, fmt::format("the table has not counted seq {} of generation {} yet",
                                            behind->seq, generation_text(behind->generation)));
  if (!plan)
    return skipped(Kind::differs,
                   "Redis has more of a loot than the table, which has counted every event of it: "
                   "see huntctl reconcile");
  if (may_lack_awards(row))
    return skipped(Kind::differs, "the table has counted takes without the awards before them");
  plan->kind = Kind::restore;
  add_generations(*plan, held, row);
  return std::move(*plan);
}

}  // namespace huntd::huntctl
