// SPDX-License-Identifier: Apache-2.0
#include "aggregator/source/source_kafka.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "aggregator/sessions/aggregator_limits.h"
#include "base/clock.h"
#include "base/log.h"
#include "drivers/driver_limits.h"
#include "drivers/kafka_client.h"

namespace huntd::aggregator {
namespace {

RecordFingerprint record_of(const rd_kafka_message_t* message) {
  rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  return fingerprint_of(message->offset, rd_kafka_message_timestamp(message, &type),
                        {static_cast<const char*>(message->key), message->key_len},
                        {static_cast<const char*>(message->payload), message->len});
}

std::optional<RecordFingerprint> record_before(const rd_kafka_topic_partition_t& committed) {
  if (committed.metadata == nullptr) return std::nullopt;
  return parse_fingerprint({static_cast<const char*>(committed.metadata), committed.metadata_size});
}

// The list takes ownership of a copy that it frees by free().
void set_metadata(rd_kafka_topic_partition_t* entry, const std::string& text) {
  entry->metadata = std::malloc(text.size());
  if (entry->metadata == nullptr) return;  // without it, the topic is read again from the beginning
  std::memcpy(entry->metadata, text.data(), text.size());
  entry->metadata_size = text.size();
}

// As it is in force: a config or librdkafka sets it.
int64_t session_timeout_ms(rd_kafka_t* consumer) {
  char text[32];
  size_t size = sizeof text;
  bool const known = rd_kafka_conf_get(rd_kafka_conf(consumer), "session.timeout.ms", text,
                                       &size) == RD_KAFKA_CONF_OK;
  return known ? std::strtoll(text, nullptr, 10) : 0;
}

}  // namespace

KafkaSource::KafkaSource(const Config& config)
    : kafka_(config.kafka),
      bootstrap_(config.kafka.bootstrap),
      topic_(config.kafka.topic),
      dead_topic_(config.kafka.dead_topic),
      group_(config.aggregator.group),
      name_("kafka:" + config.kafka.topic),
      messages_(limits::kafka_read_max) {}

KafkaSource::~KafkaSource() {
  if (consumer_ == nullptr) return;
  closing_ = true;
  for (rd_kafka_message_t* message : held_) rd_kafka_message_destroy(message);
  // librdkafka waits for the assignment that it has announced.
  if (pending_) rd_kafka_assign(consumer_, nullptr);
  rd_kafka_consumer_close(consumer_);
  rd_kafka_queue_destroy(queue_);
  rd_kafka_destroy(consumer_);
}

Result<void> KafkaSource::open() {
  Result<rd_kafka_conf_t*> conf = kafka_conf(
      kafka_, RD_KAFKA_CONSUMER,
      {
          {"group.id", group_},
          {"client.id", "hunt-aggregator"},
          {"enable.auto.commit", "false"},
          {"enable.auto.offset.store", "false"},
          {"auto.offset.reset", "error"},
          {"enable.partition.eof", "true"},
          {"allow.auto.create.topics", "false"},
          {"topic.metadata.refresh.interval.ms", std::to_string(limits::kafka_metadata_refresh_ms)},
          {"fetch.wait.max.ms", "100"},
          // How much librdkafka fetches ahead. When the queue is full, librdkafka 2.0 pauses for a
          // second; the queue must last that long.
          {"queued.min.messages", "1000000"},
          {"queued.max.messages.kbytes", "131072"},
      });
  if (!conf) return conf.error();
  rd_kafka_conf_set_opaque(*conf, this);
  rd_kafka_conf_set_error_cb(*conf, &KafkaSource::on_error);
  rd_kafka_conf_set_rebalance_cb(*conf, &KafkaSource::on_rebalance);
  rd_kafka_conf_set_offset_commit_cb(*conf, &KafkaSource::on_offset_commit);
  Result<rd_kafka_t*> consumer = kafka_client(RD_KAFKA_CONSUMER, *conf);
  if (!consumer) return consumer.error();
  consumer_ = *consumer;
  session_timeout_ms_ = session_timeout_ms(consumer_);
  queue_ = rd_kafka_queue_get_consumer(consumer_);
  unassigned_since_ms_ = read_at_ms_ = monotonic_ms();
  probe_at_ms_ = unassigned_since_ms_ + limits::kafka_probe_every_ms;
  PartitionList const topics = partition_list(1);
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
  self->standby_ = false;
  self->begin_error_.clear();
  if (self->paused_) self->pause(false);  // partitions that are reassigned must not stay paused
  self->assigned_ = self->pending_ =
      kind == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && !self->closing_;
  if (!self->assigned_) {
    self->unassigned_since_ms_ = monotonic_ms();
    rd_kafka_assign(consumer, nullptr);
  } else {
    // begin_partitions() calls rd_kafka_assign().
    for (int i = 0; i < partitions->cnt; ++i)
      self->partitions_[partitions->elems[i].partition] = {};
    self->standby_possible_ = partitions->cnt == 0;
    if (self->standby_possible_) self->probe_at_ms_ = 0;
  }
  log::info("kafka partitions assigned", {{"partitions", self->partitions_.size()}});
}

void KafkaSource::on_offset_commit(rd_kafka_t*, rd_kafka_resp_err_t error,
                                   rd_kafka_topic_partition_list_t* offsets, void* source) {
  auto* self = static_cast<KafkaSource*>(source);
  if (error != 0 && error != RD_KAFKA_RESP_ERR__NO_OFFSET)
    log::warning("kafka offset commit failed, its events are read again",
                 {{"error", rd_kafka_err2str(error)}});
  for (int i = 0; offsets != nullptr && i < offsets->cnt; ++i) {
    auto const at = self->partitions_.find(offsets->elems[i].partition);
    if (at == self->partitions_.end()) continue;
    if (error == 0 && offsets->elems[i].err == 0)
      at->second.position.on_committed(offsets->elems[i].offset);
    else
      at->second.sent = PartitionPosition::unknown;
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
    self->suspect_ = true;
    self->alive_ = false;
    self->failure_ = std::string("kafka: ") + reason;
  } else {
    log::warning("kafka error, librdkafka retries", {{"error", reason}});
  }
}

Result<void> KafkaSource::read(Batch& batch, uint32_t timeout_ms) {
  if (consumer_ == nullptr)
    if (Result<void> opened = open(); !opened) return opened.error();
  poll(batch, timeout_ms);
  note_read();
  if (monotonic_ms() >= probe_at_ms_ && (standby_possible_ || !trouble().empty())) probe_topic();
  if (!failure_.empty()) return Error{std::exchange(failure_, {})};
  if (pending_) {
    Result<void> const started = begin_partitions();
    begin_error_ = started ? "" : started.error().message;
    if (!started) return started;
  }
  if (Result<void> resolved = resolve_out_of_range(); !resolved) return resolved;
  if (Result<void> checked = check_positions(); !checked) return checked;
  if (Result<void> restarted = restart_partitions(); !restarted) return restarted;
  if (outstanding_ == 0)
    if (Result<void> committed = commit_positions(); !committed) return committed;
  std::string const reason = trouble();
  int64_t const now_ms = monotonic_ms();
  if (reason.empty()) {
    trouble_since_ms_ = 0;
    return {};
  }
  if (trouble_since_ms_ == 0) trouble_since_ms_ = now_ms;
  int64_t const since_ms = now_ms - trouble_since_ms_;
  if (no_topic_ || all_brokers_down_ || since_ms >= patience_ms()) return Error{"kafka: " + reason};
  if (since_ms >= limits::kafka_join_grace_ms && !std::exchange(wait_logged_, true))
    log::notice("waiting for partitions of the topic",
                {{"topic", topic_},
                 {"reason", reason},
                 {"hint", "a member that was killed keeps its partitions for session.timeout.ms"}});
  return {};
}

int64_t KafkaSource::patience_ms() const {
  return limits::kafka_join_grace_ms + (patient_ ? session_timeout_ms_ : 0);
}

// A check that has no reply counts only while this member reads: a merge may take minutes.
void KafkaSource::note_read() {
  int64_t const now_ms = monotonic_ms();
  if (now_ms - read_at_ms_ > limits::kafka_join_grace_ms) {
    unassigned_since_ms_ = now_ms;
    for (auto& [number, partition] : partitions_) partition.checked_at_ms = now_ms;
  }
  read_at_ms_ = now_ms;
}

// A poll for no message is enough for max.poll.interval.ms. If nothing is read for longer, the
// partitions are paused and the queue is served, so that a rebalance of the group does not wait.
Result<bool> KafkaSource::idle(uint32_t timeout_ms) {
  bool const long_since = monotonic_ms() - read_at_ms_ >= limits::kafka_pause_after_ms;
  if (consumer_ == nullptr || !long_since || held_.size() >= limits::kafka_read_max) {
    if (timeout_ms > 0) std::this_thread::sleep_for(std::chrono::milliseconds(timeout_ms));
    if (consumer_ != nullptr) rd_kafka_consume_batch_queue(queue_, 0, messages_.data(), 0);
    return false;
  }
  if (!paused_) pause(true);
  // Messages that were under way, ends and errors.
  ssize_t const count = rd_kafka_consume_batch_queue(queue_, static_cast<int>(timeout_ms),
                                                     messages_.data(), messages_.size());
  if (count > 0) held_.insert(held_.end(), messages_.begin(), messages_.begin() + count);
  return false;
}

void KafkaSource::pause(bool paused) {
  paused_ = paused;
  rd_kafka_topic_partition_list_t* assignment = nullptr;
  if (rd_kafka_assignment(consumer_, &assignment) != 0) return;
  if (paused)
    rd_kafka_pause_partitions(consumer_, assignment);
  else
    rd_kafka_resume_partitions(consumer_, assignment);
  rd_kafka_topic_partition_list_destroy(assignment);
}

void KafkaSource::take_held(Batch& batch) {
  if (paused_) pause(false);
  for (rd_kafka_message_t* message : held_) {
    handle(batch, message);
    rd_kafka_message_destroy(message);
  }
  held_.clear();
}

void KafkaSource::poll(Batch& batch, uint32_t timeout_ms) {
  take_held(batch);
  int64_t const until_ms = monotonic_ms() + std::max<int64_t>(timeout_ms, limits::read_tick_ms);
  while (!batch.full() && monotonic_ms() < until_ms) {
    ssize_t const count = rd_kafka_consume_batch_queue(queue_, static_cast<int>(timeout_ms),
                                                       messages_.data(), messages_.size());
    for (ssize_t i = 0; i < count; ++i) {
      handle(batch, messages_[static_cast<size_t>(i)]);
      rd_kafka_message_destroy(messages_[static_cast<size_t>(i)]);
    }
    if (!failure_.empty() || count < static_cast<ssize_t>(messages_.size())) return;
  }
}

std::string KafkaSource::trouble() const {
  if (consumer_ == nullptr) return "not connected yet";
  if (all_brokers_down_) return "no broker responds at " + bootstrap_ + kafka_fault();
  if (no_topic_) return "no topic " + topic_;
  if (!begin_error_.empty()) return begin_error_;
  if (!assigned_ && read_at_ms_ - unassigned_since_ms_ > limits::kafka_join_grace_ms)
    return "no partition of " + topic_ + " is assigned to this aggregator";
  for (const auto& [number, partition] : partitions_)
    if (partition.position.checking() &&
        read_at_ms_ - partition.checked_at_ms > limits::kafka_stall_ms)
      return fmt::format("partition {} of {} cannot be read", number, topic_);
  if (alive_) return {};
  if (!probe_error_.empty()) return probe_error_;
  if (partitions_.empty()) return "no partition of " + topic_ + " is assigned to this aggregator";
  return "no partition of " + topic_ + " has been read yet";
}

// Without new events, nothing else shows that a broker is back or that the topic exists.
void KafkaSource::probe_topic() {
  probe_at_ms_ =
      monotonic_ms() + (standby_ ? limits::topic_check_ms : limits::kafka_probe_every_ms);
  Result<int> const count = count_partitions(consumer_, topic_, limits::kafka_probe_ms);
  if (!count) {
    probe_error_ = fmt::format("no broker responds at {}: {}", bootstrap_, count.error().message);
    return;
  }
  probe_error_.clear();
  all_brokers_down_ = false;
  no_topic_ = *count == 0;
  if (no_topic_) {
    suspect_ = true;
    alive_ = standby_ = standby_possible_ = false;
  } else if (standby_possible_ && assigned_ && partitions_.empty()) {
    alive_ = standby_ = true;
  }
}

void KafkaSource::something_read() {
  all_brokers_down_ = no_topic_ = false;
  alive_ = true;
  probe_error_.clear();
}

// Each rebalance asks again, and what is unknown for the same reason is logged once.
Result<void> KafkaSource::check_policy() {
  Result<std::string> unknown =
      reject_compaction(consumer_, {topic_, dead_topic_}, limits::kafka_query_ms);
  if (!unknown) return unknown.error();
  if (!unknown->empty() && *unknown != policy_unknown_)
    log::warning(
        "the topics' cleanup.policy cannot be read, events are lost if it is compact",
        {{"topic", topic_},
         {"dead_topic", dead_topic_},
         {"error", *unknown},
         {"hint", "permit DescribeConfigs of both topics, or check the setting yourself"}});
  policy_unknown_ = *std::move(unknown);
  return {};
}

Result<void> KafkaSource::begin_partitions() {
  if (partitions_.empty()) {
    pending_ = false;
    return assign_all();
  }
  if (Result<void> policy = check_policy(); !policy) {
    alive_ = false;
    return policy;
  }
  PartitionList const offsets = partition_list(static_cast<int>(partitions_.size()));
  for (const auto& [number, partition] : partitions_)
    rd_kafka_topic_partition_list_add(offsets.get(), topic_.c_str(), number);
  if (rd_kafka_resp_err_t const error =
          rd_kafka_committed(consumer_, offsets.get(), limits::kafka_query_ms);
      error != 0)
    return kafka_error("committed offsets", error);
  for (int i = 0; i < offsets->cnt; ++i) {
    const rd_kafka_topic_partition_t& entry = offsets->elems[i];
    if (entry.err != 0) return kafka_error("committed offsets", entry.err);
    std::optional<RecordFingerprint> const fingerprint = record_before(entry);
    if (entry.offset > 0 && !fingerprint)
      log::notice(
          "the committed offset does not say of which topic it is, "
          "the partition is read from the beginning",
          {{"topic", topic_}, {"partition", entry.partition}, {"offset", entry.offset}});
    Partition& partition = partitions_[entry.partition];
    partition = {};
    partition.position = PartitionPosition(entry.offset, fingerprint);
    partition.checked_at_ms = monotonic_ms();
  }
  pending_ = false;
  return assign_all();
}

Result<void> KafkaSource::assign_all() {
  PartitionList const list = partition_list(static_cast<int>(partitions_.size()));
  for (auto& [number, partition] : partitions_) {
    rd_kafka_topic_partition_list_add(list.get(), topic_.c_str(), number)->offset =
        partition.position.start();
    partition.restart = false;
  }
  if (rd_kafka_resp_err_t error = rd_kafka_assign(consumer_, list.get()); error != 0) {
    pending_ = true;
    return kafka_error("assign", error);
  }
  return {};
}

void KafkaSource::apply(int32_t number, Partition& partition, const PartitionPosition::Step& step) {
  if (step.missed > 0) {
    changes_.events_missed += step.missed;
    log::error("events are gone: retention passed the committed offset",
               {{"topic", topic_},
                {"partition", number},
                {"events", step.missed},
                {"first_offset", step.missed_from},
                {"hint", "raise the topic's retention.ms, and see huntctl reconcile"}});
  }
  if (step.recreated) {
    changes_.topic_recreated += 1;
    log::error(
        "the topic was deleted and made again, or has lost its newest records: "
        "the partition is read from the beginning",
        {{"topic", topic_}, {"partition", number}});
  }
  if (!step.restart) return;
  partition.restart = true;
  partition.at_end = false;
  partition.out_of_range = false;
  partition.sent = PartitionPosition::unknown;
  partition.unread_since_ms = 0;
}

void KafkaSource::end_reached(const rd_kafka_message_t* message) {
  auto const at = partitions_.find(message->partition);
  if (at == partitions_.end() || at->second.restart || pending_) return;
  Partition& partition = at->second;
  something_read();
  PartitionPosition::Step const step = partition.position.on_end(message->offset);
  apply(message->partition, partition, step);
  if (step.restart) return;
  partition.at_end = true;
  partition.unread_since_ms = wall_ms();
}

void KafkaSource::handle_error(const rd_kafka_message_t* message) {
  suspect_ = true;
  auto const at = partitions_.find(message->partition);
  switch (message->err) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
      if (at != partitions_.end()) at->second.out_of_range = true;
      return;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      probe_at_ms_ = 0;  // says whether the topic is gone
      alive_ = false;
      return;
    default:
      alive_ = false;
      failure_ = std::string("kafka: ") + rd_kafka_message_errstr(message);
  }
}

