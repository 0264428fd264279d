// SPDX-License-Identifier: Apache-2.0
#include "huntctl/dead_letters.h"

#include <fmt/format.h>

#include <optional>
#include <vector>

#include "drivers/driver_limits.h"
#include "drivers/kafka_sender.h"
#include "huntctl/deadline.h"
#include "reconcile/kafka_topic.h"
#include "wire/dead_letter.h"

namespace huntd::huntctl {
namespace {

// A record of the topic: a dead letter, or the note of a retry.
struct TopicRecord {
  std::string place;
  DeadLetterEntry entry;
  bool is_retry_note = false;
};

// Returns nothing if the record is not a dead letter of `source_topic`.
std::optional<TopicRecord> read_record(const rd_kafka_message_t& message,
                                       const std::string& source_topic) {
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  if (reconcile::header_of(headers, dead_letter_headers::topic) != source_topic) return {};
  TopicRecord record;
  DeadLetterEntry& entry = record.entry;
  entry.partition = reconcile::header_of(headers, dead_letter_headers::partition);
  entry.offset = reconcile::header_of(headers, dead_letter_headers::offset);
  entry.event_id = reconcile::header_of(headers, dead_letter_headers::event_id);
  if (entry.event_id.empty() && (entry.partition.empty() || entry.offset.empty())) return {};
  record.place = entry.event_id.empty() ? entry.partition + ":" + entry.offset : entry.event_id;
  entry.reason = reconcile::header_of(headers, dead_letter_headers::reason);
  entry.at_ms = rd_kafka_message_timestamp(&message, nullptr);
  record.is_retry_note = !reconcile::header_of(headers, dead_letter_headers::retried).empty();
  entry.payload_bytes = message.len;
  entry.payload_start.assign(static_cast<const char*>(message.payload),
                             std::min(message.len, dead_letter_start_bytes));
  return record;
}

Result<void> check_kafka(const Config& config) {
  if (!config.kafka.bootstrap.empty()) return {};
  return Error{
      "kafka.bootstrap is empty: without Kafka, dead letters are in PostgreSQL, in the table "
      "loot_events_dead"};
}

// A dead letter that is to be produced again.
struct Copy {
  std::optional<std::string> key;
  std::string payload;
  DeadLetterEntry entry;
};

// Produces the copies to kafka.topic, then a note of each to kafka.dead_topic. Clears `copies`.
Result<void> send_again(const Config& config, KafkaSender& sender, std::vector<Copy>& copies) {
  std::vector<KafkaRecord> records;
  std::vector<KafkaRecord> notes;
  for (const Copy& copy : copies) {
    KafkaRecord record;
    record.topic = config.kafka.topic.c_str();
    if (copy.key) record.key = *copy.key;
    KafkaRecord note = record;
    record.value = copy.payload;
    records.push_back(record);
    note.topic = config.kafka.dead_topic.c_str();
    note.headers = {{dead_letter_headers::topic, config.kafka.topic},
                    {dead_letter_headers::retried, "yes"}};
    if (copy.entry.event_id.empty()) {
      note.headers.emplace_back(dead_letter_headers::partition, copy.entry.partition);
      note.headers.emplace_back(dead_letter_headers::offset, copy.entry.offset);
    } else {
      note.headers.emplace_back(dead_letter_headers::event_id, copy.entry.event_id);
    }
    notes.push_back(std::move(note));
  }
  for (const std::vector<KafkaRecord>* batch : {&records, &notes})
    if (KafkaSender::Sent const sent = sender.send(*batch); sent.error) return *sent.error;
  copies.clear();
  return {};
}

}  // namespace

Result<DeadLetters> read_dead_letters(const Config& config) {
  if (Result<void> kafka = check_kafka(config); !kafka) return kafka.error();
  DeadLetters letters;
  std::map<std::string, int64_t> retried_at_ms;
  PeerCall const waiting("Kafka at " + config.kafka.bootstrap);
  auto const handle = [&](const rd_kafka_message_t& message) -> Result<void> {
    std::optional<TopicRecord> record = read_record(message, config.kafka.topic);
    if (!record) {
      letters.others += 1;
    } else if (record->is_retry_note) {
      int64_t& at_ms = retried_at_ms[record->place];
      at_ms = std::max(at_ms, record->entry.at_ms);
    } else {
      DeadLetterEntry& entry = letters.entries[record->place];
      if (record->entry.at_ms >= entry.at_ms) entry = std::move(record->entry);
    }
    return {};
  };
  Result<reconcile::TopicExtent> extent =
      reconcile::read_kafka_topic(config.kafka, config.kafka.dead_topic, handle);
  if (!extent) return extent.error();
  for (const auto& [place, at_ms] : retried_at_ms) {
    auto const found = letters.entries.find(place);
    if (found != letters.entries.end() && at_ms >= found->second.at_ms)
      found->second.retried_at_ms = at_ms;
  }
  return letters;
}

Result<uint64_t> retry_dead_letters(const Config& config, const std::set<std::string>& places) {
  if (Result<void> kafka = check_kafka(config); !kafka) return kafka.error();
  PeerCall const waiting("Kafka at " + config.kafka.bootstrap);
  KafkaSender sender(config.kafka, "huntctl");
  std::set<std::string> left = places;
  std::vector<Copy> copies;
  // Reads the topic a second time, so that at most kafka_send_max payloads are in memory.
  auto const handle = [&](const rd_kafka_message_t& message) -> Result<void> {
    std::optional<TopicRecord> record = read_record(message, config.kafka.topic);
    if (!record || record->is_retry_note || left.erase(record->place) == 0) return {};
    Copy& copy = copies.emplace_back();
    copy.payload.assign(static_cast<const char*>(message.payload), message.len);
    if (message.key != nullptr)
      copy.key.emplace(static_cast<const char*>(message.key), message.key_len);
    copy.entry = std::move(record->entry);
    if (copies.size() < limits::kafka_send_max) return {};
    return send_again(config, sender, copies);
  };
  Result<reconcile::TopicExtent> extent =
      reconcile::read_kafka_topic(config.kafka, config.kafka.dead_topic, handle);
  if (!extent) return extent.error();
  if (Result<void> sent = send_again(config, sender, copies); !sent) return sent.error();
  return places.size() - left.size();
}

}  // namespace huntd::huntctl
