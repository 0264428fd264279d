// SPDX-License-Identifier: Apache-2.0
// Reads a whole Kafka topic, up to its end at the time of the call. Joins no group and commits
// nothing.
#pragma once
#include <librdkafka/rdkafka.h>

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "config/config.h"

namespace huntd::reconcile {

struct TopicExtent {
  int partitions = 0;  // 0: the topic does not exist
  // False if retention has removed the beginning of a partition, before the topic was read or
  // meanwhile.
  bool from_the_start = true;
};

// Calls `handle` for every record, in order within each partition. Stops at the first error that
// `handle` returns. A topic that does not exist has no records.
using RecordHandler = std::function<Result<void>(const rd_kafka_message_t&)>;
Result<TopicExtent> read_kafka_topic(const Config::Kafka& kafka, const std::string& topic,
                                     const RecordHandler& handle);

// Returns the last header of this name; an empty text if there is none. The text is the record's.
std::string_view header_of(const rd_kafka_headers_t* headers, const char* name);

}  // namespace huntd::reconcile
