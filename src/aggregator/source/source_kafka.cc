// SPDX-License-Identifier: Apache-2.0
#include "aggregator/source/source_kafka.h"

#include <algorithm>

#include "aggregator/sessions/aggregator_limits.h"
#include "base/clock.h"
#include "base/log.h"
#include "drivers/kafka_client.h"

namespace huntd::aggregator {
namespace {

using PartitionList =
    std::unique_ptr<rd_kafka_topic_partition_list_t, void (*)(rd_kafka_topic_partition_list_t*)>;

}  // namespace

KafkaSource::KafkaSource(const Config& config)
    : bootstrap_(config.kafka.bootstrap),
      topic_(config.kafka.topic),
      group_(config.aggregator.group),
      name_("kafka:" + config.kafka.topic),
      messages_(limits::kafka_read_max) {}

KafkaSource::~KafkaSource() {
  if (consumer_ == nullptr) return;
  rd_kafka_consumer_close(consumer_);
  rd_kafka_queue_destroy(queue_);
  rd_kafka_destroy(consumer_);
}

Result<void> KafkaSource::open() {
  Result<rd_kafka_conf_t*> conf = kafka_conf({
      {"bootstrap.servers", bootstrap_},
      {"group.id", group_},
      {"client.id", "hunt-aggregator"},
      {"enable.auto.commit", "false"},
      {"enable.auto.offset.store", "false"},
      {"auto.offset.reset", "earliest"},
      {"enable.partition.eof", "true"},
      {"fetch.wait.max.ms", "100"},
      // How much librdkafka fetches ahead. When the queue is full, librdkafka 2.0 pauses for a
      // second; the queue must last that long.
      {"queued.min.messages", "1000000"},
      {"queued.max.messages.kbytes", "131072"},
      // The partitions of a member that died without leaving are not read for this long.
      {"session.timeout.ms", "10000"},
  });
  if (!conf) return conf.error();
  rd_kafka_conf_set_opaque(*conf, this);
  rd_kafka_conf_set_error_cb(*conf, &KafkaSource::on_error);
  rd_kafka_conf_set_rebalance_cb(*conf, &KafkaSource::on_rebalance);
  rd_kafka_conf_set_offset_commit_cb(*conf, &KafkaSource::on_offset_commit);
  Result<rd_kafka_t*> consumer = kafka_client(RD_KAFKA_CONSUMER, *conf);
  if (!consumer) return consumer.error();
  consumer_ = *consumer;
  queue_ = rd_kafka_queue_get_consumer(consumer_);
  PartitionList topics(rd_kafka_topic_partition_list_new(1),
                       &rd_kafka_topic_partition_list_destroy);
  rd_kafka_topic_partition_list_add(topics.get(), topic_.c_str(), RD_KAFKA_PARTITION_UA);
  if (rd_kafka_resp_err_t error = rd_kafka_subscribe(consumer_, topics.get()); error != 0)
    return kafka_error("subscribe", error);
  return {};
}

void KafkaSource::on_rebalance(rd_kafka_t* consumer, rd_kafka_resp_err_t kind,
                               rd_kafka_topic_partition_list_t* partitions, void* source) {
  auto* self = static_cast<KafkaSource*>(source);
  // Records of a partition that now belongs to another member are merged nevertheless; only their
  // offset is not committed.
  self->partitions_.clear();
  if (kind == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
    for (int i = 0; i < partitions->cnt; ++i)
      self->partitions_[partitions->elems[i].partition] = {};
    self->assigned_ = true;
    rd_kafka_assign(consumer, partitions);
  } else {
    self->assigned_ = false;
    rd_kafka_assign(consumer, nullptr);
  }
  log::info("kafka partitions assigned", {{"partitions", self->partitions_.size()}});
}

void KafkaSource::on_offset_commit(rd_kafka_t*, rd_kafka_resp_err_t error,
                                   rd_kafka_topic_partition_list_t* offsets, void* source) {
  auto* self = static_cast<KafkaSource*>(source);
  if (error != 0 && error != RD_KAFKA_RESP_ERR__NO_OFFSET) {
    log::warning("kafka offset commit failed, its events are read again",
                 {{"error", rd_kafka_err2str(error)}});
    return;
  }
  for (int i = 0; i < offsets->cnt; ++i) {
    auto at = self->partitions_.find(offsets->elems[i].partition);
    if (at != self->partitions_.end() && offsets->elems[i].err == 0)
      at->second.committed = std::max(at->second.committed, offsets->elems[i].offset);
  }
}

void KafkaSource::on_error(rd_kafka_t* consumer, int error, const char* reason, void* source) {
  auto* self = static_cast<KafkaSource*>(source);
  if (error == RD_KAFKA_RESP_ERR__FATAL) {
    char text[512];
    rd_kafka_fatal_error(consumer, text, sizeof text);
    self->failure_ = std::string("kafka: ") + text;
  } else if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
    self->all_brokers_down_ = true;
    self->failure_ = std::string("kafka: ") + reason;
  } else {
    log::warning("kafka error, librdkafka retries", {{"error", reason}});
  }
}

