// SPDX-License-Identifier: Apache-2.0
// Deletes `held` hashes of seasons that have ended (`huntctl hunt purge`, `huntctl forget`), and no
// hash that was started after the floor was raised.
#pragma once
#include <cstdint>

#include "base/result.h"
#include "drivers/redis_client.h"
#include "huntctl/redis_walk.h"

namespace huntd::huntctl {

// Deletes those of the hashes whose generation is not above `floor`; returns how many there were.
// Each is compared and deleted in one step of Redis.
Result<uint64_t> delete_held_up_to(RedisClient& redis, const Keys& held, uint64_t floor);

}  // namespace huntd::huntctl
