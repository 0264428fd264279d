// SPDX-License-Identifier: Apache-2.0
// The stores by bucket: however the sessions are grouped, the report is the same.
#include "reconcile/reading.h"

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "reconcile/compare.h"
// doctest defines its own CHECK.
#undef CHECK
#include <doctest/doctest.h>

using namespace huntd::reconcile;
using huntd::EventId;
using huntd::LootEvent;
using huntd::Result;

namespace {

constexpr MemoryPlan small_plan{
    .block_bytes = 128, .group_bytes = 1 << 20, .doubts_bytes = 1 << 20};
constexpr uint64_t gen_1 = 0x0193'0000'0000'0001;

LootEvent event_of(std::string hunter_id, uint64_t seq, std::string hunt_id = "chest") {
  return {
      .event_id = std::string(huntd::hash128_hex(fmt::format("{} {} {}", hunter_id, hunt_id, seq))),
      .hunter_id = std::move(hunter_id),
      .hunt_id = std::move(hunt_id),
      .loot_id = seq % 3 == 0 ? "gem" : "coin",
      .seq = seq,
      .timestamp_ms = 1000,
      .bundle = std::string(32, 'a'),
      .generation = gen_1};
}

struct Stores {
  explicit Stores(Scope scope = {}, size_t list_max = 1000)
      : file(temp_directory()),
        findings(list_max),
        reading(std::move(scope), small_plan, file, findings) {
    reading.facts.has_kafka = true;
  }

  void add_event(const LootEvent& event, bool in_outbox = false) {
    add_text(write_loot_event(event), in_outbox);
  }
  void add_text(const std::string& value, bool in_outbox) {
    Result<void> const added = reading.add_value(value, in_outbox, {in_outbox, 3, "41"});
    CHECK(static_cast<bool>(added));
  }
  // Redis holds, and the table has counted, the loot of `count` events.
  void add_session(const std::string& hunter_id, uint64_t count, uint64_t in_row,
                   const std::string& hunt_id = "chest") {
    std::string const gems = std::to_string(count / 3);
    std::string const coins = std::to_string(count - count / 3);
    std::string const seq = std::to_string(count);
    std::string const gen = "0193000000000001 00000000000000aa";
    std::vector<HeldField> const fields = {
        {"coin", coins}, {"gem", gems}, {"#seq", seq}, {"#gen", gen}};
    CHECK(static_cast<bool>(reading.add_held(hunter_id, hunt_id, fields)));
    std::string const loot =
        fmt::format(R"({{"coin": {}, "gem": {}}})", in_row - in_row / 3, in_row / 3);
    RowColumns const row{.loot = loot,
                         .loot_count = static_cast<int64_t>(in_row),
                         .seen_upto = in_row,
                         .seen_beyond = "{}",
                         .generation = gen_1};
    CHECK(static_cast<bool>(reading.add_row(hunter_id, hunt_id, row)));
  }

  // Compares in groups of at most `bytes_max`; the number of groups.
  size_t compare_all(size_t bytes_max) {
    Result<std::vector<EventId>> ids = reading.check_ids();
    CHECK(static_cast<bool>(ids));
    SharedEvents shared(std::move(*ids));
    size_t groups = 0;
    std::vector<Group> left{Group{}};
    while (!left.empty()) {
      Group const group = left.back();
      left.pop_back();
      Snapshots snapshots;
      Result<bool> const fits = reading.load(group, bytes_max, snapshots);
      CHECK(static_cast<bool>(fits));
      if (!*fits) {
        REQUIRE(group.can_split());
        for (const Group& half : group.split()) left.push_back(half);
        continue;
      }
      groups += 1;
      Comparison comparison(snapshots, reading.supplies, findings);
      comparison.check();
      comparison.name_shared(shared);
      comparison.end();
    }
    shared.report(findings);
    reading.supplies.check(false, findings);
    Result<void> const matched = reading.unreadable.match(findings);
    CHECK(static_cast<bool>(matched));
    reading.unreadable.end(findings);
    return groups;
  }

