// SPDX-License-Identifier: Apache-2.0
// The secret of the seeds of hunt.random(). All hosts of a ledger share it: the first core that
// finds none draws it (decision 28, docs/formats/redis.md).
#pragma once
#include <string>

#include "base/result.h"
#include "base/task.h"
#include "core/ledger/redis_nodes.h"
#include "environment/clock.h"

namespace huntd::server {

// Returns the newest secret of the ledger. Draws the first one if the ledger has none. The error
// says what Redis replied, never a secret.
Task<Result<std::string>> fetch_seed_secret(RedisNodes& redis, Clock& clock,
                                            uint64_t deadline_at_ns);

// Reads the reply to HGETALL: the secret with the highest number; empty if there is none.
Result<std::string> newest_seed_secret(const RedisReply& reply);

}  // namespace huntd::server
