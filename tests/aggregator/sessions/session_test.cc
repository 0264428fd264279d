// SPDX-License-Identifier: Apache-2.0
#include "aggregator/sessions/session.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <set>

using huntd::EventId;
using huntd::aggregator::add_events;
using huntd::aggregator::Session;
using huntd::aggregator::SessionChange;
using huntd::aggregator::SessionEvent;

namespace {

// Stores the text for the rest of the process.
std::string_view kept(std::string text) {
  static std::set<std::string> all;
  return *all.insert(std::move(text)).first;
}

SessionEvent event_of(uint64_t seq, std::string loot_id = "coin", int64_t timestamp_ms = 1000) {
  return {.event_id = EventId{0, seq},
          .seq = seq,
          .timestamp_ms = timestamp_ms,
          .loot_id = kept(std::move(loot_id)),
          .bundle = kept(fmt::format("{:032x}", seq / 10))};
}

// A row as PostgreSQL stores it, by the rules of merge_slice.cc.
struct Row {
  Session session;
  int64_t first_loot_at_ms = INT64_MAX;
  int64_t last_loot_at_ms = INT64_MIN;
  std::string bundle;
  std::vector<SessionEvent> waiting;

  void merge(std::vector<SessionEvent> events) {
    if (session.seen.full()) events.insert(events.end(), waiting.begin(), waiting.end());
    SessionChange const change = add_events(session, events);
    if (change.new_events > 0) {
      first_loot_at_ms = std::min(first_loot_at_ms, change.first_loot_at_ms);
      last_loot_at_ms = std::max(last_loot_at_ms, change.last_loot_at_ms);
      if (!change.bundle.empty()) bundle = change.bundle;
    }
    waiting.clear();
    for (size_t at : change.waiting) waiting.push_back(events[at]);
  }
  std::string text() const {
    return fmt::format("{} {} {} {} {} {}", session.loot_text(), first_loot_at_ms, last_loot_at_ms,
                       bundle, session.seen.upto(), session.seen.beyond_text());
  }
};

}  // namespace

TEST_CASE("new events are counted by loot, with least and greatest timestamp") {
  Session session;
  SessionChange change = add_events(
      session, {event_of(1, "coin", 50), event_of(2, "gem", 10), event_of(3, "coin", 90)});
  CHECK(change.new_events == 3);
  CHECK(change.first_loot_at_ms == 10);
  CHECK(change.last_loot_at_ms == 90);
  CHECK(session.loot_text() == R"({"coin":2,"gem":1})");
  CHECK(session.loot_count() == 3);
}

TEST_CASE("an event that was counted before changes nothing") {
  Session session;
  add_events(session, {event_of(1)});
  SessionChange change = add_events(session, {event_of(1, "gem", 5)});
  CHECK(change.new_events == 0);
  CHECK(change.duplicates == 1);
  CHECK(change.bundle.empty());
  CHECK(session.loot_text() == R"({"coin":1})");
}

TEST_CASE("the bundle is that of the event with the greatest seq") {
  Session session;
  CHECK(add_events(session, {event_of(25), event_of(3)}).bundle == event_of(25).bundle);
  CHECK(add_events(session, {event_of(14)}).bundle.empty());
  CHECK(add_events(session, {event_of(26)}).bundle == event_of(26).bundle);
}

TEST_CASE("events wait if the seen set has no room, and are counted later") {
  Row row;
  std::vector<SessionEvent> odd;
  for (uint64_t seq = 3; odd.size() < huntd::limits::seen_beyond_ranges_max + 5; seq += 2)
    odd.push_back(event_of(seq));
  row.merge(odd);
  CHECK(row.waiting.size() == 5);
  CHECK(row.session.loot_count() == huntd::limits::seen_beyond_ranges_max);
  std::vector<SessionEvent> even;
  for (uint64_t seq = 2; seq < odd.back().seq; seq += 2) even.push_back(event_of(seq));
  row.merge(even);
  CHECK(row.waiting.empty());
  CHECK(row.session.loot_count() == odd.size() + even.size());
  row.merge({event_of(1)});
  CHECK(row.session.seen.upto() == odd.back().seq);
}

TEST_CASE("a row is read as it was written, and a row changed by hand is rejected") {
  Session session;
  add_events(session, {event_of(1), event_of(2, "gem"), event_of(5)});
  auto read = Session::read(session.loot_text(), session.seen.upto(), session.seen.beyond_text());
  REQUIRE(read);
  CHECK(read->loot == session.loot);
  CHECK(read->seen == session.seen);
  CHECK_FALSE(Session::read("[]", 0, "{}"));
  CHECK_FALSE(Session::read(R"({"coin":"1"})", 1, "{}"));
  CHECK_FALSE(Session::read(R"({"coin":0})", 0, "{}"));
  CHECK_FALSE(Session::read(R"({"coin":2})", 1, "{}"));
}

TEST_CASE("any order, duplicates and split into batches give the same row") {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    // Enough for the seen set to overflow in about half of the runs.
    uint64_t const newest = 1 + random() % 400;
    std::vector<SessionEvent> events;
    for (uint64_t seq = 1; seq <= newest; ++seq)
      if (random() % 20 != 0 || newest > 200)
        events.push_back(event_of(seq, fmt::format("loot{}", random() % 5), random() % 100'000));
    if (events.empty()) continue;
    Row ordered;
    ordered.merge(events);

    std::vector<SessionEvent> delivered = events;
    for (size_t i = 0; i < events.size() / 3; ++i)
      delivered.push_back(events[random() % events.size()]);
    std::shuffle(delivered.begin(), delivered.end(), random);
    Row shuffled;
    for (size_t from = 0; from < delivered.size();) {
      size_t const until = std::min(delivered.size(), from + 1 + random() % 40);
      shuffled.merge({delivered.begin() + static_cast<ptrdiff_t>(from),
                      delivered.begin() + static_cast<ptrdiff_t>(until)});
      from = until;
    }
    CHECK(shuffled.waiting.empty());
    CHECK(shuffled.text() == ordered.text());
  }
}
