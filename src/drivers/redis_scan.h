// SPDX-License-Identifier: Apache-2.0
// All keys of Redis, or of all nodes of a cluster.
#pragma once
#include <functional>
#include <string_view>

#include "drivers/redis_client.h"

namespace huntd {

// Calls `handle` for each page of names of the keys that match `pattern` and are of this type (empty: of
// any), by SCAN. Every key that exists all the time comes; a key may come several times. If slots of a
// cluster move meanwhile, all keys are read again, limits::cluster_scans_max times in all; then, or if a
// slot is on its way at the beginning, it fails. `handle` may use `redis`. `begin` is called before the
// first page, each time that all keys are read: what adds up is set to 0 there.
using HandlePage = std::function<Result<void>(const redisReply& names)>;
Result<void> scan_keys(
    RedisClient& redis, std::string_view pattern, std::string_view type, const HandlePage& handle,
    const std::function<void()>& begin = [] {});

}  // namespace huntd
