#include "protocol/redis_keys.h"

#include "base/format_text.h"
#include "base/hash.h"

namespace huntd::keys {

Text held(std::string_view hunter_id, std::string_view hunt_id) {
  return format_text("held:{{b{}}}:{}:{}", bucket_of(hunter_id), hunter_id, hunt_id);
}

Text done(std::string_view hunter_id, std::string_view hunt_id, std::string_view key) {
  return format_text("done:{{b{}}}:{}:{}:{}", bucket_of(hunter_id), hunter_id, hunt_id, key);
}

Text outbox(uint32_t bucket) { return format_text("outbox:{{b{}}}", bucket); }

Text supply(std::string_view hunt_id, std::string_view loot_id) {
  return format_text("supply:{{{}:{}}}", hunt_id, loot_id);
}

Text supply_pending(std::string_view hunt_id, std::string_view loot_id) {
  return format_text("supply_pending:{{{}:{}}}", hunt_id, loot_id);
}

Text supply_limit(std::string_view hunt_id, std::string_view loot_id) {
  return format_text("supply_limit:{{{}:{}}}", hunt_id, loot_id);
}

}  // namespace huntd::keys
