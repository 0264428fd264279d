// SPDX-License-Identifier: Apache-2.0
#include "reconcile/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <span>
#include <tuple>
#include <unordered_map>

namespace huntd::reconcile {
namespace {

std::string range_text(const std::vector<SeqRange>& ranges) {
  constexpr size_t shown_max = 8;
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

std::string loot_text(const LootCounts& loot) {
  std::string text;
  for (const auto& [loot_id, count] : loot)
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, loot_id);
  return text.empty() ? "nothing" : text;
}

// Returns the counts of both sides that differ; empty if the sides agree.
std::string difference_text(const LootCounts& left, const LootCounts& right) {
  LootCounts only_left;
  LootCounts only_right;
  for (const auto& [loot_id, count] : left) {
    auto at = right.find(loot_id);
    if (at == right.end() || at->second != count) only_left[loot_id] = count;
  }
  for (const auto& [loot_id, count] : right) {
    auto at = left.find(loot_id);
    if (at == left.end() || at->second != count) only_right[loot_id] = count;
  }
  if (only_left.empty() && only_right.empty()) return "";
  return loot_text(only_left) + " against " + loot_text(only_right);
}

uint64_t sum_of(const LootCounts& loot) {
  uint64_t total = 0;
  for (const auto& [loot_id, count] : loot) total += count;
  return total;
}

// Returns the ranges of 1..newest that are not in `seen`.
std::vector<SeqRange> missing_from(const SeqSet& seen, uint64_t newest) {
  std::vector<SeqRange> missing;
  uint64_t next = 1;
  auto const skip = [&](const SeqRange& range) {
    if (range.first > next && next <= newest)
      missing.push_back({next, std::min(range.first - 1, newest)});
    next = std::max(next, range.last + 1);
  };
  if (seen.upto() > 0) skip({1, seen.upto()});
  for (const SeqRange& range : seen.beyond()) skip(range);
  if (next <= newest) missing.push_back({next, newest});
  return missing;
}

SeqSet unbounded(const SeqSet& seen) {
  return *SeqSet::read(seen.upto(), seen.beyond_text(), SIZE_MAX);
}

// Returns the least seq; 0 if the set is empty.
uint64_t first_of(const SeqSet& seen) {
  if (seen.upto() > 0) return 1;
  return seen.beyond().empty() ? 0 : seen.beyond().front().first;
}

// One run of compare().
class Comparison {
 public:
  Comparison(Snapshots& snapshots, size_t differences_max)
      : snapshots_(snapshots), differences_max_(differences_max) {}

  Report run();

 private:
  void add(const char* kind, std::string_view hunter_id, std::string_view hunt_id,
           std::string detail);
  void add(const char* kind, const SessionSnapshot& session, std::string detail) {
    add(kind, session.hunter_id, session.hunt_id, std::move(detail));
  }
  void sort_events();
  void find_shared_event_ids();
  void check_session(SessionSnapshot& session, std::span<const EventSnapshot> events);
  void check_events(const SessionSnapshot& session, std::span<const EventSnapshot> distinct);
  void check_row(const SessionSnapshot& session, std::span<const EventSnapshot> distinct);
  std::vector<EventSnapshot> count_distinct(const SessionSnapshot& session,
                                            std::span<const EventSnapshot> events);
  bool remove_expired(std::vector<SeqRange>& missing, const SessionSnapshot& session,
                      const SeqSet& known, std::span<const EventSnapshot> distinct) const;
  std::vector<EventId> sorted_event_ids() const;
  void check_supplies();

