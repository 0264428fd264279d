// SPDX-License-Identifier: Apache-2.0
// A Kafka topic as a source: one member of the consumer group aggregator.group. It commits offsets
// to Kafka after the events are committed in PostgreSQL. If an offset commit is lost or comes after
// a rebalance, events are read again; the table stays exact.
#pragma once
#include <librdkafka/rdkafka.h>

#include <map>
#include <memory>
#include <vector>

#include "aggregator/source/source.h"
#include "config/config.h"

namespace huntd::aggregator {

class KafkaSource final : public Source {
 public:
  explicit KafkaSource(const Config& config);
  // Leaves the group, so that its partitions are reassigned at once.
  ~KafkaSource() override;

  Result<void> read(Batch& batch, uint32_t timeout_ms) override;
  Result<void> acknowledge() override;
  bool caught_up() const override;
  uint64_t lag_events() const override;
  Unread unread() const override;
  bool connected() const override { return consumer_ != nullptr && !all_brokers_down_; }
  const std::string& name() const override { return name_; }

 private:
  struct Partition {
    int64_t next = -1;       // offset after the last record delivered; -1: none is
    int64_t committed = -1;  // offset that Kafka has acknowledged
    bool at_end = false;     // the last read reached the end
    // Every record not delivered yet reached Kafka after this time: the timestamp of the last
    // record delivered, or the time at which the end was reached. 0: unknown.
    int64_t unread_since_ms = 0;
  };
  // The partition's high watermark as of the last fetch; -1 if unknown. Sends no request.
  int64_t end_of(int32_t partition) const;

  Result<void> open();
  void probe_brokers();
  void handle(Batch& batch, const rd_kafka_message_t* message);
  void end_reached(const rd_kafka_message_t* message);
  static void on_rebalance(rd_kafka_t* consumer, rd_kafka_resp_err_t kind,
                           rd_kafka_topic_partition_list_t* partitions, void* source);
  static void on_offset_commit(rd_kafka_t* consumer, rd_kafka_resp_err_t error,
                               rd_kafka_topic_partition_list_t* offsets, void* source);
  static void on_error(rd_kafka_t* consumer, int error, const char* reason, void* source);

  std::string bootstrap_;
  std::string topic_;
  std::string group_;
  std::string name_;
  rd_kafka_t* consumer_ = nullptr;
  rd_kafka_queue_t* queue_ = nullptr;
  std::vector<rd_kafka_message_t*> messages_;
  std::map<int32_t, Partition> partitions_;  // assigned to this member
  bool assigned_ = false;                    // false during a rebalance
  bool no_topic_ = false;
  bool all_brokers_down_ = false;
  std::string failure_;  // the next read() returns it
};

}  // namespace huntd::aggregator
