// SPDX-License-Identifier: Apache-2.0
#include "reconcile/compare.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <utility>

using huntd::LootEvent;
using huntd::reconcile::Report;
using huntd::reconcile::SessionSnapshot;
using huntd::reconcile::Snapshots;

namespace {

LootEvent event_of(uint64_t seq, std::string hunter_id = "ada", std::string loot_id = "coin",
                   uint64_t event_number = 0, int64_t timestamp_ms = 1) {
  return {.event_id = fmt::format("{:032x}", event_number == 0
                                                 ? seq + 1000 * static_cast<uint64_t>(hunter_id[0])
                                                 : event_number),
          .hunter_id = std::move(hunter_id),
          .hunt_id = "chest",
          .loot_id = std::move(loot_id),
          .seq = seq,
          .timestamp_ms = timestamp_ms,
          .bundle = std::string(32, 'a')};
}

// Hunter ada was awarded three coins, and all stores agree.
Snapshots agreeing_snapshots(bool has_kafka) {
  Snapshots snapshots;
  snapshots.has_kafka = has_kafka;
  SessionSnapshot& session = snapshots.session("ada", "chest");
  session.has_held = session.has_row = true;
  session.held = {.loot = {{"coin", 3}}, .seq = 3};
  session.row.loot = {{"coin", 3}};
  session.row.loot_count = 3;
  for (uint64_t seq = 1; seq <= 3; ++seq) session.row.seen.insert(seq);
  if (has_kafka)
    for (uint64_t seq = 1; seq <= 3; ++seq) snapshots.add_event(event_of(seq), false);
  return snapshots;
}

// Retention has deleted rows up to time 10. Hunter ada was awarded `given` coins, and her row has
// seen the seqs `seen`. If `seen` is empty, she has no row.
Snapshots expired_snapshots(uint64_t given, std::initializer_list<uint64_t> seen) {
  Snapshots snapshots;
  snapshots.expired_before_ms = 10;
  SessionSnapshot& session = snapshots.session("ada", "chest");
  session.has_held = true;
  session.held = {.loot = {{"coin", given}}, .seq = given};
  session.has_row = seen.size() > 0;
  if (session.has_row) session.row.loot = {{"coin", seen.size()}};
  session.row.loot_count = seen.size();
  for (uint64_t seq : seen) session.row.seen.insert(seq);
  return snapshots;
}

// Adds a Kafka topic that has lost its beginning, and that has ada's events with the seqs `old` and
// `recent`.
void trim_topic_to(Snapshots& snapshots, std::initializer_list<uint64_t> old,
                   std::initializer_list<uint64_t> recent) {
  snapshots.has_kafka = true;
  snapshots.kafka_from_the_start = false;
  for (uint64_t seq : old) snapshots.add_event(event_of(seq, "ada", "coin", 0, 9), false);
  for (uint64_t seq : recent) snapshots.add_event(event_of(seq, "ada", "coin", 0, 10), false);
}

std::string kinds_of(const Report& report) {
  std::string kinds;
  for (const huntd::reconcile::Difference& difference : report.differences)
    kinds += (kinds.empty() ? "" : " ") + difference.kind;
  return kinds;
}

Report compare(Snapshots& snapshots, size_t differences_max) {
  huntd::reconcile::Supplies supplies;
  return huntd::reconcile::compare(snapshots, supplies, differences_max);
}

std::string kinds_in(Snapshots snapshots) { return kinds_of(compare(snapshots, 50)); }

// Returns kind and seqs of each difference: "row_missing 2 to 4; …".
std::string seqs_in(const Report& report) {
  std::string named;
  for (const huntd::reconcile::Difference& difference : report.differences) {
    size_t const at = difference.detail.find("seq ") + 4;
    named += fmt::format("{}{} {}", named.empty() ? "" : "; ", difference.kind,
                         difference.detail.substr(at, difference.detail.find(':', at) - at));
  }
  return named;
}

}  // namespace

TEST_CASE("stores that agree have no difference, with and without Kafka") {
  for (bool has_kafka : {false, true}) {
    Snapshots snapshots = agreeing_snapshots(has_kafka);
    Report report = compare(snapshots, 50);
    CHECK(report.agrees());
    CHECK(report.complete());
    CHECK(report.held_loot == 3);
    CHECK(report.row_loot == 3);
    CHECK(report.kafka_events == (has_kafka ? 3 : 0));
  }
}

