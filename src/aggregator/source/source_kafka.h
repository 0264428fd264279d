// SPDX-License-Identifier: Apache-2.0
// A Kafka topic as a source: one member of the consumer group aggregator.group. It commits offsets
// to Kafka after the events are committed in PostgreSQL. If an offset commit is lost or comes after
// a rebalance, events are read again; the table stays exact.
//
// The topic may be deleted and made again, and its retention may pass what is committed:
// PartitionPosition notices. All fetches start at absolute offsets, and auto.offset.reset is
// "error", so that no position changes without a decision here.
#pragma once
#include <librdkafka/rdkafka.h>

#include <map>
#include <memory>
#include <vector>

#include "aggregator/source/kafka_topic_query.h"
#include "aggregator/source/partition_position.h"
#include "aggregator/source/source.h"
#include "config/config.h"

namespace huntd::aggregator {

class KafkaSource final : public Source {
 public:
  explicit KafkaSource(const Config& config);
  // Leaves the group, so that its partitions are reassigned at once.
  ~KafkaSource() override;

  void be_patient() override { patient_ = true; }
  Result<void> read(Batch& batch, uint32_t timeout_ms) override;
  Result<void> acknowledge() override;
  Result<bool> idle(uint32_t timeout_ms) override;
  bool caught_up() const override;
  uint64_t lag_events() const override;
  Unread unread() const override;
  bool connected() const override { return trouble().empty(); }
  std::string trouble() const override;
  Changes changes() const override { return changes_; }
  const std::string& name() const override { return name_; }

 private:
  struct Partition {
    PartitionPosition position;
    int64_t sent = PartitionPosition::unknown;  // the offset of the last commit that was sent
    bool at_end = false;                        // the last read reached the end
    bool restart = false;                       // its fetched messages are void
    bool out_of_range = false;                  // the broker has no record at its position
    int64_t checked_at_ms = 0;                  // monotonic
    // Every record not delivered yet reached Kafka after this time: the timestamp of the last
    // record delivered, or the time at which the end was reached. 0: unknown.
    int64_t unread_since_ms = 0;
  };
  // The partition's high watermark as of the last fetch; -1 if unknown. Sends no request.
  int64_t end_of(int32_t partition) const;

  Result<void> open();
  // Starts to fetch the partitions of the last rebalance, from what the group has committed.
  Result<void> begin_partitions();
  // The error names a compacted topic. If the brokers do not report the policy, the topic is read.
  Result<void> check_policy();
  // How long a read() without a partition succeeds.
  int64_t patience_ms() const;
  void note_read();
  void poll(Batch& batch, uint32_t timeout_ms);
  // Of the whole assignment. What librdkafka has fetched ahead is fetched again after a pause.
  void pause(bool paused);
  // Handles what came during idle().
  void take_held(Batch& batch);
  void handle(Batch& batch, const rd_kafka_message_t* message);
  void handle_error(const rd_kafka_message_t* message);
  void end_reached(const rd_kafka_message_t* message);
  void apply(int32_t number, Partition& partition, const PartitionPosition::Step& step);
  // Asks the broker what it has of each partition that is out of range.
  Result<void> resolve_out_of_range();
  // Reads the anchor of partitions again, if that is due.
  Result<void> check_positions();
  // Fetches the partitions with `restart` again from their positions.
  Result<void> restart_partitions();
  Result<void> assign_all();
  Result<void> commit_positions();
  void probe_topic();
  void something_read();
  static void on_rebalance(rd_kafka_t* consumer, rd_kafka_resp_err_t kind,
                           rd_kafka_topic_partition_list_t* partitions, void* source);
  static void on_offset_commit(rd_kafka_t* consumer, rd_kafka_resp_err_t error,
                               rd_kafka_topic_partition_list_t* offsets, void* source);
  static void on_error(rd_kafka_t* consumer, int error, const char* reason, void* source);

  Config::Kafka kafka_;
  std::string bootstrap_;
  std::string topic_;
  std::string dead_topic_;
  std::string group_;
  std::string name_;
  rd_kafka_t* consumer_ = nullptr;
  rd_kafka_queue_t* queue_ = nullptr;
  std::vector<rd_kafka_message_t*> messages_;
  std::vector<rd_kafka_message_t*> held_;  // came during idle(), in order
  bool paused_ = false;
  std::map<int32_t, Partition> partitions_;  // assigned to this member
  Changes changes_;
  uint64_t outstanding_ = 0;        // records delivered and not acknowledged
  bool patient_ = false;            // be_patient()
  bool wait_logged_ = false;        // once
  int64_t session_timeout_ms_ = 0;  // the consumer's
  bool closing_ = false;
  bool assigned_ = false;  // false during a rebalance
  bool pending_ = false;   // assigned, and begin_partitions() is to come
  bool suspect_ = false;   // something happened that may have been a new topic
  // Whether a record or an end has arrived since the last trouble; also true for a standby.
  bool alive_ = false;
  // The assignment is empty although the topic exists: other members have all its partitions.
  bool standby_ = false;
  bool standby_possible_ = false;  // the topic was not missing since the last rebalance
  bool no_topic_ = false;
  bool all_brokers_down_ = false;
  std::string probe_error_;
  std::string begin_error_;     // why the assigned partitions are not read yet
  std::string policy_unknown_;  // why check_policy() learned nothing; empty if it did
  // Monotonic:
  int64_t probe_at_ms_ = 0;          // the next one
  int64_t trouble_since_ms_ = 0;     // 0: none
  int64_t unassigned_since_ms_ = 0;  // while !assigned_
  int64_t read_at_ms_ = 0;           // the last read()
  std::string failure_;              // the next read() returns it
};

}  // namespace huntd::aggregator
