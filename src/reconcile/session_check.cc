// SPDX-License-Identifier: Apache-2.0
#include "reconcile/session_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "base/limits.h"
#include "wire/generation.h"

namespace huntd::reconcile {

namespace {

std::string loot_text(const LootCounts& loot) {
  std::string text;
  for (const auto& [loot_id, count] : loot)
    if (count != 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, loot_id);
  return text.empty() ? "nothing" : text;
}

int64_t count_in(const LootCounts& loot, std::string_view loot_id) {
  auto const at = loot.find(loot_id);
  return at == loot.end() ? 0 : at->second;
}

// Returns the counts of `left` that `right` does not have.
LootCounts excess_of(const LootCounts& left, const LootCounts& right) {
  LootCounts excess;
  for (const auto& [loot_id, count] : left) {
    int64_t const other = count_in(right, loot_id);
    if (count > other) excess[loot_id] = count - other;
  }
  return excess;
}

void add_to(LootCounts& loot, const LootCounts& more) {
  for (const auto& [loot_id, count] : more) loot[loot_id] += count;
}

// Returns `left` without `right`.
LootCounts minus(LootCounts left, const LootCounts& right) {
  for (const auto& [loot_id, count] : right) left[loot_id] -= count;
  std::erase_if(left, [](const auto& each) { return each.second == 0; });
  return left;
}

// Returns the counts of both sides that differ; empty if the sides agree.
std::string difference_text(const LootCounts& left, const LootCounts& right) {
  LootCounts only_left;
  LootCounts only_right;
  for (const auto& [loot_id, count] : left) {
    if (count_in(right, loot_id) != count) only_left[loot_id] = count;
  }
  for (const auto& [loot_id, count] : right) {
    if (count_in(left, loot_id) != count) only_right[loot_id] = count;
  }
  if (only_left.empty() && only_right.empty()) return "";
  return loot_text(only_left) + " against " + loot_text(only_right);
}

// Returns the ranges of `seen`, ascending.
std::vector<SeqRange> ranges_of(const SeqSet& seen) {
  std::vector<SeqRange> ranges;
  if (seen.upto() > 0) ranges.push_back({1, seen.upto()});
  ranges.insert(ranges.end(), seen.beyond().begin(), seen.beyond().end());
  return ranges;
}

// Returns the ranges of 1..newest that are not in `seen`.
std::vector<SeqRange> missing_from(const SeqSet& seen, uint64_t newest) {
  std::vector<SeqRange> missing;
  uint64_t next = 1;
  for (const SeqRange& range : ranges_of(seen)) {
    if (range.first > next && next <= newest)
      missing.push_back({next, std::min(range.first - 1, newest)});
    next = std::max(next, range.last + 1);
  }
  if (next <= newest) missing.push_back({next, newest});
  return missing;
}

// Returns the ranges of `seen` above `after` and up to `last`.
std::vector<SeqRange> between(const SeqSet& seen, uint64_t after, uint64_t last) {
  std::vector<SeqRange> found;
  for (SeqRange range : ranges_of(seen)) {
    range.first = std::max(range.first, after + 1);
    range.last = std::min(range.last, last);
    if (range.first <= range.last) found.push_back(range);
  }
  return found;
}

uint64_t count_of(std::span<const SeqRange> ranges) {
  uint64_t count = 0;
  for (const SeqRange& range : ranges) count += range.last - range.first + 1;
  return count;
}

bool contains(std::span<const SeqRange> ranges, uint64_t seq) {
  return std::any_of(ranges.begin(), ranges.end(), [seq](const SeqRange& range) {
    return range.first <= seq && seq <= range.last;
  });
}

// "3 to 5", and the generation if a huntd with generations has assigned the seqs.
std::string seqs_text(std::span<const SeqRange> ranges, uint64_t generation) {
  constexpr size_t shown_max = 8;
  std::string text = ranges_text(ranges, shown_max);
  if (generation != 0) text += " of generation " + generation_text(generation);
  return text;
}

bool is_purged(uint64_t generation, std::optional<uint64_t> floor) {
  return floor && generation <= *floor;
}

}  // namespace

int64_t sum_of(const LootCounts& loot) {
  int64_t total = 0;
  for (const auto& [loot_id, count] : loot) total += count;
  return total;
}

std::string ranges_text(std::span<const SeqRange> ranges, size_t shown_max) {
  std::string text;
  for (size_t i = 0; i < ranges.size() && i < shown_max; ++i) {
    if (i > 0) text += ", ";
    text += ranges[i].first == ranges[i].last
                ? fmt::format("{}", ranges[i].first)
                : fmt::format("{} to {}", ranges[i].first, ranges[i].last);
  }
  if (ranges.size() > shown_max) text += fmt::format(" and {} more", ranges.size() - shown_max);
  return text;
}

std::vector<EventSnapshot> distinct_of(std::span<const EventSnapshot> events) {
  std::vector<EventSnapshot> distinct;
  for (const EventSnapshot& event : events) {
    if (distinct.empty() || distinct.back().generation != event.generation ||
        distinct.back().seq != event.seq)
      distinct.push_back(event);
    else if (event.in_outbox && distinct.back().event_id == event.event_id)
      distinct.back().in_outbox = true;
  }
  return distinct;
}

SessionCheck::SessionCheck(const Snapshots& snapshots, const SessionSnapshot& session,
                           std::span<const EventSnapshot> events, const Reach* reach)
    : snapshots_(snapshots), session_(session), reach_(reach) {
  std::optional<uint64_t> const floor = snapshots.floor_of(session);
  add_held(floor);
  add_table(floor);
  add_events(events, floor);
  find_dropped();
}

void SessionCheck::add_held(std::optional<uint64_t> floor) {
  const HeldSnapshot& held = session_.held;
  auto const add = [&](uint64_t generation, uint64_t seq) {
    if (seq == 0) return;
    if (is_purged(generation, floor)) {
      held_has_purged_ = true;
      return;
    }
    uint64_t& assigned = generations_[generation].assigned;
    assigned = std::max(assigned, seq);
  };
  add(held.generation, held.seq);
  for (const auto& [generation, seq] : held.was) add(generation, seq);
}

void SessionCheck::add_table(std::optional<uint64_t> floor) {
  auto const add = [&](uint64_t generation, const SeqSet& seqs) {
    if (seqs.empty()) return;
    if (is_purged(generation, floor)) {
      row_has_purged_ = true;
      return;
    }
    generations_[generation].counted = seqs.unbounded();
  };
  add(session_.row.generation, session_.row.seen);
  for (const auto& [generation, seqs] : session_.row.past) add(generation, seqs);
  for (auto& [generation, state] : generations_)
    state.in_table = state.table_soon = state.known = state.counted;
  for (const LootEvent& event : session_.row.waiting) {
    if (is_purged(event.generation, floor)) continue;
    Generation& state = generations_[event.generation];
    for (SeqSet* into : {&state.in_table, &state.table_soon, &state.known}) into->insert(event.seq);
  }
}

void SessionCheck::add_events(std::span<const EventSnapshot> events,
                              std::optional<uint64_t> floor) {
  distinct_ = distinct_of(events);
  if (floor)
    purged_events_ = std::erase_if(distinct_, [&](const EventSnapshot& event) {
      return is_purged(generation_of(event), floor);
    });
  for (const EventSnapshot& event : distinct_) {
    Generation& state = generations_[generation_of(event)];
    state.in_events.insert(event.seq);
    state.known.insert(event.seq);
    if (event.in_outbox) state.table_soon.insert(event.seq);
  }
}

// A hash and a row name only their newest generations (limits::held_was_max, past_generations_max).
void SessionCheck::find_dropped() {
  const auto& was = session_.held.was;
  bool const was_is_full = was.size() >= limits::held_was_max;
  const RowSnapshot& row = session_.row;
  for (auto& [generation, state] : generations_) {
    // What Redis has lost of a generation that it no longer names is not known.
    if (was_is_full && generation < was.begin()->first) state.assigned = state.known.newest();
    state.row_forgot =
        state.counted.empty() && generation != 0 && generation <= row.forgotten_generation;
  }
}

Reach SessionCheck::reach() const {
  Reach reach;
  for (const auto& [generation, state] : generations_)
    reach[generation] = std::max(state.assigned, state.known.newest());
  return reach;
}

uint64_t SessionCheck::limit_of(uint64_t generation) const {
  if (reach_ == nullptr) return UINT64_MAX;
  auto const at = reach_->find(generation);
  return at == reach_->end() ? 0 : at->second;
}

bool SessionCheck::has_later_awards() const {
  return std::any_of(generations_.begin(), generations_.end(), [&](const auto& each) {
    return std::max(each.second.assigned, each.second.known.newest()) > limit_of(each.first);
  });
}

Difference SessionCheck::difference(const char* kind, std::string detail) const {
  return {.kind = kind,
          .hunter_id = session_.hunter_id,
          .hunt_id = session_.hunt_id,
          .detail = std::move(detail)};
}

std::vector<Difference> SessionCheck::check_counts_and_events() const {
  std::vector<Difference> found;
  check_counts(found);
  if (!snapshots_.has_kafka || !add_missing_events(found) || held_has_purged_) return found;
  LootCounts loot;  // of the events that Redis has
  for (const EventSnapshot& event : distinct_)
    if (event.seq <= generations_.at(generation_of(event)).assigned)
      loot[loot_of(event)] += units_of(event);
  if (std::string const differs = difference_text(session_.held.loot, loot); !differs.empty())
    found.push_back(difference("event_loot", "Redis against the events: " + differs));
  return found;
}

void SessionCheck::check_counts(std::vector<Difference>& found) const {
  const HeldSnapshot& held = session_.held;
  auto const expected = static_cast<int64_t>(held.before + held.seq + held.added - held.taken);
  if (int64_t const total = sum_of(held.loot); total != expected)
    found.push_back(difference(
        "held_seq",
        fmt::format(
            "Redis holds {} loot, but has assigned {} seqs{}{}", total, held.seq,
            held.before > 0 ? fmt::format(" after {} of earlier generations", held.before) : "",
            held.added + held.taken > 0
                ? fmt::format(", with #added {} and #taken {}", held.added, held.taken)
                : "")));
  const RowSnapshot& row = session_.row;
  if (int64_t const total = sum_of(row.loot); session_.has_row && total != row.loot_count)
    found.push_back(difference(
        "row_count",
        fmt::format("the row's loot adds up to {}, its loot_count is {}", total, row.loot_count)));
}

// Returns whether Kafka and the outbox have every event.
bool SessionCheck::add_missing_events(std::vector<Difference>& found) const {
  bool has_every_event = true;
  Position const kept = kept_from(&Generation::known);
  for (const auto& [generation, state] : generations_) {
    // Not beyond: an event that was assigned after Redis was read may be on its way to Kafka.
    uint64_t const newest = state.assigned;
    std::vector<SeqRange> missing = missing_from(state.in_events, newest);
    if (missing.empty()) continue;
    has_every_event = false;
    if (!snapshots_.kafka_from_the_start) {
      // A seq that the table has counted, or that has expired, was removed by the topic's own
      // retention.
      if (state.row_forgot) continue;
      missing = missing_from(state.known, newest);
      remove_expired(missing, generation, kept);
      if (missing.empty()) continue;
    }
    found.push_back(
        difference("event_missing",
                   fmt::format("no event has seq {}: Kafka and the outbox have {} of {}",
                               seqs_text(missing, generation), state.in_events.count(), newest)));
  }
  return has_every_event;
}

// Returns where the awards begin that cannot have expired with a deleted row: a row is deleted as a
// whole, and a new row starts with later awards. So only a beginning can expire. It ends before the
// first award that is still `known`, and before the first event that is too recent, because awards
// are in the order of time.
SessionCheck::Position SessionCheck::kept_from(SeqSet Generation::*known) const {
  Position const first{0, 0};
  if (snapshots_.expired_before_ms == 0) return first;
  Position kept{UINT64_MAX, UINT64_MAX};
  for (const auto& [generation, state] : generations_) {
    std::vector<SeqRange> const ranges = ranges_of(state.*known);
    if (ranges.empty()) continue;
    kept = {generation, ranges.front().first};
    break;
  }
  // The row exists, but cannot be read.
  if (kept.generation == UINT64_MAX && session_.has_row) return first;
  auto const recent =
      std::find_if_not(distinct_.begin(), distinct_.end(), std::mem_fn(&EventSnapshot::expired));
  if (recent != distinct_.end()) kept = std::min(kept, {generation_of(*recent), recent->seq});
  return kept;
}

// Removes the seqs that may have expired from `missing`; returns whether there are any.
bool SessionCheck::remove_expired(std::vector<SeqRange>& missing, uint64_t generation,
                                  const Position& kept_from) {
  if (missing.empty() || Position{generation, missing.front().first} >= kept_from) return false;
  if (generation < kept_from.generation) {
    missing.clear();
    return true;
  }
  SeqRange& beginning = missing.front();
  if (beginning.last < kept_from.seq)
    missing.erase(missing.begin());
  else
    beginning.first = kept_from.seq;
  return true;
}

RowFindings SessionCheck::check_row() const {
  RowFindings found;
  // The row as it will be when the outbox is merged and the waiting events are counted.
  LootCounts const in_table = table_loot(found.waiting);
  bool const is_complete = add_missing_in_table(found);
  add_lost(found, in_table);
  if (is_complete && !found.expired && !row_has_purged_ && !has_later_awards())
    compare_loot(found, in_table);
  return found;
}

bool SessionCheck::add_missing_in_table(RowFindings& found) const {
  bool is_complete = true;
  Position const kept = kept_from(&Generation::table_soon);
  for (const auto& [generation, state] : generations_) {
    if (state.row_forgot) continue;
    uint64_t const newest =
        std::min(std::max(state.assigned, state.known.newest()), limit_of(generation));
    std::vector<SeqRange> missing = missing_from(state.table_soon, newest);
    if (remove_expired(missing, generation, kept)) found.expired = true;
    if (missing.empty()) continue;
    is_complete = false;
    found.is_doubtful = true;
    for (const SeqRange& range : missing)
      if (range.last > state.assigned ||
          !between(state.in_events, range.first - 1, range.last).empty())
        found.awaits_merge = true;
    found.differences.push_back(difference(
        session_.has_row ? "row_missing_events" : "row_missing",
        fmt::format("{} seq {}: Redis has assigned {}, the table has counted {}",
                    session_.has_row ? "the row has not seen" : "there is no row for",
                    seqs_text(missing, generation), state.assigned, state.counted.count())));
  }
  return is_complete;
}

LootCounts SessionCheck::table_loot(uint64_t& waiting) const {
  std::map<uint64_t, SeqSet> added;
  LootCounts loot = session_.row.loot;
  for (const LootEvent& event : session_.row.waiting) {
    auto const at = generations_.find(event.generation);
    if (at == generations_.end() || at->second.counted.contains(event.seq)) continue;
    if (added.try_emplace(event.generation, SIZE_MAX).first->second.insert(event.seq) ==
        SeqSet::Insert::added)
      loot[event.loot_id] += event.units;
  }
  for (const EventSnapshot& event : distinct_) {
    const Generation& state = generations_.at(generation_of(event));
    if (!event.in_outbox || state.in_table.contains(event.seq) || state.row_forgot) continue;
    loot[loot_of(event)] += units_of(event);
    waiting += 1;
  }
  return loot;
}

// Returns what the table, Kafka or the outbox have and Redis has not.
std::vector<SessionCheck::Lost> SessionCheck::lost_seqs() const {
  std::vector<Lost> all;
  for (const auto& [generation, state] : generations_) {
    std::vector<SeqRange> seqs = between(state.known, state.assigned, limit_of(generation));
    if (seqs.empty()) continue;
    Lost& lost = all.emplace_back();
    lost.generation = generation;
    lost.count = count_of(seqs);
    lost.seqs = std::move(seqs);
    auto const add = [&lost](std::string_view loot_id, int32_t units) {
      lost.loot[std::string(loot_id)] += units;
      lost.known += 1;
    };
    for (const EventSnapshot& event : distinct_)
      if (generation_of(event) == generation && contains(lost.seqs, event.seq))
        add(loot_of(event), units_of(event));
    for (const LootEvent& event : session_.row.waiting)
      if (event.generation == generation && contains(lost.seqs, event.seq) &&
          !state.in_events.contains(event.seq))
        add(event.loot_id, event.units);
  }
  return all;
}

// Whether all that Redis can have lost are awards of one unit, as far as it is known.
bool SessionCheck::is_of_single_units() const {
  return session_.row.added == session_.held.added && session_.row.taken == session_.held.taken &&
         std::all_of(distinct_.begin(), distinct_.end(),
                     [this](const EventSnapshot& event) { return units_of(event) == 1; });
}

// The loot of lost seqs whose events are not known, from `left`: what the row has more than Redis.
// Of several generations without events, the first gets as much of that as it has room for; if an
// event may be of several units, all of it.
void SessionCheck::guess_lost_loot(std::vector<Lost>& all, LootCounts left) const {
  bool const single = is_of_single_units();
  for (Lost& lost : all) {
    if (lost.known == lost.count) continue;
    if (!single) {
      if (left.empty()) return;
      add_to(lost.loot, std::exchange(left, {}));
      lost.known = lost.count;
      continue;
    }
    for (auto& [loot_id, count] : left) {
      int64_t const taken = std::min(count, static_cast<int64_t>(lost.count - lost.known));
      if (taken <= 0) continue;
      lost.loot[loot_id] += taken;
      lost.known += static_cast<uint64_t>(taken);
      count -= taken;
    }
  }
}

// The loot of a lost seq is its event's. If its event is not known, it is guessed.
void SessionCheck::add_lost(RowFindings& found, const LootCounts& in_table) const {
  std::vector<Lost> all = lost_seqs();
  if (all.empty()) return;
  LootCounts left = in_table;
  for (const EventSnapshot& event : distinct_)
    if (const Generation& state = generations_.at(generation_of(event));
        event.seq > state.assigned && !state.table_soon.contains(event.seq))
      left[loot_of(event)] += units_of(event);
  left = minus(std::move(left), session_.held.loot);
  for (const Lost& lost : all) left = minus(std::move(left), lost.loot);
  guess_lost_loot(all, std::move(left));
  for (Lost& lost : all) {
    found.is_doubtful = true;
    found.lost += lost.count;
    add_to(found.lost_loot, lost.loot);
    uint64_t const unknown = lost.count - lost.known;
    Difference& named = found.differences.emplace_back(difference(
        "lost_by_redis",
        fmt::format("Redis has lost seq {}: {}{}; huntctl restore gives it back",
                    seqs_text(lost.seqs, lost.generation), loot_text(lost.loot),
                    unknown > 0 ? fmt::format(", and {} whose loot is not known", unknown) : "")));
    named.generation = lost.generation;
    named.seqs = std::move(lost.seqs);
    named.loot = std::move(lost.loot);
  }
}

void SessionCheck::compare_loot(RowFindings& found, const LootCounts& in_table) const {
  LootCounts expected = session_.held.loot;
  add_to(expected, found.lost_loot);
  // Of the loot of a purged season in `held`, only the total is known.
  if (held_has_purged_ && excess_of(in_table, expected).empty()) return;
  if (std::string const differs = difference_text(expected, in_table); !differs.empty())
    found.differences.push_back(
        difference("row_loot", (found.lost > 0 ? "Redis, and what it has lost, against the row: "
                                               : "Redis against the row: ") +
                                   differs));
}

}  // namespace huntd::reconcile
