#include "aggregator/dead_topic.h"

#include "aggregator/aggregator_limits.h"
#include "base/log.h"
#include "protocol/dead_record.h"

namespace huntd {

DeadTopic::DeadTopic(const Config& config)
    : name_(config.kafka.dead_topic),
      source_topic_(config.kafka.topic),
      sender_(config.kafka.bootstrap, "hunt-aggregator") {}

Result<void> DeadTopic::deliver(std::vector<DeadRecord>& records, uint64_t* delivered) {
  std::vector<KafkaRecord> batch;
  batch.reserve(records.size());
  for (const DeadRecord& dead : records) {
    KafkaRecord& record = batch.emplace_back();
    record.topic = name_.c_str();
    if (dead.key) record.key = *dead.key;
    record.value = dead.payload;
    record.headers = {{dead_headers::reason, dead.reason}, {dead_headers::topic, source_topic_}};
    if (dead.row_refused) {
      record.headers.emplace_back(dead_headers::event_id, dead.position);
    } else {
      record.headers.emplace_back(dead_headers::partition, std::to_string(dead.partition));
      record.headers.emplace_back(dead_headers::offset, dead.position);
    }
  }
  KafkaSender::Sent const sent = sender_.send(batch);
  *delivered = sent.records;
  auto const end = records.begin() + static_cast<ptrdiff_t>(sent.records);
  for (auto at = records.begin(); at != end; ++at)
    log::warning("record set aside", {{"topic", name_},
                                      {"partition", at->partition},
                                      {"position", at->position},
                                      {"reason", at->reason}});
  records.erase(records.begin(), end);
  if (sent.error) return *sent.error;
  return {};
}

}  // namespace huntd
