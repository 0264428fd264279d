// SPDX-License-Identifier: Apache-2.0
#include "huntctl/restore_plan.h"

#include <algorithm>

#include "base/limits.h"
#include "wire/generation.h"
// doctest defines its own CHECK.
#undef CHECK
#include <doctest/doctest.h>

using namespace huntd;
using namespace huntd::huntctl;
using aggregator::Session;
using Fields = std::map<std::string, std::string>;
using Kind = RestorePlan::Kind;

namespace {

constexpr const char* lineage = " 00000000000000aa";

SeqSet upto(uint64_t seq) {
  SeqSet seqs;
  for (uint64_t i = 1; i <= seq; ++i) seqs.insert(i);
  return seqs;
}

HeldHash held_of(const Fields& fields) {
  Result<HeldHash> held = HeldHash::read({fields.begin(), fields.end()});
  REQUIRE(held);
  return std::move(*held);
}

Fields held_fields(uint64_t generation, uint64_t seq, Fields others) {
  others["#gen"] = generation_text(generation) + lineage;
  others["#seq"] = std::to_string(seq);
  return others;
}

Session row_of(uint64_t generation, uint64_t seq, decltype(Session::loot) loot,
               const std::map<uint64_t, uint64_t>& past = {}) {
  Session row;
  row.generation = generation;
  row.seen = upto(seq);
  row.loot = std::move(loot);
  for (const auto& [earlier, reached] : past) row.past[earlier] = upto(reached);
  return row;
}

// The hash after the plan. Checks that its loot adds up, and that a second plan is empty.
Fields apply(Fields fields, const RestorePlan& plan, const Session& row) {
  REQUIRE(plan.kind == Kind::restore);
  for (const auto& [field, value] : plan.set) fields[field] = value;
  for (const std::string& field : plan.remove) fields.erase(field);
  HeldHash const held = held_of(fields);
  int64_t total = 0;
  for (const auto& [loot_id, count] : held.loot) total += count;
  CHECK(total == held.units());
  CHECK(held.loot == row.loot);
  RestorePlan const again = plan_restore(held, row, 0);
  CHECK(again.kind == Kind::nothing);
  return fields;
}

std::string was(uint64_t generation) { return "#was:" + generation_text(generation); }

}  // namespace

TEST_CASE("a hash that Redis lost is written as loot of earlier generations") {
  Session const row = row_of(9, 3, {{"coin", 4}, {"gem", 1}}, {{5, 2}});
  RestorePlan const plan = plan_restore(held_of({}), row, 0);
  CHECK(plan.loot == 5);
  CHECK(apply({}, plan, row) == Fields{{"coin", "4"},
                                       {"gem", "1"},
                                       {"#seq", "0"},
                                       {"#before", "5"},
                                       {was(9), "3"},
                                       {was(5), "2"}});
}

TEST_CASE("what a hunter got since the loss is kept, with its generation") {
  Session const row = row_of(9, 2, {{"coin", 5}}, {{5, 3}});
  Fields const before = held_fields(9, 2, {{"coin", "2"}, {"#later", "x"}});
  RestorePlan const plan = plan_restore(held_of(before), row, 0);
  CHECK(plan.loot == 3);
  CHECK(apply(before, plan, row) ==
        held_fields(9, 2, {{"coin", "5"}, {"#before", "3"}, {was(5), "3"}, {"#later", "x"}}));
}

TEST_CASE("a rewound generation is ended, so that none of its seqs comes again") {
  Session const row = row_of(9, 7, {{"coin", 6}, {"gem", 1}});
  Fields const before = held_fields(9, 4, {{"coin", "4"}});
  RestorePlan const plan = plan_restore(held_of(before), row, 0);
  CHECK(plan.loot == 3);
  CHECK(apply(before, plan, row) ==
        Fields{{"coin", "6"}, {"gem", "1"}, {"#seq", "0"}, {"#before", "7"}, {was(9), "7"}});
}

TEST_CASE("an earlier generation that was rewound gets the seq that the table has counted") {
  Session const row = row_of(9, 1, {{"coin", 8}}, {{5, 7}});
  Fields const before = held_fields(9, 1, {{"coin", "5"}, {"#before", "4"}, {was(5), "4"}});
  Fields const after = apply(before, plan_restore(held_of(before), row, 0), row);
  CHECK(after.at(was(5)) == "7");
  CHECK(after.at("#before") == "7");
}

