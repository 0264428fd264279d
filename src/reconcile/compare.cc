#include "reconcile/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <span>
#include <tuple>
#include <unordered_map>

namespace huntd {
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

// Both sides where they differ, and nothing where they agree.
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

// What of 1..newest is not in `seen`, and what of `seen` is above it.
std::vector<SeqRange> missing_from(const SeqSet& seen, uint64_t newest) {
  std::vector<SeqRange> missing;
  uint64_t next = 1;
  auto pass = [&](const SeqRange& range) {
    if (range.first > next && next <= newest)
      missing.push_back({next, std::min(range.first - 1, newest)});
    next = std::max(next, range.last + 1);
  };
  if (seen.upto() > 0) pass({1, seen.upto()});
  for (const SeqRange& range : seen.beyond()) pass(range);
  if (next <= newest) missing.push_back({next, newest});
  return missing;
}

SeqSet unbounded(const SeqSet& seen) {
  return *SeqSet::read(seen.upto(), seen.beyond_text(), SIZE_MAX);
}

// 0 where it is empty.
uint64_t first_of(const SeqSet& seen) {
  if (seen.upto() > 0) return 1;
  return seen.beyond().empty() ? 0 : seen.beyond().front().first;
}

class Comparison {
 public:
  Comparison(Books& books, size_t differences_max)
      : books_(books), differences_max_(differences_max) {}

  Verdict run();

 private:
  void add(const char* kind, std::string_view hunter_id, std::string_view hunt_id,
           std::string detail);
  void add(const char* kind, const SessionBook& session, std::string detail) {
    add(kind, session.hunter_id, session.hunt_id, std::move(detail));
  }
  void sort_events();
  void find_shared_event_ids();
  void judge_session(SessionBook& session, std::span<const EventBook> events);
  void judge_events(const SessionBook& session, std::span<const EventBook> distinct);
  void judge_row(const SessionBook& session, std::span<const EventBook> distinct);
  bool forget(std::vector<SeqRange>& missing, const SessionBook& session, const SeqSet& known,
              std::span<const EventBook> distinct) const;
  void judge_supplies();

  Books& books_;
  size_t differences_max_;
  Verdict verdict_;
  std::unordered_map<std::string, uint64_t> held_of_loot_;  // by "hunt_id:loot_id"
};

void Comparison::add(const char* kind, std::string_view hunter_id, std::string_view hunt_id,
                     std::string detail) {
  verdict_.differences_total += 1;
  if (verdict_.differences.size() < differences_max_)
    verdict_.differences.push_back(
        {kind, std::string(hunter_id), std::string(hunt_id), std::move(detail)});
}

// By session, seq and event_id; an event that is in Kafka and in the outbox has its Kafka record
// first.
void Comparison::sort_events() {
  std::sort(books_.events.begin(), books_.events.end(), [](const EventBook& a, const EventBook& b) {
    return std::tie(a.session, a.seq, a.event_id_high, a.event_id_low, a.in_outbox) <
           std::tie(b.session, b.seq, b.event_id_high, b.event_id_low, b.in_outbox);
  });
}

void Comparison::find_shared_event_ids() {
  std::vector<uint32_t> order(books_.events.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  auto id_of = [&](uint32_t i) {
    return std::tie(books_.events[i].event_id_high, books_.events[i].event_id_low);
  };
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return std::tuple_cat(id_of(a), std::tie(a)) < std::tuple_cat(id_of(b), std::tie(b));
  });
  for (size_t i = 1; i < order.size(); ++i) {
    const EventBook& one = books_.events[order[i - 1]];
    const EventBook& other = books_.events[order[i]];
    if (id_of(order[i - 1]) != id_of(order[i])) continue;
    if (one.session == other.session && one.seq == other.seq && one.loot == other.loot) continue;
    const SessionBook& other_session = books_.sessions[other.session];
    add("event_id_shared", books_.sessions[one.session],
        fmt::format("event_id {:016x}{:016x} names seq {} here and seq {} of hunter {} in hunt {}",
                    one.event_id_high, one.event_id_low, one.seq, other.seq,
                    other_session.hunter_id, other_session.hunt_id));
  }
}

