// SPDX-License-Identifier: Apache-2.0
#include "aggregator/sessions/session.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <span>
#include <tuple>
#include <utility>

#include "base/ids.h"
#include "base/utf8.h"
#include "wire/generation.h"

namespace huntd::aggregator {

std::string Session::loot_text() const {
  std::string text = "{";
  for (const auto& [loot_id, count] : loot) {
    if (text.size() > 1) text.push_back(',');
    fmt::format_to(std::back_inserter(text), "\"{}\":{}", loot_id, count);
  }
  text.push_back('}');
  return text;
}

std::string Session::past_text() const {
  if (past.empty()) return "";
  std::string text = "{";
  for (const auto& [earlier, seqs] : past) {
    if (text.size() > 1) text.push_back(',');
    fmt::format_to(std::back_inserter(text), "\"{}\":\"{}\"", generation_text(earlier),
                   seqs.text());
  }
  text.push_back('}');
  return text;
}

int64_t Session::loot_count() const {
  int64_t total = 0;
  for (const auto& [loot_id, count] : loot) total += count;
  return total;
}

bool Session::contains(uint64_t event_generation, uint64_t seq) const {
  if (event_generation == generation) return seen.contains(seq);
  auto const found = past.find(event_generation);
  return found != past.end() && found->second.contains(seq);
}

bool Session::full() const {
  return seen.full() || std::any_of(past.begin(), past.end(),
                                    [](const auto& earlier) { return earlier.second.full(); });
}

Result<SeenByGeneration> read_past(std::string_view json) {
  SeenByGeneration past;
  if (json.empty()) return past;
  thread_local simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(json.data(), json.size()).get(object) != simdjson::SUCCESS)
    return Error{"past is not a JSON object"};
  for (auto [key, value] : object) {
    std::optional<uint64_t> const generation = read_generation(key);
    if (!generation)
      return Error{fmt::format("past has \"{}\", which is not a generation", cut_utf8(key, 64))};
    std::string_view text;
    if (value.get(text) != simdjson::SUCCESS)
      return Error{fmt::format("past of generation {} is not a text", key)};
    Result<SeqSet> seqs = SeqSet::read_text(text);
    if (!seqs) return Error{fmt::format("past of generation {}: {}", key, seqs.error().message)};
    if (seqs->empty()) return Error{fmt::format("past of generation {} is empty", key)};
    past.emplace(*generation, std::move(*seqs));
  }
  return past;
}

namespace {

using Loot = std::map<std::string, int64_t, std::less<>>;

Result<Loot> read_loot(std::string_view json) {
  Loot loot;
  thread_local simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(json.data(), json.size()).get(object) != simdjson::SUCCESS)
    return Error{"loot is not a JSON object"};
  for (auto [key, value] : object) {
    int64_t count = 0;
    if (!is_id(key) || value.get(count) != simdjson::SUCCESS || count == 0)
      return Error{
          fmt::format("loot \"{}\" is not a whole number other than 0", cut_utf8(key, 64))};
    loot.emplace(std::string(key), count);
  }
  return loot;
}

Result<void> check_generations(const Session& session) {
  if (session.generation > generation_max || session.forgotten_generation > generation_max)
    return Error{"a generation is below 0"};
  if (!session.past.empty() && session.past.rbegin()->first >= session.generation)
    return Error{fmt::format("past has generation {}, and the row is of generation {}",
                             generation_text(session.past.rbegin()->first),
                             generation_text(session.generation))};
  // Generation 0 is never dropped.
  auto const least = session.past.upper_bound(0);
  uint64_t const least_kept = least == session.past.end() ? session.generation : least->first;
  if (session.forgotten_generation != 0 && least_kept <= session.forgotten_generation)
    return Error{fmt::format("generation {} is not above forgotten_generation",
                             generation_text(least_kept))};
  return {};
}

}  // namespace

Result<Session> Session::read(const SessionColumns& columns) {
  Session session;
  session.generation = columns.generation;
  session.forgotten_generation = columns.forgotten_generation;
  Result<SeqSet> seen = SeqSet::read(columns.seen_upto, columns.seen_beyond);
  if (!seen) return seen.error();
  session.seen = std::move(*seen);
  if (!columns.past.empty()) {
    Result<SeenByGeneration> past = read_past(columns.past);
    if (!past) return past.error();
    session.past = std::move(*past);
  }
  if (Result<void> const fine = check_generations(session); !fine) return fine.error();
  Result<Loot> loot = read_loot(columns.loot);
  if (!loot) return loot.error();
  session.loot = std::move(*loot);
  session.added = columns.added;
  session.taken = columns.taken;
  auto counted = static_cast<int64_t>(session.seen.count());
  for (const auto& [generation, seqs] : session.past) counted += static_cast<int64_t>(seqs.count());
  // By the loot.
  int64_t const events = session.loot_count() - static_cast<int64_t>(session.added) +
                         static_cast<int64_t>(session.taken);
  // How many events of dropped generations were counted is not stored.
  if (session.forgotten_generation == 0 ? events != counted : events <= counted)
    return Error{fmt::format("loot adds up to {}, but {} events were counted", events, counted)};
  return session;
}