TEST_CASE("a hash of an older huntd that was rewound is ended too") {
  Session const row = row_of(0, 5, {{"coin", 5}});
  Fields const before = {{"coin", "3"}, {"#seq", "3"}};
  CHECK(apply(before, plan_restore(held_of(before), row, 0), row) ==
        Fields{{"coin", "5"}, {"#seq", "0"}, {"#before", "5"}, {was(0), "5"}});
}

TEST_CASE("a hunter whose newest loot is not in the table is restored later") {
  Session const row = row_of(5, 3, {{"coin", 3}});
  RestorePlan const plan = plan_restore(held_of(held_fields(9, 1, {{"coin", "1"}})), row, 0);
  CHECK(plan.kind == Kind::later);
  CHECK(plan.reason.find("seq 1 of generation 0000000000000009") != std::string::npos);
}

TEST_CASE("nothing is restored if Redis lacks nothing, also while the table is behind") {
  HeldHash const held = held_of(held_fields(9, 4, {{"coin", "4"}}));
  CHECK(plan_restore(held, row_of(9, 4, {{"coin", 4}}), 0).kind == Kind::nothing);
  CHECK(plan_restore(held, row_of(9, 2, {{"coin", 2}}), 0).kind == Kind::nothing);
  CHECK(plan_restore(held_of({}), Session(), 0).kind == Kind::nothing);
}

TEST_CASE("loot that differs without a lost event is reported and not restored") {
  HeldHash const held = held_of(held_fields(9, 4, {{"coin", "4"}}));
  CHECK(plan_restore(held, row_of(9, 4, {{"coin", 3}, {"gem", 1}}), 0).kind == Kind::differs);
  // Redis lost seq 5, but has more of a loot than the table.
  RestorePlan const plan = plan_restore(held, row_of(9, 5, {{"coin", 3}, {"gem", 2}}), 0);
  CHECK(plan.kind == Kind::differs);
}

TEST_CASE("loot of a purged season in Redis is not mixed with that of a later one") {
  HeldHash const held = held_of(held_fields(4, 1, {{"coin", "1"}}));
  CHECK(plan_restore(held, row_of(9, 5, {{"coin", 5}}), 4).kind == Kind::differs);
  CHECK(plan_restore(held, row_of(9, 5, {{"coin", 5}}), 3).kind == Kind::later);
}

TEST_CASE("a hash lists at most the newest earlier generations") {
  std::map<uint64_t, uint64_t> past;
  for (uint64_t generation = 1; generation <= limits::past_generations_max; ++generation)
    past[generation] = 1;
  Session const row = row_of(90, 1, {{"coin", limits::past_generations_max + 1}}, past);
  Fields const before = held_fields(90, 1, {{"coin", "2"}, {"#before", "1"}, {was(1), "1"}});
  Fields const after = apply(before, plan_restore(held_of(before), row, 0), row);
  auto const listed = std::count_if(after.begin(), after.end(), [](const auto& field) {
    return field.first.starts_with("#was:");
  });
  CHECK(listed == limits::held_was_max);
  CHECK_FALSE(after.contains(was(1)));
  CHECK(after.contains(was(2)));
}

TEST_CASE("a row that has dropped generations is restored if Redis lacks loot") {
  Session row = row_of(90, 1, {{"coin", 9}}, {{80, 1}});
  row.forgotten_generation = 70;
  Fields const before = held_fields(90, 1, {{"coin", "2"}, {"#before", "1"}, {was(80), "1"}});
  RestorePlan const plan = plan_restore(held_of(before), row, 0);
  CHECK(plan.kind == Kind::restore);
  CHECK(plan.loot == 7);
  apply(before, plan, row);
  row.loot["coin"] = 2;
  CHECK(plan_restore(held_of(before), row, 0).kind == Kind::nothing);
}

namespace {

Session with_units(Session row, uint64_t added, uint64_t taken) {
  row.added = added;
  row.taken = taken;
  return row;
}

}  // namespace

TEST_CASE("awards of several units that Redis lost are written with their units") {
  // seq 1: 5 coins; lost: seq 2, 3 coins, and seq 3, a gem.
  Session const row = with_units(row_of(9, 3, {{"coin", 8}, {"gem", 1}}), 6, 0);
  Fields const held = held_fields(9, 1, {{"coin", "5"}, {"#added", "4"}});
  RestorePlan const plan = plan_restore(held_of(held), row, 0);
  CHECK(plan.loot == 4);
  Fields const restored = apply(held, plan, row);
  CHECK(restored.at("#added") == "6");
  CHECK(restored.at("#before") == "3");
}

