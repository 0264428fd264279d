// SPDX-License-Identifier: Apache-2.0
// The outbox as a source, for hosts without Kafka: the 1,024 streams outbox:{bN}
// (docs/formats/redis.md). Reads them by pipelined XRANGE, and deletes entries by XDEL after their
// events are in PostgreSQL. With Kafka, huntd's emitter owns the outbox.
#pragma once
#include <algorithm>
#include <array>
#include <vector>

#include "aggregator/sessions/aggregator_limits.h"
#include "aggregator/source/source.h"
#include "config/config.h"
#include "drivers/driver_limits.h"
#include "drivers/redis_client.h"

namespace huntd::aggregator {

class OutboxSource final : public Source {
 public:
  explicit OutboxSource(const Config& config);

  Result<void> read(Batch& batch, uint32_t timeout_ms) override;
  Result<void> acknowledge() override;
  bool caught_up() const override { return caught_up_; }
  uint64_t lag_events() const override { return std::max(counted_, delivered_); }
  Unread unread() const override;
  bool connected() const override { return redis_.connected(); }
  const std::string& name() const override { return name_; }

 private:
  struct Bucket {
    std::string key;
    // Ids of delivered entries, ascending. Reading continues after the last.
    std::vector<std::string> unacknowledged;
    bool end_reached = false;  // at least once
  };

  // Sends one XRANGE per bucket, from `next_bucket_` on, until `batch` is full. Returns the number
  // of records read.
  Result<uint64_t> sweep(Batch& batch);
  Result<uint64_t> read_entries(uint32_t bucket, Batch& batch);
  Result<void> count_lag();
  // After an error: every entry that is not deleted will be read again.
  void restart();

  RedisClient redis_;
  std::string name_ = "outbox";
  std::array<Bucket, limits::buckets> buckets_;
  uint32_t next_bucket_ = 0;
  bool at_end_ = false;  // the last sweep read every stream to its end
  bool caught_up_ = false;
  uint64_t counted_ = 0;      // entries of all streams at the last acknowledgement
  uint64_t delivered_ = 0;    // entries delivered since then
  int64_t at_end_at_ms_ = 0;  // when a sweep last read every stream to its end
};

}  // namespace huntd::aggregator
