// SPDX-License-Identifier: Apache-2.0
// Counts the events in the outbox, for the lag. Cheap enough for the ledger's Redis: fewer than
// one command per second on average, by a script that only reads, and nothing but an INFO while Redis is
// not written to. Of a Redis Cluster, in which a script can't have all keys, use() is called: then
// each count is one XLEN per bucket. If a server rejects the script nevertheless (a proxy), the
// lengths are asked for one by one, at most four a second.
#pragma once
#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string>

#include "base/limits.h"
#include "config/config.h"
#include "drivers/redis_client.h"

namespace huntd::aggregator {

class OutboxLengths {
 public:
  // Has a connection of its own. `timeout_ms`: for Redis, as RedisClient takes it.
  explicit OutboxLengths(const Config& config, uint32_t timeout_ms = limits::peer_timeout_ms);
  // Counts these buckets, of a cluster or of a node of it: by one XLEN each, in a pipeline.
  void use(const std::bitset<limits::buckets>& buckets);

  // Returns the newest known number of events; nothing if Redis is unavailable or the first count
  // is not complete. Counts at most once per limits::outbox_count_interval_ms, and then waits for
  // Redis. `now_ms` is monotonic.
  std::optional<uint64_t> total(int64_t now_ms);
  // The age that the oldest entry had at the last count, by the clocks of Redis and of this host; 0
  // if there was no entry or it is not known. It may have left the outbox since, so it does not grow
  // until the next count.
  int64_t oldest_age_ms() const { return oldest_age_ms_; }
  // Why total() is nothing.
  const std::string& reason() const { return reason_; }

 private:
  // What changes with each write to Redis; empty if the server does not report it.
  Result<std::string> writes();
  // Adds a group of buckets to the figures of a count.
  Result<void> count_group(uint32_t first, uint64_t& total, int64_t& oldest_ms);
  Result<void> count_all();
  Result<void> count_some();
  Result<void> count_listed();

  RedisClient redis_;
  std::string script_sha_;
  std::string counted_writes_;  // writes() before the last count
  bool one_by_one_ = false;
  std::optional<std::bitset<limits::buckets>> listed_;
  std::array<uint64_t, limits::buckets> lengths_{};  // if one_by_one_
  uint32_t next_bucket_ = 0;
  bool complete_ = false;  // every bucket was counted
  std::optional<uint64_t> total_;
  int64_t oldest_ms_ = 0;  // the time in the id of the oldest entry; 0: none
  int64_t oldest_age_ms_ = 0;
  int64_t counted_at_ms_ = 0;
  std::string reason_ = "not counted yet";
};

}  // namespace huntd::aggregator
