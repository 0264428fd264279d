// Moves committed events from the outbox to the event log: those of a tick leave in one batch; what
// the log has stored is taken out of the outbox; what has stayed in an outbox too long (its core
// died, the log was away) is emitted again by whoever serves that bucket. A second emission is
// harmless: it has the same event_id and seq.
#pragma once
#include <array>
#include <memory>
#include <string>

#include "award/ledger.h"
#include "base/format_text.h"
#include "emit/record.h"
#include "io/outside.h"
#include "stats/core_stats.h"

namespace huntd {

// Records that came without an outbox, and what became of each. The emitter and who waits share it:
// who has waited long enough lets go, and the reports that come later tell nobody.
struct Delivery {
  Delivery(Scheduler& scheduler, size_t records)
      : reports(records), missing(records), whole(scheduler) {}
  List<DeliveryReport> reports;  // by record; as it is made until its report comes
  size_t missing;                // without a report
  Slot<Signal> whole;            // set with the last report
};

class Emitter final : private EventLogUser {
 public:
  // `log` null: there is no event log, the aggregator reads the outbox, and this does nothing.
  Emitter(EventLog* log, Ledger& ledger, Scheduler& scheduler, CoreStats& stats);

  // Queues events that are in the outbox; they leave at the end of the tick.
  void enqueue(List<OutboxEntry> entries);
  // Queues records in their order, for the same batch. There is a log (enabled()) and at least one
  // record. Past limits::emit_pending_max they are reported as Fate::not_now.
  std::shared_ptr<Delivery> produce(List<Record> records);
  // Hands the tick's events to the log. Acknowledged ones are taken out of the outbox, those of
  // some ticks together: one bucket has few in one (limits::outbox_clear_every_ns).
  enum class Clear { when_due, now };
  void flush(Clear clear);
  // Emits again what has stayed in this bucket's outbox for `age_ms`.
  Task<> sweep(uint32_t bucket, uint64_t age_ms);

  bool idle() const { return in_flight_ == 0 && batch_.empty() && due_.empty(); }
  bool enabled() const { return log_ != nullptr; }

 private:
  struct Pending {
    Text id;
    uint32_t bucket = 0;
    uint64_t enqueued_at_ns = 0;
    std::shared_ptr<Delivery> delivery;  // null: it is in the outbox, `id` and `bucket` say where
    size_t place = 0;                    // in the delivery
  };
  bool full() const { return in_flight_ + batch_.size() >= limits::emit_pending_max; }
  uint64_t take_token();
  bool clear_outbox(uint32_t bucket);
  void on_report(uint64_t token, const DeliveryReport& report) override;
  void settle(Pending& pending, const DeliveryReport& report);
  static Text title(uint32_t bucket, const Text& id) { return format_text("{}:{}", bucket, id); }

  EventLog* log_;
  Ledger& ledger_;
  Scheduler& scheduler_;
  CoreStats& stats_;
  List<EventRecord> batch_;
  List<Pending> pending_;  // by token
  List<uint64_t> free_tokens_;
  Set<Text> under_way_;  // so that a sweep leaves alone what the log still holds
  // Acknowledged events that are still in the outbox, by bucket.
  std::array<List<Text>, limits::buckets> to_clear_;
  struct Due {
    uint32_t bucket;
    uint64_t at_ns;
  };
  Queue<Due> due_;  // a bucket's clearing, from its first event on
  size_t in_flight_ = 0;
  uint64_t complained_at_ns_ = 0;
};

}  // namespace huntd