void Comparison::judge_session(SessionBook& session, std::span<const EventBook> events) {
  verdict_.held_loot += sum_of(session.held.loot);
  verdict_.row_loot += sum_of(session.row.loot);
  verdict_.rows += session.has_row ? 1 : 0;
  for (const auto& [loot_id, count] : session.held.loot)
    held_of_loot_[session.hunt_id + ":" + loot_id] += count;
  if (sum_of(session.held.loot) != session.held.seq)
    add("held_seq", session,
        fmt::format("Redis holds {} loot but gave out {} seqs", sum_of(session.held.loot),
                    session.held.seq));

  std::vector<EventBook> distinct;  // one for each seq
  for (const EventBook& event : events) {
    if (!event.in_outbox) verdict_.kafka_records += 1;
    if (distinct.empty() || distinct.back().seq != event.seq) {
      distinct.push_back(event);
      (event.in_outbox ? verdict_.outbox_events : verdict_.kafka_events) += 1;
      continue;
    }
    const EventBook& known = distinct.back();
    if (std::tie(known.event_id_high, known.event_id_low) !=
        std::tie(event.event_id_high, event.event_id_low)) {
      add("seq_shared", session,
          fmt::format("seq {} belongs to event_ids {:016x}{:016x} and {:016x}{:016x}", event.seq,
                      known.event_id_high, known.event_id_low, event.event_id_high,
                      event.event_id_low));
    } else if (event.in_outbox && !known.in_outbox) {
      verdict_.outbox_events += 1;  // in both: emitted, and not yet taken out
      distinct.back().in_outbox = true;
    }
  }
  judge_events(session, distinct);
  judge_row(session, distinct);
}

void Comparison::judge_events(const SessionBook& session, std::span<const EventBook> distinct) {
  SeqSet seqs(SIZE_MAX);
  LootCounts loot;
  for (const EventBook& event : distinct) {
    seqs.insert(event.seq);
    loot[books_.loot_ids[event.loot]] += 1;
  }
  if (seqs.newest() > session.held.seq)
    add("event_unknown", session,
        fmt::format("there is an event with seq {}, but Redis gave out {}", seqs.newest(),
                    session.held.seq));
  if (!books_.has_kafka) return;
  std::vector<SeqRange> missing = missing_from(seqs, session.held.seq);
  if (!missing.empty() && !books_.kafka_from_the_start) {
    // What the topic's own retention removed was there once if the table has it, or had it.
    SeqSet known = unbounded(session.row.seen);
    for (const LootEvent& event : session.row.waiting) known.insert(event.seq);
    for (const EventBook& event : distinct) known.insert(event.seq);
    missing = missing_from(known, session.held.seq);
    forget(missing, session, known, distinct);
    if (missing.empty()) return;
  }
  if (!missing.empty())
    add("event_missing", session,
        fmt::format("no event has seq {}: Kafka and the outbox have {} of {}", range_text(missing),
                    distinct.size(), session.held.seq));
  else if (std::string differs = difference_text(session.held.loot, loot); !differs.empty())
    add("event_loot", session, "Redis against the events: " + differs);
}

// Takes out what may have gone with a row that was deleted by age; true where there is any. A row
// goes whole and begins anew with later seqs, so that is a beginning only: it ends before the first
// seq that is still `known`, and before the first event that is too recent, since seqs are given
// out in the order of time.
bool Comparison::forget(std::vector<SeqRange>& missing, const SessionBook& session,
                        const SeqSet& known, std::span<const EventBook> distinct) const {
  if (books_.forgotten_before_ms == 0 || missing.empty()) return false;
  uint64_t kept_from = first_of(known);
  if (kept_from == 0) {
    if (session.has_row) return false;  // it can't be read, but it is there
    kept_from = UINT64_MAX;
  }
  auto const recent =
      std::find_if_not(distinct.begin(), distinct.end(), std::mem_fn(&EventBook::forgotten));
  if (recent != distinct.end()) kept_from = std::min(kept_from, recent->seq);
  SeqRange& beginning = missing.front();
  if (beginning.first >= kept_from) return false;
  if (beginning.last < kept_from)
    missing.erase(missing.begin());
  else
    beginning.first = kept_from;
  return true;
}

