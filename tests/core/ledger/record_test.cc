// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"
#include "core/ledger/ledger.h"
#include "wire/loot_event.h"
#include "wire/redis_keys.h"

// Last: its CHECK replaces ours.
#include <doctest/doctest.h>

using namespace huntd;
using namespace huntd::server;

TEST_CASE("the record of a response reads back as it was written") {
  ResponseRecord const record{0x0123456789abcdefULL, 422, "816712cd6f1deb63dfec3fbd668bb493",
                              R"({"a":"b c"})"};
  std::optional<ResponseRecord> const read = read_record(write_record(record));
  REQUIRE(read);
  CHECK(read->hashed == ResponseRecord::Hashed::value);
  CHECK(read->body_hash == record.body_hash);
  CHECK(read->status == 422);
  CHECK(read->bundle == record.bundle);
  CHECK(read->body == record.body);
}

TEST_CASE("a record says which hash of the body it has") {
  CHECK(write_record({1, 200, "b", "{}"}) == "v2 0000000000000001 200 b {}");
  std::optional<ResponseRecord> const older = read_record("v1 0000000000000001 200 b {}");
  REQUIRE(older);
  CHECK(older->hashed == ResponseRecord::Hashed::bytes);
  CHECK(older->body_hash == 1);
  CHECK(write_record(*older) == "v1 0000000000000001 200 b {}");
}

TEST_CASE("other texts are not read as a record") {
  for (std::string_view text :
       {"", "void 0123", "v1", "v1 zz 200 b {}", "v1 00 20 b {}", "v3 00 200 b {}"})
    CHECK_FALSE(read_record(text));
}

TEST_CASE("all Redis keys of one commit have the same hash tag") {
  std::string const tag = "{b" + std::to_string(bucket_of("ann")) + "}";
  CHECK(keys::held("ann", "h") == PoolString("held:" + tag + ":ann:h"));
  CHECK(keys::done("ann", "h", "k:1") == PoolString("done:" + tag + ":ann:h:k:1"));
  CHECK(keys::outbox(bucket_of("ann")) == PoolString("outbox:" + tag));
  CHECK(keys::supply("h", "l") == "supply:{h:l}");
  CHECK(keys::supply_pending("h", "l") == "supply_pending:{h:l}");
}

TEST_CASE("an event_id depends on hunter, hunt, key and position only") {
  PoolString const id = make_event_id("ann", "h", "k", 0);
  CHECK(id.size() == 32);
  CHECK(id == make_event_id("ann", "h", "k", 0));
  CHECK(id != make_event_id("ann", "h", "k", 1));
  CHECK(id != make_event_id("ann", "h", "k2", 0));
  CHECK(id != make_event_id("ann", "h2", "k", 0));
  CHECK(id != make_event_id("bob", "h", "k", 0));
}

TEST_CASE("an event reads back as it was written, with its seq between head and tail") {
  LootEvent event{std::string(32, 'a'), "ann", "first", "gold", 7, 1'700'000'000'123,
                  std::string(32, 'b')};
  LootEventText const text = loot_event_text({event.event_id, event.hunter_id, event.hunt_id,
                                              event.loot_id, event.timestamp_ms, event.bundle});
  CHECK(text.head + "7" + text.tail == PoolString(write_loot_event(event)));
  Result<LootEvent> const read = read_loot_event(write_loot_event(event));
  REQUIRE(read);
  CHECK(read->seq == 7);
  CHECK(read->timestamp_ms == event.timestamp_ms);
  CHECK(read->loot_id == "gold");
  CHECK_FALSE(read_loot_event("{}"));
  event.hunter_id = "a b";
  CHECK_FALSE(read_loot_event(write_loot_event(event)));
}