TEST_CASE("a record that is twice in Kafka is one event") {
  Snapshots snapshots = agreeing_snapshots(true);
  snapshots.add_event(event_of(2), false);
  Report report = compare(snapshots, 50);
  CHECK(report.agrees());
  CHECK(report.kafka_records == 4);
  CHECK(report.kafka_events == 3);
}

TEST_CASE("counts in Redis that do not add up to #seq are a difference") {
  Snapshots snapshots = agreeing_snapshots(false);
  snapshots.session("ada", "chest").held.loot["coin"] = 2;
  CHECK(kinds_in(std::move(snapshots)).find("held_seq") != std::string::npos);
}

TEST_CASE("a missing event is reported with its seq") {
  Snapshots snapshots = agreeing_snapshots(true);
  std::erase_if(snapshots.events,
                [](const huntd::reconcile::EventSnapshot& event) { return event.seq == 2; });
  Report report = compare(snapshots, 50);
  CHECK(kinds_of(report) == "event_missing");
  CHECK(report.differences[0].detail.find("seq 2:") != std::string::npos);
}

TEST_CASE("events that only the table still has are not a difference") {
  Snapshots snapshots = agreeing_snapshots(true);
  snapshots.kafka_from_the_start = false;
  std::erase_if(snapshots.events,
                [](const huntd::reconcile::EventSnapshot& event) { return event.seq == 1; });
  CHECK(kinds_in(snapshots).empty());
  // The same for an event in hunt_session_waiting.
  SessionSnapshot& session = snapshots.session("ada", "chest");
  session.row.seen = {};
  session.row.seen.insert(2);
  session.row.seen.insert(3);
  session.row.loot = {{"coin", 2}};
  session.row.loot_count = 2;
  session.row.waiting.push_back(event_of(1));
  CHECK(kinds_in(std::move(snapshots)).empty());
}

TEST_CASE("loot is compared if all events of a hunter are in the topic") {
  for (bool from_the_start : {true, false}) {
    Snapshots snapshots = agreeing_snapshots(true);
    snapshots.kafka_from_the_start = from_the_start;
    snapshots.events.pop_back();
    snapshots.add_event(event_of(3, "ada", "gem"), false);
    CHECK(kinds_in(std::move(snapshots)) == "event_loot");
  }
}

TEST_CASE("an event in the outbox that the row has not seen is waiting") {
  for (bool has_kafka : {false, true}) {
    Snapshots snapshots = agreeing_snapshots(has_kafka);
    snapshots.session("ada", "chest").held = {.loot = {{"coin", 3}, {"gem", 1}}, .seq = 4};
    snapshots.add_event(event_of(4, "ada", "gem"), true);
    Report report = compare(snapshots, 50);
    CHECK(report.agrees());
    CHECK_FALSE(report.complete());
    CHECK(report.waiting == 1);
    CHECK(report.outbox_events == 1);
  }
}

TEST_CASE("an event in Kafka and in the outbox counts once, and waits until it is merged") {
  Snapshots snapshots = agreeing_snapshots(true);
  snapshots.session("ada", "chest").held = {.loot = {{"coin", 4}}, .seq = 4};
  snapshots.add_event(event_of(4), true);
  snapshots.add_event(event_of(4), false);
  Report report = compare(snapshots, 50);
  CHECK(report.agrees());
  CHECK(report.kafka_events == 4);
  CHECK(report.outbox_events == 1);
  CHECK(report.waiting == 1);
}

TEST_CASE("an event only in Kafka that the row has not seen is a difference") {
  Snapshots snapshots = agreeing_snapshots(true);
  snapshots.session("ada", "chest").held = {.loot = {{"coin", 4}}, .seq = 4};
  snapshots.add_event(event_of(4), false);
  CHECK(kinds_in(std::move(snapshots)) == "row_missing_events");
}

TEST_CASE("loot without a row is a difference, and so is a row without loot") {
  Snapshots snapshots;
  SessionSnapshot& held = snapshots.session("ada", "chest");
  held.has_held = true;
  held.held = {.loot = {{"coin", 1}}, .seq = 1};
  CHECK(kinds_in(std::move(snapshots)) == "row_missing");
  Snapshots other;
  SessionSnapshot& row = other.session("ada", "chest");
  row.has_row = true;
  row.row.seen.insert(1);
  row.row.loot = {{"coin", 1}};
  row.row.loot_count = 1;
  CHECK(kinds_in(std::move(other)) == "lost_by_redis");
}

