#include "aggregator/fold.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "protocol/loot_event.h"

using huntd::Fold;

namespace {

std::string json_of(std::string hunter_id, std::string hunt_id, uint64_t seq,
                    int64_t timestamp_ms = 5, uint64_t event_number = 0) {
  return huntd::write_loot_event(
      {.event_id = fmt::format("{:032x}", event_number == 0 ? seq : event_number),
       .hunter_id = std::move(hunter_id),
       .hunt_id = std::move(hunt_id),
       .loot_id = "coin",
       .seq = seq,
       .timestamp_ms = timestamp_ms,
       .bundle = std::string(32, 'a')});
}

}  // namespace

TEST_CASE("events are gathered by hunter and hunt, sessions in byte order") {
  Fold fold;
  fold.add({0, "1", json_of("b", "x", 1)});
  fold.add({0, "2", json_of("a", "y", 1)});
  fold.add({0, "3", json_of("a", "x", 2)});
  fold.add({0, "4", json_of("B", "x", 1)});
  fold.add({0, "5", json_of("a", "x", 1)});
  auto sorted = fold.sorted();
  REQUIRE(sorted.size() == 4);
  auto const key_of = [&](size_t i) {
    return fmt::format("{}:{}", sorted[i].hunter_id, sorted[i].hunt_id);
  };
  CHECK(key_of(0) == "B:x");
  CHECK(key_of(1) == "a:x");
  CHECK(fold.events(sorted[1]).size() == 2);
  CHECK(key_of(2) == "a:y");
  CHECK(key_of(3) == "b:x");
  CHECK(fold.records() == 5);
}

TEST_CASE("a repeated event is kept once, few or many") {
  Fold fold;
  for (int round = 0; round < 2; ++round)
    for (uint64_t seq = 1; seq <= 100; ++seq) fold.add({0, "1", json_of("a", "x", seq)});
  CHECK(fold.duplicates() == 100);
  REQUIRE(fold.sorted().size() == 1);
  CHECK(fold.events(fold.sorted()[0]).size() == 100);
  CHECK(fold.dead().empty());
}

TEST_CASE("an unreadable record is set aside with its place and reason, and the rest goes on") {
  Fold fold;
  fold.add({7, "42", "{not json"});
  fold.add({7, "43", json_of("a", "x", 1)});
  fold.add({7, "44", ""});
  REQUIRE(fold.dead().size() == 2);
  CHECK(fold.dead()[0].partition == 7);
  CHECK(fold.dead()[0].position == "42");
  CHECK(fold.dead()[0].payload == "{not json");
  CHECK_FALSE(fold.dead()[0].reason.empty());
  CHECK(fold.sorted().size() == 1);
}

TEST_CASE("a seq or a timestamp that the table can't hold is set aside") {
  Fold fold;
  fold.add({0, "1", json_of("a", "x", huntd::limits::seq_max)});
  fold.add({0, "2", json_of("a", "x", huntd::limits::seq_max + 1)});
  fold.add({0, "3", json_of("a", "x", 3, huntd::limits::timestamp_ms_max)});
  fold.add({0, "4", json_of("a", "x", 4, huntd::limits::timestamp_ms_max + 1)});
  fold.add({0, "5", json_of("a", "x", 5, -1)});
  REQUIRE(fold.dead().size() == 3);
  CHECK(fold.dead()[0].position == "2");
  CHECK(fold.dead()[1].position == "4");
  CHECK(fold.dead()[2].position == "5");
}

TEST_CASE("another event with a seq that is taken is set aside, few or many") {
  for (uint64_t others : {0, 50}) {
    Fold fold;
    for (uint64_t seq = 1; seq <= others + 1; ++seq) fold.add({0, "1", json_of("a", "x", seq)});
    fold.add({0, "9", json_of("a", "x", 1, 5, 77)});
    REQUIRE(fold.dead().size() == 1);
    CHECK(fold.dead()[0].position == "9");
    CHECK(fold.duplicates() == 0);
  }
}

TEST_CASE("oldest and newest are the bounds of the timestamps, and clear forgets all") {
  Fold fold;
  fold.add({0, "1", json_of("a", "x", 1, 30)});
  fold.add({0, "2", json_of("a", "x", 2, 10)});
  fold.add({0, "3", json_of("a", "x", 3, 20)});
  CHECK(fold.oldest_ms() == 10);
  CHECK(fold.newest_ms() == 30);
  fold.clear();
  CHECK(fold.empty());
  CHECK(fold.newest_ms() == 0);
  CHECK(fold.sorted().empty());
}

TEST_CASE("events come out as they came in, whatever their order") {
  Fold fold;
  std::vector<uint64_t> const seqs = {5, 1, 9, 2, 7, 3};
  for (uint64_t seq : seqs)
    fold.add({0, "1", json_of("a", "x", seq, static_cast<int64_t>(seq * 10))});
  for (uint64_t seq : seqs)
    fold.add({0, "1", json_of("a", "x", seq, static_cast<int64_t>(seq * 10))});
  CHECK(fold.duplicates() == seqs.size());
  std::vector<huntd::SessionEvent> const events = fold.events(fold.sorted()[0]);
  REQUIRE(events.size() == seqs.size());
  for (size_t i = 0; i < seqs.size(); ++i) {
    CHECK(events[i].seq == seqs[i]);
    CHECK(events[i].timestamp_ms == static_cast<int64_t>(seqs[i] * 10));
    CHECK(events[i].event_id.text() == fmt::format("{:032x}", seqs[i]));
    CHECK(events[i].loot_id == "coin");
    CHECK(events[i].bundle == std::string(32, 'a'));
  }
}

TEST_CASE("it is full by the memory it takes, be it of events, sessions or dead records") {
  constexpr size_t bytes_max = 2 * 1024 * 1024;
  Fold few_sessions(bytes_max);
  for (uint64_t seq = 1; !few_sessions.full(); ++seq)
    few_sessions.add({0, "1", json_of("a", "x", seq)});
  CHECK(few_sessions.records() > 10'000);
  CHECK(few_sessions.records() < 100'000);
  Fold many_sessions(bytes_max);
  for (uint64_t n = 1; !many_sessions.full(); ++n)
    many_sessions.add({0, "1", json_of(fmt::format("h{}", n), "x", 1)});
  CHECK(many_sessions.records() > 1'000);
  CHECK(many_sessions.records() < few_sessions.records());
  Fold dead(bytes_max);
  while (!dead.full()) dead.add({0, "1", std::string(1000, 'x')});
  CHECK(dead.records() < 2'200);
  dead.clear();
  CHECK_FALSE(dead.full());
}
