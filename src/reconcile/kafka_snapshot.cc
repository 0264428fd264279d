// SPDX-License-Identifier: Apache-2.0
#include "reconcile/kafka_snapshot.h"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <optional>
#include <string_view>

#include "base/hash.h"
#include "reconcile/kafka_topic.h"
#include "wire/dead_letter.h"

namespace huntd::reconcile {
namespace {

std::string_view value_of(const rd_kafka_message_t& message) {
  return {static_cast<const char*>(message.payload), message.len};
}

std::string_view header(const rd_kafka_headers_t* headers, const char* name) {
  const void* value = nullptr;
  size_t size = 0;
  if (rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR ||
      value == nullptr)
    return {};
  return {static_cast<const char*>(value), size};
}

template <class Number>
bool read_number(std::string_view text, Number& number) {
  auto const [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  return failure == std::errc() && end == text.data() + text.size();
}

// Returns where a dead letter of `topic` was in it; nothing for any other record, and for the note
// of a retry.
std::optional<UnreadableRecord::Place> place_of(const rd_kafka_message_t& message,
                                                const std::string& topic) {
  namespace names = dead_letter_headers;
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  UnreadableRecord::Place place{};
  if (header(headers, names::topic) != topic || !header(headers, names::retried).empty() ||
      !read_number(header(headers, names::partition), place.partition) ||
      !read_number(header(headers, names::offset), place.offset))
    return {};
  return place;
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