TEST_CASE("a row with other loot is a difference even if the seqs agree") {
  Snapshots snapshots = agreeing_snapshots(true);
  snapshots.session("ada", "chest").row.loot = {{"coin", 2}, {"gem", 1}};
  CHECK(kinds_in(std::move(snapshots)) == "row_loot");
}

TEST_CASE("a loot_count that is not the sum is a difference") {
  Snapshots snapshots = agreeing_snapshots(false);
  snapshots.session("ada", "chest").row.loot_count = 4;
  CHECK(kinds_in(std::move(snapshots)) == "row_count");
}

TEST_CASE("events with other loot than Redis holds are a difference") {
  Snapshots snapshots = agreeing_snapshots(true);
  snapshots.events.clear();
  for (uint64_t seq = 1; seq <= 3; ++seq)
    snapshots.add_event(event_of(seq, "ada", seq == 3 ? "gem" : "coin"), false);
  CHECK(kinds_in(std::move(snapshots)) == "event_loot");
}

TEST_CASE("an event that Redis does not know is lost, and so are the awards before it") {
  Snapshots snapshots = agreeing_snapshots(true);
  snapshots.add_event(event_of(9), false);
  CHECK(seqs_in(compare(snapshots, 50)) == "row_missing_events 4 to 9; lost_by_redis 9");
}

TEST_CASE("a shared seq or event_id is reported") {
  Snapshots snapshots = agreeing_snapshots(true);
  snapshots.add_event(event_of(2, "ada", "coin", 77), false);
  CHECK(kinds_in(std::move(snapshots)) == "seq_shared");
  Snapshots other = agreeing_snapshots(true);
  SessionSnapshot& bob = other.session("bob", "chest");
  bob.has_held = bob.has_row = true;
  bob.held = {.loot = {{"coin", 1}}, .seq = 1};
  bob.row.loot = {{"coin", 1}};
  bob.row.loot_count = 1;
  bob.row.seen.insert(1);
  LootEvent stolen = event_of(1, "bob");
  stolen.event_id = event_of(1).event_id;
  other.add_event(stolen, false);
  CHECK(kinds_in(std::move(other)) == "event_id_shared");
}

TEST_CASE("events in hunt_session_waiting count as in the table") {
  Snapshots snapshots = agreeing_snapshots(true);
  SessionSnapshot& session = snapshots.session("ada", "chest");
  session.held = {.loot = {{"coin", 4}}, .seq = 4};
  session.row.waiting.push_back(event_of(4));
  snapshots.add_event(event_of(4), false);
  CHECK(kinds_in(std::move(snapshots)).empty());
}

TEST_CASE("a supply with too many units is a difference") {
  Snapshots snapshots = agreeing_snapshots(true);
  huntd::reconcile::Supplies supplies;
  supplies.supply("chest", "coin").given = 1;
  supplies.supply("chest", "coin").pending = 2;
  Report report = huntd::reconcile::compare(snapshots, supplies, 50);
  CHECK(report.agrees());
  CHECK(report.supplies == 1);
  CHECK(report.supply_pending == 2);
  supplies = {};
  supplies.supply("chest", "crown").given = 1;
  Snapshots again = agreeing_snapshots(true);
  CHECK(kinds_of(huntd::reconcile::compare(again, supplies, 50)) == "supply_over");
}

TEST_CASE("an unreadable record is a difference") {
  Snapshots snapshots = agreeing_snapshots(true);
  snapshots.unreadable.push_back({"partition 3 offset 41", "not a JSON object"});
  CHECK(kinds_in(std::move(snapshots)) == "unreadable");
}

TEST_CASE("missing expired rows are not a difference, missing recent rows are") {
  Snapshots snapshots = agreeing_snapshots(false);
  SessionSnapshot& session = snapshots.session("ada", "chest");
  session.has_row = false;
  session.row = {};
  CHECK(kinds_in(snapshots) == "row_missing");
  snapshots.expired_before_ms = 10;
  CHECK(compare(snapshots, 50).expired == 1);
  CHECK(kinds_in(snapshots).empty());
  // With Kafka: old events may be missing in the table, a recent event may not.
  snapshots.has_kafka = true;
  for (uint64_t seq = 1; seq <= 3; ++seq) snapshots.add_event(event_of(seq), false);
  CHECK(kinds_in(snapshots).empty());
  snapshots.session("ada", "chest").held = {.loot = {{"coin", 4}}, .seq = 4};
  LootEvent newer = event_of(4);
  newer.timestamp_ms = 10;
  snapshots.add_event(newer, false);
  CHECK(kinds_in(snapshots) == "row_missing");
}

