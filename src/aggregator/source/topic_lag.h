// SPDX-License-Identifier: Apache-2.0
// Counts the events of the topic that the whole consumer group has not acknowledged. It asks the
// brokers, by a client of its own that joins no group, so it also counts while this member reads
// nothing: without a partition, in a long merge, while dead letters cannot be written.
#pragma once
#include <librdkafka/rdkafka.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "config/config.h"

namespace huntd::aggregator {

class TopicLag {
 public:
  explicit TopicLag(const Config& config);

  struct Count {
    uint64_t events = 0;    // after the committed offsets, up to the last stable offset
    int64_t committed = 0;  // the sum of the committed offsets: it changes if there is progress
  };
  // Waits for the brokers, up to some limits::kafka_query_ms.
  Result<Count> count();

 private:
  Result<void> open();

  Config::Kafka kafka_;
  std::string topic_;
  std::string group_;
  std::unique_ptr<rd_kafka_t, void (*)(rd_kafka_t*)> client_{nullptr, &rd_kafka_destroy};
};

}  // namespace huntd::aggregator