namespace {

// Indexes of events of one generation, by (seq, event_id).
using Run = std::span<const size_t>;

// The indexes of all events, by (generation, seq, event_id).
std::vector<size_t> in_order(const std::vector<SessionEvent>& events) {
  std::vector<size_t> order(events.size());
  std::iota(order.begin(), order.end(), size_t{0});
  auto const before = [&](size_t a, size_t b) {
    return std::tie(events[a].generation, events[a].seq, events[a].event_id) <
           std::tie(events[b].generation, events[b].seq, events[b].event_id);
  };
  // They usually arrive in order.
  if (!std::is_sorted(order.begin(), order.end(), before))
    std::sort(order.begin(), order.end(), before);
  return order;
}

class Addition {
 public:
  Addition(Session& session, const std::vector<SessionEvent>& events)
      : session_(session), events_(events), newest_(session.generation, session.seen.newest()) {}

  SessionChange add_all();

 private:
  // Calls handle(generation, run) per generation, ascending.
  template <class Handle>
  void each_run(const std::vector<size_t>& order, Handle handle) const;
  void add_several(const std::vector<size_t>& order);
  void add_run(SeqSet& seen, Run run);
  void count(const SessionEvent& event, size_t at);

  Session& session_;
  const std::vector<SessionEvent>& events_;
  std::pair<uint64_t, uint64_t> newest_;  // generation and seq of the session's newest event
  SessionChange change_;
};

template <class Handle>
void Addition::each_run(const std::vector<size_t>& order, Handle handle) const {
  for (size_t from = 0; from < order.size();) {
    uint64_t const generation = events_[order[from]].generation;
    size_t until = from + 1;
    while (until < order.size() && events_[order[until]].generation == generation) ++until;
    handle(generation, Run(order).subspan(from, until - from));
    from = until;
  }
}

// Counts a new event in loot, timestamps and bundle.
void Addition::count(const SessionEvent& event, size_t at) {
  if (auto held = session_.loot.find(event.loot_id); held == session_.loot.end())
    session_.loot.emplace(event.loot_id, event.units);
  else if ((held->second += event.units) == 0)
    session_.loot.erase(held);
  if (event.units > 0)
    session_.added += static_cast<uint64_t>(event.units) - 1;
  else
    session_.taken += static_cast<uint64_t>(-event.units) + 1;
  bool const is_first = change_.new_events == 0;
  change_.first_loot_at_ms =
      is_first ? event.timestamp_ms : std::min(change_.first_loot_at_ms, event.timestamp_ms);
  change_.last_loot_at_ms =
      is_first ? event.timestamp_ms : std::max(change_.last_loot_at_ms, event.timestamp_ms);
  change_.counted.push_back(at);
  change_.new_events += 1;
  std::pair const place(event.generation, event.seq);
  if (place <= newest_) return;
  newest_ = place;
  change_.bundle = event.bundle;
}

void Addition::add_run(SeqSet& seen, Run run) {
  std::vector<size_t> left(run.begin(), run.end());
  // An added event may close a hole and so make room for an event that did not fit. Repeat until
  // none fits.
  for (bool progress = true; progress && !left.empty();) {
    progress = false;
    std::vector<size_t> no_room;
    for (size_t at : left) {
      switch (seen.insert(events_[at].seq)) {
        case SeqSet::Insert::duplicate:
          change_.duplicates += 1;
          break;
        case SeqSet::Insert::no_room:
          no_room.push_back(at);
          break;
        case SeqSet::Insert::added:
          progress = true;
          count(events_[at], at);
          break;
      }
    }
    left = std::move(no_room);
  }
  change_.waiting.insert(change_.waiting.end(), left.begin(), left.end());
}

// Removes the least generations but 0 that are more than a row keeps, and returns them without a
// bound: no event of them will be counted later, so those that have waited are counted now.
SeenByGeneration take_excess(SeenByGeneration& all) {
  SeenByGeneration dropped;
  while (all.size() > limits::past_generations_max + 1) {
    auto const least = all.upper_bound(0);
    dropped.emplace(least->first, least->second.unbounded());
    all.erase(least);
  }
  return dropped;
}

void Addition::add_several(const std::vector<size_t>& order) {
  SeenByGeneration all = std::move(session_.past);
  if (!session_.seen.empty()) all.emplace(session_.generation, std::move(session_.seen));
  each_run(order, [&](uint64_t generation, Run) {
    if (generation == 0 || generation > session_.forgotten_generation) all.try_emplace(generation);
  });
  SeenByGeneration dropped = take_excess(all);
  each_run(order, [&](uint64_t generation, Run run) {
    auto const kept = all.find(generation);
    auto const going = dropped.find(generation);
    if (kept != all.end())
      add_run(kept->second, run);
    else if (going != dropped.end())
      add_run(going->second, run);
    else
      change_.of_dropped.insert(change_.of_dropped.end(), run.begin(), run.end());
  });
  if (!dropped.empty()) session_.forgotten_generation = dropped.rbegin()->first;
  if (all.empty()) return;
  auto const present = std::prev(all.end());
  session_.generation = present->first;
  session_.seen = std::move(present->second);
  all.erase(present);
  session_.past = std::move(all);
}

SessionChange Addition::add_all() {
  std::vector<size_t> const order = in_order(events_);
  if (order.empty()) return change_;
  uint64_t const least = events_[order.front()].generation;
  // Nearly always all events are of one generation, which is the session's or begins it.
  bool const begins = session_.seen.empty() && session_.forgotten_generation == 0;
  if (least == events_[order.back()].generation && (begins || least == session_.generation)) {
    session_.generation = least;
    add_run(session_.seen, order);
  } else {
    add_several(order);
  }
  return std::move(change_);
}

}  // namespace

SessionChange add_events(Session& session, const std::vector<SessionEvent>& events) {
  return Addition(session, events).add_all();
}

}  // namespace huntd::aggregator
