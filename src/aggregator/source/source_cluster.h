// SPDX-License-Identifier: Apache-2.0
// The outbox of a Redis Cluster as a source: an OutboxSource per primary, for the buckets of its
// slots (decision 68). A node that is down, or silent, delays the events of its buckets only: the
// others wait for limits::outbox_node_timeout_ms once, and then for at most a fifth of the time. A
// bucket that moves to another node is read there from its beginning: what was counted changes
// nothing.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "aggregator/source/backoff.h"
#include "aggregator/source/source.h"
#include "aggregator/source/source_outbox.h"
#include "config/config.h"
#include "drivers/redis_cluster.h"

namespace huntd::aggregator {

class ClusterSource final : public Source {
 public:
  explicit ClusterSource(const Config& config)
      : config_(config),
        cluster_(config.redis, limits::outbox_node_timeout_ms, limits::outbox_map_timeout_ms) {}

  void be_patient() override { fails_at_once_ = true; }
  // Fails if no node can be read; after be_patient(), if one can't or a bucket is on its way.
  Result<void> read(Batch& batch, uint32_t timeout_ms) override;
  Result<void> acknowledge() override;
  Result<bool> idle(uint32_t timeout_ms) override;
  bool caught_up() const override;
  uint64_t lag_events() const override;
  Unread unread() const override;
  bool connected() const override;
  // Which nodes can't be read, and what is at none.
  std::string trouble() const override;
  bool watched() const override;
  const std::string& name() const override { return name_; }

 private:
  struct Part {
    explicit Part(const Config& config) : source(config, OutboxSource::OfNode()) {}
    OutboxSource source;
    Backoff backoff;
    std::string failure;  // empty: none
  };
  // Returns whether the node has replied.
  using Act = std::function<Result<bool>(OutboxSource&)>;
  using Until = std::function<bool()>;
  // Calls `act` for the parts that are due, from the one behind the last of the former pass, until
  // all had their turn, that time has passed, or `ended`.
  void pass(int64_t time_ms, const Act& act, const Until& ended);
  bool due(const Part& part, int64_t now_ms) const;
  int64_t retry_at_ms(const Part& part) const;
  Result<void> follow_map();
  void use_map();
  // `started_at_ms`: monotonic, of what has failed.
  void note(Part& part, const Error& error, int64_t started_at_ms);
  size_t on_their_way() const;
  // The first failure if nothing can be read, or none may fail.
  Result<void> first_failure() const;
  void wait_for_input(int64_t until_ms) const;

  Config config_;
  RedisCluster cluster_;
  std::map<std::string, std::unique_ptr<Part>> parts_;  // by the node's address
  Buckets covered_;                                     // buckets that a node has
  std::string map_failure_;
  std::string name_ = "outbox";
  bool fails_at_once_ = false;
  bool map_wanted_ = true;
  int64_t map_read_at_ms_ = 0;  // 0: never
  int64_t read_at_ms_ = 0;
  std::string last_;            // the address of the part that had its turn last
  int64_t rests_until_ms_ = 0;  // no part that fails is tried before
};

}  // namespace huntd::aggregator