  TempFile file;
  Findings findings;
  Reading reading;
};

// Sessions of many hunters, with every kind of difference that needs no second reading.
void fill(Stores& stores) {
  for (uint64_t i = 0; i < 300; ++i) {
    std::string const hunter = fmt::format("h{}", i);
    uint64_t const count = 3 + i % 9;
    stores.add_session(hunter, count, i % 50 == 7 ? count - 1 : count);
    for (uint64_t seq = 1; seq <= count + (i % 60 == 9 ? 2 : 0); ++seq) {
      if (i % 70 == 11 && seq == 2) continue;  // missing
      LootEvent event = event_of(hunter, seq);
      if (i % 80 == 13 && seq == 1) event.loot_id = "map";                        // other loot
      if (i % 90 == 17 && seq == 1) event.event_id = event_of("h1", 1).event_id;  // shared
      stores.add_event(event);
      if (i % 3 == 0) stores.add_event(event);  // twice
      if (i % 90 == 21 && seq == 1) {
        event.event_id = std::string(32, 'f');
        stores.add_event(event);
      }
    }
    stores.add_event(event_of(hunter, count), true);
  }
  stores.add_text("poison", false);
  stores.add_text("poison too", true);
  uint32_t const supply = stores.reading.supplies.index_of("chest", "coin");
  for (const std::string& id : {event_of("h1", 1).event_id, event_of("h2", 1).event_id,
                                std::string(32, '9'), std::string("short")})
    CHECK(static_cast<bool>(stores.reading.add_unit(supply, id, false)));
  CHECK(static_cast<bool>(stores.reading.add_unit(supply, event_of("h2", 1).event_id, true)));
  CHECK(static_cast<bool>(stores.reading.add_unit(supply, event_of("h3", 1).event_id, true)));
  stores.reading.supplies.supply("chest", "relic").counted = 4;
}

}  // namespace

