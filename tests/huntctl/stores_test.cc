// SPDX-License-Identifier: Apache-2.0
// The parts of purge, forget and restore that need no server.
#include "base/limits.h"
#include "huntctl/forget.h"
#include "huntctl/held_hash.h"
#include "huntctl/hunt_states.h"
#include "huntctl/name_list.h"
#include "huntctl/purge.h"
#include "huntctl/redis_walk.h"
#include "wire/redis_keys.h"
// doctest defines its own CHECK.
#undef CHECK
#include <doctest/doctest.h>

using namespace huntd;
using namespace huntd::huntctl;
using aggregator::Session;

namespace {

SeqSet upto(uint64_t seq) {
  SeqSet seqs;
  for (uint64_t i = 1; i <= seq; ++i) seqs.insert(i);
  return seqs;
}

HeldHash held_of(std::vector<std::pair<std::string, std::string>> fields) {
  Result<HeldHash> held = HeldHash::read(std::move(fields));
  REQUIRE(held);
  return std::move(*held);
}

}  // namespace

TEST_CASE("a held hash is read; fields of a later huntd are kept and are not loot") {
  HeldHash const held = held_of({{"coin", "3"},
                                 {"gem", "0"},
                                 {"#seq", "2"},
                                 {"#gen", "0193a1b2c3d40002 00000000000000aa"},
                                 {"#before", "1"},
                                 {"#was:0193a1b2c3d40001", "1"},
                                 {"#later", "any text"}});
  CHECK(held.loot == std::map<std::string, int64_t, std::less<>>{{"coin", 3}});
  CHECK(held.generation == 0x0193a1b2c3d40002);
  CHECK(held.seq == 2);
  CHECK(held.before == 1);
  CHECK(held.fields.size() == 7);
  CHECK(held.reached() ==
        std::map<uint64_t, uint64_t>{{0x0193a1b2c3d40001, 1}, {0x0193a1b2c3d40002, 2}});
  CHECK(held.newest_generation() == 0x0193a1b2c3d40002);
  CHECK(held_of({}).reached().empty());
  CHECK(held_of({{"coin", "2"}, {"#seq", "2"}}).reached() == std::map<uint64_t, uint64_t>{{0, 2}});
}

TEST_CASE("a hunter who owes more than it holds has units below 0") {
  HeldHash const held = held_of({{"coin", "-5"}, {"#before", "1"}, {"#seq", "1"}, {"#taken", "7"}});
  CHECK(held.units() == -5);
}

TEST_CASE("a malformed field of a held hash is named") {
  for (const char* field :
       {"#seq", "#before", "#gen", "#was:0193a1b2c3d40001", "#was:now", "coin"}) {
    Result<HeldHash> const held = HeldHash::read({{field, "1x"}});
    REQUIRE_FALSE(held);
    CHECK(held.error().message.find(field) != std::string::npos);
  }
}

TEST_CASE("a generation is uncounted while the row lacks a seq of it") {
  HeldHash const held = held_of({{"coin", "5"},
                                 {"#seq", "3"},
                                 {"#gen", "0000000000000009 00000000000000aa"},
                                 {"#before", "2"},
                                 {"#was:0000000000000005", "2"}});
  Session row;
  row.generation = 9;
  row.seen = upto(3);
  auto found = uncounted(held, row);
  REQUIRE(found);
  CHECK(found->generation == 5);
  CHECK(found->seq == 2);
  row.past[5] = upto(2);
  CHECK_FALSE(uncounted(held, row));
  row.seen = SeqSet();
  row.seen.insert(1);
  row.seen.insert(3);  // the newest seq, but not the one before it
  found = uncounted(held, row);
  REQUIRE(found);
  CHECK(found->generation == 9);
  row.seen = upto(4);
  row.past.clear();
  row.forgotten_generation = 5;  // the row does not know of it any more
  CHECK_FALSE(uncounted(held, row));
}

TEST_CASE("the keys of hunters are read, and no others") {
  auto const key = [](const auto& text) { return std::string(text); };
  auto found = read_hunter_key(key(keys::held("ann", "forest")));
  REQUIRE(found);
  CHECK(found->is_held);
  CHECK(found->hunter_id == "ann");
  CHECK(found->hunt_id == "forest");
  found = read_hunter_key(key(keys::done("ann", "forest", "x:cave:y")));
  REQUIRE(found);
  CHECK_FALSE(found->is_held);
  CHECK(found->hunt_id == "forest");
  CHECK_FALSE(read_hunter_key("held:{b1}:ann"));
  CHECK_FALSE(read_hunter_key("done:{b1}:ann:forest"));
  std::string wrong_bucket(keys::held("ann", "forest"));
  wrong_bucket[wrong_bucket.find('b') + 1] = 'x';
  CHECK_FALSE(read_hunter_key(wrong_bucket));
  CHECK_FALSE(read_hunter_key("held:{huntd-probe}:1"));
  CHECK_FALSE(read_hunter_key(std::string(keys::outbox(3))));
}