  Snapshots& snapshots_;
  size_t differences_max_;
  Report report_;
  std::unordered_map<std::string, uint64_t> held_of_loot_;  // by "hunt_id:loot_id"
};

void Comparison::add(const char* kind, std::string_view hunter_id, std::string_view hunt_id,
                     std::string detail) {
  report_.differences_total += 1;
  if (report_.differences.size() < differences_max_)
    report_.differences.push_back(
        {kind, std::string(hunter_id), std::string(hunt_id), std::move(detail)});
}

// Sorts by session, seq and event_id. If an event is in Kafka and in the outbox, its Kafka record
// comes first.
void Comparison::sort_events() {
  std::sort(snapshots_.events.begin(), snapshots_.events.end(),
            [](const EventSnapshot& a, const EventSnapshot& b) {
              return std::tie(a.session, a.seq, a.event_id, a.in_outbox) <
                     std::tie(b.session, b.seq, b.event_id, b.in_outbox);
            });
}

void Comparison::find_shared_event_ids() {
  std::vector<uint32_t> order(snapshots_.events.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return std::tie(snapshots_.events[a].event_id, a) < std::tie(snapshots_.events[b].event_id, b);
  });
  for (size_t i = 1; i < order.size(); ++i) {
    const EventSnapshot& one = snapshots_.events[order[i - 1]];
    const EventSnapshot& other = snapshots_.events[order[i]];
    if (one.event_id != other.event_id) continue;
    if (one.session == other.session && one.seq == other.seq && one.loot == other.loot) continue;
    const SessionSnapshot& other_session = snapshots_.sessions[other.session];
    add("event_id_shared", snapshots_.sessions[one.session],
        fmt::format("event_id {} has seq {} here and seq {} of hunter {} in hunt {}",
                    one.event_id.text(), one.seq, other.seq, other_session.hunter_id,
                    other_session.hunt_id));
  }
}

void Comparison::check_session(SessionSnapshot& session, std::span<const EventSnapshot> events) {
  report_.held_loot += sum_of(session.held.loot);
  report_.row_loot += sum_of(session.row.loot);
  report_.rows += session.has_row ? 1 : 0;
  for (const auto& [loot_id, count] : session.held.loot)
    held_of_loot_[session.hunt_id + ":" + loot_id] += count;
  if (sum_of(session.held.loot) != session.held.seq)
    add("held_seq", session,
        fmt::format("Redis holds {} loot, but has assigned {} seqs", sum_of(session.held.loot),
                    session.held.seq));
  std::vector<EventSnapshot> const distinct = count_distinct(session, events);
  check_events(session, distinct);
  check_row(session, distinct);
}

// Returns one event per seq. `events` are those of the session, sorted.
std::vector<EventSnapshot> Comparison::count_distinct(const SessionSnapshot& session,
                                                      std::span<const EventSnapshot> events) {
  std::vector<EventSnapshot> distinct;
  for (const EventSnapshot& event : events) {
    if (!event.in_outbox) report_.kafka_records += 1;
    if (distinct.empty() || distinct.back().seq != event.seq) {
      distinct.push_back(event);
      (event.in_outbox ? report_.outbox_events : report_.kafka_events) += 1;
      continue;
    }
    EventSnapshot& known = distinct.back();
    if (known.event_id != event.event_id) {
      add("seq_shared", session,
          fmt::format("seq {} belongs to event_ids {} and {}", event.seq, known.event_id.text(),
                      event.event_id.text()));
    } else if (event.in_outbox && !known.in_outbox) {
      report_.outbox_events += 1;  // in both: emitted, and not yet removed from the outbox
      known.in_outbox = true;
    }
  }
  return distinct;
}

void Comparison::check_events(const SessionSnapshot& session,
                              std::span<const EventSnapshot> distinct) {
  SeqSet seqs(SIZE_MAX);
  LootCounts loot;
  for (const EventSnapshot& event : distinct) {
    seqs.insert(event.seq);
    loot[snapshots_.loot_ids[event.loot]] += 1;
  }
  if (seqs.newest() > session.held.seq)
    add("event_unknown", session,
        fmt::format("an event has seq {}, but Redis has assigned {}", seqs.newest(),
                    session.held.seq));
  if (!snapshots_.has_kafka) return;
  std::vector<SeqRange> missing = missing_from(seqs, session.held.seq);
  if (!missing.empty() && !snapshots_.kafka_from_the_start) {
    // A seq that the table has counted, or that has expired, was removed by the topic's own
    // retention.
    SeqSet known = unbounded(session.row.seen);
    for (const LootEvent& event : session.row.waiting) known.insert(event.seq);
    for (const EventSnapshot& event : distinct) known.insert(event.seq);
    missing = missing_from(known, session.held.seq);
    remove_expired(missing, session, known, distinct);
    if (missing.empty()) return;
  }
  if (!missing.empty())
    add("event_missing", session,
        fmt::format("no event has seq {}: Kafka and the outbox have {} of {}", range_text(missing),
                    distinct.size(), session.held.seq));
  else if (std::string differs = difference_text(session.held.loot, loot); !differs.empty())
    add("event_loot", session, "Redis against the events: " + differs);
}

// Removes the seqs that may have expired with a deleted row from `missing`; returns whether there
// are any. A row is deleted as a whole, and a new row starts with later seqs, so only a beginning
// can expire. It ends before the first seq that is still `known`, and before the first event that
// is too recent, because seqs are assigned in order of time.
bool Comparison::remove_expired(std::vector<SeqRange>& missing, const SessionSnapshot& session,
                                const SeqSet& known,
                                std::span<const EventSnapshot> distinct) const {
  if (snapshots_.expired_before_ms == 0 || missing.empty()) return false;
  uint64_t kept_from = first_of(known);
  if (kept_from == 0) {
    if (session.has_row) return false;  // the row exists, but cannot be read
    kept_from = UINT64_MAX;
  }
  auto const recent =
      std::find_if_not(distinct.begin(), distinct.end(), std::mem_fn(&EventSnapshot::expired));
  if (recent != distinct.end()) kept_from = std::min(kept_from, recent->seq);
  SeqRange& beginning = missing.front();
  if (beginning.first >= kept_from) return false;
  if (beginning.last < kept_from)
    missing.erase(missing.begin());
  else
    beginning.first = kept_from;
  return true;
}

void Comparison::check_row(const SessionSnapshot& session,
                           std::span<const EventSnapshot> distinct) {
  if (session.has_row && sum_of(session.row.loot) != session.row.loot_count)
    add("row_count", session,
        fmt::format("the row's loot adds up to {}, its loot_count is {}", sum_of(session.row.loot),
                    session.row.loot_count));
  if (session.row.seen.newest() > session.held.seq) {
    add("row_ahead", session,
        fmt::format("the row has seen seq {}, but Redis has assigned {}", session.row.seen.newest(),
                    session.held.seq));
    return;
  }
  // The row as it will be when the outbox is merged and the waiting events are counted.
  SeqSet seen = unbounded(session.row.seen);
  LootCounts loot = session.row.loot;
  for (const LootEvent& event : session.row.waiting)
    if (seen.insert(event.seq) == SeqSet::Insert::added) loot[event.loot_id] += 1;
  for (const EventSnapshot& event : distinct) {
    if (!event.in_outbox || seen.insert(event.seq) != SeqSet::Insert::added) continue;
    loot[snapshots_.loot_ids[event.loot]] += 1;
    report_.waiting += 1;
  }
  std::vector<SeqRange> missing = missing_from(seen, session.held.seq);
  if (remove_expired(missing, session, seen, distinct)) {
    report_.expired += 1;
    if (missing.empty()) return;
  }
  if (!missing.empty())
    add(session.has_row ? "row_missing_events" : "row_missing", session,
        fmt::format("{} seq {}: Redis has assigned {}, the table has counted {}",
                    session.has_row ? "the row has not seen" : "there is no row for",
                    range_text(missing), session.held.seq, session.row.seen.count()));
  else if (std::string differs = difference_text(session.held.loot, loot); !differs.empty())
    add("row_loot", session, "Redis against the row: " + differs);
}

std::vector<EventId> Comparison::sorted_event_ids() const {
  std::vector<EventId> ids;
  for (const EventSnapshot& event : snapshots_.events) ids.push_back(event.event_id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

void Comparison::check_supplies() {
  bool const has_every_event = snapshots_.has_kafka && snapshots_.kafka_from_the_start;
  std::vector<EventId> ids;
  if (has_every_event && !snapshots_.supplies.empty()) ids = sorted_event_ids();
  for (const SupplySnapshot& supply : snapshots_.supplies) {
    report_.supply_pending += supply.pending;
    uint64_t const held = held_of_loot_[supply.hunt_id + ":" + supply.loot_id];
    if (supply.given.size() > held)
      add("supply_over", "", supply.hunt_id,
          fmt::format("{} units of {} are recorded as given, hunters hold {}", supply.given.size(),
                      supply.loot_id, held));
    if (!has_every_event) continue;
    for (const std::string& event_id : supply.given) {
      std::optional<EventId> const wanted = EventId::read(event_id);
      if (!wanted || !std::binary_search(ids.begin(), ids.end(), *wanted))
        add("supply_event", "", supply.hunt_id,
            fmt::format("a unit of {} is recorded as given by event {}, which does not exist",
                        supply.loot_id, event_id));
    }
  }
}

Report Comparison::run() {
  report_.sessions = snapshots_.sessions.size();
  report_.supplies = snapshots_.supplies.size();
  for (const UnreadableRecord& record : snapshots_.unreadable)
    add("unreadable", "", "", fmt::format("{}: {}", record.position, record.reason));
  sort_events();
  find_shared_event_ids();
  auto next = snapshots_.events.cbegin();
  for (uint32_t index = 0; index < snapshots_.sessions.size(); ++index) {
    auto const first = next;
    while (next != snapshots_.events.cend() && next->session == index) ++next;
    check_session(snapshots_.sessions[index], {first, next});
  }
  check_supplies();
  return std::move(report_);
}

}  // namespace

Report compare(Snapshots& snapshots, size_t differences_max) {
  return Comparison(snapshots, differences_max).run();
}

}  // namespace huntd::reconcile
