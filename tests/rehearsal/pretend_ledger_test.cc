// SPDX-License-Identifier: Apache-2.0
#include "rehearsal/pretend_ledger.h"

#include "base/limits.h"
#include "rehearsal/simulation_limits.h"
// doctest defines its own CHECK.
#undef CHECK
#include <doctest/doctest.h>

#include <random>
#include <utility>

using namespace huntd;

namespace {

using Unit = PretendLedger::Unit;
using Commit = PretendLedger::Commit;
using Loot = PretendLedger::Loot;
using Given = PretendLedger::Given;
using Draws = std::vector<PretendLedger::Draw>;

std::string held_text(const PretendLedger& ledger, size_t hunter) {
  std::string text;
  for (const PretendLedger::Held& held : ledger.held(hunter))
    text += ledger.loot_id(held.loot) + "=" + std::to_string(held.count) + " ";
  return text;
}

}  // namespace

TEST_CASE("a hunter holds what its runs have given, in the order of the first award") {
  PretendLedger ledger(2);
  Loot const shell = *ledger.loot_of("shell");
  Loot const gold = *ledger.loot_of("gold");
  CHECK(ledger.loot_of("shell") == shell);
  CHECK(ledger.commit(1, std::vector<Given>{gold, shell, gold}, {}) == Commit::done);
  CHECK(ledger.commit(1, std::vector<Given>{shell}, {}) == Commit::done);
  CHECK(held_text(ledger, 0).empty());
  CHECK(held_text(ledger, 1) == "gold=2 shell=2 ");
}

TEST_CASE("a hunter who would hold too many different loot_ids gets nothing of the run") {
  PretendLedger ledger(1);
  std::vector<Given> awards;
  for (size_t i = 0; i < limits::held_loot_max; ++i)
    awards.push_back(*ledger.loot_of("day-" + std::to_string(i)));
  CHECK(ledger.commit(0, awards, {}) == Commit::done);
  Loot const one_more = *ledger.loot_of("one-more");
  Draws const draws = {{one_more, true, 10}};
  CHECK(ledger.commit(0, std::vector<Given>{awards[0], one_more}, draws) == Commit::held_full);
  CHECK(ledger.held(0).size() == limits::held_loot_max);
  CHECK(ledger.held(0)[0].count == 1);
  CHECK_MESSAGE(ledger.supply(one_more).given == 0, "its unit is left");
  CHECK(ledger.commit(0, std::vector<Given>{awards[0]}, {}) == Commit::done);
}

TEST_CASE("a supply gives its units and no more") {
  PretendLedger ledger(1);
  Loot const crown = *ledger.loot_of("crown");
  for (int run = 0; run < 5; ++run) {
    Unit const unit = ledger.draw(crown, 3, {}, 0);
    CHECK(unit == (run < 3 ? Unit::granted : Unit::gone));
    Draws const draws = {{crown, unit == Unit::granted, 3}};
    std::vector<Given> awards;
    if (unit == Unit::granted) awards.push_back(crown);
    CHECK(ledger.commit(0, awards, draws) == Commit::done);
  }
  CHECK(ledger.supply(crown).given == 3);
  CHECK(ledger.supply(crown).gone == 2);
  CHECK(ledger.draw(crown, 4, {}, 0) == Unit::granted);
  CHECK(ledger.draw(crown, 0, {}, 0) == Unit::gone);
}

TEST_CASE("the units of a run that gives nothing are left for later runs") {
  PretendLedger ledger(1);
  Loot const crown = *ledger.loot_of("crown");
  Draws const draws = {{crown, true, 1}};
  CHECK(ledger.draw(crown, 1, draws, 0) == Unit::gone);
  ledger.release(draws);
  CHECK(ledger.supply(crown).given == 0);
  CHECK(ledger.draw(crown, 1, {}, 0) == Unit::granted);
}

TEST_CASE("what is left waits for earlier runs, unless all units are gone") {
  PretendLedger ledger(1);
  Loot const crown = *ledger.loot_of("crown");
  CHECK(ledger.left(crown, 3, {}, 0) == 3);
  CHECK_FALSE(ledger.left(crown, 3, {}, 1));
  Draws const draws = {{crown, true, 3}, {crown, true, 3}};
  CHECK(ledger.left(crown, 3, draws, 0) == 1);
  std::vector<Given> const awards = {crown, crown};
  CHECK(ledger.commit(0, awards, draws) == Commit::done);
  CHECK(ledger.left(crown, 3, {}, 0) == 1);
  CHECK(ledger.left(crown, 2, {}, 5) == 0);
  CHECK_MESSAGE(ledger.left(crown, 1, {}, 0) == 0, "the script may lower its limit");
}

