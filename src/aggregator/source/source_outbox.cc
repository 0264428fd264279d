// SPDX-License-Identifier: Apache-2.0
#include "aggregator/source/source_outbox.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <poll.h>

#include <charconv>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "drivers/redis_cluster.h"
#include "wire/redis_keys.h"

namespace huntd::aggregator {
namespace {

// Deletes the entries that are those that were merged. A stream is a log: if the last one is the
// same, nothing before it has changed. Otherwise (Redis has lost writes, or another aggregator has
// deleted it) each one is compared.
//   KEYS   the outbox
//   ARGV   id, first 16 hex digits of the value's SHA-1, id, ...; ids ascending
//   reply  how many were deleted
constexpr std::string_view delete_script = R"lua(
local function is(entry, digest)
  local value = ''
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'v' then value = entry[2][i + 1] break end
  end
  return string.sub(redis.sha1hex(value), 1, 16) == digest
end
local last = redis.call('XRANGE', KEYS[1], ARGV[#ARGV - 1], ARGV[#ARGV - 1])[1]
local ids = {KEYS[1]}
if last and is(last, ARGV[#ARGV]) then
  for i = 1, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
else
  local digests = {}
  for i = 1, #ARGV, 2 do digests[ARGV[i]] = ARGV[i + 1] end
  local range = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[#ARGV - 1], 'COUNT', #ARGV / 2)
  for _, entry in ipairs(range) do
    local digest = digests[entry[1]]
    if digest and is(entry, digest) then ids[#ids + 1] = entry[1] end
  end
end
if #ids == 1 then return 0 end
return redis.call('XDEL', unpack(ids))
)lua";
static_assert(keys::outbox_value_field == "v");

// The first 64 bits of the SHA-1, which is the digest that Redis' scripts have.
uint64_t digest_of(std::string_view value) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  CHECK(EVP_Digest(value.data(), value.size(), digest, nullptr, EVP_sha1(), nullptr) == 1);
  uint64_t first = 0;
  for (size_t i = 0; i < sizeof first; ++i) first = first << 8 | digest[i];
  return first;
}

// Returns the value of `field` in a stream entry's list of fields and values; null if it has none.
const redisReply* field_of(const redisReply* fields, std::string_view field) {
  if (fields->type != REDIS_REPLY_ARRAY) return nullptr;
  for (size_t i = 0; i + 1 < fields->elements; i += 2)
    if (text_of(fields->element[i]) == field) return fields->element[i + 1];
  return nullptr;
}

// "MS-NUMBER"
bool read_id(std::string_view id, uint64_t& ms, uint64_t& number) {
  const char* const end = id.data() + id.size();
  auto const [dash, ms_fault] = std::from_chars(id.data(), end, ms);
  if (ms_fault != std::errc() || dash == end || *dash != '-') return false;
  auto const [rest, number_fault] = std::from_chars(dash + 1, end, number);
  return number_fault == std::errc() && rest == end;
}

bool begins_with_code(const Error& error, std::string_view code) {
  return error.message.find(fmt::format("redis: {}", code)) == 0;
}

}  // namespace

OutboxSource::OutboxSource(const Config& config, uint32_t timeout_ms)
    : redis_(config.redis, timeout_ms),
      watch_(config, timeout_ms),
      lengths_(config, timeout_ms),
      sweep_interval_ms_(config.aggregator.interval_s * 1000LL) {
  for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket)
    buckets_[bucket].key = keys::outbox(bucket);
  mine_.set();
  changed_.set();
}

OutboxSource::OutboxSource(const Config& config, OfNode)
    : OutboxSource(config, limits::outbox_node_timeout_ms) {
  of_node_ = true;
  use({});
}

void OutboxSource::use(const Buckets& buckets) {
  look_for_those_elsewhere();
  if (buckets == mine_) return;
  Buckets const gained = buckets & ~mine_;
  for (uint32_t number = 0; number < limits::buckets; ++number)
    if (!buckets.test(number)) drop_read(number);
  mine_ = buckets;
  changed_ = (changed_ | gained) & mine_;
  ends_reached_ &= ~gained;
  counted_ = 0;
  lengths_.use(mine_);
  note_changes();
}

// What was delivered of it is not deleted; it is read again, here or at another node.
void OutboxSource::drop_read(uint32_t bucket) {
  delivered_ -= buckets_[bucket].unacknowledged.size();
  buckets_[bucket].unacknowledged.clear();
  changed_.set(bucket);
}

// Whether a node reports with `error` that another one has the bucket, or gets it now.
bool OutboxSource::left(uint32_t bucket, const Error& error) {
  std::optional<ClusterRedirect> const redirect = of_node_ ? redirect_of(error) : std::nullopt;
  if (!redirect) return false;
  drop_read(bucket);
  changed_.reset(bucket);
  ends_reached_.reset(bucket);
  if (elsewhere_.none()) look_at_ms_ = monotonic_ms() + limits::outbox_moving_ms;
  elsewhere_.set(bucket);
  moved_ = moved_ || redirect->kind == ClusterRedirect::Kind::moved;
  return true;
}

void OutboxSource::look_for_those_elsewhere() {
  changed_ |= elsewhere_;
  elsewhere_.reset();
}

void OutboxSource::restart() {
  for (Bucket& bucket : buckets_) bucket.unacknowledged.clear();
  delivered_ = 0;
  elsewhere_.reset();
  merged_ = false;
  changed_ = mine_;
  note_changes();
}

// --- the connections ---------------------------------------------------------------------------

Result<void> OutboxSource::connect() {
  if (redis_.connected() && is_replaced())
    log::notice("the sentinels name another primary: connecting to that one");
  else if (redis_.connected())
    return keep_watch();
  // Each new connection reads all outboxes.
  if (watch_started_at_ms_ != 0 &&
      monotonic_ms() - watch_started_at_ms_ < limits::outbox_watch_pause_ms)
    return Error{"redis: the connection was lost again"};
  watch_.stop();
  watch_failure_.clear();
  restart();
  if (Result<void> connected = redis_.connect(); !connected) return connected;
  if (Result<void> primary = redis_.check_primary(); !primary) return primary;
  return start_watch();
}

// Asked at intervals. Closes the connection to a server that most sentinels have replaced, which may
// not know that itself.
bool OutboxSource::is_replaced() {
  int64_t const now_ms = monotonic_ms();
  if (now_ms < ask_sentinel_at_ms_) return false;
  ask_sentinel_at_ms_ = now_ms + limits::outbox_sentinel_ms;
  if (!redis_.is_replaced()) return false;
  redis_.close();
  return true;
}

Result<void> OutboxSource::start_watch() {
  watch_failure_.clear();
  watch_started_at_ms_ = monotonic_ms();
  Result<bool> started = watch_.start(redis_);
  if (!started) return started.error();
  changed_ = mine_;
  note_changes();
  check_at_ms_ = watch_started_at_ms_ + (*started ? limits::outbox_check_ms : sweep_interval_ms_);
  std::string const rejection = *started ? "" : watch_.rejection();
  if (rejection == rejection_) return {};
  rejection_ = rejection;
  if (*started)
    log::notice("redis reports changes of outboxes again");
  else
    log::error("redis does not report changes of outboxes, all are read every interval_s",
               {{"error", rejection_},
                {"hint",
                 "Redis 6.0 or later; ACL +ping +client|id +client|tracking +subscribe "
                 "&__redis__:invalidate"}});
  return {};
}

Result<void> OutboxSource::keep_watch() {
  int64_t const age_ms = monotonic_ms() - watch_started_at_ms_;
  if (!watch_failure_.empty()) {
    if (age_ms < limits::outbox_watch_pause_ms) {
      redis_.close();
      return Error{"the report of changes: " + watch_failure_};
    }
    log::warning("lost the connection that reports changes of outboxes, all are read once",
                 {{"error", watch_failure_}});
    return start_watch();
  }
  if (!watch_.watching() && age_ms >= limits::outbox_watch_retry_ms) return start_watch();
  return {};
}

void OutboxSource::listen() {
  // No reply is due here, so there is input only if Redis has closed the connection.
  Result<std::optional<RedisReply>> const unexpected = redis_.received();
  if (!unexpected || unexpected->has_value()) redis_.close();
  if (!watch_.watching()) return;
  Result<OutboxWatch::Received> const received = watch_.receive(changed_, monotonic_ms());
  changed_ &= mine_;
  if (!received)
    watch_failure_ = received.error().message;
  else if (*received == OutboxWatch::Received::flushed)
    restart();
  else if (*received == OutboxWatch::Received::changes)
    note_changes();
}

bool OutboxSource::wait_for_input(int64_t until_ms) const {
  pollfd inputs[] = {{redis_.fd(), POLLIN, 0}, {watch_.fd(), POLLIN, 0}};
  int64_t const wait_ms = std::max<int64_t>(0, until_ms - monotonic_ms());
  return ::poll(inputs, std::size(inputs), static_cast<int>(wait_ms)) >= 0;
}

Result<void> OutboxSource::wait_for_changes(int64_t until_ms) {
  bool const backlog = changed_.any();
  while (true) {
    listen();
    if (Result<void> kept = connect(); !kept) return kept;
    int64_t const now_ms = monotonic_ms();
    check_some(now_ms);
    int64_t wake_ms = std::min(until_ms, check_at_ms_);
    if (changed_.any())
      wake_ms = backlog ? now_ms : std::min(until_ms, read_at_ms_ + limits::outbox_read_pause_ms);
    if (now_ms >= wake_ms) return {};
    if (!wait_for_input(wake_ms)) return {};
  }
}

void OutboxSource::check_some(int64_t now_ms) {
  if (now_ms < check_at_ms_) return;
  if (!watch_.watching()) {
    check_at_ms_ = now_ms + sweep_interval_ms_;
    changed_ = mine_;
    note_changes();
    return;
  }
  check_at_ms_ = now_ms + limits::outbox_check_ms;
  for (uint32_t i = 0; i < limits::outbox_check_buckets; ++i)
    changed_.set((next_check_ + i) % limits::buckets);
  changed_ &= mine_;
  next_check_ = (next_check_ + limits::outbox_check_buckets) % limits::buckets;
}

Result<bool> OutboxSource::idle(uint32_t timeout_ms) {
  int64_t const until_ms = monotonic_ms() + timeout_ms;
  while (true) {
    if (timeout_ms > 0)
      if (Result<void> kept = connect(); !kept) return kept.error();
    if (!redis_.connected()) return false;
    listen();
    int64_t const now_ms = monotonic_ms();
    if (timeout_ms == 0) return redis_.connected();
    if (Result<void> alive = ping(now_ms); !alive) return alive.error();
    count(now_ms);
    if (now_ms >= until_ms || !wait_for_input(until_ms)) return redis_.connected();
  }
}

// Read nothing for long, and a proxy or Redis' `timeout` would close the connection.
Result<void> OutboxSource::ping(int64_t now_ms) {
  if (!redis_.connected() || now_ms < check_at_ms_) return {};
  check_at_ms_ = now_ms + limits::outbox_check_ms;
  Result<RedisReply> pong = redis_.execute({"PING"});
  if (!pong && !redis_.connected()) return pong.error();
  return {};
}

// --- reading -----------------------------------------------------------------------------------

Result<void> OutboxSource::read(Batch& batch, uint32_t timeout_ms) {
  int64_t const until_ms = monotonic_ms() + timeout_ms;
  if (Result<void> connected = connect(); !connected) return connected;
  if (Result<void> deleted = delete_merged(); !deleted) return deleted;
  if (elsewhere_.any() && monotonic_ms() >= look_at_ms_) look_for_those_elsewhere();
  if (Result<void> waited = wait_for_changes(until_ms); !waited) return waited;
  Result<void> done = read_changed(batch);
  if (!redis_.connected()) restart();
  if (read_all()) read_all_at_ms_ = wall_ms();
  count(monotonic_ms());
  return done;
}

Result<void> OutboxSource::read_changed(Batch& batch) {
  int64_t const until_ms = monotonic_ms() + limits::read_tick_ms;
  while (changed_.any() && !batch.full() && monotonic_ms() < until_ms) {
    Result<void> done = read_group(
        next_group(failing_ ? limits::outbox_failing_pipeline_max : limits::outbox_pipeline_max),
        batch);
    failing_ = !done;
    read_at_ms_ = monotonic_ms();
    if (!done) return done;
  }
  return {};
}

std::vector<uint32_t> OutboxSource::next_group(size_t size) {
  std::vector<uint32_t> group;
  for (uint32_t i = 0; i < limits::buckets && group.size() < size; ++i) {
    uint32_t const bucket = (next_bucket_ + i) % limits::buckets;
    if (changed_.test(bucket)) group.push_back(bucket);
  }
  if (!group.empty()) next_bucket_ = (group.back() + 1) % limits::buckets;
  return group;
}

Result<void> OutboxSource::read_group(const std::vector<uint32_t>& group, Batch& batch) {
  std::string const size = std::to_string(limits::outbox_read_max);
  for (uint32_t number : group) {
    const Bucket& bucket = buckets_[number];
    // '(' excludes this id (Redis 6.2 or later).
    std::string const from = bucket.unacknowledged.empty()
                                 ? "-"
                                 : fmt::format("({}-{}", bucket.unacknowledged.back().ms,
                                               bucket.unacknowledged.back().number);
    redis_.append({"XRANGE", bucket.key, from, "+", "COUNT", size});
  }
  std::optional<Error> failure;
  for (uint32_t number : group) {
    Result<RedisReply> reply = redis_.read();
    Result<void> done = reply ? read_entries(number, **reply, batch) : Result<void>(reply.error());
    if (!redis_.connected()) return done;
    elsewhere_.reset(number);
    if (!reply && left(number, reply.error())) continue;
    // The other replies are read nevertheless: they are good, and the connection stays in order.
    if (!done && !failure) failure = done.error();
  }
  return failure ? Result<void>(*failure) : Result<void>();
}

Result<void> OutboxSource::read_entries(uint32_t bucket_number, const redisReply& entries,
                                        Batch& batch) {
  if (entries.type != REDIS_REPLY_ARRAY) return Error{"redis: the reply to XRANGE is not a list"};
  Bucket& bucket = buckets_[bucket_number];
  for (size_t i = 0; i < entries.elements; ++i) {
    const redisReply* entry = entries.element[i];
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2)
      return Error{"redis: the reply to XRANGE has a malformed entry"};
    std::string_view const id = text_of(entry->element[0]);
    const redisReply* field = field_of(entry->element[1], keys::outbox_value_field);
    // An entry without a value becomes a dead letter: an empty payload is not an event.
    std::string_view const value = field == nullptr ? std::string_view() : text_of(field);
    Entry delivered{0, 0, digest_of(value)};
    if (!read_id(id, delivered.ms, delivered.number))
      return Error{"redis: the reply to XRANGE has a malformed id"};
    batch.add({bucket_number, id, value});
    bucket.unacknowledged.push_back(delivered);
    delivered_ += 1;
  }
  if (entries.elements < limits::outbox_read_max) {
    ends_reached_.set(bucket_number);
    changed_.reset(bucket_number);
  }
  return {};
}

// --- deleting ----------------------------------------------------------------------------------

Result<void> OutboxSource::acknowledge() {
  note_merged();
  return delete_merged();
}

Result<void> OutboxSource::load_script() {
  if (!delete_sha_.empty()) return {};
  Result<RedisReply> loaded = redis_.execute({"SCRIPT", "LOAD", delete_script});
  if (!loaded) return loaded.error();
  delete_sha_ = text_of(loaded->get());
  return {};
}

Result<void> OutboxSource::delete_merged() {
  int reloads = 0;
  while (merged_ && delivered_ > 0) {
    std::vector<uint32_t> group;
    size_t const size =
        failing_ ? limits::outbox_failing_pipeline_max : limits::outbox_pipeline_max;
    for (uint32_t number = 0; number < limits::buckets && group.size() < size; ++number)
      if (!buckets_[number].unacknowledged.empty()) group.push_back(number);
    Result<void> done = load_script();
    if (done) done = delete_group(group);
    failing_ = !done;
    if (done) continue;
    if (!redis_.connected()) {
      restart();
      return done;
    }
    // Redis was emptied of scripts (SCRIPT FLUSH): loaded once more.
    if (begins_with_code(done.error(), "NOSCRIPT")) {
      delete_sha_.clear();
      if (reloads++ == 0) continue;
    }
    if (begins_with_code(done.error(), "READONLY")) redis_.close();  // looks for the primary
    return done;
  }
  merged_ = false;
  return {};
}

void OutboxSource::send_delete(const Bucket& bucket, size_t count) {
  std::vector<std::string> arguments;
  for (size_t i = 0; i < count; ++i) {
    const Entry& entry = bucket.unacknowledged[i];
    arguments.push_back(fmt::format("{}-{}", entry.ms, entry.number));
    arguments.push_back(fmt::format("{:016x}", entry.digest));
  }
  std::vector<std::string_view> words = {"EVALSHA", delete_sha_, "1", bucket.key};
  words.insert(words.end(), arguments.begin(), arguments.end());
  redis_.append(words);
}

Result<void> OutboxSource::delete_group(const std::vector<uint32_t>& group) {
  auto const count_of = [this](uint32_t number) {
    return std::min(buckets_[number].unacknowledged.size(), limits::outbox_delete_max);
  };
  for (uint32_t number : group) send_delete(buckets_[number], count_of(number));
  std::optional<Error> failure;
  for (uint32_t number : group) {
    Result<RedisReply> reply = redis_.read();
    if (!redis_.connected()) return reply.error();
    if (!reply) {
      if (!left(number, reply.error()) && !failure) failure = reply.error();
      continue;
    }
    size_t const count = count_of(number);
    auto const deleted = static_cast<uint64_t>((*reply)->integer);
    // The others were deleted by another aggregator, or Redis has lost them and gave their ids
    // again.
    if (deleted < count) changed_.set(number);
    std::vector<Entry>& entries = buckets_[number].unacknowledged;
    entries.erase(entries.begin(), entries.begin() + static_cast<ptrdiff_t>(count));
    delivered_ -= count;
    counted_ -= std::min(counted_, deleted);
  }
  return failure ? Result<void>(*failure) : Result<void>();
}

// --- the lag -----------------------------------------------------------------------------------

// Only if there is something to read and it may have become more: at rest it costs no command.
void OutboxSource::count(int64_t now_ms) {
  if (read_all() || !count_due_ || !redis_.connected()) return;
  if (counted_at_ms_ != 0 && now_ms - counted_at_ms_ < limits::outbox_count_interval_ms) return;
  counted_at_ms_ = now_ms;
  count_due_ = false;
  if (std::optional<uint64_t> const total = lengths_.total(now_ms)) counted_ = *total;
}

Source::Unread OutboxSource::unread() const {
  if (read_all() || counted_ <= delivered_) return {};
  return {counted_ - delivered_, read_all_at_ms_};
}

}  // namespace huntd::aggregator