TEST_CASE("groups: the report is the same in one group and in many, byte by byte") {
  std::string expected;
  for (size_t list_max : {1000, 3}) {
    Stores whole({}, list_max);
    fill(whole);
    CHECK(whole.compare_all(1 << 30) == 1);
    Report const report = whole.findings.take();
    expected = report_json(report, true);
    for (const char* kind :
         {"row_missing_events", "lost_by_redis", "event_missing", "event_loot", "event_id_shared",
          "seq_shared", "supply_event", "supply_lost", "unreadable"})
      if (list_max > 3) CHECK(expected.find(fmt::format("\"{}\"", kind)) != std::string::npos);
    CHECK(report.sessions == 300);
    CHECK(report.supply_pending == 1);
    for (size_t bytes_max : {100'000, 20'000, 6'000}) {
      Stores parts({}, list_max);
      fill(parts);
      CHECK(parts.compare_all(bytes_max) > 1);
      CHECK(report_json(parts.findings.take(), true) == expected);
    }
  }
}

TEST_CASE("groups: the sessions of one bucket can be divided") {
  // All hunters that are in the bucket of h0.
  std::vector<std::string> hunters;
  for (int i = 0; hunters.size() < 20; ++i)
    if (std::string const hunter = fmt::format("h{}", i);
        huntd::bucket_of(hunter) == huntd::bucket_of("h0"))
      hunters.push_back(hunter);
  auto const fill_bucket = [&](Stores& stores) {
    for (const std::string& hunter : hunters) {
      stores.add_session(hunter, 30, 29);
      for (uint64_t seq = 1; seq <= 30; ++seq) stores.add_event(event_of(hunter, seq));
    }
  };
  Stores whole;
  fill_bucket(whole);
  CHECK(whole.compare_all(1 << 30) == 1);
  Stores parts;
  fill_bucket(parts);
  CHECK(parts.compare_all(12'000) >= 5);
  CHECK(report_json(parts.findings.take(), true) == report_json(whole.findings.take(), true));
}

TEST_CASE("groups: a record that is in the topic many times needs the memory of one") {
  Stores stores;
  stores.add_session("ada", 3, 3);
  for (int i = 0; i < 5000; ++i)
    for (uint64_t seq = 1; seq <= 3; ++seq) stores.add_event(event_of("ada", seq));
  CHECK(stores.compare_all(50'000) >= 1);
  Report const report = stores.findings.take();
  CHECK(report.agrees());
  CHECK(report.kafka_records == 15'000);
  CHECK(report.kafka_events == 3);
}

TEST_CASE("groups: halves together are the group, down to single sessions") {
  Group const bucket{5, 5};
  REQUIRE(bucket.can_split());
  for (const char* hunt : {"chest", "hoard", "camp"}) {
    int owners = 0;
    for (const Group& half : bucket.split())
      for (const Group& quarter : half.split()) owners += quarter.has("ada", hunt) ? 1 : 0;
    CHECK(owners == 1);
  }
  Group group{};
  for (int i = 0; i < 10; ++i) group = group.split()[1];
  CHECK(group.first == 1023);
  CHECK(group.last == 1023);
  CHECK(group.slices == 1);
  CHECK_FALSE(Group{1, 1, 0, Group::slices_max}.can_split());
}

TEST_CASE("scope: what is not of the hunter or of the hunt is not read") {
  for (bool of_hunter : {true, false}) {
    Stores stores(of_hunter ? Scope{"ada", ""} : Scope{"", "chest"});
    for (const char* hunter : {"ada", "bob"})
      for (const char* hunt : {"chest", "hoard"}) {
        stores.add_session(hunter, 3, 3, hunt);
        for (uint64_t seq = 1; seq <= 3; ++seq) stores.add_event(event_of(hunter, seq, hunt));
      }
    stores.add_text("poison", false);
    CHECK(stores.compare_all(1 << 30) == 1);
    Report const report = stores.findings.take();
    CHECK(report.agrees());
    CHECK(report.sessions == 2);
    CHECK(report.kafka_records == 6);
  }
}

TEST_CASE("dead letters: place and bytes must be those of the record") {
  Stores stores;
  stores.add_text("poison", false);
  stores.add_text("poison", true);
  RecordPlace const place{false, 3, "41"};
  CHECK(stores.reading.unreadable.has_kafka_records());
  CHECK(
      static_cast<bool>(stores.reading.unreadable.add_dead_letter(place, huntd::hash64("poison"))));
  CHECK(static_cast<bool>(stores.reading.unreadable.match(stores.findings)));
  REQUIRE(stores.reading.unreadable.open().size() == 1);
  CHECK(stores.reading.unreadable.open()[0].place.text() == "outbox:{b3} 41");
  stores.reading.unreadable.end(stores.findings);
  Report const report = stores.findings.take();
  CHECK(report.set_aside == 1);
  CHECK(report.dead_lettered[0].position == "partition 3 offset 41");
  CHECK(report.differences_total == 1);
  Stores other;
  other.add_text("poison", false);
  CHECK(static_cast<bool>(other.reading.unreadable.add_dead_letter(place, huntd::hash64("else"))));
  CHECK(static_cast<bool>(other.reading.unreadable.match(other.findings)));
  CHECK(other.reading.unreadable.open().size() == 1);
}

TEST_CASE("read again: an event that is in the outbox is not missing in the table") {
  // The row has counted seq 3 and not 2, which was awarded after the outbox was read.
  Findings findings(50);
  Supplies supplies;
  Snapshots snapshots;
  SessionSnapshot& session = snapshots.session("ada", "chest");
  session.has_held = session.has_row = true;
  session.held = {.loot = {{"coin", 1}}, .generation = gen_1, .seq = 1};
  session.row.loot = {{"coin", 1}, {"gem", 1}};
  session.row.loot_count = 2;
  session.row.generation = gen_1;
  session.row.seen.insert(1);
  session.row.seen.insert(3);
  Comparison comparison(snapshots, supplies, findings);
  comparison.check();
  REQUIRE(comparison.awaits_merge());
  session.held = {.loot = {{"coin", 2}, {"gem", 1}}, .generation = gen_1, .seq = 3};
  comparison.check_again();
  CHECK(comparison.awaits_merge());
  comparison.found_in_outbox({.event_id = EventId::of(event_of("ada", 2).event_id),
                              .hunter_id = "ada",
                              .hunt_id = "chest",
                              .loot_id = "coin",
                              .generation = gen_1,
                              .seq = 2,
                              .in_outbox = true});
  comparison.check_again();
  CHECK(comparison.doubtful().empty());
  comparison.end();
  CHECK(findings.take().agrees());
}
