// SPDX-License-Identifier: Apache-2.0
// Sends committed events from the outbox to the event log. The events of a tick leave in one batch.
// An event that the log has stored is removed from the outbox. An event that stays in the outbox
// too long (its core died, or the log was unavailable) is emitted again by the core that owns its
// bucket; it has the same event_id and seq, so that is harmless.
#pragma once
#include <array>
#include <memory>
#include <string>

#include "base/format_text.h"
#include "core/events/log_health.h"
#include "core/events/record.h"
#include "core/ledger/ledger.h"
#include "environment/environment.h"
#include "metrics/core_metrics.h"

namespace huntd::server {

// The reports of records that did not come from an outbox. Shared by the emitter and the coroutine
// that waits: if the latter stops waiting, later reports have no effect.
struct Delivery {
  Delivery(Scheduler& scheduler, size_t records)
      : reports(records), missing(records), complete(scheduler) {}
  PoolVector<DeliveryReport> reports;  // by record; default-constructed until its report comes
  size_t missing;                      // records without a report
  OneShot<Signal> complete;            // set with the last report
};

class Emitter final : private EventLogUser {
 public:
  // `log` is null if Kafka is not configured: hunt-aggregator then reads the outbox, and the
  // emitter does nothing.
  Emitter(EventLog* log, Ledger& ledger, Scheduler& scheduler, CoreMetrics& metrics);

  // Queues events of the outbox; they leave at the end of the tick. Events above
  // limits::emit_pending_max stay in the outbox until a sweep.
  void enqueue(PoolVector<OutboxEntry> entries);
  // Queues records in their order, for the same batch. Records above limits::emit_pending_max are
  // reported as Fate::retriable. REQUIRES: enabled(), and at least one record.
  std::shared_ptr<Delivery> produce(PoolVector<Record> records);
  // Passes the tick's events to the log, and removes stored events from the outbox: those of one
  // bucket together (limits::outbox_clear_after_ns after the first, or now).
  enum class Clear { when_due, now };
  void flush(Clear clear);
  // Emits the events again that have been in this bucket's outbox for `age_ms`.
  Task<> sweep(uint32_t bucket, uint64_t age_ms);

  // At the end of the process: ends the wait for the log. What it has not stored stays in the
  // outbox, and produce calls get their reports soon.
  void give_up();
  // If these do not come either: produce calls get their response at once, with the outcome
  // unknown, and nothing is waited for any more.
  void abandon();

  // Whether nothing is waited for from the log.
  bool all_reported() const { return abandoned_ || (in_flight_ == 0 && batch_.empty()); }
  // When the log was last given an event, or reported one.
  uint64_t moved_at_ns() const { return moved_at_ns_; }
  bool idle() const { return all_reported() && due_.empty(); }
  bool enabled() const { return log_ != nullptr; }

 private:
  struct Pending {
    PoolString id;  // of the entry in the outbox of `bucket`
    uint32_t bucket = 0;
    uint64_t enqueued_at_ns = 0;
    std::shared_ptr<Delivery> delivery;  // null: the event is in the outbox
    size_t index = 0;                    // in the delivery
    uint64_t lineage = 0;                // of the outbox
  };
  bool full() const { return in_flight_ + batch_.size() >= limits::emit_pending_max; }
  uint64_t take_token();
  void drop_former_outboxes();
  bool clear_outbox(uint32_t bucket);
  void on_report(uint64_t token, const DeliveryReport& report) override;
  void on_reachable(std::string_view unreachable_reason) override;
  void finish_outbox_event(Pending& pending, const DeliveryReport& report);
  // Identifies an entry across all outboxes.
  static PoolString entry_name(uint32_t bucket, const PoolString& id) {
    return format_text("{}:{}", bucket, id);
  }

  EventLog* log_;
  Ledger& ledger_;
  Scheduler& scheduler_;
  CoreMetrics& metrics_;
  LogHealth health_;
  PoolVector<EventRecord> batch_;
  PoolVector<Pending> pending_;  // by token
  PoolVector<uint64_t> free_tokens_;
  PoolSet<PoolString> emitting_;  // names of entries that a sweep must not emit again
  // Ids of stored events that are still in the outbox, by bucket.
  std::array<PoolVector<PoolString>, limits::buckets> to_clear_;
  struct Due {
    uint32_t bucket;
    uint64_t at_ns;
  };
  PoolDeque<Due> due_;  // buckets with ids in to_clear_
  // Of the outboxes that emitting_ and to_clear_ name entries of, as of `changes_` of the ledger.
  std::array<uint64_t, limits::buckets> lineages_{};
  uint64_t changes_ = 0;
  size_t in_flight_ = 0;
  uint64_t moved_at_ns_ = 0;
  bool given_up_ = false;
  bool abandoned_ = false;
  uint64_t warned_at_ns_ = 0;
};

}  // namespace huntd::server
