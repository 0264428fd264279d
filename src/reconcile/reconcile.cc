// SPDX-License-Identifier: Apache-2.0
#include "reconcile/reconcile.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "drivers/pg_link.h"
#include "drivers/redis_client.h"
#include "reconcile/doubts.h"
#include "reconcile/kafka_snapshot.h"
#include "reconcile/postgres_snapshot.h"
#include "reconcile/reading.h"
#include "reconcile/redis_snapshot.h"

namespace huntd::reconcile {
namespace {

constexpr int64_t poll_first_ms = 100;
constexpr int64_t poll_max_ms = 2'000;

// How often what differs is read again after a pause, in which the aggregator merges what is in
// Kafka.
constexpr int readings_max = 3;
constexpr int64_t pause_max_ms = 10'000;

// Bytes of memory per byte of a record on disk, about: sessions need more, events less.
constexpr uint64_t record_factor = 4;

constexpr uint64_t records_per_progress = 1000;

void sleep_ms(int64_t ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

int64_t pause_of(const Config& config) {
  return std::min(2000 + 1000 * int64_t{config.aggregator.interval_s} / readings_max, pause_max_ms);
}

// One comparison of all stores.
class Run {
 public:
  Run(const Config& config, const ReconcileOptions& options, const MemoryPlan& plan,
      RedisClient& redis, PgLink& postgres)
      : config_(config),
        options_(options),
        plan_(plan),
        redis_(redis),
        postgres_(postgres),
        file_(temp_directory()),
        findings_(options.differences_max),
        reading_(options.scope, plan, file_, findings_),
        doubts_(reading_.supplies, findings_) {}

  Result<Report> report();

 private:
  Result<void> read_stores();
  Result<void> compare_all();
  Result<void> compare_group(const Group& group, size_t bytes_max, SharedEvents& shared);
  Result<void> compare_loaded(Snapshots& snapshots, SharedEvents& shared);
  Result<void> keep_doubts(Comparison& comparison, Snapshots& snapshots);
  Result<void> read_again(Comparison& comparison, Snapshots& snapshots);
  Result<void> match_open_records();
  Result<void> settle(Comparison& comparison, Snapshots& snapshots, bool with_records);
  Result<void> settle_doubts(bool with_records);
  uint32_t groups() const;
  Result<void> reconnect();
  // Not for every record: there may be a million per second.
  ReadSoFar showing(const char* what) const {
    return [this, what, next = uint64_t{0}](uint64_t done) mutable {
      if (done < next) return;
      next = done + records_per_progress;
      options_.progress(what, done, 0);
    };
  }

  const Config& config_;
  const ReconcileOptions& options_;
  MemoryPlan plan_;
  RedisClient& redis_;
  PgLink& postgres_;
  TempFile file_;
  Findings findings_;
  Reading reading_;
  Doubts doubts_;
  int64_t patient_until_ms_ = 0;
  uint64_t compared_ = 0;  // records
  bool hunters_deleted_ = false;
};

// Reads in the order in which an event moves. An event leaves a store only after the next store has
// it, so no event is missed between two reads. On a huntd under load, a store that is read later
// may be ahead of Redis.
Result<void> Run::read_stores() {
  if (Result<void> read = read_expired_before(postgres_, reading_.facts); !read) return read;
  if (Result<void> read = read_redis(redis_, showing("reading Redis"), reading_); !read)
    return read;
  if (!config_.kafka.bootstrap.empty())
    if (Result<void> read = read_kafka(config_, showing("reading Kafka"), reading_); !read)
      return read;
  if (Result<void> connected = reconnect(); !connected) return connected;
  // What the aggregator has not merged this long after Kafka was read is a difference.
  if (options_.wait_s == 0) patient_until_ms_ = monotonic_ms() + readings_max * pause_of(config_);
  if (Result<void> read = read_postgres(postgres_, showing("reading PostgreSQL"), reading_); !read)
    return read;
  return match_dead_letters(config_, reading_);
}

// A server or a proxy may have closed a connection that was not used while another store was read.
Result<void> Run::reconnect() {
  redis_.close();
  postgres_.close();
  if (Result<void> connected = redis_.connect(); !connected) return connected;
  return postgres_.connect();
}

// How many groups of buckets are likely to fit into memory one by one.
uint32_t Run::groups() const {
  uint64_t const needed = reading_.record_bytes_of({}) * record_factor / plan_.group_bytes + 1;
  return static_cast<uint32_t>(
      std::clamp<uint64_t>(std::max<uint64_t>(needed, options_.groups_min), 1, limits::buckets));
}

Result<void> Run::compare_all() {
  Result<std::vector<EventId>> shared_ids = reading_.check_ids();
  if (!shared_ids) return shared_ids.error();
  SharedEvents shared(std::move(*shared_ids));
  uint32_t const count = groups();
  for (uint32_t i = 0; i < count; ++i) {
    Group const group{limits::buckets * i / count, limits::buckets * (i + 1) / count - 1};
    if (Result<void> compared = compare_group(group, plan_.group_bytes, shared); !compared)
      return compared;
  }
  if (Result<void> settled = settle_doubts(true); !settled) return settled;
  shared.report(findings_);
  return {};
}

Result<void> Run::compare_group(const Group& group, size_t bytes_max, SharedEvents& shared) {
  std::vector<Group> left{group};
  while (!left.empty()) {
    Group const next = left.back();
    left.pop_back();
    Snapshots snapshots;
    Result<bool> const fits = reading_.load(next, bytes_max, snapshots);
    if (!fits) return fits.error();
    if (*fits) {
      if (Result<void> done = compare_loaded(snapshots, shared); !done) return done;
      // A slice is counted when its last one is compared.
      if (next.slice + 1 == next.slices) compared_ += reading_.records_of(next);
      options_.progress("comparing", compared_, reading_.records());
      continue;
    }
    if (!next.can_split())
      return Error{fmt::format("--memory is too small: the events of one hunter in one hunt need "
                               "more than {} MiB of it",
                               bytes_max >> 20),
                   ErrorKind::usage};
    for (const Group& half : next.split()) left.push_back(half);
  }
  return {};
}

Result<void> Run::compare_loaded(Snapshots& snapshots, SharedEvents& shared) {
  if (Result<void> floors = read_floors(postgres_, snapshots); !floors) return floors;
  Comparison comparison(snapshots, reading_.supplies, findings_);
  comparison.check();
  comparison.name_shared(shared);
  if (!comparison.doubtful().empty())
    if (Result<void> read = read_again(comparison, snapshots); !read) return read;
  hunters_deleted_ = hunters_deleted_ || snapshots.hunters_deleted;
  if (Result<void> kept = keep_doubts(comparison, snapshots); !kept) return kept;
  comparison.end();
  return {};
}

// Those that may be settled by the next merges wait for the others, so that there is one pause for
// all. If they need too much memory, they are settled now.
Result<void> Run::keep_doubts(Comparison& comparison, Snapshots& snapshots) {
  if (!comparison.awaits_merge() || monotonic_ms() >= patient_until_ms_) return {};
  std::vector<Comparison::Doubt> doubts = comparison.take_doubts();
  size_t bytes = 0;
  for (const Comparison::Doubt& doubt : doubts) bytes += Doubts::bytes_of(doubt, snapshots);
  if (bytes > plan_.doubts_bytes) {
    for (Comparison::Doubt& doubt : doubts) comparison.add_doubt(std::move(doubt));
    return settle(comparison, snapshots, false);
  }
  if (doubts_.bytes() + bytes > plan_.doubts_bytes)
    if (Result<void> settled = settle_doubts(false); !settled) return settled;
  for (Comparison::Doubt& doubt : doubts) doubts_.add(snapshots, std::move(doubt));
  return {};
}

// The outbox first, then the rows, then `held`: as an event moves, and the reference last.
Result<void> Run::read_again(Comparison& comparison, Snapshots& snapshots) {
  std::vector<uint32_t> const sessions = comparison.doubtful();
  if (sessions.empty()) return {};
  if (Result<void> connected = reconnect(); !connected) return connected;
  auto const known = static_cast<ptrdiff_t>(snapshots.unreadable.size());
  Result<void> read = read_outbox_again(redis_, sessions, snapshots, [&](const EventParts& event) {
    comparison.found_in_outbox(event);
  });
  if (read) read = read_rows_again(postgres_, sessions, snapshots);
  if (read) read = read_held_again(redis_, sessions, snapshots);
  if (!read) return read;
  comparison.check_again();
  // What is unreadable was unreadable before.
  snapshots.unreadable.erase(snapshots.unreadable.begin() + known, snapshots.unreadable.end());
  return {};
}

// Looks again whether unreadable records are dead letters. An entry that has left the outbox for
// Kafka is in motion.
Result<void> Run::match_open_records() {
  if (Result<void> connected = reconnect(); !connected) return connected;
  std::vector<UnreadableRecord> left;
  for (UnreadableRecord& record : std::exchange(reading_.unreadable.open(), {})) {
    Result<bool> const waits = record.place.in_outbox ? has_entry(redis_, record.place) : true;
    if (!waits) return waits.error();
    if (*waits) {
      left.push_back(std::move(record));
    } else if (config_.kafka.bootstrap.empty()) {
      Result<bool> const is_dead = has_dead_letter(postgres_, record.place);
      if (!is_dead) return is_dead.error();
      if (*is_dead) findings_.add_dead_letter(record.place.text(), record.reason);
    }
  }
  reading_.unreadable.open() = std::move(left);
  if (config_.kafka.bootstrap.empty()) return {};
  return match_dead_letters_again(config_, reading_);
}

// Reads again what differs, as long as the aggregator's next merges may settle it.
Result<void> Run::settle(Comparison& comparison, Snapshots& snapshots, bool with_records) {
  const std::vector<UnreadableRecord>& open = reading_.unreadable.open();
  if (with_records && !open.empty())
    if (Result<void> matched = match_open_records(); !matched) return matched;
  while (comparison.awaits_merge() || (with_records && !open.empty())) {
    int64_t const left_ms = patient_until_ms_ - monotonic_ms();
    if (left_ms <= 0) break;
    options_.progress("waiting for the aggregator", comparison.doubtful().size(), 0);
    sleep_ms(std::min(pause_of(config_), left_ms));
    if (Result<void> read = read_again(comparison, snapshots); !read) return read;
    if (with_records && !open.empty())
      if (Result<void> matched = match_open_records(); !matched) return matched;
  }
  return {};
}

Result<void> Run::settle_doubts(bool with_records) {
  Result<void> const settled = settle(doubts_.comparison(), doubts_.snapshots(), with_records);
  if (!settled) return settled;
  hunters_deleted_ = hunters_deleted_ || doubts_.snapshots().hunters_deleted;
  doubts_.end();
  return {};
}

Result<Report> Run::report() {
  if (Result<void> read = read_stores(); !read) return read.error();
  if (Result<void> compared = compare_all(); !compared) return compared.error();
  if (Result<void> connected = reconnect(); !connected) return connected.error();
  if (Result<void> supplies = read_supplies_again(redis_, reading_.supplies); !supplies)
    return supplies.error();
  reading_.supplies.check(hunters_deleted_, findings_);
  reading_.unreadable.end(findings_);
  return findings_.take();
}

// An error that has closed a connection is that of a store that cannot be reached.
Error with_kind(const Error& error, bool connected) {
  if (connected || error.kind != ErrorKind::other) return error;
  return Error{error.message, ErrorKind::unreachable};
}

}  // namespace

Result<Report> reconcile(const Config& config, const ReconcileOptions& options) {
  Result<MemoryPlan> const plan = plan_memory(options.memory_bytes);
  if (!plan) return plan.error();
  RedisClient redis(config.redis);
  PgLink postgres(config.aggregator.postgres, config.aggregator.schema);
  int64_t const until_ms = monotonic_ms() + options.wait_s * 1000LL;
  for (int64_t pause_ms = poll_first_ms;; pause_ms = std::min(2 * pause_ms, poll_max_ms)) {
    bool const last = monotonic_ms() >= until_ms;
    if (Result<void> connected = redis.connect(); !connected)
      return with_kind(connected.error(), false);
    if (Result<void> connected = postgres.connect(); !connected)
      return with_kind(connected.error(), false);
    Result<uint64_t> entries = outbox_length(redis, options.scope);
    if (!entries) return with_kind(entries.error(), redis.connected());
    // Reading everything is expensive, and while the outbox is not empty the report is not
    // complete.
    if (last || *entries == 0) {
      Result<Report> report = Run(config, options, *plan, redis, postgres).report();
      if (!report) return with_kind(report.error(), redis.connected() && postgres.connected());
      if (last || report->complete()) return report;
    }
    sleep_ms(pause_ms);
  }
}

}  // namespace huntd::reconcile
