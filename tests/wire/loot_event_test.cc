// SPDX-License-Identifier: Apache-2.0
#include "wire/loot_event.h"

#include <fmt/format.h>

#include <cstdlib>

#include "base/limits.h"
#include "wire/generation.h"

// Last: its CHECK replaces ours.
#include <doctest/doctest.h>

using namespace huntd;

namespace {

LootEvent sample() {
  return {std::string(32, 'a'), "ann", "first", "gold", 7, 1'700'000'000'123, std::string(32, 'b'),
          0x0193a5b6c7d8e9fa,   false};
}

// The sample with `fields` in front of the others.
std::string with(std::string_view fields) {
  std::string json = write_loot_event(sample());
  return json.insert(1, fields);
}

}  // namespace

TEST_CASE("an event_id depends on hunter, hunt, attempt and position only") {
  PoolString const id = make_event_id("ann", "h", "r", 0);
  CHECK(id.size() == 32);
  CHECK(id == make_event_id("ann", "h", "r", 0));
  CHECK(id != make_event_id("ann", "h", "r", 1));
  CHECK(id != make_event_id("ann", "h", "r2", 0));
  CHECK(id != make_event_id("ann", "h2", "r", 0));
  CHECK(id != make_event_id("bob", "h", "r", 0));
}

TEST_CASE("an event reads back as it was written") {
  for (bool from_supply : {false, true}) {
    LootEvent event = sample();
    event.from_supply = from_supply;
    Result<LootEvent> const read = read_loot_event(write_loot_event(event));
    REQUIRE(read);
    CHECK(read->seq == 7);
    CHECK(read->generation == event.generation);
    CHECK(read->from_supply == from_supply);
    CHECK(read->timestamp_ms == event.timestamp_ms);
    CHECK(read->loot_id == "gold");
    CHECK(write_loot_event(*read) == write_loot_event(event));
  }
  LootEvent malformed = sample();
  malformed.hunter_id = "a b";
  CHECK_FALSE(read_loot_event(write_loot_event(malformed)));
  CHECK_FALSE(read_loot_event("{}"));
}

TEST_CASE("the commit writes seq and generation between head and tail") {
  LootEvent event = sample();
  event.from_supply = true;
  LootEventText const text =
      loot_event_text({event.event_id, event.hunter_id, event.hunt_id, event.loot_id,
                       event.timestamp_ms, event.bundle, event.from_supply});
  PoolString const whole = text.head + "7" + PoolString(event_gen_prefix) +
                           PoolString(generation_text(event.generation)) + text.tail;
  CHECK(whole == PoolString(write_loot_event(event)));
  CHECK(whole ==
        R"({"event_id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","hunter_id":"ann","hunt_id":"first",)"
        R"("loot_id":"gold","seq":7,"gen":"0193a5b6c7d8e9fa","timestamp":1700000000123,)"
        R"("bundle":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","supply":true})");
}

TEST_CASE("an event of an older huntd has no gen and is of generation 0") {
  LootEvent event = sample();
  event.generation = 0;
  std::string const json = write_loot_event(event);
  CHECK(json.find("gen") == std::string::npos);
  CHECK(json.find(R"("seq":7,"timestamp":)") != std::string::npos);
  Result<LootEvent> const read = read_loot_event(json);
  REQUIRE(read);
  CHECK(read->generation == 0);
  CHECK_FALSE(read->from_supply);
}

TEST_CASE("a malformed gen or supply is an error, and an unknown field is none") {
  LootEvent event = sample();
  event.generation = 0;
  std::string const plain = write_loot_event(event);
  for (std::string_view field : {R"("gen":1,)", R"("gen":"1",)", R"("gen":"0193A5B6C7D8E9FA",)",
                                 R"("gen":"8000000000000000",)", R"("gen":null,)"})
    CHECK_FALSE(read_loot_event(std::string(plain).insert(1, field)));
  for (std::string_view field : {R"("supply":1,)", R"("supply":"true",)", R"("supply":null,)"})
    CHECK_FALSE(read_loot_event(with(field)));
  CHECK(read_loot_event(with(R"("supply":false,"count":3,"more":{},)")));
}

TEST_CASE("a record with a kind is not an award of one unit") {
  for (std::string_view field :
       {R"("kind":"award",)", R"("kind":"taken","count":1,)", R"("kind":7,)", R"("kind":null,)",
        R"("kind":"take",)", R"("kind":"take","count":0,)", R"("kind":"take","count":-1,)",
        R"("kind":"award","count":1000001,)", R"("kind":"award","count":1.5,)",
        R"("kind":"award","count":"2",)"})
    CHECK_FALSE(read_loot_event(with(field)));
  CHECK(read_loot_event(with(R"("kind":"taken",)")).error().message ==
        R"(kind "taken" is not known: upgrade hunt-aggregator)");
  // It may lack what an award has.
  CHECK(read_loot_event(R"({"kind":"state"})").error().message ==
        R"(kind "state" is not known: upgrade hunt-aggregator)");
}

TEST_CASE("an award of several units and a take are read as they were written") {
  for (int32_t const units : {2, 1'000'000, -1, -3, -1'000'000}) {
    LootEvent event = *read_loot_event(with(""));
    event.units = units;
    std::string const json = write_loot_event(event);
    CHECK(json.ends_with(
        fmt::format(R"("kind":"{}","count":{}}})", units > 0 ? "award" : "take", std::abs(units))));
    Result<LootEvent> const read = read_loot_event(json);
    REQUIRE(read);
    CHECK(read->units == units);
  }
  CHECK(write_loot_event(*read_loot_event(with(R"("kind":"award","count":1,)"))) ==
        write_loot_event(*read_loot_event(with(""))));
}
