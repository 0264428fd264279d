#include "reconcile/kafka_books.h"

#include <fmt/format.h>

#include "reconcile/kafka_topic.h"

namespace huntd {

Result<void> read_kafka(const std::string& bootstrap, const std::string& topic, Books& books) {
  books.has_kafka = true;
  Result<TopicExtent> extent =
      read_kafka_topic(bootstrap, topic, [&](const rd_kafka_message_t& message) -> Result<void> {
        std::string_view const value(static_cast<const char*>(message.payload), message.len);
        if (Result<void> const added = books.add_value(value, false); !added)
          books.unreadable.push_back(
              {fmt::format("partition {} offset {}", message.partition, message.offset),
               added.error().message});
        return {};
      });
  if (!extent) return extent.error();
  if (!extent->from_the_start) books.kafka_from_the_start = false;
  return {};
}

}  // namespace huntd
