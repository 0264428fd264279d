// SPDX-License-Identifier: Apache-2.0
// Generations, losses of Redis, purged seasons, and sessions that are read again.
#include <fmt/format.h>

#include "reconcile/compare.h"
// doctest defines its own CHECK.
#undef CHECK
#include <doctest/doctest.h>

using huntd::LootEvent;
using huntd::SeqSet;
using namespace huntd::reconcile;

namespace {

constexpr uint64_t gen_1 = 0x0193'0000'0000'0001;
constexpr uint64_t gen_2 = 0x0193'0000'0000'0002;
constexpr uint64_t gen_3 = 0x0193'0000'0000'0003;

LootEvent event_of(uint64_t generation, uint64_t seq, std::string loot_id = "coin") {
  return {.event_id = fmt::format("{:016x}{:016x}", generation, seq),
          .hunter_id = "ada",
          .hunt_id = "chest",
          .loot_id = std::move(loot_id),
          .seq = seq,
          .timestamp_ms = 1,
          .bundle = std::string(32, 'a'),
          .generation = generation};
}

SeqSet seqs_to(uint64_t last) { return *SeqSet::read(last, "{}"); }

SessionSnapshot& ada(Snapshots& snapshots) { return snapshots.session("ada", "chest"); }

void set_held(Snapshots& snapshots, HeldSnapshot held) {
  ada(snapshots).has_held = true;
  ada(snapshots).held = std::move(held);
}

void set_row(Snapshots& snapshots, RowSnapshot row) {
  row.loot_count = sum_of(row.loot);
  ada(snapshots).has_row = true;
  ada(snapshots).row = std::move(row);
}

void add_kafka(Snapshots& snapshots, uint64_t generation, uint64_t first, uint64_t last) {
  snapshots.has_kafka = true;
  for (uint64_t seq = first; seq <= last; ++seq)
    snapshots.add_event(event_of(generation, seq), false);
}

std::string loot_text(const LootCounts& loot) {
  std::string text;
  for (const auto& [loot_id, count] : loot)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, loot_id);
  return text;
}

// What the report says: "kind", and of lost_by_redis "lost GENERATION seqs SEQS: LOOT"; the
// generation as a number from 1.
std::string named_by(const Report& report) {
  std::string text;
  for (const Difference& difference : report.differences) {
    if (!text.empty()) text += "; ";
    if (difference.kind != "lost_by_redis")
      text += difference.kind;
    else
      text += fmt::format("lost {} seqs {}: {}", difference.generation & 0xffff,
                          ranges_text(difference.seqs), loot_text(difference.loot));
  }
  return text;
}

Report compare(Snapshots& snapshots, size_t differences_max) {
  Supplies supplies;
  return huntd::reconcile::compare(snapshots, supplies, differences_max);
}

std::string named_in(Snapshots& snapshots) { return named_by(compare(snapshots, 50)); }

}  // namespace

TEST_CASE("generations: stores agree on a present and an earlier generation") {
  for (bool has_kafka : {false, true}) {
    Snapshots snapshots;
    set_held(
        snapshots,
        {.loot = {{"coin", 5}}, .generation = gen_2, .seq = 2, .before = 3, .was = {{gen_1, 3}}});
    set_row(snapshots, {.loot = {{"coin", 5}},
                        .generation = gen_2,
                        .seen = seqs_to(2),
                        .past = {{gen_1, seqs_to(3)}}});
    if (has_kafka) {
      add_kafka(snapshots, gen_2, 1, 2);
      add_kafka(snapshots, gen_1, 1, 3);  // later in the topic: by the sweep
    }
    Report const report = compare(snapshots, 50);
    CHECK(named_by(report).empty());
    CHECK(report.complete());
    CHECK(report.lost == 0);
  }
}

TEST_CASE("generations: counts that do not add up to #before and #seq are a difference") {
  Snapshots snapshots;
  set_held(
      snapshots,
      {.loot = {{"coin", 5}}, .generation = gen_2, .seq = 2, .before = 2, .was = {{gen_1, 3}}});
  set_row(snapshots, {.loot = {{"coin", 5}},
                      .generation = gen_2,
                      .seen = seqs_to(2),
                      .past = {{gen_1, seqs_to(3)}}});
  CHECK(named_in(snapshots) == "held_seq");
}

