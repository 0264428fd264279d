// SPDX-License-Identifier: Apache-2.0
#include "aggregator/sessions/session.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

using huntd::EventId;
using huntd::aggregator::add_events;
using huntd::aggregator::read_past;
using huntd::aggregator::Session;
using huntd::aggregator::SessionChange;
using huntd::aggregator::SessionEvent;

namespace {

// Stores the text for the rest of the process.
std::string_view kept(std::string text) {
  static std::set<std::string> all;
  return *all.insert(std::move(text)).first;
}

SessionEvent event_of(uint64_t seq, std::string loot_id = "coin", int64_t timestamp_ms = 1000,
                      uint64_t generation = 0) {
  return {.event_id = EventId{generation, seq},
          .generation = generation,
          .seq = seq,
          .timestamp_ms = timestamp_ms,
          .loot_id = kept(std::move(loot_id)),
          .bundle = kept(fmt::format("{:016x}{:016x}", generation, seq / 10)),
          .from_supply = false};
}

SessionEvent of_generation(uint64_t generation, uint64_t seq) {
  return event_of(seq, "coin", 1000, generation);
}

uint64_t count_of(const Session& session) { return static_cast<uint64_t>(session.loot_count()); }

SessionEvent of_units(uint64_t seq, int32_t units, std::string loot_id = "coin") {
  SessionEvent event = event_of(seq, std::move(loot_id));
  event.units = units;
  return event;
}

// The session as a row that is written and read again.
Session reread(const Session& session) {
  std::string const loot = session.loot_text();
  std::string const beyond = session.seen.beyond_text();
  std::string const past = session.past_text();
  auto read = Session::read({.loot = loot,
                             .seen_upto = session.seen.upto(),
                             .seen_beyond = beyond,
                             .generation = session.generation,
                             .past = past,
                             .forgotten_generation = session.forgotten_generation,
                             .added = session.added,
                             .taken = session.taken});
  REQUIRE_MESSAGE(read, loot << past);
  return *read;
}

// A row as PostgreSQL stores it, by the rules of merge_slice.cc.
struct Row {
  Session session;
  int64_t first_loot_at_ms = INT64_MAX;
  int64_t last_loot_at_ms = INT64_MIN;
  std::string bundle;
  std::vector<SessionEvent> waiting;
  std::vector<SessionEvent> of_dropped;
  std::map<EventId, int> counted;  // how often each event was counted