TEST_CASE("a hole between seqs of the row is reported after rows have expired") {
  Snapshots snapshots = expired_snapshots(7, {1, 2, 3, 4, 5, 7});
  Report report = compare(snapshots, 50);
  CHECK(seqs_in(report) == "row_missing_events 6");
  CHECK(report.expired == 0);
  trim_topic_to(snapshots, {}, {7});
  report = compare(snapshots, 50);
  CHECK(seqs_in(report) == "event_missing 6; row_missing_events 6");
  CHECK(report.expired == 0);
}

TEST_CASE("a hole after the last seq of the row is reported after rows have expired") {
  Snapshots snapshots = expired_snapshots(5, {1, 2, 3});
  CHECK(seqs_in(compare(snapshots, 50)) == "row_missing_events 4 to 5");
  trim_topic_to(snapshots, {2}, {3});
  CHECK(seqs_in(compare(snapshots, 50)) == "event_missing 4 to 5; row_missing_events 4 to 5");
}

TEST_CASE("seqs before the first seq of a new row have expired") {
  Snapshots snapshots = expired_snapshots(7, {6, 7});
  Report report = compare(snapshots, 50);
  CHECK(seqs_in(report).empty());
  CHECK(report.expired == 1);
  trim_topic_to(snapshots, {}, {7});
  report = compare(snapshots, 50);
  CHECK(seqs_in(report).empty());
  CHECK(report.expired == 1);
}

TEST_CASE("a new row has an expired beginning, and its hole is reported") {
  Snapshots snapshots = expired_snapshots(9, {6, 7, 9});
  Report report = compare(snapshots, 50);
  CHECK(seqs_in(report) == "row_missing_events 8");
  CHECK(report.expired == 1);
  trim_topic_to(snapshots, {}, {9});
  CHECK(seqs_in(compare(snapshots, 50)) == "event_missing 8; row_missing_events 8");
}

TEST_CASE("from the first recent event on, every seq must be in the row") {
  Snapshots snapshots = expired_snapshots(10, {10});
  trim_topic_to(snapshots, {6, 7}, {8, 10});
  Report report = compare(snapshots, 50);
  CHECK(seqs_in(report) == "event_missing 9; row_missing_events 8 to 9");
  CHECK(report.expired == 1);
}

TEST_CASE("without a row, every seq before the first recent event has expired") {
  Snapshots snapshots = expired_snapshots(4, {});
  trim_topic_to(snapshots, {}, {});
  Report report = compare(snapshots, 50);
  CHECK(seqs_in(report).empty());
  CHECK(report.expired == 1);
  trim_topic_to(snapshots, {3}, {4});
  report = compare(snapshots, 50);
  CHECK(seqs_in(report) == "row_missing 4");
  CHECK(report.expired == 1);
}

TEST_CASE("a recent event in the outbox ends the expired seqs, without a row too") {
  Snapshots snapshots = expired_snapshots(7, {});
  snapshots.add_event(event_of(5, "ada", "coin", 0, 10), true);
  snapshots.add_event(event_of(7, "ada", "coin", 0, 10), true);
  Report report = compare(snapshots, 50);
  CHECK(seqs_in(report) == "row_missing 6");
  CHECK(report.expired == 1);
  CHECK(report.waiting == 2);
}

TEST_CASE("a hole after the first event of the topic is reported without a row") {
  Snapshots snapshots = expired_snapshots(6, {});
  trim_topic_to(snapshots, {3, 5}, {});
  CHECK(seqs_in(compare(snapshots, 50)) == "event_missing 4, 6");
}

TEST_CASE("an old event is reported if a row exists that has not seen it") {
  Snapshots snapshots = expired_snapshots(4, {1, 2, 4});
  trim_topic_to(snapshots, {2, 3}, {4});
  CHECK(seqs_in(compare(snapshots, 50)) == "row_missing_events 3");
}

