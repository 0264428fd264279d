#include "reconcile/kafka_topic.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <map>
#include <memory>

#include "aggregator/kafka_client.h"

namespace huntd {
namespace {

constexpr int answer_timeout_ms = 15'000;
constexpr int silence_max =
    30;  // polls of a second without a record before the reading is given up

using Consumer = std::unique_ptr<rd_kafka_t, void (*)(rd_kafka_t*)>;
using PartitionList =
    std::unique_ptr<rd_kafka_topic_partition_list_t, void (*)(rd_kafka_topic_partition_list_t*)>;

void end(rd_kafka_t* consumer) {
  rd_kafka_consumer_close(consumer);
  rd_kafka_destroy(consumer);
}

Result<Consumer> open(const std::string& bootstrap) {
  Result<rd_kafka_conf_t*> conf = kafka_conf({
      {"bootstrap.servers", bootstrap},
      {"group.id", "huntctl"},
      {"client.id", "huntctl"},
      {"enable.auto.commit", "false"},
      {"enable.partition.eof", "true"},
      {"log_level", "0"},
      {"auto.offset.reset", "earliest"},
  });
  if (!conf) return conf.error();
  Result<rd_kafka_t*> consumer = kafka_client(RD_KAFKA_CONSUMER, *conf);
  if (!consumer) return consumer.error();
  return Consumer(*consumer, &end);
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
      count = kafka_error(topic, metadata->topics[0].err);
  }
  rd_kafka_metadata_destroy(metadata);
  return count;
}

}  // namespace

Result<TopicExtent> read_kafka_topic(
    const std::string& bootstrap, const std::string& topic,
    const std::function<Result<void>(const rd_kafka_message_t&)>& take) {
  Result<Consumer> opened = open(bootstrap);
  if (!opened) return opened.error();
  rd_kafka_t* consumer = opened->get();
  Result<int> partitions = partition_count(consumer, topic);
  if (!partitions) return partitions.error();
  TopicExtent extent{.partitions = *partitions};

  std::map<int32_t, int64_t> unread_until;  // high watermark of each partition not read to it yet
  PartitionList assignment(rd_kafka_topic_partition_list_new(*partitions),
                           &rd_kafka_topic_partition_list_destroy);
  for (int32_t partition = 0; partition < *partitions; ++partition) {
    int64_t low = 0;
    int64_t high = 0;
    rd_kafka_resp_err_t const error = rd_kafka_query_watermark_offsets(
        consumer, topic.c_str(), partition, &low, &high, answer_timeout_ms);
    if (error != 0) return kafka_error("watermarks", error);
    if (low > 0) extent.from_the_start = false;
    if (low >= high) continue;
    unread_until[partition] = high;
    rd_kafka_topic_partition_list_add(assignment.get(), topic.c_str(), partition)->offset = low;
  }
  if (unread_until.empty()) return extent;
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
    if (message->err != 0) return kafka_error(topic, message->err);
    if (at == unread_until.end()) continue;  // came after the reading began
    if (message->offset < at->second)
      if (Result<void> taken = take(*message); !taken) return taken.error();
    if (message->offset + 1 >= at->second) unread_until.erase(at);
  }
  return extent;
}

}  // namespace huntd
