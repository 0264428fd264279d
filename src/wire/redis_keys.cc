// SPDX-License-Identifier: Apache-2.0
#include "wire/redis_keys.h"

#include "base/format_text.h"
#include "base/hash.h"

namespace huntd::keys {

PoolString held(std::string_view hunter_id, std::string_view hunt_id) {
  return format_text("held:{{b{}}}:{}:{}", bucket_of(hunter_id), hunter_id, hunt_id);
}

PoolString done(std::string_view hunter_id, std::string_view hunt_id, std::string_view key) {
  return format_text("done:{{b{}}}:{}:{}:{}", bucket_of(hunter_id), hunter_id, hunt_id, key);
}

PoolString outbox(uint32_t bucket) { return format_text("outbox:{{b{}}}", bucket); }

PoolString supply(std::string_view hunt_id, std::string_view loot_id) {
  return format_text("supply:{{{}:{}}}", hunt_id, loot_id);
}

PoolString supply_pending(std::string_view hunt_id, std::string_view loot_id) {
  return format_text("supply_pending:{{{}:{}}}", hunt_id, loot_id);
}

PoolString supply_limit(std::string_view hunt_id, std::string_view loot_id) {
  return format_text("supply_limit:{{{}:{}}}", hunt_id, loot_id);
}

PoolString supplies_of(std::string_view hunt_id) { return format_text("supplies:{{{}}}", hunt_id); }

PoolString supplies_drawn(uint32_t shard) { return format_text("supplies_drawn:{{p{}}}", shard); }

uint32_t supply_shard(std::string_view supply_name) {
  return bucket_of(supply_name) % supply_drawn_shards;
}

PoolVector<PoolString> probes(uint32_t core, std::string_view tag) {
  PoolVector<PoolString> all;
  for (const char* kind : {"held", "done", "outbox", "supply", "supply_pending", "supply_limit",
                           "supplies", "supplies_drawn"})
    all.push_back(format_text("{}:{{{}}}:{}", kind, tag, core));
  return all;
}

}  // namespace huntd::keys
