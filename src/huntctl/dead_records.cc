#include "huntctl/dead_records.h"

#include <fmt/format.h>

#include <optional>
#include <vector>

#include "aggregator/aggregator_limits.h"
#include "aggregator/kafka_sender.h"
#include "protocol/dead_record.h"
#include "reconcile/kafka_topic.h"

namespace huntd::huntctl {
namespace {

std::string header(const rd_kafka_headers_t* headers, const char* name) {
  const void* value = nullptr;
  size_t size = 0;
  if (rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR ||
      value == nullptr)
    return {};
  return {static_cast<const char*>(value), size};
}

// What one record of the topic says; nothing where it is not ours.
struct Told {
  std::string place;
  DeadEntry entry;
  bool is_retry_note = false;
};

std::optional<Told> tell(const rd_kafka_message_t& message, const std::string& source_topic) {
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  if (header(headers, dead_headers::topic) != source_topic) return {};
  Told told;
  told.entry.partition = header(headers, dead_headers::partition);
  told.entry.offset = header(headers, dead_headers::offset);
  told.entry.event_id = header(headers, dead_headers::event_id);
  if (told.entry.event_id.empty() && (told.entry.partition.empty() || told.entry.offset.empty()))
    return {};
  told.place = told.entry.event_id.empty() ? told.entry.partition + ":" + told.entry.offset
                                           : told.entry.event_id;
  told.entry.reason = header(headers, dead_headers::reason);
  told.entry.at_ms = rd_kafka_message_timestamp(&message, nullptr);
  told.is_retry_note = !header(headers, dead_headers::retried).empty();
  told.entry.payload_bytes = message.len;
  told.entry.payload_start.assign(static_cast<const char*>(message.payload),
                                  std::min(message.len, dead_payload_start_bytes));
  return told;
}

Result<void> check_kafka(const Config& config) {
  if (!config.kafka.bootstrap.empty()) return {};
  return Error{
      "kafka.bootstrap is empty: without Kafka dead records are in Postgres, in the table "
      "loot_events_dead"};
}

// Of the records that one page of the topic gave, until they are sent.
struct Copy {
  std::optional<std::string> key;
  std::string payload;
  Told told;
};

// Each again to kafka.topic, and then a note of each to kafka.dead_topic.
Result<void> send_again(const Config& config, KafkaSender& sender, std::vector<Copy>& copies) {
  std::vector<KafkaRecord> again;
  std::vector<KafkaRecord> notes;
  for (const Copy& copy : copies) {
    KafkaRecord record;
    record.topic = config.kafka.topic.c_str();
    if (copy.key) record.key = *copy.key;
    KafkaRecord note = record;
    record.value = copy.payload;
    again.push_back(record);
    note.topic = config.kafka.dead_topic.c_str();
    note.headers = {{dead_headers::topic, config.kafka.topic}, {dead_headers::retried, "yes"}};
    if (copy.told.entry.event_id.empty()) {
      note.headers.emplace_back(dead_headers::partition, copy.told.entry.partition);
      note.headers.emplace_back(dead_headers::offset, copy.told.entry.offset);
    } else {
      note.headers.emplace_back(dead_headers::event_id, copy.told.entry.event_id);
    }
    notes.push_back(std::move(note));
  }
  for (const std::vector<KafkaRecord>* records : {&again, &notes})
    if (KafkaSender::Sent const sent = sender.send(*records); sent.error) return *sent.error;
  copies.clear();
  return {};
}

}  // namespace

Result<DeadBook> read_dead_records(const Config& config) {
  if (Result<void> kafka = check_kafka(config); !kafka) return kafka.error();
  DeadBook book;
  std::map<std::string, int64_t> retried_at_ms;
  Result<TopicExtent> extent =
      read_kafka_topic(config.kafka.bootstrap, config.kafka.dead_topic,
                       [&](const rd_kafka_message_t& message) -> Result<void> {
                         std::optional<Told> told = tell(message, config.kafka.topic);
                         if (!told) {
                           book.others += 1;
                         } else if (told->is_retry_note) {
                           int64_t& at_ms = retried_at_ms[told->place];
                           at_ms = std::max(at_ms, told->entry.at_ms);
                         } else {
                           DeadEntry& entry = book.entries[told->place];
                           if (told->entry.at_ms >= entry.at_ms) entry = std::move(told->entry);
                         }
                         return {};
                       });
  if (!extent) return extent.error();
  for (const auto& [place, at_ms] : retried_at_ms) {
    auto const found = book.entries.find(place);
    if (found != book.entries.end() && at_ms >= found->second.at_ms)
      found->second.retried_at_ms = at_ms;
  }
  return book;
}

Result<uint64_t> retry_dead_records(const Config& config, const std::set<std::string>& places) {
  if (Result<void> kafka = check_kafka(config); !kafka) return kafka.error();
  KafkaSender sender(config.kafka.bootstrap, "huntctl");
  std::set<std::string> left = places;
  std::vector<Copy> copies;
  // A second reading, so that no more payloads are in memory than are sent at a time.
  Result<TopicExtent> extent = read_kafka_topic(
      config.kafka.bootstrap, config.kafka.dead_topic,
      [&](const rd_kafka_message_t& message) -> Result<void> {
        std::optional<Told> told = tell(message, config.kafka.topic);
        if (!told || told->is_retry_note || left.erase(told->place) == 0) return {};
        Copy& copy = copies.emplace_back();
        copy.payload.assign(static_cast<const char*>(message.payload), message.len);
        if (message.key != nullptr)
          copy.key.emplace(static_cast<const char*>(message.key), message.key_len);
        copy.told = std::move(*told);
        if (copies.size() < limits::kafka_send_max) return {};
        return send_again(config, sender, copies);
      });
  if (!extent) return extent.error();
  if (Result<void> sent = send_again(config, sender, copies); !sent) return sent.error();
  return places.size() - left.size();
}

}  // namespace huntd::huntctl
