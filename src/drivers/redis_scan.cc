// SPDX-License-Identifier: Apache-2.0
#include "drivers/redis_scan.h"

#include <string>
#include <vector>

#include "drivers/driver_limits.h"

namespace huntd {
namespace {

constexpr std::string_view scan_count = "1000";

Result<void> scan_primary(RedisClient& redis, size_t primary, std::string_view pattern,
                          std::string_view type, const HandlePage& handle) {
  std::string cursor = "0";
  do {
    std::vector<std::string_view> words{"SCAN", cursor, "MATCH", pattern, "COUNT", scan_count};
    if (!type.empty()) words.insert(words.end(), {"TYPE", type});
    Result<RedisReply> const page = redis.execute_at(primary, words);
    if (!page) return page.error();
    if ((*page)->type != REDIS_REPLY_ARRAY || (*page)->elements != 2)
      return Error{"redis: the reply to SCAN is not a cursor and a list"};
    cursor = text_of((*page)->element[0]);
    const redisReply& names = *(*page)->element[1];
    if (names.elements == 0) continue;
    if (Result<void> handled = handle(names); !handled) return handled;
  } while (cursor != "0");
  return {};
}

}  // namespace

Result<void> scan_keys(RedisClient& redis, std::string_view pattern, std::string_view type,
                       const HandlePage& handle, const std::function<void()>& begin) {
  for (int scan = 0; scan < limits::cluster_scans_max; ++scan) {
    Result<std::string> const before = redis.layout();
    if (!before) return before.error();
    begin();
    for (size_t primary = 0; primary < redis.primaries(); ++primary)
      if (Result<void> done = scan_primary(redis, primary, pattern, type, handle); !done)
        return done;
    Result<std::string> const after = redis.layout();
    if (!after) return after.error();
    if (*after == *before) return {};
  }
  return Error{"redis: slots of the cluster move: run it again when the resharding has ended"};
}

}  // namespace huntd
