// SPDX-License-Identifier: Apache-2.0
#include "rehearsal/case_ledger.h"

#include "base/limits.h"

#include <doctest/doctest.h>

#include <string>

using namespace huntd;

namespace {

struct Game {
  CaseLedger ledger;

  // Ends a run of `hunter` that awards this.
  Rehearsed end(const std::string& hunter, std::vector<Rehearsed::Award> awards,
                const std::string& key = "", RunEnd how = RunEnd::ok) {
    Rehearsal request;
    request.hunter_id = hunter;
    Rehearsed run;
    run.end = how;
    run.awards = std::move(awards);
    run.result = "null";
    for (const Rehearsed::Award& award : run.awards)
      if (award.limited) run.supplies_asked.insert(award.loot_id);
    ledger.commit(request, key, run);
    return run;
  }
  Rehearsal request(const std::string& hunter) const {
    Rehearsal made;
    made.hunter_id = hunter;
    ledger.prepare(made);
    return made;
  }
};

}  // namespace

TEST_CASE("a hunter holds what earlier runs gave, and only these") {
  Game game;
  game.end("ann", {{"pearl"}, {"pearl"}, {"key"}});
  game.end("ben", {{"key"}});
  game.end("ann", {{"pearl"}}, "", RunEnd::script_error);
  CHECK(game.request("ann").held == CaseLedger::Held{{"pearl", 2}, {"key", 1}});
  CHECK(game.ledger.held("ben") == CaseLedger::Held{{"key", 1}});
  CHECK(game.ledger.held("cem").empty());
  game.ledger.set_held("ann", {{"gold", 3}});
  CHECK(game.request("ann").held == CaseLedger::Held{{"gold", 3}});
}

TEST_CASE("a supply counts the units that were given, and those that the test leaves") {
  Game game;
  game.ledger.set_left("crown", 2);
  game.end("ann", {{"ticket", true}, {"crown", true}});
  game.end("ben", {{"ticket", true}}, "", RunEnd::deadline);
  Rehearsal const request = game.request("ann");
  CHECK(request.supply_given.at("ticket") == 1);
  CHECK_FALSE(request.supply_left.contains("ticket"));
  CHECK(request.supply_left.at("crown") == 1);
}

TEST_CASE("a response is stored for its key and hunter if it does not mean try again") {
  Game game;
  CHECK(game.ledger.find("ann", "k") == nullptr);
  game.end("ann", {}, "k", RunEnd::script_error);
  CHECK(game.ledger.find("ann", "k") == nullptr);
  game.end("ann", {{"pearl"}}, "k");
  REQUIRE(game.ledger.find("ann", "k") != nullptr);
  CHECK(game.ledger.find("ann", "k")->run.awards.size() == 1);
  CHECK(game.ledger.find("ben", "k") == nullptr);
  game.end("ben", {}, "k", RunEnd::rejected);
  CHECK(game.ledger.find("ben", "k")->run.end == RunEnd::rejected);
  game.end("ann", {{"pearl"}}, "");
  CHECK(game.ledger.find("ann", "") == nullptr);
}

TEST_CASE("the bounds of a ledger hold: nothing is given beyond them") {
  Game game;
  CaseLedger::Held held;
  for (size_t i = 0; i < limits::held_loot_max; ++i) held["loot-" + std::to_string(i)] = 1;
  game.ledger.set_held("ann", held);
  CHECK(game.end("ann", {{"loot-0"}}).end == RunEnd::ok);
  Rehearsed const full = game.end("ann", {{"another"}, {"loot-1"}});
  CHECK(full.end == RunEnd::held_full);
  CHECK(full.awards.empty());
  CHECK(game.ledger.held("ann").at("loot-1") == 1);

  for (size_t i = 0; i < limits::supplies_per_hunt_max; ++i)
    CHECK(game.end("h" + std::to_string(i), {{"s" + std::to_string(i), true}}).end == RunEnd::ok);
  CHECK(game.end("ben", {{"s7", true}}).end == RunEnd::ok);
  CHECK(game.end("ben", {{"more", true}}).end == RunEnd::supplies_full);
  CHECK(game.request("ben").supply_given.count("more") == 0);
}

TEST_CASE("a run gives several units, and takes what the hunter holds") {
  Game game;
  game.end("ann", {{"iron", false, 5}});
  game.end("ann", {{"iron", false, -3}, {"sword"}});
  CHECK(game.ledger.held("ann") == CaseLedger::Held{{"iron", 2}, {"sword", 1}});
  game.end("ann", {{"iron", false, -2}}, "", RunEnd::rejected);
  CHECK(game.ledger.held("ann").at("iron") == 2);
  game.end("ann", {{"iron", false, -2}});
  CHECK(game.ledger.held("ann") == CaseLedger::Held{{"sword", 1}});
}

TEST_CASE("a state is kept of a run that ends well") {
  Game game;
  Rehearsal request = game.request("ann");
  CHECK(request.state.empty());
  Rehearsed run;
  run.state = R"({"visits":1})";
  run.end = RunEnd::rejected;
  game.ledger.commit(request, "", run);
  CHECK(game.request("ann").state.empty());
  run.end = RunEnd::ok;
  game.ledger.commit(request, "", run);
  CHECK(game.request("ann").state == R"({"visits":1})");
  CHECK(game.request("ben").state.empty());
  for (const char* const empty : {"{}", "[]"}) {
    run.state = R"(["x"])";
    game.ledger.commit(request, "", run);
    CHECK(game.request("ann").state == R"(["x"])");
    run.state = empty;
    game.ledger.commit(request, "", run);
    CHECK_MESSAGE(game.request("ann").state.empty(), "a table without a key is not kept");
    game.ledger.set_first_state("cem", empty);
    CHECK(game.request("cem").state.empty());
  }
}
