#include "aggregator/source_outbox.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/clock.h"
#include "protocol/redis_keys.h"

namespace huntd {
namespace {

// A sweep asks for all buckets, so an outbox read to its end is looked into this often and no
// oftener.
constexpr uint32_t look_again_ms = 200;

// The value of `field` in a stream entry's list of fields and values; null where there is none.
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

void OutboxSource::forget() {
  for (Bucket& bucket : buckets_) bucket.unacknowledged.clear();
  handed_out_ = 0;
}

Result<void> OutboxSource::read(Fold& fold, uint32_t timeout_ms) {
  bool const reconnected = !redis_.connected();
  if (Result<void> connected = redis_.connect(); !connected) return connected.error();
  if (reconnected) forget();
  Result<uint64_t> came = sweep(fold);
  if (!came) {
    // Replies of the pipeline may still be under way: a new connection is the only clean start.
    redis_.close();
    forget();
    return came.error();
  }
  drained_ = std::all_of(buckets_.begin(), buckets_.end(),
                         [](const Bucket& bucket) { return bucket.emptied; });
  if (at_end_ && timeout_ms > 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(std::min(timeout_ms, look_again_ms)));
  return {};
}

Result<uint64_t> OutboxSource::sweep(Fold& fold) {
  at_end_ = true;
  uint64_t came = 0;
  uint32_t visited = 0;
  while (visited < limits::buckets && !fold.full()) {
    uint32_t const group =
        std::min<uint32_t>(limits::outbox_pipeline_max, limits::buckets - visited);
    std::string const count = std::to_string(limits::outbox_read_max);
    for (uint32_t i = 0; i < group; ++i) {
      const Bucket& bucket = buckets_[(next_bucket_ + i) % limits::buckets];
      // '(' means past this id, since Redis 6.2.
      std::string const from =
          bucket.unacknowledged.empty() ? "-" : "(" + bucket.unacknowledged.back();
      redis_.append({"XRANGE", bucket.key, from, "+", "COUNT", count});
    }
    for (uint32_t i = 0; i < group; ++i) {
      Result<uint64_t> entries = read_entries((next_bucket_ + i) % limits::buckets, fold);
      if (!entries) return entries;
      came += *entries;
    }
    next_bucket_ = (next_bucket_ + group) % limits::buckets;
    visited += group;
  }
  handed_out_ += came;
  if (at_end_) {
    counted_ = std::min(counted_, handed_out_);
    at_end_at_ms_ = wall_ms();
  }
  return came;
}

Result<uint64_t> OutboxSource::read_entries(uint32_t bucket_number, Fold& fold) {
  Result<RedisAnswer> answer = redis_.read();
  if (!answer) return answer.error();
  const redisReply* entries = answer->get();
  if (entries->type != REDIS_REPLY_ARRAY) return Error{"redis: XRANGE did not answer with a list"};
  Bucket& bucket = buckets_[bucket_number];
  for (size_t i = 0; i < entries->elements; ++i) {
    const redisReply* entry = entries->element[i];
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2)
      return Error{"redis: XRANGE answered with a malformed entry"};
    std::string_view const id = text_of(entry->element[0]);
    const redisReply* value = field_of(entry->element[1], keys::outbox_value_field);
    // An entry without a value can't be read as an event, so it is filed with the dead.
    fold.add({bucket_number, id, value == nullptr ? std::string_view() : text_of(value)});
    bucket.unacknowledged.emplace_back(id);
  }
  if (entries->elements < limits::outbox_read_max)
    bucket.emptied = true;
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
      Result<RedisAnswer> deleted = redis_.run(words);
      if (!deleted) {
        redis_.close();
        forget();
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
      Result<RedisAnswer> length = redis_.read();
      if (!length) return length.error();
      total += static_cast<uint64_t>((*length)->integer);
    }
  }
  counted_ = total;
  handed_out_ = 0;
  return {};
}

Source::Unread OutboxSource::unread() const {
  if (counted_ <= handed_out_) return {};
  return {counted_ - handed_out_, at_end_at_ms_};
}

}  // namespace huntd