TEST_CASE("generations: a hole in an earlier generation is a difference") {
  Snapshots snapshots;
  set_held(
      snapshots,
      {.loot = {{"coin", 5}}, .generation = gen_2, .seq = 2, .before = 3, .was = {{gen_1, 3}}});
  set_row(snapshots, {.loot = {{"coin", 4}},
                      .generation = gen_2,
                      .seen = seqs_to(2),
                      .past = {{gen_1, *SeqSet::read_text("{[1,2),[3,4)}")}}});
  Report const report = compare(snapshots, 50);
  CHECK(named_by(report) == "row_missing_events");
  CHECK(report.differences[0].detail.find("seq 2 of generation 0193000000000001:") !=
        std::string::npos);
}

TEST_CASE("generations: held of an older huntd agrees, and so does its next generation") {
  Snapshots snapshots;
  set_held(snapshots, {.loot = {{"coin", 3}}, .seq = 3});
  set_row(snapshots, {.loot = {{"coin", 3}}, .seen = seqs_to(3)});
  add_kafka(snapshots, 0, 1, 3);
  CHECK(named_in(snapshots).empty());
  set_held(snapshots,
           {.loot = {{"coin", 4}}, .generation = gen_1, .seq = 1, .before = 3, .was = {{0, 3}}});
  set_row(
      snapshots,
      {.loot = {{"coin", 4}}, .generation = gen_1, .seen = seqs_to(1), .past = {{0, seqs_to(3)}}});
  add_kafka(snapshots, gen_1, 1, 1);
  CHECK(named_in(snapshots).empty());
}

TEST_CASE("generations: restored held without #gen agrees, and so does its next generation") {
  Snapshots snapshots;
  set_held(snapshots, {.loot = {{"coin", 3}}, .before = 3, .was = {{gen_1, 3}}});
  set_row(snapshots, {.loot = {{"coin", 3}}, .generation = gen_1, .seen = seqs_to(3)});
  add_kafka(snapshots, gen_1, 1, 3);
  CHECK(named_in(snapshots).empty());
  set_held(
      snapshots,
      {.loot = {{"coin", 4}}, .generation = gen_2, .seq = 1, .before = 3, .was = {{gen_1, 3}}});
  snapshots.add_event(event_of(gen_2, 1), true);
  CHECK(named_in(snapshots).empty());
}

TEST_CASE("generations: one seq of two generations is two events") {
  Snapshots snapshots;
  set_held(
      snapshots,
      {.loot = {{"coin", 2}}, .generation = gen_2, .seq = 1, .before = 1, .was = {{gen_1, 1}}});
  set_row(snapshots, {.loot = {{"coin", 2}},
                      .generation = gen_2,
                      .seen = seqs_to(1),
                      .past = {{gen_1, seqs_to(1)}}});
  add_kafka(snapshots, gen_2, 1, 1);
  LootEvent same = event_of(gen_1, 1);
  same.event_id = event_of(gen_2, 1).event_id;
  snapshots.add_event(same, false);
  CHECK(named_in(snapshots) == "event_id_shared");
}

TEST_CASE("lost: a rewound Redis names generation, seqs and loot, with and without Kafka") {
  for (bool has_kafka : {false, true}) {
    Snapshots snapshots;
    set_held(snapshots, {.loot = {{"coin", 2}}, .generation = gen_1, .seq = 2});
    set_row(snapshots,
            {.loot = {{"coin", 3}, {"gem", 2}}, .generation = gen_1, .seen = seqs_to(5)});
    if (has_kafka) {
      add_kafka(snapshots, gen_1, 1, 3);
      for (uint64_t seq : {4, 5}) snapshots.add_event(event_of(gen_1, seq, "gem"), false);
    }
    Report const report = compare(snapshots, 50);
    CHECK(named_by(report) == "lost 1 seqs 3 to 5: 1 coin, 2 gem");
    CHECK(report.lost == 3);
    CHECK(report.differences[0].detail ==
          "Redis has lost seq 3 to 5 of generation 0193000000000001: 1 coin, 2 gem; huntctl "
          "restore gives it back");
    CHECK(
        report_json(report, has_kafka)
            .find(
                R"("generation":"0193000000000001","seqs":"3 to 5","loot":{"coin":1,"gem":2}})") !=
        std::string::npos);
    CHECK(report_json(report, has_kafka).find(R"("lost":3,)") != std::string::npos);
    CHECK(report_text(report, has_kafka).find("\nlost        3 loot") != std::string::npos);
  }
}

