// SPDX-License-Identifier: Apache-2.0
#include "aggregator/source/topic_lag.h"

#include <algorithm>

#include "aggregator/sessions/aggregator_limits.h"
#include "aggregator/source/kafka_topic_query.h"
#include "drivers/kafka_client.h"

namespace huntd::aggregator {

TopicLag::TopicLag(const Config& config)
    : kafka_(config.kafka), topic_(config.kafka.topic), group_(config.aggregator.group) {}

Result<void> TopicLag::open() {
  Result<rd_kafka_conf_t*> conf = kafka_conf(kafka_, RD_KAFKA_CONSUMER,
                                             {
                                                 {"group.id", group_},  // to ask for its offsets
                                                 {"client.id", "hunt-aggregator-lag"},
                                                 {"enable.auto.commit", "false"},
                                                 {"allow.auto.create.topics", "false"},
                                                 {"log_level", kafka_errors_only},
                                             });
  if (!conf) return conf.error();
  rd_kafka_conf_set_log_cb(*conf, &remember_kafka_line);  // the other clients log the same faults
  Result<rd_kafka_t*> client = kafka_client(RD_KAFKA_CONSUMER, *conf);
  if (!client) return client.error();
  client_.reset(*client);
  return {};
}

Result<TopicLag::Count> TopicLag::count() {
  if (!client_)
    if (Result<void> opened = open(); !opened) return opened.error();
  rd_kafka_poll(client_.get(), 0);  // errors; they are also in the replies
  Result<int> const partitions = count_partitions(client_.get(), topic_, limits::kafka_query_ms);
  if (!partitions) return partitions.error();
  if (*partitions == 0) return Error{"no topic " + topic_};
  PartitionList const committed = partition_list(*partitions);
  for (int32_t number = 0; number < *partitions; ++number)
    rd_kafka_topic_partition_list_add(committed.get(), topic_.c_str(), number);
  if (rd_kafka_resp_err_t const error =
          rd_kafka_committed(client_.get(), committed.get(), limits::kafka_query_ms);
      error != 0)
    return kafka_error("committed offsets", error);
  Count found;
  for (int i = 0; i < committed->cnt; ++i) {
    const rd_kafka_topic_partition_t& entry = committed->elems[i];
    if (entry.err != 0) return kafka_error("committed offsets", entry.err);
    Result<Watermarks> const log =
        query_watermarks(client_.get(), topic_, entry.partition, limits::kafka_query_ms);
    if (!log) return log.error();
    // An offset beyond the end is of an earlier topic of the same name.
    int64_t from = std::max<int64_t>(entry.offset, log->low);
    if (from > log->high) from = log->low;
    found.events += static_cast<uint64_t>(log->high - from);
    found.committed += std::max<int64_t>(entry.offset, 0);
  }
  return found;
}

}  // namespace huntd::aggregator