TEST_CASE("nothing expires of an unreadable row, or if no row was ever deleted") {
  Snapshots snapshots = expired_snapshots(3, {});
  snapshots.session("ada", "chest").has_row =
      true;  // as postgres_snapshot.cc leaves an unreadable row
  CHECK(seqs_in(compare(snapshots, 50)) == "row_missing_events 1 to 3");
  Snapshots other = expired_snapshots(3, {2});
  other.expired_before_ms = 0;
  CHECK(seqs_in(compare(other, 50)) == "row_missing_events 1, 3");
  trim_topic_to(other, {}, {3});
  CHECK(seqs_in(compare(other, 50)) == "event_missing 1; row_missing_events 1, 3");
}

TEST_CASE("the list of differences is bounded, the total is not") {
  Snapshots snapshots;
  for (int i = 0; i < 100; ++i) {
    SessionSnapshot& session = snapshots.session(fmt::format("h{}", i), "chest");
    session.has_held = true;
    session.held = {.loot = {{"coin", 1}}, .seq = 1};
  }
  Report report = compare(snapshots, 7);
  CHECK(report.differences.size() == 7);
  CHECK(report.differences_total == 100);
  CHECK(report_text(report, false).find("93 more") != std::string::npos);
}

namespace {

LootEvent event_of_units(uint64_t seq, int32_t units, std::string loot_id) {
  LootEvent event = event_of(seq, "ada", std::move(loot_id));
  event.units = units;
  return event;
}

// Hunter ada got five iron, gave three of them, and got a sword. All stores have that.
Snapshots smith_snapshots(bool has_kafka) {
  Snapshots snapshots;
  snapshots.has_kafka = has_kafka;
  SessionSnapshot& session = snapshots.session("ada", "chest");
  session.has_held = session.has_row = true;
  session.held = {
      .loot = {{"iron", 2}, {"sword", 1}}, .generation = 0, .seq = 3, .added = 4, .taken = 4};
  session.row.loot = session.held.loot;
  session.row.loot_count = 3;
  session.row.added = session.row.taken = 4;
  for (uint64_t seq = 1; seq <= 3; ++seq) session.row.seen.insert(seq);
  if (!has_kafka) return snapshots;
  snapshots.add_event(event_of_units(1, 5, "iron"), false);
  snapshots.add_event(event_of_units(2, -3, "iron"), false);
  snapshots.add_event(event_of_units(3, 1, "sword"), false);
  return snapshots;
}

}  // namespace

TEST_CASE("awards of several units and takes add up") {
  for (bool has_kafka : {false, true}) {
    Snapshots const agreeing = smith_snapshots(has_kafka);
    CHECK(kinds_in(agreeing).empty());
    Snapshots snapshots = agreeing;
    snapshots.session("ada", "chest").held.added = 3;
    CHECK(kinds_in(snapshots) == "held_seq");
    snapshots = agreeing;
    snapshots.session("ada", "chest").held.taken = 0;
    CHECK(kinds_in(snapshots) == "held_seq");
  }
  Snapshots other = smith_snapshots(false);
  other.has_kafka = true;
  other.add_event(event_of_units(1, 5, "iron"), false);
  other.add_event(event_of_units(2, -2, "iron"), false);
  other.add_event(event_of_units(3, 1, "sword"), false);
  CHECK(kinds_in(other) == "event_loot");
}

TEST_CASE("a lost take is named with what it took, with and without its event") {
  for (bool has_kafka : {false, true}) {
    Snapshots snapshots = smith_snapshots(has_kafka);
    snapshots.session("ada", "chest").held = {
        .loot = {{"iron", 5}}, .generation = 0, .seq = 1, .added = 4};
    Report const report = compare(snapshots, 50);
    REQUIRE(kinds_of(report) == "lost_by_redis");
    huntd::reconcile::LootCounts const lost = {{"iron", -3}, {"sword", 1}};
    CHECK(report.differences[0].loot == lost);
    CHECK(report.lost == 2);
  }
}

TEST_CASE("units of a supply that were taken from hunters are not missing") {
  Snapshots snapshots = smith_snapshots(false);
  huntd::reconcile::Supplies supplies;
  supplies.supply("chest", "iron").given = 5;
  CHECK(huntd::reconcile::compare(snapshots, supplies, 50).agrees());
  huntd::reconcile::Supplies more;
  more.supply("chest", "iron").given = 7;
  CHECK(kinds_of(huntd::reconcile::compare(snapshots, more, 50)) == "supply_over");
  huntd::reconcile::Supplies of_another_hunt;
  of_another_hunt.supply("forest", "iron").given = 1;
  CHECK(kinds_of(huntd::reconcile::compare(snapshots, of_another_hunt, 50)) == "supply_over");
}
