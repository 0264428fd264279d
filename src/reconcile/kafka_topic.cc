// SPDX-License-Identifier: Apache-2.0
#include "reconcile/kafka_topic.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <map>
#include <memory>

#include "drivers/kafka_client.h"
#include "drivers/peer_timeout.h"

namespace huntd::reconcile {
namespace {

constexpr int response_timeout_ms = 15'000;
constexpr int poll_ms = 1000;
constexpr int empty_polls_max = 30;  // without a record, in a row

using Consumer = std::unique_ptr<rd_kafka_t, void (*)(rd_kafka_t*)>;
using PartitionList =
    std::unique_ptr<rd_kafka_topic_partition_list_t, void (*)(rd_kafka_topic_partition_list_t*)>;

int response_timeout() { return static_cast<int>(peer_timeout_ms(response_timeout_ms)); }

int empty_polls_allowed() {
  uint32_t const timeout_ms = peer_timeout_ms(empty_polls_max * poll_ms);
  return std::max(static_cast<int>(timeout_ms) / poll_ms, 1);
}

void close(rd_kafka_t* consumer) {
  rd_kafka_consumer_close(consumer);
  rd_kafka_destroy(consumer);
}

Result<Consumer> open(const Config::Kafka& kafka) {
  Result<rd_kafka_conf_t*> conf = kafka_conf(
      kafka, RD_KAFKA_CONSUMER,
      {
          {"group.id", "huntctl"},
          {"client.id", "huntctl"},
          {"enable.auto.commit", "false"},
          {"enable.partition.eof", "true"},
          {"log_level", kafka_errors_only},
          {"auto.offset.reset", "earliest"},
          {"fetch.wait.max.ms", "100"},
      },
      {
          // What is fetched ahead is memory that --memory of `huntctl reconcile` counts on.
          {"queued.max.messages.kbytes", "16384"},
          {"fetch.max.bytes", "8388608"},
      });
  if (!conf) return conf.error();
  rd_kafka_conf_set_log_cb(*conf, &remember_kafka_line);
  Result<rd_kafka_t*> consumer = kafka_client(RD_KAFKA_CONSUMER, *conf);
  if (!consumer) return consumer.error();
  return Consumer(*consumer, &close);
}

Result<int> partition_count(rd_kafka_t* consumer, const std::string& topic) {
  std::unique_ptr<rd_kafka_topic_t, void (*)(rd_kafka_topic_t*)> handle(
      rd_kafka_topic_new(consumer, topic.c_str(), nullptr), &rd_kafka_topic_destroy);
  const rd_kafka_metadata_t* metadata = nullptr;
  rd_kafka_resp_err_t const error =
      rd_kafka_metadata(consumer, 0, handle.get(), &metadata, response_timeout());
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

// The high watermark of each partition that is not read up to it yet.
using Unread = std::map<int32_t, int64_t>;

// Assigns every partition that has records, from its first record on.
Result<Unread> assign(rd_kafka_t* consumer, const std::string& topic, TopicExtent& extent) {
  Unread unread;
  PartitionList assignment(rd_kafka_topic_partition_list_new(extent.partitions),
                           &rd_kafka_topic_partition_list_destroy);
  for (int32_t partition = 0; partition < extent.partitions; ++partition) {
    int64_t low = 0;
    int64_t high = 0;
    rd_kafka_resp_err_t const error = rd_kafka_query_watermark_offsets(
        consumer, topic.c_str(), partition, &low, &high, response_timeout());
    if (error != 0) return kafka_error("watermarks", error);
    if (low > 0) extent.from_the_start = false;
    if (low >= high) continue;
    unread[partition] = high;
    rd_kafka_topic_partition_list_add(assignment.get(), topic.c_str(), partition)->offset = low;
  }
  if (unread.empty()) return unread;
  if (rd_kafka_resp_err_t error = rd_kafka_assign(consumer, assignment.get()); error != 0)
    return kafka_error("assign", error);
  return unread;
}

// Retention may have removed the beginning of a partition while the topic was read. Nothing is
// fetched meanwhile: each question would wait behind a fetch that waits for new records.
Result<void> check_start(rd_kafka_t* consumer, const std::string& topic, TopicExtent& extent) {
  if (rd_kafka_resp_err_t error = rd_kafka_assign(consumer, nullptr); error != 0)
    return kafka_error("unassign", error);
  for (int32_t partition = 0; partition < extent.partitions; ++partition) {
    int64_t low = 0;
    int64_t high = 0;
    rd_kafka_resp_err_t const error = rd_kafka_query_watermark_offsets(
        consumer, topic.c_str(), partition, &low, &high, response_timeout());
    if (error != 0) return kafka_error("watermarks", error);
    if (low > 0) extent.from_the_start = false;
  }
  return {};
}

// Calls `handle` for a record below its partition's high watermark, and removes a partition from
// `unread` when it is read up to there.
Result<void> handle_message(const rd_kafka_message_t& message, const std::string& topic,
                            Unread& unread, const RecordHandler& handle) {
  auto const at = unread.find(message.partition);
  if (message.err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    if (at != unread.end()) unread.erase(at);
    return {};
  }
  if (message.err != 0) return kafka_error(topic, message.err);
  if (at == unread.end()) return {};  // written after the call
  if (message.offset < at->second)
    if (Result<void> handled = handle(message); !handled) return handled;
  if (message.offset + 1 >= at->second) unread.erase(at);
  return {};
}

}  // namespace

Result<TopicExtent> read_kafka_topic(const Config::Kafka& kafka, const std::string& topic,
                                     const RecordHandler& handle) {
  Result<Consumer> opened = open(kafka);
  if (!opened) return opened.error();
  rd_kafka_t* consumer = opened->get();
  Result<int> partitions = partition_count(consumer, topic);
  if (!partitions) return partitions.error();
  TopicExtent extent{.partitions = *partitions};
  Result<Unread> unread = assign(consumer, topic, extent);
  if (!unread) return unread.error();
  for (int empty_polls = 0; !unread->empty();) {
    std::unique_ptr<rd_kafka_message_t, void (*)(rd_kafka_message_t*)> message(
        rd_kafka_consumer_poll(consumer, poll_ms), &rd_kafka_message_destroy);
    if (!message) {
      if (++empty_polls > empty_polls_allowed())
        return Error{
            fmt::format(
                "kafka: no record arrived for {} s, and {} partitions are not read to their end",
                empty_polls * poll_ms / 1000, unread->size()),
            ErrorKind::unreachable};
      continue;
    }
    empty_polls = 0;
    if (Result<void> handled = handle_message(*message, topic, *unread, handle); !handled)
      return handled.error();
  }
  if (extent.from_the_start)
    if (Result<void> checked = check_start(consumer, topic, extent); !checked)
      return checked.error();
  return extent;
}

std::string_view header_of(const rd_kafka_headers_t* headers, const char* name) {
  const void* value = nullptr;
  size_t size = 0;
  if (rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR ||
      value == nullptr)
    return {};
  return {static_cast<const char*>(value), size};
}

}  // namespace huntd::reconcile