TEST_CASE("a take that Redis lost is taken again") {
  // seq 1: 5 coins; lost: seq 2 takes all of them, seq 3 is a sword.
  Session const row = with_units(row_of(9, 3, {{"sword", 1}}), 4, 6);
  Fields const held = held_fields(9, 1, {{"coin", "5"}, {"#added", "4"}});
  RestorePlan const plan = plan_restore(held_of(held), row, 0);
  CHECK(plan.loot == 6);
  Fields const restored = apply(held, plan, row);
  CHECK_FALSE(restored.contains("coin"));
  CHECK(restored.at("sword") == "1");
  CHECK(restored.at("#taken") == "6");
}

TEST_CASE("loot that was spent twice, because Redis lost the first take, is owed") {
  // 5 coins; a take of 5 is lost; then 5 are taken again in the next generation.
  Session const row = with_units(row_of(12, 1, {{"coin", -5}}, {{9, 2}}), 4, 12);
  Fields const held =
      held_fields(12, 1, {{"#before", "1"}, {was(9), "1"}, {"#added", "4"}, {"#taken", "6"}});
  Fields const restored = apply(held, plan_restore(held_of(held), row, 0), row);
  CHECK(restored.at("coin") == "-5");
}

TEST_CASE("less loot in the table than in Redis is not a loss, unless a take was lost") {
  Session const row = with_units(row_of(9, 3, {{"coin", 1}, {"gem", 2}}), 0, 0);
  Fields const held = held_fields(9, 2, {{"coin", "2"}});
  CHECK(plan_restore(held_of(held), row, 0).kind == Kind::differs);
  // The table has counted fewer units than Redis knows.
  Session const few = with_units(row_of(9, 3, {{"coin", 3}}), 0, 0);
  Fields const more = held_fields(9, 1, {{"coin", "3"}, {"#added", "2"}});
  CHECK(plan_restore(held_of(more), few, 0).kind == Kind::differs);
}

TEST_CASE("a debt is not written if the table lacks awards before it") {
  // Awards of 5 and more coins were deleted with the row; then a take of 5 was counted.
  Session row = with_units(row_of(9, 0, {{"coin", -5}, {"sword", 1}}), 0, 6);
  row.seen.insert(101);
  row.seen.insert(102);
  RestorePlan const plan = plan_restore(held_of({}), row, 0);
  CHECK(plan.kind == Kind::differs);
  CHECK(plan.reason == "the table has counted takes without the awards before them");
  CHECK(plan.set.empty());
  // The same in an earlier generation.
  Session earlier = with_units(row_of(12, 1, {{"coin", -5}, {"gem", 1}}), 0, 6);
  earlier.past[9].insert(7);
  CHECK(plan_restore(held_of({}), earlier, 0).kind == Kind::differs);
  // Without a debt the row says what the hunter has at least.
  row.loot = {{"coin", 1}, {"sword", 1}};
  row.taken = 0;
  CHECK(plan_restore(held_of({}), row, 0).kind == Kind::restore);
}

TEST_CASE("a debt that Redis has already changes nothing") {
  Session row = with_units(row_of(9, 0, {{"coin", -5}}), 0, 6);
  row.seen.insert(101);
  Fields const held = {{"coin", "-5"}, {"#before", "1"}, {"#taken", "6"}, {was(9), "101"}};
  Session full = row;
  full.seen = upto(101);
  CHECK(plan_restore(held_of(held), full, 0).kind == Kind::nothing);
  CHECK_MESSAGE(plan_restore(held_of(held), row, 0).kind != Kind::restore, "the table is behind");
}

TEST_CASE("lost events whose loot adds up to nothing are restored, and not missed again") {
  // seq 1: 5 coins; lost: seq 2 gives 3 iron, seq 3 takes them.
  Session const row = with_units(row_of(9, 3, {{"coin", 5}}), 6, 4);
  Fields const held = held_fields(9, 1, {{"coin", "5"}, {"#added", "4"}});
  Fields const restored = apply(held, plan_restore(held_of(held), row, 0), row);
  CHECK(restored.at("#before") == "3");
  CHECK(restored.at(was(9)) == "3");
  CHECK(restored.at("#added") == "6");
  CHECK(restored.at("#taken") == "4");
}
