#include "reconcile/kafka_books.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <map>
#include <memory>

#include "aggregator/aggregator_limits.h"

namespace huntd {
namespace {

constexpr int answer_timeout_ms = 15'000;
constexpr int silence_max =
    30;  // polls of a second without a record before the reading is given up

using Consumer = std::unique_ptr<rd_kafka_t, void (*)(rd_kafka_t*)>;
using PartitionList =
    std::unique_ptr<rd_kafka_topic_partition_list_t, void (*)(rd_kafka_topic_partition_list_t*)>;

Error kafka_error(const char* what, rd_kafka_resp_err_t error) {
  return Error{fmt::format("kafka: {}: {}", what, rd_kafka_err2str(error))};
}

void end(rd_kafka_t* consumer) {
  rd_kafka_consumer_close(consumer);
  rd_kafka_destroy(consumer);
}

Result<Consumer> open(const std::string& bootstrap) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char text[512];
  const std::pair<const char*, std::string> settings[] = {
      {"bootstrap.servers", bootstrap},  {"group.id", "huntctl-reconcile"},
      {"client.id", "huntctl"},          {"enable.auto.commit", "false"},
      {"enable.partition.eof", "true"},  {"log_level", "0"},
      {"auto.offset.reset", "earliest"},
  };
  for (const auto& [key, value] : settings)
    if (rd_kafka_conf_set(conf, key, value.c_str(), text, sizeof text) != RD_KAFKA_CONF_OK) {
      rd_kafka_conf_destroy(conf);
      return Error{std::string("kafka: ") + text};
    }
  rd_kafka_t* consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
  if (consumer == nullptr) {
    rd_kafka_conf_destroy(conf);
    return Error{std::string("kafka: ") + text};
  }
  rd_kafka_poll_set_consumer(consumer);
  return Consumer(consumer, &end);
}

Result<int> partition_count(rd_kafka_t* consumer, const std::string& topic) {
  std::unique_ptr<rd_kafka_topic_t, void (*)(rd_kafka_topic_t*)> handle(
      rd_kafka_topic_new(consumer, topic.c_str(), nullptr), &rd_kafka_topic_destroy);
  const rd_kafka_metadata_t* metadata = nullptr;
  rd_kafka_resp_err_t const error =
      rd_kafka_metadata(consumer, 0, handle.get(), &metadata, answer_timeout_ms);
  if (error != 0) return kafka_error("metadata", error);
  Result<int> count = 0;
  if (metadata->topic_cnt == 1) {
    if (metadata->topics[0].err == 0)
      count = metadata->topics[0].partition_cnt;
    else if (metadata->topics[0].err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
      count = kafka_error(topic.c_str(), metadata->topics[0].err);
  }
  rd_kafka_metadata_destroy(metadata);
  return count;
}

}  // namespace

Result<void> read_kafka(const std::string& bootstrap, const std::string& topic, Books& books) {
  books.has_kafka = true;
  Result<Consumer> opened = open(bootstrap);
  if (!opened) return opened.error();
  rd_kafka_t* consumer = opened->get();
  Result<int> partitions = partition_count(consumer, topic);
  if (!partitions) return partitions.error();

  std::map<int32_t, int64_t> unread_until;  // high watermark of each partition not read to it yet
  PartitionList assignment(rd_kafka_topic_partition_list_new(*partitions),
                           &rd_kafka_topic_partition_list_destroy);
  for (int32_t partition = 0; partition < *partitions; ++partition) {
    int64_t low = 0;
    int64_t high = 0;
    rd_kafka_resp_err_t const error = rd_kafka_query_watermark_offsets(
        consumer, topic.c_str(), partition, &low, &high, answer_timeout_ms);
    if (error != 0) return kafka_error("watermarks", error);
    if (low > 0) books.kafka_from_the_start = false;
    if (low >= high) continue;
    unread_until[partition] = high;
    rd_kafka_topic_partition_list_add(assignment.get(), topic.c_str(), partition)->offset = low;
  }
  if (unread_until.empty()) return {};
  if (rd_kafka_resp_err_t error = rd_kafka_assign(consumer, assignment.get()); error != 0)
    return kafka_error("assign", error);

  for (int silence = 0; !unread_until.empty();) {
    std::unique_ptr<rd_kafka_message_t, void (*)(rd_kafka_message_t*)> message(
        rd_kafka_consumer_poll(consumer, 1000), &rd_kafka_message_destroy);
    if (!message) {
      if (++silence > silence_max)
        return Error{
            fmt::format("kafka: no record came for {} s, {} partitions are not read to their "
                        "end",
                        silence_max, unread_until.size())};
      continue;
    }
    silence = 0;
    auto at = unread_until.find(message->partition);
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      if (at != unread_until.end()) unread_until.erase(at);
      continue;
    }
    if (message->err != 0) return kafka_error(topic.c_str(), message->err);
    if (at == unread_until.end()) continue;  // came after the reading began
    if (message->offset < at->second) {
      Result<LootEvent> event =
          read_loot_event({static_cast<const char*>(message->payload), message->len});
      if (event)
        books.add_event(*event, false);
      else
        books.unreadable.push_back(
            {fmt::format("partition {} offset {}", message->partition, message->offset),
             event.error().message});
    }
    if (message->offset + 1 >= at->second) unread_until.erase(at);
  }
  return {};
}

}  // namespace huntd