void KafkaSource::handle(Batch& batch, const rd_kafka_message_t* message) {
  if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) return end_reached(message);
  if (message->err != 0) return handle_error(message);
  auto const at = partitions_.find(message->partition);
  // Otherwise it was fetched before a rebalance took the partition away.
  if (at != partitions_.end() && !pending_) {
    Partition& partition = at->second;
    if (partition.restart) return;
    something_read();
    PartitionPosition::Step const step = partition.position.on_record(record_of(message));
    apply(message->partition, partition, step);
    if (!step.deliver) return;
    partition.at_end = false;  // librdkafka reports the next end again
    rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    partition.unread_since_ms = std::max<int64_t>(0, rd_kafka_message_timestamp(message, &type));
  }
  std::string const offset = std::to_string(message->offset);
  SourceRecord record{static_cast<uint32_t>(message->partition),
                      offset,
                      {static_cast<const char*>(message->payload), message->len}};
  if (message->key != nullptr)
    record.key = std::string_view(static_cast<const char*>(message->key), message->key_len);
  batch.add(record);
  outstanding_ += 1;
}

Result<void> KafkaSource::resolve_out_of_range() {
  bool any = false;
  for (auto& [number, partition] : partitions_) {
    if (!partition.out_of_range) continue;
    Result<Watermarks> const log =
        query_watermarks(consumer_, topic_, number, limits::kafka_query_ms);
    if (!log) return log.error();
    apply(number, partition, partition.position.on_out_of_range(log->low, log->high));
    any = true;
  }
  // After this error librdkafka has stopped to fetch, so that a seek would fail.
  return any && assigned_ && !pending_ ? assign_all() : Result<void>();
}

