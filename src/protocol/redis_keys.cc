#include "protocol/redis_keys.h"

#include <fmt/format.h>

#include "base/hash.h"

namespace huntd::keys {

std::string held(std::string_view hunter_id, std::string_view hunt_id) {
  return fmt::format("held:{{b{}}}:{}:{}", bucket_of(hunter_id), hunter_id, hunt_id);
}

std::string done(std::string_view hunter_id, std::string_view hunt_id, std::string_view key) {
  return fmt::format("done:{{b{}}}:{}:{}:{}", bucket_of(hunter_id), hunter_id, hunt_id, key);
}

std::string outbox(uint32_t bucket) { return fmt::format("outbox:{{b{}}}", bucket); }

std::string supply(std::string_view hunt_id, std::string_view loot_id) {
  return fmt::format("supply:{{{}:{}}}", hunt_id, loot_id);
}

std::string supply_pending(std::string_view hunt_id, std::string_view loot_id) {
  return fmt::format("supply_pending:{{{}:{}}}", hunt_id, loot_id);
}

}  // namespace huntd::keys
