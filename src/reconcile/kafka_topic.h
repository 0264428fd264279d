// Reads a whole Kafka topic, from its beginning to where it ended when the reading began. Joins no
// group and commits nothing.
#pragma once
#include <librdkafka/rdkafka.h>

#include <functional>
#include <string>

#include "base/result.h"

namespace huntd {

struct TopicExtent {
  int partitions = 0;          // 0: there is no such topic
  bool from_the_start = true;  // false where retention has removed a partition's beginning
};

// Hands every record to `take`, those of one partition in their order; an error of `take` ends the
// reading. A topic that is not there has none. `take` may leave out what it likes.
Result<TopicExtent> read_kafka_topic(
    const std::string& bootstrap, const std::string& topic,
    const std::function<Result<void>(const rd_kafka_message_t&)>& take);

}  // namespace huntd
