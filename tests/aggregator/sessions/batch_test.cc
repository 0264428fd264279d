// SPDX-License-Identifier: Apache-2.0
#include "aggregator/sessions/batch.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>

#include "wire/loot_event.h"

using huntd::aggregator::Batch;

namespace {

std::string json_of(std::string hunter_id, std::string hunt_id, uint64_t seq,
                    int64_t timestamp_ms = 5, uint64_t event_number = 0, uint64_t generation = 0) {
  return huntd::write_loot_event(
      {.event_id = fmt::format("{:032x}", event_number == 0 ? seq : event_number),
       .hunter_id = std::move(hunter_id),
       .hunt_id = std::move(hunt_id),
       .loot_id = "coin",
       .seq = seq,
       .timestamp_ms = timestamp_ms,
       .bundle = std::string(32, 'a'),
       .generation = generation,
       .from_supply = seq % 2 == 0});
}

}  // namespace

TEST_CASE("events are grouped by hunter and hunt, and sessions are in byte order") {
  Batch batch;
  batch.add({0, "1", json_of("b", "x", 1)});
  batch.add({0, "2", json_of("a", "y", 1)});
  batch.add({0, "3", json_of("a", "x", 2)});
  batch.add({0, "4", json_of("B", "x", 1)});
  batch.add({0, "5", json_of("a", "x", 1)});
  auto sorted = batch.sorted();
  REQUIRE(sorted.size() == 4);
  auto const key_of = [&](size_t i) {
    return fmt::format("{}:{}", sorted[i].hunter_id, sorted[i].hunt_id);
  };
  CHECK(key_of(0) == "B:x");
  CHECK(key_of(1) == "a:x");
  CHECK(batch.events(sorted[1]).size() == 2);
  CHECK(key_of(2) == "a:y");
  CHECK(key_of(3) == "b:x");
  CHECK(batch.records() == 5);
}

TEST_CASE("a repeated event is kept once, in short and long sessions") {
  Batch batch;
  for (int round = 0; round < 2; ++round)
    for (uint64_t seq = 1; seq <= 100; ++seq) batch.add({0, "1", json_of("a", "x", seq)});
  CHECK(batch.duplicates() == 100);
  REQUIRE(batch.sorted().size() == 1);
  CHECK(batch.events(batch.sorted()[0]).size() == 100);
  CHECK(batch.dead_letters().empty());
}

TEST_CASE("an unreadable record becomes a dead letter, and later records are added") {
  Batch batch;
  batch.add({7, "42", "{not json"});
  batch.add({7, "43", json_of("a", "x", 1)});
  batch.add({7, "44", ""});
  REQUIRE(batch.dead_letters().size() == 2);
  CHECK(batch.dead_letters()[0].partition == 7);
  CHECK(batch.dead_letters()[0].position == "42");
  CHECK(batch.dead_letters()[0].payload == "{not json");
  CHECK_FALSE(batch.dead_letters()[0].reason.empty());
  CHECK(batch.sorted().size() == 1);
}

TEST_CASE("an event with a seq or timestamp out of range becomes a dead letter") {
  Batch batch;
  batch.add({0, "1", json_of("a", "x", huntd::limits::seq_max)});
  batch.add({0, "2", json_of("a", "x", huntd::limits::seq_max + 1)});
  batch.add({0, "3", json_of("a", "x", 3, huntd::limits::timestamp_ms_max)});
  batch.add({0, "4", json_of("a", "x", 4, huntd::limits::timestamp_ms_max + 1)});
  batch.add({0, "5", json_of("a", "x", 5, -1)});
  REQUIRE(batch.dead_letters().size() == 3);
  CHECK(batch.dead_letters()[0].position == "2");
  CHECK(batch.dead_letters()[1].position == "4");
  CHECK(batch.dead_letters()[2].position == "5");
}

TEST_CASE("a second event with the same seq becomes a dead letter") {
  for (uint64_t others : {0, 50}) {
    Batch batch;
    for (uint64_t seq = 1; seq <= others + 1; ++seq) batch.add({0, "1", json_of("a", "x", seq)});
    batch.add({0, "9", json_of("a", "x", 1, 5, 77)});
    REQUIRE(batch.dead_letters().size() == 1);
    CHECK(batch.dead_letters()[0].position == "9");
    CHECK(batch.duplicates() == 0);
  }
}

TEST_CASE("oldest and newest are the least and greatest timestamp, until clear()") {
  Batch batch;
  batch.add({0, "1", json_of("a", "x", 1, 30)});
  batch.add({0, "2", json_of("a", "x", 2, 10)});
  batch.add({0, "3", json_of("a", "x", 3, 20)});
  CHECK(batch.oldest_ms() == 10);
  CHECK(batch.newest_ms() == 30);
  batch.clear();
  CHECK(batch.empty());
  CHECK(batch.newest_ms() == 0);
  CHECK(batch.sorted().empty());
}

