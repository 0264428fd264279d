// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/seed_secret.h"

#include "base/format_text.h"
#include "chance/seed_secrets.h"
#include "wire/redis_keys.h"

namespace huntd::server {
namespace {

constexpr std::string_view first_number = "1";

// 256 random bits as hex digits.
PoolString draw_secret(Clock& clock) {
  PoolString secret;
  for (int i = 0; i < 4; ++i) append_format(secret, "{:016x}", clock.random());
  return secret;
}

}  // namespace

Result<std::string> newest_seed_secret(const RedisReply& reply) {
  if (reply.lost()) return Error{"no reply to HGETALL"};
  if (reply.is_error()) return Error{"HGETALL: " + std::string(reply.text())};
  if (!reply.is_array() || reply.size() % 2 != 0) return Error{"HGETALL: a malformed reply"};
  SeedSecrets secrets;
  for (size_t i = 0; i < reply.size(); i += 2)
    if (Result<void> added = secrets.add(reply[i].text(), reply[i + 1].text()); !added)
      return added.error();
  return secrets.newest();
}

Task<Result<std::string>> fetch_seed_secret(RedisNodes& redis, Clock& clock,
                                            uint64_t deadline_at_ns) {
  for (bool drawn = false;; drawn = true) {
    PoolVector<std::string_view> read{"HGETALL", keys::seed_secret};
    RedisReply const reply = co_await redis.command(std::move(read), deadline_at_ns);
    Result<std::string> secret = newest_seed_secret(reply);
    if (!secret || !secret->empty()) co_return secret;
    if (drawn) co_return Error{fmt::format("{} is empty", keys::seed_secret)};
    // One core wins; all read what it wrote. A fresh one each time: a ledger that was emptied has
    // nothing in common with what it was.
    PoolString const candidate = draw_secret(clock);
    PoolVector<std::string_view> draw{"HSETNX", keys::seed_secret, first_number, candidate};
    RedisReply const stored = co_await redis.command(std::move(draw), deadline_at_ns);
    if (stored.is_error()) co_return Error{"HSETNX: " + std::string(stored.text())};
  }
}

}  // namespace huntd::server