TEST_CASE("lost: a rewound Redis that went on with a new generation") {
  Snapshots snapshots;
  set_held(
      snapshots,
      {.loot = {{"coin", 3}}, .generation = gen_2, .seq = 1, .before = 2, .was = {{gen_1, 2}}});
  set_row(snapshots, {.loot = {{"coin", 3}, {"gem", 1}},
                      .generation = gen_2,
                      .seen = seqs_to(1),
                      .past = {{gen_1, seqs_to(3)}}});
  CHECK(named_in(snapshots) == "lost 1 seqs 3: 1 gem");
}

TEST_CASE("lost: a deleted held, before and after the next award") {
  Snapshots snapshots;
  set_row(snapshots, {.loot = {{"coin", 3}}, .generation = gen_1, .seen = seqs_to(3)});
  CHECK(named_in(snapshots) == "lost 1 seqs 1 to 3: 3 coin");
  set_held(snapshots, {.loot = {{"gem", 1}}, .generation = gen_2, .seq = 1});
  set_row(snapshots, {.loot = {{"coin", 3}, {"gem", 1}},
                      .generation = gen_2,
                      .seen = seqs_to(1),
                      .past = {{gen_1, seqs_to(3)}}});
  CHECK(named_in(snapshots) == "lost 1 seqs 1 to 3: 3 coin");
}

TEST_CASE("lost: a deleted held of an older huntd is of generation 0") {
  Snapshots snapshots;
  set_held(snapshots, {.loot = {{"coin", 1}}, .generation = gen_1, .seq = 1});
  set_row(
      snapshots,
      {.loot = {{"coin", 3}}, .generation = gen_1, .seen = seqs_to(1), .past = {{0, seqs_to(2)}}});
  Report const report = compare(snapshots, 50);
  CHECK(named_by(report) == "lost 0 seqs 1 to 2: 2 coin");
  CHECK(report_json(report, false).find(R"("generation":"0000000000000000")") != std::string::npos);
}

TEST_CASE("lost: a generation in the middle") {
  Snapshots snapshots;
  set_held(
      snapshots,
      {.loot = {{"coin", 3}}, .generation = gen_3, .seq = 1, .before = 2, .was = {{gen_1, 2}}});
  set_row(snapshots, {.loot = {{"coin", 5}},
                      .generation = gen_3,
                      .seen = seqs_to(1),
                      .past = {{gen_1, seqs_to(2)}, {gen_2, seqs_to(2)}}});
  CHECK(named_in(snapshots) == "lost 2 seqs 1 to 2: 2 coin");
}

TEST_CASE("lost: loot that only the row knows is named once, of several generations") {
  Snapshots snapshots;
  set_held(snapshots, {.loot = {{"coin", 1}}, .generation = gen_3, .seq = 1});
  set_row(snapshots, {.loot = {{"coin", 2}, {"gem", 3}},
                      .generation = gen_3,
                      .seen = seqs_to(1),
                      .past = {{gen_1, seqs_to(2)}, {gen_2, seqs_to(2)}}});
  CHECK(named_in(snapshots) == "lost 1 seqs 1 to 2: 1 coin, 1 gem; lost 2 seqs 1 to 2: 2 gem");
  // Kafka still has those of the second.
  snapshots.kafka_from_the_start = false;
  snapshots.has_kafka = true;
  for (uint64_t seq : {1, 2})
    snapshots.add_event(event_of(gen_2, seq, seq == 1 ? "coin" : "gem"), false);
  CHECK(named_in(snapshots) == "lost 1 seqs 1 to 2: 2 gem; lost 2 seqs 1 to 2: 1 coin, 1 gem");
}

TEST_CASE("lost: what no store knows is counted, and named as unknown") {
  Snapshots snapshots;
  set_held(snapshots, {.loot = {{"coin", 2}}, .generation = gen_1, .seq = 2});
  set_row(snapshots, {.loot = {{"coin", 3}}, .generation = gen_1, .seen = seqs_to(4)});
  Report const report = compare(snapshots, 50);
  CHECK(named_by(report) == "lost 1 seqs 3 to 4: 1 coin");
  CHECK(report.differences[0].detail.find("1 coin, and 1 whose loot is not known;") !=
        std::string::npos);
}