TEST_CASE("events keep the order in which they were added") {
  Batch batch;
  std::vector<uint64_t> const seqs = {5, 1, 9, 2, 7, 3};
  for (uint64_t seq : seqs)
    batch.add({0, "1", json_of("a", "x", seq, static_cast<int64_t>(seq * 10))});
  for (uint64_t seq : seqs)
    batch.add({0, "1", json_of("a", "x", seq, static_cast<int64_t>(seq * 10))});
  CHECK(batch.duplicates() == seqs.size());
  std::vector<huntd::aggregator::SessionEvent> const events = batch.events(batch.sorted()[0]);
  REQUIRE(events.size() == seqs.size());
  for (size_t i = 0; i < seqs.size(); ++i) {
    CHECK(events[i].seq == seqs[i]);
    CHECK(events[i].timestamp_ms == static_cast<int64_t>(seqs[i] * 10));
    CHECK(events[i].event_id.text() == fmt::format("{:032x}", seqs[i]));
    CHECK(events[i].loot_id == "coin");
    CHECK(events[i].bundle == std::string(32, 'a'));
    CHECK(events[i].from_supply == (seqs[i] % 2 == 0));
  }
}

TEST_CASE("events of several generations are one session, with each generation's seqs") {
  Batch batch;
  uint64_t const newer = 0x0193'0000'0000'0000;
  for (int round = 0; round < 2; ++round)
    for (uint64_t generation : {newer, uint64_t{0}, newer + 1})
      for (uint64_t seq : {2, 1, 3})
        batch.add({0, "1", json_of("a", "x", seq, 5, seq + generation, generation)});
  batch.add({0, "2", json_of("a", "y", 1, 5, 9, newer)});
  CHECK(batch.dead_letters().empty());
  CHECK(batch.duplicates() == 9);
  REQUIRE(batch.sorted().size() == 2);
  CHECK(batch.sorted()[0].event_count == 9);
  std::map<uint64_t, std::vector<uint64_t>> seqs;
  for (const auto& event : batch.events(batch.sorted()[0])) {
    seqs[event.generation].push_back(event.seq);
    CHECK(event.event_id.text() == fmt::format("{:032x}", event.seq + event.generation));
  }
  std::vector<uint64_t> const as_added = {2, 1, 3};
  CHECK(seqs == std::map<uint64_t, std::vector<uint64_t>>{
                    {0, as_added}, {newer, as_added}, {newer + 1, as_added}});
}

TEST_CASE("a second event with the same generation and seq becomes a dead letter") {
  Batch batch;
  batch.add({0, "1", json_of("a", "x", 1, 5, 1, 7)});
  batch.add({0, "2", json_of("a", "x", 1, 5, 2, 8)});
  CHECK(batch.dead_letters().empty());
  batch.add({0, "3", json_of("a", "x", 1, 5, 3, 8)});
  REQUIRE(batch.dead_letters().size() == 1);
  CHECK(batch.dead_letters()[0].position == "3");
  CHECK(batch.dead_letters()[0].reason.find("0000000000000008") != std::string::npos);
}

TEST_CASE("a batch is full by its memory: of events, sessions or dead letters") {
  constexpr size_t bytes_max = 2 * 1024 * 1024;
  Batch few_sessions(bytes_max);
  for (uint64_t seq = 1; !few_sessions.full(); ++seq)
    few_sessions.add({0, "1", json_of("a", "x", seq)});
  CHECK(few_sessions.records() > 10'000);
  CHECK(few_sessions.records() < 100'000);
  Batch many_sessions(bytes_max);
  for (uint64_t n = 1; !many_sessions.full(); ++n)
    many_sessions.add({0, "1", json_of(fmt::format("h{}", n), "x", 1)});
  CHECK(many_sessions.records() > 1'000);
  CHECK(many_sessions.records() < few_sessions.records());
  Batch many_generations(bytes_max);
  for (uint64_t n = 1; !many_generations.full(); ++n)
    many_generations.add({0, "1", json_of("a", "x", 1, 5, n, n)});
  CHECK(many_generations.records() > 1'000);
  CHECK(many_generations.records() < few_sessions.records());
  Batch unreadable(bytes_max);
  while (!unreadable.full()) unreadable.add({0, "1", std::string(1000, 'x')});
  CHECK(unreadable.records() < 2'200);
  unreadable.clear();
  CHECK_FALSE(unreadable.full());
}
