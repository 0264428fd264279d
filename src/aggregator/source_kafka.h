// The Kafka topic as a source: one member of the consumer group aggregator.group. Offsets are
// committed to Kafka after the events are committed in Postgres; since the table is exact under
// repetition, an offset commit that is lost, or comes after a rebalance, costs a second reading and
// nothing else.
#pragma once
#include <librdkafka/rdkafka.h>

#include <map>
#include <memory>
#include <vector>

#include "aggregator/source.h"
#include "base/config.h"

namespace huntd {

class KafkaSource final : public Source {
 public:
  explicit KafkaSource(const Config& config);
  // Leaves the group, so that the others take over at once.
  ~KafkaSource() override;

  Result<void> read(Fold& fold, uint32_t timeout_ms) override;
  Result<void> acknowledge() override;
  bool drained() const override;
  uint64_t lag_events() const override;
  Unread unread() const override;
  bool connected() const override { return consumer_ != nullptr && !all_brokers_down_; }
  const std::string& name() const override { return name_; }

 private:
  struct Partition {
    int64_t next = -1;       // offset after the last one handed out; -1 none yet
    int64_t committed = -1;  // what Kafka was last told
    bool at_end = false;     // was read to its end once
    // No record that is not handed out came to Kafka before this: when the last one handed out did,
    // or when the end was reached. 0: not known.
    int64_t unread_since_ms = 0;
  };
  // Of one partition, as the last fetch told: no request is made here.
  int64_t end_of(int32_t partition) const;

  Result<void> open();
  void look_for_brokers();
  void take(Fold& fold, const rd_kafka_message_t* message);
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
  std::map<int32_t, Partition> partitions_;  // those assigned to this member
  bool assigned_ = false;                    // false again while the group is shared out anew
  bool no_topic_ = false;
  bool all_brokers_down_ = false;
  std::string failure_;  // for the next read() to report
};

}  // namespace huntd