TEST_CASE("lost: events that are only in Kafka or in the outbox are lost too") {
  Snapshots snapshots;
  set_held(snapshots, {.loot = {{"coin", 1}}, .generation = gen_1, .seq = 1});
  set_row(snapshots, {.loot = {{"coin", 1}}, .generation = gen_1, .seen = seqs_to(1)});
  add_kafka(snapshots, gen_1, 1, 1);
  snapshots.add_event(event_of(gen_1, 2, "gem"), true);
  Report report = compare(snapshots, 50);
  CHECK(named_by(report) == "lost 1 seqs 2: 1 gem");
  CHECK(report.waiting == 1);
  snapshots.add_event(event_of(gen_1, 3, "map"), false);
  CHECK(named_in(snapshots) == "row_missing_events; lost 1 seqs 2 to 3: 1 gem, 1 map");
  ada(snapshots).row.waiting.push_back(event_of(gen_1, 3, "map"));
  CHECK(named_in(snapshots) == "lost 1 seqs 2 to 3: 1 gem, 1 map");
}

TEST_CASE("lost: the row is compared with what Redis has and has lost") {
  Snapshots snapshots;
  set_held(snapshots, {.loot = {{"coin", 2}}, .generation = gen_1, .seq = 2});
  set_row(snapshots, {.loot = {{"coin", 1}, {"gem", 2}}, .generation = gen_1, .seen = seqs_to(3)});
  CHECK(named_in(snapshots) == "lost 1 seqs 3: 1 gem; row_loot");
}

TEST_CASE("lost: a generation that Redis no longer names is not") {
  Snapshots snapshots;
  HeldSnapshot held{.loot = {{"coin", 18}}, .generation = gen_1 + 100, .seq = 1, .before = 17};
  RowSnapshot row{.loot = {{"coin", 18}}, .generation = gen_1 + 100, .seen = seqs_to(1)};
  row.past[gen_1] = seqs_to(2);
  for (uint64_t i = 1; i <= 15; ++i) {
    held.was[gen_1 + i] = 1;
    row.past[gen_1 + i] = seqs_to(1);
  }
  set_held(snapshots, held);
  set_row(snapshots, row);
  CHECK(named_in(snapshots).empty());
  // With room for it, it would be named.
  ada(snapshots).held.was.erase(gen_1 + 1);
  CHECK(named_in(snapshots) == "lost 1 seqs 1 to 2: ; lost 2 seqs 1: ");
}

TEST_CASE("generations: one that the row no longer names is not missing in it") {
  Snapshots snapshots;
  set_held(
      snapshots,
      {.loot = {{"coin", 3}}, .generation = gen_2, .seq = 1, .before = 2, .was = {{gen_1, 2}}});
  set_row(snapshots, {.loot = {{"coin", 3}},
                      .generation = gen_2,
                      .seen = seqs_to(1),
                      .forgotten_generation = gen_1});
  CHECK(named_in(snapshots).empty());
  ada(snapshots).row.forgotten_generation = gen_1 - 1;
  CHECK(named_in(snapshots) == "row_missing_events");
}

TEST_CASE("purged: generations up to the floor are not compared") {
  for (bool of_hunt : {true, false}) {
    Snapshots snapshots;
    if (of_hunt)
      snapshots.hunt_floors["chest"] = gen_1;
    else
      snapshots.hunter_floors["ada"] = gen_1;
    add_kafka(snapshots, gen_1, 1, 3);
    Report const report = compare(snapshots, 50);
    CHECK(named_by(report).empty());
    CHECK(report.purged_events == 3);
    // The next season.
    set_held(snapshots, {.loot = {{"coin", 2}}, .generation = gen_2, .seq = 2});
    set_row(snapshots, {.loot = {{"coin", 1}}, .generation = gen_2, .seen = seqs_to(1)});
    add_kafka(snapshots, gen_2, 1, 2);
    CHECK(named_in(snapshots) == "row_missing_events");
  }
}

TEST_CASE("purged: a season without generations, and one whose held is not deleted yet") {
  Snapshots snapshots;
  add_kafka(snapshots, 0, 1, 2);
  CHECK(named_in(snapshots) == "row_missing; lost 0 seqs 1 to 2: 2 coin");
  snapshots.hunt_floors["chest"] = 0;
  CHECK(named_in(snapshots).empty());
  set_held(snapshots, {.loot = {{"coin", 2}}, .seq = 2});
  CHECK(named_in(snapshots).empty());
}

