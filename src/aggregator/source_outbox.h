// The Redis outbox as a source: the 1,024 streams outbox:{bN} (docs/formats/redis.md), read by
// pipelined XRANGE, deleted from by XDEL once their events are in Postgres. For boxes without
// Kafka: where there is one, the outbox belongs to huntd's emitter.
#pragma once
#include <algorithm>
#include <array>
#include <vector>

#include "aggregator/aggregator_limits.h"
#include "aggregator/redis_client.h"
#include "aggregator/source.h"
#include "base/config.h"

namespace huntd {

class OutboxSource final : public Source {
 public:
  explicit OutboxSource(const Config& config);

  Result<void> read(Fold& fold, uint32_t timeout_ms) override;
  Result<void> acknowledge() override;
  bool drained() const override { return drained_; }
  uint64_t lag_events() const override { return std::max(counted_, handed_out_); }
  Unread unread() const override;
  bool connected() const override { return redis_.connected(); }
  const std::string& name() const override { return name_; }

 private:
  struct Bucket {
    std::string key;
    std::vector<std::string>
        unacknowledged;    // ids handed out, ascending: the last one is the place to go on
    bool emptied = false;  // was read to its end once
  };

  // One XRANGE on each bucket from `next_bucket_` on, until `fold` is full. Returns how many
  // records came.
  Result<uint64_t> sweep(Fold& fold);
  Result<uint64_t> read_entries(uint32_t bucket, Fold& fold);
  Result<void> count_lag();
  // After an error: what was handed out and not deleted comes again.
  void forget();

  RedisClient redis_;
  std::string name_ = "outbox";
  std::array<Bucket, limits::buckets> buckets_;
  uint32_t next_bucket_ = 0;
  bool at_end_ = false;  // the last sweep left nothing unread
  bool drained_ = false;
  uint64_t counted_ = 0;      // entries of all streams after the last acknowledgement
  uint64_t handed_out_ = 0;   // since then, and not acknowledged
  int64_t at_end_at_ms_ = 0;  // when a sweep last left nothing unread, since the epoch
};

}  // namespace huntd