TEST_CASE("the keys of a hunt's supplies are read, and no others") {
  CHECK(supply_of_key(std::string(keys::supply("forest", "crown")), "forest") == "crown");
  CHECK(supply_of_key(std::string(keys::supply_pending("forest", "crown")), "forest") == "crown");
  CHECK(supply_of_key(std::string(keys::supply_limit("forest", "crown")), "forest") == "crown");
  CHECK_FALSE(supply_of_key(std::string(keys::supply("forest2", "crown")), "forest"));
  CHECK_FALSE(supply_of_key(std::string(keys::supplies_of("forest")), "forest"));
  CHECK_FALSE(supply_of_key("supply_other:{forest:crown}", "forest"));
}

TEST_CASE("a closed hunt keeps its time, and with an unfinished purge it stays closed") {
  HuntState const open{.closed = false, .floor = 7, .closed_at_ms = 0};
  HuntState const closed = closed_state(open, 1000);
  CHECK(closed == HuntState{.closed = true, .floor = 7, .closed_at_ms = 1000});
  CHECK(closed_state(closed, 2000) == closed);
  HuntState const purged{.closed = true, .floor = 7, .closed_at_ms = 0};
  CHECK(purge_unfinished(purged));
  CHECK(closed_state(purged, 2000) == purged);
  CHECK_FALSE(opened_state(purged));
  Result<HuntState> const reopened = opened_state(closed);
  REQUIRE(reopened);
  CHECK(*reopened == open);
  // Written by hand: since when is not known.
  HuntState const by_hand{.closed = true, .floor = 0, .closed_at_ms = 0};
  CHECK_FALSE(purge_unfinished(by_hand));
  CHECK(closed_state(by_hand, 3000).closed_at_ms == 3000);
}

TEST_CASE("a floor is above every generation until now and below every later one") {
  int64_t const now_ms = 1'795'000'000'000;
  uint64_t const floor = floor_at(now_ms, 5);
  CHECK(floor == (static_cast<uint64_t>(now_ms) << 16) - 1);
  CHECK(generation_ms(floor) == now_ms - 1);
  CHECK(floor_at(now_ms, floor + 9) == floor + 9);  // Redis' clock has gone back
  CHECK(floor_at(0, 0) > 0);
}

TEST_CASE("a purge waits for cores, for the outbox and for the table") {
  HuntState const closed{.closed = true, .floor = 0, .closed_at_ms = 1000};
  PurgeSurvey survey;
  CHECK(reasons_to_wait(survey, closed, 13'000, 12'000, false).empty());
  REQUIRE(reasons_to_wait(survey, closed, 12'001, 12'000, false).size() == 1);
  CHECK(reasons_to_wait(survey, closed, 12'001, 12'000, false)[0] ==
        "a core may still award loot for 1 s");
  survey.outbox_events = 3;
  survey.uncounted.add("ann");
  survey.unreadable.add("bob");
  auto const reasons = reasons_to_wait(survey, closed, 13'000, 12'000, false);
  REQUIRE(reasons.size() == 3);
  CHECK(reasons[0] == "3 events wait in the outbox");
  CHECK(reasons[1] == "the table has not counted all loot of 1 hunters: ann");
  CHECK(reasons_to_wait(survey, closed, 13'000, 12'000, true).empty());
  CHECK(reasons_to_wait(survey, closed, 12'000, 12'000, true).size() == 1);
}

TEST_CASE("an interrupted purge waits again only if it has not changed the tables") {
  HuntState const purged{.closed = true, .floor = 90, .closed_at_ms = 0};
  PurgeSurvey survey;
  survey.uncounted.add("ann");
  survey.floor = 89;
  CHECK(reasons_to_wait(survey, purged, 0, 12'000, false).size() == 1);
  survey.floor = 90;
  CHECK(reasons_to_wait(survey, purged, 0, 12'000, false).empty());
}

TEST_CASE("a hunter is not deleted while something is under way") {
  HunterSurvey survey;
  CHECK(reasons_to_wait(survey).empty());
  survey.outbox_events = 2;
  CHECK(reasons_to_wait(survey).size() == 1);
  survey.unsettled = 1;
  CHECK(reasons_to_wait(survey).size() == 2);
  survey = {};
  survey.reserved = 1;
  CHECK(reasons_to_wait(survey).size() == 1);
}

TEST_CASE("a list of names keeps the first ones and counts all") {
  NameList list(2);
  CHECK(list.empty());
  list.add("ann");
  list.add("bob");
  CHECK(list.text() == "ann, bob");
  list.add("cyd");
  CHECK(list.count() == 3);
  CHECK(list.text() == "ann, bob and 1 more");
}
