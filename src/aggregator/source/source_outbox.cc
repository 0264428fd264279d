// SPDX-License-Identifier: Apache-2.0
#include "aggregator/source/source_outbox.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/clock.h"
#include "wire/redis_keys.h"

namespace huntd::aggregator {
namespace {

// A sweep sends a command for every bucket. After a sweep that reached the end of all streams, the
// next one waits this long.
constexpr uint32_t sweep_pause_ms = 200;

// Returns the value of `field` in a stream entry's list of fields and values; null if it has none.
const redisReply* field_of(const redisReply* fields, std::string_view field) {
  if (fields->type != REDIS_REPLY_ARRAY) return nullptr;
  for (size_t i = 0; i + 1 < fields->elements; i += 2)
    if (text_of(fields->element[i]) == field) return fields->element[i + 1];
  return nullptr;
}

}  // namespace

OutboxSource::OutboxSource(const Config& config)
    : redis_(config.redis.address, config.redis.password_file, config.redis.database) {
  for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket)
    buckets_[bucket].key = keys::outbox(bucket);
}

void OutboxSource::restart() {
  for (Bucket& bucket : buckets_) bucket.unacknowledged.clear();
  delivered_ = 0;
}

Result<void> OutboxSource::read(Batch& batch, uint32_t timeout_ms) {
  bool const reconnected = !redis_.connected();
  if (Result<void> connected = redis_.connect(); !connected) return connected.error();
  if (reconnected) restart();
  Result<uint64_t> const records = sweep(batch);
  if (!records) {
    // Replies of the pipeline may still be in transit, so the connection cannot be reused.
    redis_.close();
    restart();
    return records.error();
  }
  caught_up_ = std::all_of(buckets_.begin(), buckets_.end(),
                           [](const Bucket& bucket) { return bucket.end_reached; });
  if (at_end_ && timeout_ms > 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(std::min(timeout_ms, sweep_pause_ms)));
  return {};
}

Result<uint64_t> OutboxSource::sweep(Batch& batch) {
  at_end_ = true;
  uint64_t records = 0;
  uint32_t visited = 0;
  while (visited < limits::buckets && !batch.full()) {
    uint32_t const group =
        std::min<uint32_t>(limits::outbox_pipeline_max, limits::buckets - visited);
    std::string const count = std::to_string(limits::outbox_read_max);
    for (uint32_t i = 0; i < group; ++i) {
      const Bucket& bucket = buckets_[(next_bucket_ + i) % limits::buckets];
      // '(' excludes this id (Redis 6.2 or later).
      std::string const from =
          bucket.unacknowledged.empty() ? "-" : "(" + bucket.unacknowledged.back();
      redis_.append({"XRANGE", bucket.key, from, "+", "COUNT", count});
    }
    for (uint32_t i = 0; i < group; ++i) {
      Result<uint64_t> entries = read_entries((next_bucket_ + i) % limits::buckets, batch);
      if (!entries) return entries;
      records += *entries;
    }
    next_bucket_ = (next_bucket_ + group) % limits::buckets;
    visited += group;
  }
  delivered_ += records;
  if (at_end_) {
    counted_ = std::min(counted_, delivered_);
    at_end_at_ms_ = wall_ms();
  }
  return records;
}

Result<uint64_t> OutboxSource::read_entries(uint32_t bucket_number, Batch& batch) {
  Result<RedisReply> reply = redis_.read();
  if (!reply) return reply.error();
  const redisReply* entries = reply->get();
  if (entries->type != REDIS_REPLY_ARRAY) return Error{"redis: the reply to XRANGE is not a list"};
  Bucket& bucket = buckets_[bucket_number];
  for (size_t i = 0; i < entries->elements; ++i) {
    const redisReply* entry = entries->element[i];
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2)
      return Error{"redis: the reply to XRANGE has a malformed entry"};
    std::string_view const id = text_of(entry->element[0]);
    const redisReply* value = field_of(entry->element[1], keys::outbox_value_field);
    // An entry without a value becomes a dead letter: an empty payload is not an event.
    batch.add({bucket_number, id, value == nullptr ? std::string_view() : text_of(value)});
    bucket.unacknowledged.emplace_back(id);
  }
  if (entries->elements < limits::outbox_read_max)
    bucket.end_reached = true;
  else
    at_end_ = false;
  return static_cast<uint64_t>(entries->elements);
}

Result<void> OutboxSource::acknowledge() {
  std::vector<std::string_view> words;
  for (Bucket& bucket : buckets_) {
    for (size_t from = 0; from < bucket.unacknowledged.size(); from += limits::outbox_delete_max) {
      size_t const until = std::min(from + limits::outbox_delete_max, bucket.unacknowledged.size());
      words = {"XDEL", bucket.key};
      words.insert(words.end(), bucket.unacknowledged.begin() + static_cast<ptrdiff_t>(from),
                   bucket.unacknowledged.begin() + static_cast<ptrdiff_t>(until));
      Result<RedisReply> deleted = redis_.execute(words);
      if (!deleted) {
        redis_.close();
        restart();
        return deleted.error();
      }
    }
    bucket.unacknowledged.clear();
  }
  Result<void> counted = count_lag();
  if (!counted) redis_.close();
  return counted;
}

Result<void> OutboxSource::count_lag() {
  uint64_t total = 0;
  for (uint32_t from = 0; from < limits::buckets; from += limits::outbox_pipeline_max) {
    uint32_t const until = std::min<uint32_t>(from + limits::outbox_pipeline_max, limits::buckets);
    for (uint32_t i = from; i < until; ++i) redis_.append({"XLEN", buckets_[i].key});
    for (uint32_t i = from; i < until; ++i) {
      Result<RedisReply> length = redis_.read();
      if (!length) return length.error();
      total += static_cast<uint64_t>((*length)->integer);
    }
  }
  counted_ = total;
  delivered_ = 0;
  return {};
}

Source::Unread OutboxSource::unread() const {
  if (counted_ <= delivered_) return {};
  return {counted_ - delivered_, at_end_at_ms_};
}

}  // namespace huntd::aggregator
