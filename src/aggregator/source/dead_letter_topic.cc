// SPDX-License-Identifier: Apache-2.0
#include "aggregator/source/dead_letter_topic.h"

#include "aggregator/sessions/aggregator_limits.h"
#include "base/log.h"
#include "wire/dead_letter.h"
#include "wire/record_headers.h"

namespace huntd::aggregator {

DeadLetterTopic::DeadLetterTopic(const Config& config)
    : name_(config.kafka.dead_topic),
      source_topic_(config.kafka.topic),
      sender_(config.kafka, "hunt-aggregator") {}

Result<void> DeadLetterTopic::deliver(std::vector<DeadLetter>& letters, uint64_t* delivered) {
  std::vector<KafkaRecord> batch;
  batch.reserve(letters.size());
  for (const DeadLetter& letter : letters) {
    KafkaRecord& record = batch.emplace_back();
    record.topic = name_.c_str();
    if (letter.key) record.key = *letter.key;
    record.value = letter.payload;
    // An event that the merge rejected is JSON; any other record may be anything.
    record.headers = {
        {record_headers::content_type,
         std::string(letter.rejected_by_merge ? record_headers::json : record_headers::bytes)},
        {record_headers::dead_letter_version, std::string(record_headers::dead_letter_version_1)},
        {dead_letter_headers::reason, letter.reason},
        {dead_letter_headers::topic, source_topic_}};
    if (letter.rejected_by_merge) {
      record.headers.emplace_back(dead_letter_headers::event_id, letter.position);
    } else {
      record.headers.emplace_back(dead_letter_headers::partition, std::to_string(letter.partition));
      record.headers.emplace_back(dead_letter_headers::offset, letter.position);
    }
  }
  KafkaSender::Sent const sent = sender_.send(batch);
  *delivered = sent.records;
  auto const end = letters.begin() + static_cast<ptrdiff_t>(sent.records);
  for (auto at = letters.begin(); at != end; ++at)
    log::warning("record dead-lettered", {{"topic", name_},
                                          {"partition", at->partition},
                                          {"position", at->position},
                                          {"reason", at->reason}});
  letters.erase(letters.begin(), end);
  if (sent.error) return *sent.error;
  return {};
}

}  // namespace huntd::aggregator
