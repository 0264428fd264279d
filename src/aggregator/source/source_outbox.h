// SPDX-License-Identifier: Apache-2.0
// The outbox as a source, for hosts without Kafka: the 1,024 streams outbox:{bN}
// (docs/formats/redis.md). Redis reports which of them change (OutboxWatch); those are read by
// pipelined XRANGE. Entries are deleted after their events are in PostgreSQL. With Kafka, huntd's
// emitter owns the outbox.
//
// It talks to one server, by one reading connection and one watch. On a Redis Cluster each node has
// one for the buckets of its slots (source_cluster.h).
#pragma once
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "aggregator/sessions/aggregator_limits.h"
#include "aggregator/source/outbox_lengths.h"
#include "aggregator/source/outbox_watch.h"
#include "aggregator/source/source.h"
#include "config/config.h"
#include "drivers/driver_limits.h"
#include "drivers/redis_client.h"

namespace huntd::aggregator {

class OutboxSource final : public Source {
 public:
  explicit OutboxSource(const Config& config, uint32_t timeout_ms = limits::peer_timeout_ms);
  // Of a node of a cluster, whose address is redis.address, without any bucket yet.
  struct OfNode {};
  OutboxSource(const Config& config, OfNode);

  // The buckets of the node from now on. What was delivered of others is not deleted any more.
  void use(const Buckets& buckets);
  // Those of them that the node says another one has, or gets now. They are not read; each is looked
  // for again at use(), and every limits::outbox_moving_ms.
  const Buckets& elsewhere() const { return elsewhere_; }
  // Whether a slot has moved, as the node has reported since the last call.
  bool take_moved() { return std::exchange(moved_, false); }
  // The sockets that have input if something can be done; -1: none.
  std::array<int, 2> fds() const { return {redis_.fd(), watch_.fd()}; }

  Result<void> read(Batch& batch, uint32_t timeout_ms) override;
  // What can't be deleted is kept; the next read() deletes it first, and fails if it can't.
  Result<void> acknowledge() override;
  // All that was delivered is in PostgreSQL: the next read() deletes it first.
  void note_merged() { merged_ = delivered_ > 0; }
  Result<void> delete_merged();
  Result<bool> idle(uint32_t timeout_ms) override;
  bool caught_up() const override { return (ends_reached_ | ~mine_).all(); }
  uint64_t lag_events() const override {
    return read_all() ? delivered_ : std::max(counted_, delivered_);
  }
  Unread unread() const override;
  bool connected() const override { return redis_.connected(); }
  bool watched() const override { return rejection_.empty(); }
  const std::string& name() const override { return name_; }

 private:
  // A delivered entry: its id, and a digest of its value. After Redis has lost writes the same id
  // may be of another entry, which must not be deleted.
  struct Entry {
    uint64_t ms;
    uint64_t number;
    uint64_t digest;
  };
  struct Bucket {
    std::string key;
    std::vector<Entry> unacknowledged;  // ascending; reading continues after the last
  };

  Result<void> connect();
  // Starts the watch again, and marks every bucket as changed.
  Result<void> start_watch();
  bool is_replaced();
  // Replaces a watch that was lost, or tries again after a rejection.
  Result<void> keep_watch();
  // Takes what Redis has reported, and waits for nothing.
  void listen();
  // Waits until a bucket may be read, at most until `until_ms`.
  Result<void> wait_for_changes(int64_t until_ms);
  // Waits for input on a connection. Returns false after a signal.
  bool wait_for_input(int64_t until_ms) const;
  Result<void> ping(int64_t now_ms);
  // Marks buckets that are to be read without a report.
  void check_some(int64_t now_ms);
  void note_changes() { count_due_ = true; }

  Result<void> read_changed(Batch& batch);
  std::vector<uint32_t> next_group(size_t size);
  // Sends one XRANGE per bucket and reads all replies. Returns the first error.
  Result<void> read_group(const std::vector<uint32_t>& group, Batch& batch);
  Result<void> read_entries(uint32_t bucket, const redisReply& entries, Batch& batch);
  // Deletes the first entries of each of these buckets. Returns the first error.
  Result<void> delete_group(const std::vector<uint32_t>& group);
  void send_delete(const Bucket& bucket, size_t count);
  Result<void> load_script();
  // Every entry that is not deleted will be read again.
  void restart();
  void drop_read(uint32_t bucket);
  bool left(uint32_t bucket, const Error& error);
  void look_for_those_elsewhere();
  bool read_all() const { return (changed_ | elsewhere_).none(); }
  void count(int64_t now_ms);

  RedisClient redis_;
  OutboxWatch watch_;
  OutboxLengths lengths_;
  std::string name_ = "outbox";
  int64_t sweep_interval_ms_;  // if Redis does not report changes
  std::array<Bucket, limits::buckets> buckets_;
  Buckets mine_;          // that are read: all, or those of a node
  Buckets changed_;       // or never read: they may have entries that were not delivered
  Buckets ends_reached_;  // at least once
  Buckets elsewhere_;     // of mine_
  bool of_node_ = false;
  bool moved_ = false;
  uint32_t next_bucket_ = 0;
  uint32_t next_check_ = 0;
  bool failing_ = false;  // the last group had an error
  bool merged_ = false;   // what is unacknowledged is in PostgreSQL: delete it before reading on
  std::string delete_sha_;
  std::string watch_failure_;  // the watch was lost
  std::string rejection_;      // the watch was rejected
  // Monotonic:
  int64_t watch_started_at_ms_ = 0;
  int64_t look_at_ms_ = 0;  // when those that are elsewhere are looked for
  int64_t read_at_ms_ = 0;
  int64_t check_at_ms_ = 0;  // the next check_some()
  int64_t ask_sentinel_at_ms_ = 0;
  int64_t counted_at_ms_ = 0;
  bool count_due_ = false;      // something has changed since the last count
  uint64_t counted_ = 0;        // entries of all streams; counts only while not all is read
  uint64_t delivered_ = 0;      // entries that are unacknowledged
  int64_t read_all_at_ms_ = 0;  // when no bucket was left to read, since the Unix epoch
};

}  // namespace huntd::aggregator