Result<void> KafkaSource::check_positions() {
  if (!assigned_ || pending_ || all_brokers_down_ || no_topic_) return {};
  int64_t const now_ms = monotonic_ms();
  for (auto& [number, partition] : partitions_) {
    int64_t const every_ms = suspect_           ? 0
                             : partition.at_end ? limits::topic_check_ms
                                                : limits::topic_check_busy_ms;
    if (now_ms - partition.checked_at_ms < every_ms || !partition.position.confirmed()) continue;
    partition.checked_at_ms = now_ms;
    int64_t low = 0;
    int64_t high = 0;  // both as of the last fetch
    if (rd_kafka_get_watermark_offsets(consumer_, topic_.c_str(), number, &low, &high) == 0 &&
        low >= 0)
      apply(number, partition, partition.position.on_low(low));
    if (partition.restart) continue;
    if (partition.position.check()) {
      partition.restart = true;
      continue;
    }
    Result<Watermarks> const log =
        query_watermarks(consumer_, topic_, number, limits::kafka_query_ms);
    if (!log) return log.error();
    apply(number, partition, partition.position.on_low(log->low));
    something_read();
  }
  suspect_ = false;
  return {};
}

Result<void> KafkaSource::restart_partitions() {
  PartitionList const list = partition_list(static_cast<int>(partitions_.size()));
  for (auto& [number, partition] : partitions_) {
    if (!partition.restart) continue;
    rd_kafka_topic_partition_list_add(list.get(), topic_.c_str(), number)->offset =
        partition.position.start();
  }
  if (list->cnt == 0 || !assigned_ || pending_) return {};
  rd_kafka_error_t* const error =
      rd_kafka_seek_partitions(consumer_, list.get(), limits::kafka_query_ms);
  bool failed = error != nullptr;
  if (error != nullptr) rd_kafka_error_destroy(error);
  for (int i = 0; i < list->cnt; ++i) failed = failed || list->elems[i].err != 0;
  if (failed) return assign_all();
  for (auto& [number, partition] : partitions_) partition.restart = false;
  return {};
}

