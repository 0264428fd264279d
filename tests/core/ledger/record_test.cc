// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"
#include "core/ledger/ledger.h"
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
  CHECK(keys::supplies_of("h") == "supplies:{h}");
}

TEST_CASE("a supply is in one of the shards that the sweep reads") {
  uint32_t const shard = keys::supply_shard("h:l");
  CHECK(shard == bucket_of("h:l") % keys::supply_drawn_shards);
  CHECK(keys::supplies_drawn(shard) ==
        PoolString("supplies_drawn:{p" + std::to_string(shard) + "}"));
}

TEST_CASE("the self-test has a key of each kind, all in one slot") {
  for (const PoolString& key : keys::probes(3, keys::probe_tag))
    CHECK(key.substr(key.find(':')) == ":{huntd-probe}:3");
  CHECK(keys::probes(3, keys::probe_tag).size() == 8);
}
