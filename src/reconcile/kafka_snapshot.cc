// SPDX-License-Identifier: Apache-2.0
#include "reconcile/kafka_snapshot.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <string_view>

#include "base/hash.h"
#include "base/read_text.h"
#include "reconcile/kafka_topic.h"
#include "wire/dead_letter.h"

namespace huntd::reconcile {
namespace {

std::string_view value_of(const rd_kafka_message_t& message) {
  return {static_cast<const char*>(message.payload), message.len};
}

// Returns where a dead letter of `topic` was in it; nothing for any other record, and for the note
// of a retry.
std::optional<UnreadableRecord::Place> place_of(const rd_kafka_message_t& message,
                                                const std::string& topic) {
  namespace names = dead_letter_headers;
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  if (header_of(headers, names::topic) != topic || !header_of(headers, names::retried).empty())
    return {};
  auto const partition = read_number<int32_t>(header_of(headers, names::partition));
  auto const offset = read_number<int64_t>(header_of(headers, names::offset));
  if (!partition || !offset) return {};
  return UnreadableRecord::Place{*partition, *offset};
}

}  // namespace

Result<void> read_kafka(const std::string& bootstrap, const std::string& topic,
                        Snapshots& snapshots) {
  snapshots.has_kafka = true;
  Result<TopicExtent> extent =
      read_kafka_topic(bootstrap, topic, [&](const rd_kafka_message_t& message) -> Result<void> {
        std::string_view const value = value_of(message);
        if (Result<void> const added = snapshots.add_value(value, false); !added)
          snapshots.unreadable.push_back(
              {.position = fmt::format("partition {} offset {}", message.partition, message.offset),
               .reason = added.error().message,
               .place = {{message.partition, message.offset}},
               .value_hash = hash64(value)});
        return {};
      });
  if (!extent) return extent.error();
  if (!extent->from_the_start) snapshots.kafka_from_the_start = false;
  return {};
}

Result<void> set_dead_letters_aside(const std::string& bootstrap, const std::string& topic,
                                    const std::string& dead_topic, Snapshots& snapshots) {
  std::map<UnreadableRecord::Place, uint64_t> wanted;  // -> hash of the value
  for (const UnreadableRecord& record : snapshots.unreadable)
    if (record.place) wanted[*record.place] = record.value_hash;
  if (wanted.empty()) return {};
  Result<TopicExtent> extent = read_kafka_topic(
      bootstrap, dead_topic, [&](const rd_kafka_message_t& message) -> Result<void> {
        std::optional<UnreadableRecord::Place> const place = place_of(message, topic);
        auto const at = place ? wanted.find(*place) : wanted.end();
        if (at != wanted.end() && at->second == hash64(value_of(message))) wanted.erase(at);
        return {};
      });
  if (!extent) return extent.error();
  snapshots.set_aside += std::erase_if(snapshots.unreadable, [&](const UnreadableRecord& record) {
    return record.place && !wanted.contains(*record.place);
  });
  return {};
}

}  // namespace huntd::reconcile
