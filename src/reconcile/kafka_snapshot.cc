// SPDX-License-Identifier: Apache-2.0
#include "reconcile/kafka_snapshot.h"

#include <fmt/format.h>

#include "reconcile/kafka_topic.h"

namespace huntd::reconcile {

Result<void> read_kafka(const std::string& bootstrap, const std::string& topic,
                        Snapshots& snapshots) {
  snapshots.has_kafka = true;
  Result<TopicExtent> extent =
      read_kafka_topic(bootstrap, topic, [&](const rd_kafka_message_t& message) -> Result<void> {
        std::string_view const value(static_cast<const char*>(message.payload), message.len);
        if (Result<void> const added = snapshots.add_value(value, false); !added)
          snapshots.unreadable.push_back(
              {fmt::format("partition {} offset {}", message.partition, message.offset),
               added.error().message});
        return {};
      });
  if (!extent) return extent.error();
  if (!extent->from_the_start) snapshots.kafka_from_the_start = false;
  return {};
}

}  // namespace huntd::reconcile