  void merge(std::vector<SessionEvent> events) {
    bool const full = session.full();
    if (full) events.insert(events.end(), waiting.begin(), waiting.end());
    SessionChange const change = add_events(session, events);
    for (size_t at : change.counted) counted[events[at].event_id] += 1;
    for (size_t at : change.of_dropped) of_dropped.push_back(events[at]);
    if (change.new_events > 0) {
      first_loot_at_ms = std::min(first_loot_at_ms, change.first_loot_at_ms);
      last_loot_at_ms = std::max(last_loot_at_ms, change.last_loot_at_ms);
      if (!change.bundle.empty()) bundle = change.bundle;
    }
    if (full) waiting.clear();
    for (size_t at : change.waiting) keep_waiting(events[at]);
    if (!events.empty()) session = reread(session);
  }
  void keep_waiting(const SessionEvent& event) {
    for (const SessionEvent& other : waiting)
      if (other.event_id == event.event_id) return;
    waiting.push_back(event);
  }
  std::string text() const {
    return fmt::format("{} {} {} {} {} {} {}", session.loot_text(), first_loot_at_ms,
                       last_loot_at_ms, bundle, session.added, session.taken, seen_text());
  }
  // What the row knows about generations.
  std::string seen_text() const {
    return fmt::format("{:x} {} {} {} {:x}", session.generation, session.seen.upto(),
                       session.seen.beyond_text(), session.past_text(),
                       session.forgotten_generation);
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
  CHECK(count_of(session) == 3);
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
  CHECK(count_of(row.session) == huntd::limits::seen_beyond_ranges_max);
  std::vector<SessionEvent> even;
  for (uint64_t seq = 2; seq < odd.back().seq; seq += 2) even.push_back(event_of(seq));
  row.merge(even);
  CHECK(row.waiting.empty());
  CHECK(count_of(row.session) == odd.size() + even.size());
  row.merge({event_of(1)});
  CHECK(row.session.seen.upto() == odd.back().seq);
}

TEST_CASE("awards of several units and takes count, whichever comes first") {
  Row row;
  row.merge({of_units(2, -4), of_units(3, 1)});
  CHECK(row.session.loot_text() == R"({"coin":-3})");
  CHECK(row.session.loot_count() == -3);
  row.merge({of_units(1, 7), of_units(2, -4)});
  CHECK(row.session.loot_text() == R"({"coin":4})");
  CHECK(row.session.added == 6);
  CHECK(row.session.taken == 5);
  row.merge({of_units(4, -4), of_units(5, 2, "gem")});
  CHECK_MESSAGE(row.session.loot_text() == R"({"gem":2})", "a loot that is all taken is gone");
  CHECK(row.session.seen.upto() == 5);
}

TEST_CASE("a row whose loot does not fit its events and its units is rejected") {
  auto const row = [](std::string_view loot, uint64_t added, uint64_t taken) {
    huntd::aggregator::SessionColumns columns;
    columns.loot = loot;
    columns.seen_upto = 3;
    columns.seen_beyond = "{}";
    columns.added = added;
    columns.taken = taken;
    return Session::read(columns);
  };
  CHECK(row(R"({"coin":3})", 0, 0));
  CHECK(row(R"({"coin":7})", 4, 0));
  CHECK(row(R"({"coin":-2})", 0, 5));
  CHECK_FALSE(row(R"({"coin":7})", 3, 0));
  CHECK_FALSE(row(R"({"coin":3})", 0, 1));
  CHECK_FALSE(row(R"({"coin":-2})", 0, 0));
}

TEST_CASE("a row is read as it was written, and a row changed by hand is rejected") {
  Session session;
  add_events(session, {event_of(1), event_of(2, "gem"), event_of(5)});
  Session const read = reread(session);
  CHECK(read.loot == session.loot);
  CHECK(read.seen == session.seen);
  CHECK(read.past.empty());
  auto const row = [](std::string_view loot, uint64_t upto) {
    huntd::aggregator::SessionColumns columns;
    columns.loot = loot;
    columns.seen_upto = upto;
    columns.seen_beyond = "{}";
    return Session::read(columns);
  };
  CHECK(row(R"({"coin":1})", 1));
  CHECK_FALSE(row("[]", 0));
  CHECK_FALSE(row(R"({"coin":"1"})", 1));
  CHECK_FALSE(row(R"({"coin":0})", 0));
  CHECK_FALSE(row(R"({"coin":2})", 1));
}

TEST_CASE("a row with earlier generations is read as it was written, and no other text is") {
  Session session;
  add_events(session, {of_generation(7, 1), of_generation(7, 3), of_generation(0, 1),
                       of_generation(9, 1), of_generation(9, 2)});
  CHECK(session.past_text() ==
        R"({"0000000000000000":"{[1,2)}","0000000000000007":"{[1,2),[3,4)}"})");
  Session const read = reread(session);
  CHECK(read.generation == 9);
  CHECK(read.seen.upto() == 2);
  CHECK(read.past == session.past);
  CHECK(read.contains(7, 3));
  CHECK_FALSE(read.contains(7, 2));
  CHECK_FALSE(read.contains(8, 1));
  auto const row = [](std::string_view past, uint64_t generation, uint64_t dropped,
                      std::string_view loot) {
    return Session::read({.loot = loot,
                          .seen_upto = 1,
                          .seen_beyond = "{}",
                          .generation = generation,
                          .past = past,
                          .forgotten_generation = dropped});
  };
  constexpr std::string_view two = R"({"coin":2})";
  CHECK(row(R"({"0000000000000007":"{[1,2)}"})", 9, 0, two));
  CHECK_FALSE(row(R"({"0000000000000007":"{[1,3)}"})", 9, 0, two));
  CHECK_FALSE(row(R"({"0000000000000007":"{[1,2)}"})", 7, 0, two));
  CHECK_FALSE(row(R"({"0000000000000007":"{[1,2)}"})", 9, 7, R"({"coin":3})"));
  CHECK_FALSE(row(R"({"0000000000000007":"{[1,2)}"})", uint64_t{1} << 63, 0, two));
  for (std::string_view past :
       {"[]", R"({"7":"{[1,2)}"})", R"({"0000000000000007":1})", R"({"0000000000000007":"{}"})",
        R"x({"0000000000000007":"{[1,2)"})x"})
    CHECK_MESSAGE(!row(past, 9, 0, two), past);
  // How many events of dropped generations were counted is not known.
  CHECK(row("", 9, 3, R"({"coin":40})"));
  CHECK(row(R"({"0000000000000000":"{[1,2)}"})", 9, 3, R"({"coin":3})"));
  CHECK_FALSE(row("", 9, 3, R"({"coin":1})"));
  CHECK(read_past("")->empty());
}

TEST_CASE("equal seqs of two generations are two events, each counted once") {
  Row row;
  row.merge({of_generation(0, 1), of_generation(0, 2)});
  row.merge({of_generation(5, 1)});
  CHECK(count_of(row.session) == 3);
  CHECK(row.session.generation == 5);
  CHECK(row.session.seen.upto() == 1);
  CHECK(row.bundle == of_generation(5, 1).bundle);
  row.merge({of_generation(0, 2), of_generation(5, 1), of_generation(0, 3), of_generation(3, 90)});
  CHECK(count_of(row.session) == 5);
  CHECK(row.session.generation == 5);
  CHECK(row.bundle == of_generation(5, 1).bundle);
  CHECK(row.session.past_text() ==
        R"({"0000000000000000":"{[1,4)}","0000000000000003":"{[90,91)}"})");
}

TEST_CASE("of more generations than a row keeps the oldest is dropped, but never 0") {
  Row row;
  constexpr uint64_t newest = huntd::limits::past_generations_max + 1;
  row.merge({of_generation(0, 1)});
  for (uint64_t generation = 1; generation < newest; ++generation)
    row.merge({of_generation(generation, 1), of_generation(generation, 2)});
  CHECK(row.session.past.size() == huntd::limits::past_generations_max);
  CHECK(row.session.forgotten_generation == 0);
  row.merge({of_generation(newest, 1)});
  CHECK(row.session.past.size() == huntd::limits::past_generations_max);
  CHECK(row.session.forgotten_generation == 1);
  CHECK(row.session.past.contains(0));
  CHECK_FALSE(row.session.past.contains(1));
  uint64_t const counted = count_of(row.session);
  CHECK(counted == 1 + 2 * (newest - 1) + 1);
  // Whether an event of 1 was counted is not known any more; of 0 and 2 it is.
  row.merge({of_generation(1, 1), of_generation(1, 3), of_generation(0, 1), of_generation(0, 2),
             of_generation(2, 2), of_generation(2, 3)});
  CHECK(row.of_dropped.size() == 2);
  CHECK(count_of(row.session) == counted + 2);
}

TEST_CASE("an old generation for which there is no room is counted and dropped at once") {
  Row row;
  for (uint64_t generation = 2; generation <= huntd::limits::past_generations_max + 2; ++generation)
    row.merge({of_generation(generation, 1)});
  uint64_t const counted = count_of(row.session);
  // With holes for which a kept generation would have no room.
  std::vector<SessionEvent> late;
  for (uint64_t seq = 2; late.size() < 2 * huntd::limits::seen_beyond_ranges_max; seq += 2)
    late.push_back(of_generation(1, seq));
  row.merge(late);
  CHECK(row.waiting.empty());
  CHECK(count_of(row.session) == counted + late.size());
  CHECK(row.session.forgotten_generation == 1);
  row.merge(late);
  CHECK(row.of_dropped.size() == late.size());
  CHECK(count_of(row.session) == counted + late.size());
}

TEST_CASE("events that wait are counted when their generation is dropped") {
  Row row;
  std::vector<SessionEvent> odd;
  for (uint64_t seq = 3; odd.size() < huntd::limits::seen_beyond_ranges_max + 5; seq += 2)
    odd.push_back(of_generation(1, seq));
  row.merge(odd);
  REQUIRE(row.waiting.size() == 5);
  uint64_t generation = 2;
  for (; generation <= huntd::limits::past_generations_max + 1; ++generation)
    row.merge({of_generation(generation, 1)});
  CHECK(row.waiting.size() == 5);
  row.merge({of_generation(generation, 1), row.waiting[0]});
  CHECK(row.waiting.empty());
  CHECK(row.session.forgotten_generation == 1);
  CHECK(count_of(row.session) == odd.size() + generation - 1);
  for (const auto& [event_id, times] : row.counted) CHECK(times == 1);
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
    constexpr int32_t units[] = {1, 1, 1, 5, 1'000'000, -1, -2};
    if (seed % 2 == 1)
      for (SessionEvent& event : events) event.units = units[random() % std::size(units)];
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

namespace {

// Merges `delivered` in pieces of random size.
Row merged(const std::vector<SessionEvent>& delivered, std::mt19937& random) {
  Row row;
  for (size_t from = 0; from < delivered.size();) {
    size_t const until = std::min(delivered.size(), from + 1 + random() % 40);
    row.merge({delivered.begin() + static_cast<ptrdiff_t>(from),
               delivered.begin() + static_cast<ptrdiff_t>(until)});
    from = until;
  }
  return row;
}

// `generations` generations, the oldest perhaps 0, each with some events.
std::vector<SessionEvent> events_of(size_t generations, std::mt19937& random) {
  std::vector<SessionEvent> events;
  uint64_t generation = random() % 2;
  for (size_t i = 0; i < generations; ++i) {
    uint64_t seq = 1 + random() % 2;
    for (uint64_t const last = seq + random() % 30; seq <= last; ++seq)
      events.push_back(
          event_of(seq, fmt::format("loot{}", random() % 5), random() % 100'000, generation));
    generation += 1 + random() % 3;
  }
  return events;
}

std::vector<SessionEvent> with_duplicates(std::vector<SessionEvent> events, std::mt19937& random) {
  size_t const count = events.size();
  for (size_t i = 0; i < count / 3; ++i) {
    SessionEvent const again = events[random() % count];
    events.push_back(again);
  }
  std::shuffle(events.begin(), events.end(), random);
  return events;
}

}  // namespace

TEST_CASE("any order of the events of up to 17 generations gives the same row") {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    std::vector<SessionEvent> const events =
        events_of(1 + random() % (huntd::limits::past_generations_max + 1), random);
    Row ordered;
    ordered.merge(events);
    CHECK(ordered.session.loot_count() == events.size());
    Row const shuffled = merged(with_duplicates(events, random), random);
    CHECK(shuffled.of_dropped.empty());
    CHECK(shuffled.waiting.empty());
    CHECK(shuffled.text() == ordered.text());
  }
}

TEST_CASE("of any number of generations the same seqs are kept, and no event counts twice") {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    std::vector<SessionEvent> const events = events_of(19 + random() % 20, random);
    Row ordered;
    ordered.merge(events);
    CHECK(ordered.of_dropped.empty());
    CHECK(ordered.session.loot_count() == events.size());
    Row const shuffled = merged(with_duplicates(events, random), random);
    CHECK(shuffled.seen_text() == ordered.seen_text());
    CHECK(shuffled.bundle == ordered.bundle);
    CHECK(shuffled.session.forgotten_generation > 0);
    std::set<EventId> rejected;
    for (const SessionEvent& event : shuffled.of_dropped) {
      CHECK(event.generation <= shuffled.session.forgotten_generation);
      rejected.insert(event.event_id);
    }
    for (const SessionEvent& event : events) {
      auto const found = shuffled.counted.find(event.event_id);
      int const times = found == shuffled.counted.end() ? 0 : found->second;
      CHECK((times == 1 || (times == 0 && rejected.contains(event.event_id))));
    }
    CHECK(shuffled.session.loot_count() == shuffled.counted.size());
  }
}
