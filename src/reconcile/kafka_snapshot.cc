// SPDX-License-Identifier: Apache-2.0
#include "reconcile/kafka_snapshot.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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
std::optional<RecordPlace> place_of(const rd_kafka_message_t& message, const std::string& topic) {
  namespace names = dead_letter_headers;
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  if (header_of(headers, names::topic) != topic || !header_of(headers, names::retried).empty())
    return {};
  auto const partition = read_number<int32_t>(header_of(headers, names::partition));
  auto const offset = read_number<int64_t>(header_of(headers, names::offset));
  if (!partition || !offset) return {};
  return RecordPlace{false, *partition, std::to_string(*offset)};
}

// Reads a topic. An error of Kafka is of kind `unreachable`; those of `handle` stay as they are.
Result<TopicExtent> read_topic(const Config& config, const std::string& topic,
                               const RecordHandler& handle) {
  bool handled = true;
  Result<TopicExtent> extent =
      read_kafka_topic(config.kafka, topic, [&](const rd_kafka_message_t& message) -> Result<void> {
        Result<void> result = handle(message);
        handled = static_cast<bool>(result);
        return result;
      });
  if (!extent && handled) return Error{extent.error().message, ErrorKind::unreachable};
  return extent;
}

using HandleDeadLetter = std::function<Result<void>(const RecordPlace&, uint64_t value_hash)>;

Result<void> each_dead_letter(const Config& config, const HandleDeadLetter& handle) {
  Result<TopicExtent> extent = read_topic(
      config, config.kafka.dead_topic, [&](const rd_kafka_message_t& message) -> Result<void> {
        std::optional<RecordPlace> const place = place_of(message, config.kafka.topic);
        return place ? handle(*place, hash64(value_of(message))) : Result<void>();
      });
  if (!extent) return extent.error();
  return {};
}

}  // namespace

Result<void> read_kafka(const Config& config, const ReadSoFar& so_far, Reading& reading) {
  reading.facts.has_kafka = true;
  uint64_t records = 0;
  Result<TopicExtent> extent =
      read_topic(config, config.kafka.topic, [&](const rd_kafka_message_t& message) {
        so_far(++records);
        return reading.add_value(value_of(message), false,
                                 {false, message.partition, std::to_string(message.offset)});
      });
  if (!extent) return extent.error();
  if (!extent->from_the_start) reading.facts.kafka_from_the_start = false;
  return {};
}

Result<void> match_dead_letters(const Config& config, Reading& reading) {
  if (reading.unreadable.has_kafka_records()) {
    Result<void> const read =
        each_dead_letter(config, [&](const RecordPlace& place, uint64_t value_hash) {
          return reading.unreadable.add_dead_letter(place, value_hash);
        });
    if (!read) return read;
  }
  return reading.unreadable.match(reading.findings());
}

Result<void> match_dead_letters_again(const Config& config, Reading& reading) {
  std::vector<UnreadableRecord>& open = reading.unreadable.open();
  std::map<RecordPlace, const UnreadableRecord*> wanted;
  for (const UnreadableRecord& record : open)
    if (!record.place.in_outbox) wanted[record.place] = &record;
  if (wanted.empty()) return {};
  Result<void> const read =
      each_dead_letter(config, [&](const RecordPlace& place, uint64_t value_hash) -> Result<void> {
        auto const at = wanted.find(place);
        if (at == wanted.end() || at->second->value_hash != value_hash) return {};
        reading.findings().add_dead_letter(place.text(), at->second->reason);
        wanted.erase(at);
        return {};
      });
  if (!read) return read;
  std::map<RecordPlace, const UnreadableRecord*> const left = std::move(wanted);
  std::erase_if(open, [&](const UnreadableRecord& record) {
    return !record.place.in_outbox && !left.contains(record.place);
  });
  return {};
}

}  // namespace huntd::reconcile