TEST_CASE("purged: loot of a purged season in held does not hide what the row lacks") {
  Snapshots snapshots;
  snapshots.hunt_floors["chest"] = gen_1;
  set_held(
      snapshots,
      {.loot = {{"coin", 4}}, .generation = gen_2, .seq = 2, .before = 2, .was = {{gen_1, 2}}});
  set_row(snapshots, {.loot = {{"coin", 2}}, .generation = gen_2, .seen = seqs_to(2)});
  CHECK(named_in(snapshots).empty());
  ada(snapshots).row.loot = {{"coin", 1}, {"gem", 1}};
  CHECK(named_in(snapshots) == "row_loot");
}

TEST_CASE("expired: generations before the first of a new row have expired") {
  Snapshots snapshots;
  snapshots.expired_before_ms = 10;
  set_held(snapshots, {.loot = {{"coin", 8}},
                       .generation = gen_3,
                       .seq = 3,
                       .before = 5,
                       .was = {{gen_1, 2}, {gen_2, 3}}});
  set_row(snapshots, {.loot = {{"coin", 3}},
                      .generation = gen_3,
                      .seen = seqs_to(2),
                      .past = {{gen_2, *SeqSet::read_text("{[3,4)}")}}});
  Report const report = compare(snapshots, 50);
  CHECK(named_by(report) == "row_missing_events");
  CHECK(report.differences[0].detail.find("seq 3 of generation 0193000000000003:") !=
        std::string::npos);
  CHECK(report.expired == 1);
}

namespace {

// Hunter ada's row and Kafka are ahead of Redis, as on a live system that is read slowly.
void set_row_ahead(Snapshots& snapshots) {
  set_held(snapshots, {.loot = {{"coin", 2}}, .generation = gen_1, .seq = 2});
  set_row(snapshots, {.loot = {{"coin", 3}}, .generation = gen_1, .seen = seqs_to(3)});
}

// Redis and Kafka are ahead of the table.
void set_row_behind(Snapshots& snapshots) {
  set_held(snapshots, {.loot = {{"coin", 3}}, .generation = gen_1, .seq = 3});
  set_row(snapshots, {.loot = {{"coin", 1}}, .generation = gen_1, .seen = seqs_to(1)});
  add_kafka(snapshots, gen_1, 1, 3);
}

}  // namespace

TEST_CASE("read again: Redis has the awards that it seemed to have lost") {
  Snapshots snapshots;
  set_row_ahead(snapshots);
  Supplies supplies;
  Findings findings(50);
  Comparison comparison(snapshots, supplies, findings);
  comparison.check();
  CHECK(comparison.doubtful() == std::vector<uint32_t>{0});
  CHECK_FALSE(comparison.awaits_merge());
  set_held(snapshots, {.loot = {{"coin", 5}}, .generation = gen_1, .seq = 5});
  comparison.check_again();
  CHECK(comparison.doubtful().empty());
  comparison.end();
  CHECK(named_by(findings.take()).empty());
}

TEST_CASE("read again: a loss stays one, while hunters go on") {
  Snapshots snapshots;
  set_row_ahead(snapshots);
  Supplies supplies;
  Findings findings(50);
  Comparison comparison(snapshots, supplies, findings);
  comparison.check();
  set_row(snapshots, {.loot = {{"coin", 4}},
                      .generation = gen_2,
                      .seen = seqs_to(1),
                      .past = {{gen_1, seqs_to(3)}}});
  set_held(
      snapshots,
      {.loot = {{"coin", 4}}, .generation = gen_2, .seq = 2, .before = 2, .was = {{gen_1, 2}}});
  comparison.check_again();
  CHECK(comparison.doubtful().size() == 1);
  // One coin was lost and one came later: what was lost is not known by the row.
  comparison.end();
  Report const report = findings.take();
  CHECK(named_by(report) == "lost 1 seqs 3: ");
  CHECK(report.lost == 1);
}

TEST_CASE("read again: the next merge has counted what was missing") {
  Snapshots snapshots;
  set_row_behind(snapshots);
  Supplies supplies;
  Findings findings(50);
  Comparison comparison(snapshots, supplies, findings);
  comparison.check();
  CHECK(comparison.awaits_merge());
  set_row(snapshots, {.loot = {{"coin", 2}}, .generation = gen_1, .seen = seqs_to(2)});
  set_held(snapshots, {.loot = {{"coin", 9}}, .generation = gen_1, .seq = 9});
  comparison.check_again();
  CHECK(comparison.awaits_merge());
  set_row(snapshots, {.loot = {{"coin", 4}}, .generation = gen_1, .seen = seqs_to(4)});
  set_held(snapshots, {.loot = {{"coin", 12}}, .generation = gen_1, .seq = 12});
  comparison.check_again();
  CHECK_FALSE(comparison.awaits_merge());
  comparison.end();
  CHECK(named_by(findings.take()).empty());
}

