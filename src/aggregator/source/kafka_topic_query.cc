// SPDX-License-Identifier: Apache-2.0
#include "aggregator/source/kafka_topic_query.h"

#include <fmt/format.h>

#include <string_view>

#include "drivers/kafka_client.h"

namespace huntd::aggregator {
namespace {

constexpr const char* cleanup_policy = "cleanup.policy";

using Event = std::unique_ptr<rd_kafka_event_t, void (*)(rd_kafka_event_t*)>;
using Queue = std::unique_ptr<rd_kafka_queue_t, void (*)(rd_kafka_queue_t*)>;
using Options = std::unique_ptr<rd_kafka_AdminOptions_t, void (*)(rd_kafka_AdminOptions_t*)>;
using Topic = std::unique_ptr<rd_kafka_topic_t, void (*)(rd_kafka_topic_t*)>;

// The id of a broker of the cluster that responds; -1 if none does.
int32_t responsive_broker(rd_kafka_t* client, int timeout_ms) {
  const rd_kafka_metadata_t* metadata = nullptr;
  if (rd_kafka_metadata(client, 0, nullptr, &metadata, timeout_ms) != 0) return -1;
  int32_t id = metadata->orig_broker_id;
  if (id < 0 && metadata->broker_cnt > 0) id = metadata->brokers[0].id;
  rd_kafka_metadata_destroy(metadata);
  return id;
}

// The reply to a request for the settings of `topics`; empty without one. Every broker knows them;
// librdkafka would ask the controller, which a cluster may lack for a while.
Event describe(rd_kafka_t* client, const std::vector<std::string>& topics, int timeout_ms) {
  int32_t const broker = responsive_broker(client, timeout_ms);
  if (broker < 0) return {nullptr, &rd_kafka_event_destroy};
  std::vector<rd_kafka_ConfigResource_t*> resources;
  for (const std::string& topic : topics)
    resources.push_back(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
  Options const options(rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS),
                        &rd_kafka_AdminOptions_destroy);
  char text[256];
  rd_kafka_AdminOptions_set_request_timeout(options.get(), timeout_ms, text, sizeof text);
  rd_kafka_AdminOptions_set_broker(options.get(), broker, text, sizeof text);
  Queue const queue(rd_kafka_queue_new(client), &rd_kafka_queue_destroy);
  rd_kafka_DescribeConfigs(client, resources.data(), resources.size(), options.get(), queue.get());
  for (rd_kafka_ConfigResource_t* resource : resources) rd_kafka_ConfigResource_destroy(resource);
  // The operation itself ends after timeout_ms.
  return {rd_kafka_queue_poll(queue.get(), 2 * timeout_ms), &rd_kafka_event_destroy};
}

// Returns the value of cleanup.policy; empty if `topic` has none.
std::string_view policy_of(const rd_kafka_ConfigResource_t* topic) {
  size_t count = 0;
  const rd_kafka_ConfigEntry_t** entries = rd_kafka_ConfigResource_configs(topic, &count);
  for (size_t i = 0; i < count; ++i) {
    if (std::string_view(rd_kafka_ConfigEntry_name(entries[i])) != cleanup_policy) continue;
    const char* value = rd_kafka_ConfigEntry_value(entries[i]);
    return value == nullptr ? std::string_view() : std::string_view(value);
  }
  return {};
}

}  // namespace

PartitionList partition_list(int capacity) {
  return {rd_kafka_topic_partition_list_new(capacity), &rd_kafka_topic_partition_list_destroy};
}

Result<int> count_partitions(rd_kafka_t* client, const std::string& topic, int timeout_ms) {
  Topic const handle(rd_kafka_topic_new(client, topic.c_str(), nullptr), &rd_kafka_topic_destroy);
  const rd_kafka_metadata_t* metadata = nullptr;
  rd_kafka_resp_err_t const error =
      rd_kafka_metadata(client, 0, handle.get(), &metadata, timeout_ms);
  if (error != 0) return kafka_error("metadata", error);
  Result<int> count = 0;
  if (metadata->topic_cnt == 1) {
    rd_kafka_resp_err_t const state = metadata->topics[0].err;
    if (state == 0)
      count = metadata->topics[0].partition_cnt;
    else if (state != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
      count = kafka_error(topic, state);
  }
  rd_kafka_metadata_destroy(metadata);
  return count;
}

Result<Watermarks> query_watermarks(rd_kafka_t* client, const std::string& topic, int32_t partition,
                                    int timeout_ms) {
  Watermarks found;
  rd_kafka_resp_err_t const error = rd_kafka_query_watermark_offsets(
      client, topic.c_str(), partition, &found.low, &found.high, timeout_ms);
  if (error != 0) return kafka_error(fmt::format("watermarks of {}-{}", topic, partition), error);
  return found;
}

Result<std::string> reject_compaction(rd_kafka_t* client, const std::vector<std::string>& topics,
                                      int timeout_ms) {
  Event const event = describe(client, topics, timeout_ms);
  if (!event) return std::string("no reply");
  const rd_kafka_DescribeConfigs_result_t* result =
      rd_kafka_event_DescribeConfigs_result(event.get());
  if (result == nullptr || rd_kafka_event_error(event.get()) != 0)
    return std::string(rd_kafka_event_error_string(event.get()));
  std::string unknown;
  size_t count = 0;
  const rd_kafka_ConfigResource_t** found =
      rd_kafka_DescribeConfigs_result_resources(result, &count);
  for (size_t i = 0; i < count; ++i) {
    const char* name = rd_kafka_ConfigResource_name(found[i]);
    rd_kafka_resp_err_t const error = rd_kafka_ConfigResource_error(found[i]);
    if (error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) continue;
    if (error != 0) {
      const char* text = rd_kafka_ConfigResource_error_string(found[i]);
      unknown += fmt::format("{}{}: {}", unknown.empty() ? "" : "; ", name,
                             text != nullptr ? text : rd_kafka_err2str(error));
      continue;
    }
    std::string_view const policy = policy_of(found[i]);
    if (policy.find("compact") != std::string_view::npos)
      return Error{fmt::format(
          "kafka: topic {} has {}={}: compaction removes events. Set {}=delete on the topic", name,
          cleanup_policy, policy, cleanup_policy)};
  }
  return unknown;
}

}  // namespace huntd::aggregator