void Comparison::judge_row(const SessionBook& session, std::span<const EventBook> distinct) {
  if (session.has_row && sum_of(session.row.loot) != session.row.loot_count)
    add("row_count", session,
        fmt::format("the row's loot adds up to {}, its loot_count is {}", sum_of(session.row.loot),
                    session.row.loot_count));
  if (session.row.seen.newest() > session.held.seq) {
    add("row_ahead", session,
        fmt::format("the row has seen seq {}, but Redis gave out {}", session.row.seen.newest(),
                    session.held.seq));
    return;
  }
  // What the row would hold once the outbox is merged and the waiting events are counted.
  SeqSet seen = unbounded(session.row.seen);
  LootCounts loot = session.row.loot;
  for (const LootEvent& event : session.row.waiting)
    if (seen.insert(event.seq) == SeqSet::Insert::fresh) loot[event.loot_id] += 1;
  for (const EventBook& event : distinct) {
    if (!event.in_outbox || seen.insert(event.seq) != SeqSet::Insert::fresh) continue;
    loot[books_.loot_ids[event.loot]] += 1;
    verdict_.waiting += 1;
  }
  std::vector<SeqRange> missing = missing_from(seen, session.held.seq);
  if (forget(missing, session, seen, distinct)) {
    verdict_.forgotten += 1;
    if (missing.empty()) return;
  }
  if (!missing.empty())
    add(session.has_row ? "row_missing_events" : "row_missing", session,
        fmt::format("{} seq {}: Redis gave {}, the table has {}",
                    session.has_row ? "the row has not seen" : "there is no row for",
                    range_text(missing), session.held.seq, session.row.seen.count()));
  else if (std::string differs = difference_text(session.held.loot, loot); !differs.empty())
    add("row_loot", session, "Redis against the row: " + differs);
}

void Comparison::judge_supplies() {
  std::vector<std::pair<uint64_t, uint64_t>> ids;
  bool const every_event_is_here = books_.has_kafka && books_.kafka_from_the_start;
  if (every_event_is_here && !books_.supplies.empty()) {
    for (const EventBook& event : books_.events)
      ids.emplace_back(event.event_id_high, event.event_id_low);
    std::sort(ids.begin(), ids.end());
  }
  for (const SupplyBook& supply : books_.supplies) {
    verdict_.supply_pending += supply.pending;
    uint64_t const held = held_of_loot_[supply.hunt_id + ":" + supply.loot_id];
    if (supply.given.size() > held)
      add("supply_over", "", supply.hunt_id,
          fmt::format("{} units of {} are noted as given, hunters hold {}", supply.given.size(),
                      supply.loot_id, held));
    if (!every_event_is_here) continue;
    for (const std::string& event_id : supply.given) {
      EventBook wanted{};
      std::string_view const text = event_id;
      bool well_formed = text.size() == 32;
      for (char c : text)
        well_formed = well_formed && ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
      if (well_formed) {
        wanted.event_id_high = std::stoull(event_id.substr(0, 16), nullptr, 16);
        wanted.event_id_low = std::stoull(event_id.substr(16), nullptr, 16);
      }
      if (!well_formed || !std::binary_search(ids.begin(), ids.end(),
                                              std::pair(wanted.event_id_high, wanted.event_id_low)))
        add("supply_event", "", supply.hunt_id,
            fmt::format("a unit of {} is noted as given by event {}, which is nowhere",
                        supply.loot_id, event_id));
    }
  }
}

Verdict Comparison::run() {
  verdict_.sessions = books_.sessions.size();
  verdict_.supplies = books_.supplies.size();
  for (const UnreadableBook& record : books_.unreadable)
    add("unreadable", "", "", fmt::format("{}: {}", record.place, record.reason));
  sort_events();
  find_shared_event_ids();
  auto next = books_.events.cbegin();
  for (uint32_t index = 0; index < books_.sessions.size(); ++index) {
    auto const first = next;
    while (next != books_.events.cend() && next->session == index) ++next;
    judge_session(books_.sessions[index], {first, next});
  }
  judge_supplies();
  return std::move(verdict_);
}

}  // namespace

Verdict compare(Books& books, size_t differences_max) {
  return Comparison(books, differences_max).run();
}

}  // namespace huntd