TEST_CASE("a draw waits only if earlier runs can change its reply") {
  PretendLedger ledger(1);
  Loot const crown = *ledger.loot_of("crown");
  uint64_t const margin = 2 * limits::awards_max;  // what two runs can take
  CHECK_MESSAGE(ledger.draw(crown, 1000, {}, 2) == Unit::later, "it may be one supply too many");
  ledger.release(Draws{{crown, false, 1000}});
  CHECK(ledger.draw(crown, margin + 1, {}, 2) == Unit::granted);
  CHECK(ledger.draw(crown, margin, {}, 2) == Unit::later);
  CHECK(ledger.draw(crown, margin + 1, Draws{{crown, true, 1000}}, 2) == Unit::later);
  CHECK(ledger.draw(crown, 1, {}, 2) == Unit::later);
  ledger.commit(0, std::vector<Given>{crown}, Draws{{crown, true, 1}});
  CHECK_MESSAGE(ledger.draw(crown, 1, {}, 2) == Unit::gone, "given units do not come back");
}

TEST_CASE("a draw that does not wait gets what it would get in its turn") {
  std::minstd_rand random(1);
  for (int round = 0; round < 2000; ++round) {
    PretendLedger ledger(1);
    Loot const crown = *ledger.loot_of("crown");
    uint64_t const given = random() % 80;
    Draws const first = {{crown, false, 1}};
    ledger.release(first);
    for (uint64_t i = 0; i < given; ++i)
      ledger.commit(0, std::vector<Given>{crown}, Draws{{crown, true, 1000}});
    uint64_t const limit = random() % 160;
    uint64_t const earlier = random() % 3;
    Unit const early = ledger.draw(crown, limit, {}, earlier);
    for (uint64_t run = 0; run < earlier; ++run) {
      Draws draws;
      std::vector<Given> awards;
      for (uint64_t n = random() % (limits::awards_max + 1); n > 0; --n) {
        if (ledger.draw(crown, 1000, draws, 0) != Unit::granted) break;
        draws.push_back({crown, true, 1000});
        awards.push_back(crown);
      }
      ledger.commit(0, awards, draws);
    }
    Unit const in_turn = ledger.draw(crown, limit, {}, 0);
    CHECK(in_turn != Unit::later);
    if (early != Unit::later) CHECK(early == in_turn);
  }
}

TEST_CASE("a hunt draws on a bounded number of supplies, those of the same run included") {
  PretendLedger ledger(1);
  Draws draws;
  for (size_t i = 0; i < limits::supplies_per_hunt_max; ++i) {
    Loot const loot = *ledger.loot_of("code-" + std::to_string(i));
    CHECK(ledger.draw(loot, 0, draws, 0) == Unit::gone);
    draws.push_back({loot, false, 0});
    if (i % 3 == 0) ledger.release(std::exchange(draws, {}));
  }
  Loot const one_more = *ledger.loot_of("one-more");
  CHECK(ledger.draw(one_more, 1, draws, 0) == Unit::full);
  CHECK_MESSAGE(ledger.draw(*ledger.loot_of("code-7"), 1, draws, 0) == Unit::granted,
                "it was drawn on before");
}

TEST_CASE("the number of different loot_ids is bounded") {
  PretendLedger ledger(1);
  for (size_t i = 0; i < simulation::loot_ids_max; ++i)
    REQUIRE(ledger.loot_of("loot-" + std::to_string(i)).has_value());
  CHECK_FALSE(ledger.loot_of("one-more").has_value());
  CHECK(ledger.loot_of("loot-0").has_value());
}

TEST_CASE("a run gives several units of a loot, and takes what the hunter holds") {
  PretendLedger ledger(1);
  Loot const iron = *ledger.loot_of("iron");
  Loot const sword = *ledger.loot_of("sword");
  CHECK(ledger.commit(0, std::vector<Given>{{iron, 5}}, {}) == Commit::done);
  CHECK(ledger.commit(0, std::vector<Given>{{iron, -3}, sword}, {}) == Commit::done);
  CHECK(held_text(ledger, 0) == "iron=2 sword=1 ");
  CHECK(ledger.commit(0, std::vector<Given>{{iron, -2}}, {}) == Commit::done);
  CHECK_MESSAGE(held_text(ledger, 0) == "sword=1 ", "a loot that is all taken is gone");
}

TEST_CASE("the states of all hunters have a bound, by their bytes") {
  PretendLedger ledger(3, 20);
  Loot const gold = *ledger.loot_of("gold");
  std::string const ten = R"({"a":1234})";
  CHECK(ledger.commit(0, {}, {}, ten) == Commit::done);
  CHECK(ledger.commit(1, {}, {}, ten) == Commit::done);
  CHECK(ledger.commit(2, std::vector<Given>{gold}, {}, ten) == Commit::too_large);
  CHECK(ledger.state(2).empty());
  CHECK_MESSAGE(ledger.held(2).empty(), "nothing was given");
  CHECK(ledger.commit(0, std::vector<Given>{gold}, {}) == Commit::done);
  CHECK(ledger.state(0) == ten);
  CHECK(ledger.commit(0, {}, {}, R"({"b":9999})") == Commit::done);
  CHECK(ledger.commit(0, {}, {}, "[]") == Commit::done);
  CHECK_MESSAGE(ledger.state(0).empty(), "a table without a key is not kept");
  CHECK(ledger.commit(2, {}, {}, ten) == Commit::done);
}