Result<void> KafkaSource::read(Batch& batch, uint32_t timeout_ms) {
  if (consumer_ == nullptr)
    if (Result<void> opened = open(); !opened) return opened.error();
  int64_t const until_ms = monotonic_ms() + std::max<int64_t>(timeout_ms, limits::read_tick_ms);
  while (!batch.full() && monotonic_ms() < until_ms) {
    ssize_t const count = rd_kafka_consume_batch_queue(queue_, static_cast<int>(timeout_ms),
                                                       messages_.data(), messages_.size());
    for (ssize_t i = 0; i < count; ++i) {
      handle(batch, messages_[static_cast<size_t>(i)]);
      rd_kafka_message_destroy(messages_[static_cast<size_t>(i)]);
    }
    if (!failure_.empty()) return Error{std::exchange(failure_, {})};
    if (count < static_cast<ssize_t>(messages_.size())) break;
  }
  if (all_brokers_down_) probe_brokers();
  return {};
}

// Without new events, nothing else shows that a broker is back.
void KafkaSource::probe_brokers() {
  const rd_kafka_metadata_t* metadata = nullptr;
  if (rd_kafka_metadata(consumer_, 0, nullptr, &metadata, limits::kafka_probe_ms) != 0) return;
  rd_kafka_metadata_destroy(metadata);
  all_brokers_down_ = false;
}

void KafkaSource::end_reached(const rd_kafka_message_t* message) {
  all_brokers_down_ = false;
  auto const at = partitions_.find(message->partition);
  if (at == partitions_.end()) return;
  at->second.at_end = true;
  at->second.unread_since_ms = wall_ms();
  if (at->second.next < 0) at->second.next = at->second.committed = message->offset;
}

void KafkaSource::handle(Batch& batch, const rd_kafka_message_t* message) {
  if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) return end_reached(message);
  if (message->err != 0) {
    if (message->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) no_topic_ = true;
    failure_ = std::string("kafka: ") + rd_kafka_message_errstr(message);
    return;
  }
  all_brokers_down_ = false;
  no_topic_ = false;
  std::string const offset = std::to_string(message->offset);
  SourceRecord record{static_cast<uint32_t>(message->partition),
                      offset,
                      {static_cast<const char*>(message->payload), message->len}};
  if (message->key != nullptr)
    record.key = std::string_view(static_cast<const char*>(message->key), message->key_len);
  batch.add(record);
  auto const at = partitions_.find(message->partition);
  if (at == partitions_.end()) return;  // fetched before a rebalance took the partition away
  Partition& partition = at->second;
  if (partition.next < 0) partition.committed = message->offset;
  partition.next = message->offset + 1;
  partition.at_end = false;  // librdkafka reports the next end again
  rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  partition.unread_since_ms = std::max<int64_t>(0, rd_kafka_message_timestamp(message, &type));
}

Result<void> KafkaSource::acknowledge() {
  PartitionList offsets(rd_kafka_topic_partition_list_new(static_cast<int>(partitions_.size())),
                        &rd_kafka_topic_partition_list_destroy);
  for (const auto& [number, partition] : partitions_) {
    if (partition.next < 0 || partition.next == partition.committed) continue;
    rd_kafka_topic_partition_list_add(offsets.get(), topic_.c_str(), number)->offset =
        partition.next;
  }
  if (offsets->cnt == 0) return {};
  // Asynchronous: the reply goes to on_offset_commit(), and leaving the group waits for it.
  if (rd_kafka_resp_err_t error = rd_kafka_commit(consumer_, offsets.get(), 1); error != 0)
    return kafka_error("offset commit", error);
  return {};
}

bool KafkaSource::caught_up() const {
  if (no_topic_) return true;
  return assigned_ && std::all_of(partitions_.begin(), partitions_.end(),
                                  [](const auto& entry) { return entry.second.at_end; });
}

uint64_t KafkaSource::lag_events() const {
  uint64_t total = 0;
  for (const auto& [number, partition] : partitions_)
    if (int64_t const end = end_of(number); end > partition.committed && partition.committed >= 0)
      total += static_cast<uint64_t>(end - partition.committed);
  return total;
}

Source::Unread KafkaSource::unread() const {
  Unread all;
  for (const auto& [number, partition] : partitions_) {
    int64_t const end = end_of(number);
    if (partition.next < 0 || end <= partition.next) continue;
    all.events += static_cast<uint64_t>(end - partition.next);
    int64_t const since_ms = partition.unread_since_ms;
    if (since_ms > 0)
      all.oldest_ms = all.oldest_ms == 0 ? since_ms : std::min(all.oldest_ms, since_ms);
  }
  return all;
}

int64_t KafkaSource::end_of(int32_t partition) const {
  int64_t low = 0;
  int64_t high = 0;
  bool const known =
      rd_kafka_get_watermark_offsets(consumer_, topic_.c_str(), partition, &low, &high) == 0;
  return known ? high : -1;
}

}  // namespace huntd::aggregator