TEST_CASE("read again: an event that the table never counts is reported, and nothing else") {
  Snapshots snapshots;
  set_row_behind(snapshots);
  Supplies supplies;
  Findings findings(50);
  Comparison comparison(snapshots, supplies, findings);
  comparison.check();
  set_row(snapshots,
          {.loot = {{"coin", 4}}, .generation = gen_1, .seen = *SeqSet::read(1, "{[3,6)}")});
  set_held(snapshots, {.loot = {{"coin", 7}}, .generation = gen_1, .seq = 7});
  comparison.check_again();
  comparison.end();
  Report const report = findings.take();
  CHECK(named_by(report) == "row_missing_events");
  CHECK(report.differences[0].detail.find("seq 2 of generation") != std::string::npos);
}

TEST_CASE("read again: a session that is at rest has its loot compared") {
  Snapshots snapshots;
  set_row_behind(snapshots);
  Supplies supplies;
  Findings findings(50);
  Comparison comparison(snapshots, supplies, findings);
  comparison.check();
  set_row(snapshots, {.loot = {{"coin", 2}, {"gem", 1}}, .generation = gen_1, .seen = seqs_to(3)});
  comparison.check_again();
  comparison.end();
  CHECK(named_by(findings.take()) == "row_loot");
}

TEST_CASE("read again: an event that is nowhere does not await a merge") {
  Snapshots snapshots;
  set_row_behind(snapshots);
  snapshots.events.clear();
  Supplies supplies;
  Findings findings(50);
  Comparison comparison(snapshots, supplies, findings);
  comparison.check();
  CHECK(comparison.doubtful().size() == 1);
  CHECK_FALSE(comparison.awaits_merge());
  comparison.end();
  CHECK(named_by(findings.take()) == "event_missing; row_missing_events");
}

TEST_CASE("supplies: units that the table has counted and Redis does not know are lost") {
  Snapshots snapshots;
  set_held(snapshots, {.loot = {{"coin", 3}}, .generation = gen_1, .seq = 3});
  set_row(snapshots, {.loot = {{"coin", 3}}, .generation = gen_1, .seen = seqs_to(3)});
  auto const named = [&](const SupplySnapshot& supply) {
    Supplies supplies;
    supplies.supply("chest", "coin") = supply;
    CHECK(supplies.all.size() == 1);
    return named_by(huntd::reconcile::compare(snapshots, supplies, 50));
  };
  SupplySnapshot supply{.hunt_id = "chest", .loot_id = "coin", .given = 1, .pending = 1};
  supply.counted = 3;
  CHECK(named(supply) == "supply_lost");
  supply.before = 1;  // restored
  CHECK(named(supply).empty());
  supply.before = 3;
  CHECK(named(supply) == "supply_over");
  snapshots.hunters_deleted = true;
  CHECK(named(supply).empty());
}

TEST_CASE("supplies: what Redis has lost of hunters is not reported a second time") {
  Snapshots snapshots;
  set_held(snapshots, {.loot = {{"coin", 1}}, .generation = gen_1, .seq = 1});
  set_row(snapshots, {.loot = {{"coin", 3}}, .generation = gen_1, .seen = seqs_to(3)});
  Supplies supplies;
  supplies.supply("chest", "coin").given = 3;
  CHECK(named_by(huntd::reconcile::compare(snapshots, supplies, 50)) ==
        "lost 1 seqs 2 to 3: 2 coin");
}

TEST_CASE("unreadable records in the dead letters are counted and named, and no difference") {
  Findings findings(1);
  findings.add_dead_letter("partition 0 offset 41", "not a JSON object");
  findings.add_dead_letter("partition 0 offset 7", "not a JSON object");
  Report const report = findings.take();
  CHECK(report.complete());
  CHECK(report_json(report, true).find(R"("set_aside":2,)") != std::string::npos);
  CHECK(
      report_json(report, true)
          .find(
              R"("dead_lettered":[{"position":"partition 0 offset 7","reason":"not a JSON object"}])") !=
      std::string::npos);
  CHECK(report_text(report, true)
            .find("2 unreadable records are in the dead letters: partition 0 "
                  "offset 7, …\n") != std::string::npos);
}