Result<void> KafkaSource::acknowledge() {
  outstanding_ = 0;
  return commit_positions();
}

Result<void> KafkaSource::commit_positions() {
  PartitionList const offsets = partition_list(static_cast<int>(partitions_.size()));
  for (auto& [number, partition] : partitions_) {
    const PartitionPosition& position = partition.position;
    // An offset of 0 means the same as none.
    if (position.next() <= 0 || position.next() == position.committed()) continue;
    if (partition.sent == position.next() || partition.restart || pending_) continue;
    rd_kafka_topic_partition_t* const entry =
        rd_kafka_topic_partition_list_add(offsets.get(), topic_.c_str(), number);
    entry->offset = partition.sent = position.next();
    if (position.anchor()) set_metadata(entry, fingerprint_text(*position.anchor()));
  }
  if (offsets->cnt == 0) return {};
  // Asynchronous: the reply goes to on_offset_commit(), and leaving the group waits for it.
  if (rd_kafka_resp_err_t error = rd_kafka_commit(consumer_, offsets.get(), 1); error != 0) {
    for (auto& [number, partition] : partitions_) partition.sent = PartitionPosition::unknown;
    return kafka_error("offset commit", error);
  }
  return {};
}

bool KafkaSource::caught_up() const {
  if (!assigned_ || pending_ || (partitions_.empty() && !standby_)) return false;
  return std::all_of(partitions_.begin(), partitions_.end(),
                     [](const auto& entry) { return entry.second.at_end; });
}

uint64_t KafkaSource::lag_events() const {
  uint64_t total = 0;
  for (const auto& [number, partition] : partitions_) {
    int64_t const end = end_of(number);
    int64_t const committed = partition.position.committed();
    int64_t const from = committed >= 0 ? committed : partition.position.start();
    if (end > from) total += static_cast<uint64_t>(end - from);
  }
  return total;
}

Source::Unread KafkaSource::unread() const {
  Unread all;
  for (const auto& [number, partition] : partitions_) {
    int64_t const end = end_of(number);
    int64_t const next = partition.position.next();
    if (next < 0 || end <= next) continue;
    all.events += static_cast<uint64_t>(end - next);
    int64_t const since_ms = partition.unread_since_ms;
    if (since_ms > 0)
      all.oldest_ms = all.oldest_ms == 0 ? since_ms : std::min(all.oldest_ms, since_ms);
  }
  return all;
}

int64_t KafkaSource::end_of(int32_t partition) const {
  if (consumer_ == nullptr) return -1;
  int64_t low = 0;
  int64_t high = 0;
  bool const known =
      rd_kafka_get_watermark_offsets(consumer_, topic_.c_str(), partition, &low, &high) == 0;
  return known ? high : -1;
}

}  // namespace huntd::aggregator
