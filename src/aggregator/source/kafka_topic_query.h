// SPDX-License-Identifier: Apache-2.0
// Questions about a topic to the brokers. Each waits for the reply, up to `timeout_ms`.
#pragma once
#include <librdkafka/rdkafka.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace huntd::aggregator {

using PartitionList =
    std::unique_ptr<rd_kafka_topic_partition_list_t, void (*)(rd_kafka_topic_partition_list_t*)>;
PartitionList partition_list(int capacity);

// The number of partitions; 0 if the topic does not exist. Creates no topic.
Result<int> count_partitions(rd_kafka_t* client, const std::string& topic, int timeout_ms);

struct Watermarks {
  int64_t low = 0;   // offset of the first record
  int64_t high = 0;  // offset after the last record that is not of an open transaction
};
Result<Watermarks> query_watermarks(rd_kafka_t* client, const std::string& topic, int32_t partition,
                                    int timeout_ms);

// The error names a topic among `topics` whose cleanup.policy contains "compact". A topic that
// does not exist is fine. If the brokers do not report the policy, the result is the reason;
// otherwise it is empty.
Result<std::string> reject_compaction(rd_kafka_t* client, const std::vector<std::string>& topics,
                                      int timeout_ms);

}  // namespace huntd::aggregator
