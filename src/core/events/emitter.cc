// SPDX-License-Identifier: Apache-2.0
#include "core/events/emitter.h"

#include <algorithm>
#include <bitset>
#include <span>

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/read_text.h"

namespace huntd::server {
namespace {
constexpr uint64_t sweep_timeout_ns = 2'000'000'000;
constexpr uint64_t warn_every_ns = 5'000'000'000;
constexpr size_t clear_ids_max = 128;  // per XDEL
}  // namespace

Emitter::Emitter(EventLog* log, Ledger& ledger, Scheduler& scheduler, CoreMetrics& metrics)
    : log_(log), ledger_(ledger), scheduler_(scheduler), metrics_(metrics), health_(metrics) {
  if (log_ != nullptr) log_->set_user(*this);
}

void Emitter::enqueue(PoolVector<OutboxEntry> entries) {
  if (log_ == nullptr) return;
  drop_former_outboxes();
  for (OutboxEntry& entry : entries) {
    if (full()) return;  // the events stay in the outbox until the sweep
    if (!emitting_.insert(entry_name(entry.bucket, entry.id)).second) continue;
    uint64_t const token = take_token();
    pending_[token] = {std::move(entry.id), entry.bucket, scheduler_.now_ns(), nullptr, 0,
                       entry.lineage};
    batch_.push_back({std::move(entry.hunter_id), std::move(entry.event), token,
                      std::move(entry.trace_context)});
  }
}

std::shared_ptr<Delivery> Emitter::produce(PoolVector<Record> records) {
  CHECK(log_ != nullptr && !records.empty());
  auto delivery =
      std::allocate_shared<Delivery>(PoolAllocator<Delivery>(), scheduler_, records.size());
  for (size_t index = 0; index < records.size(); ++index) {
    if (full()) {
      DeliveryReport& report = delivery->reports[index];
      report.fate = DeliveryReport::Fate::retriable;
      report.reason = "too many events wait for Kafka";
      if (--delivery->missing == 0) delivery->complete.set({});
      continue;
    }
    uint64_t const token = take_token();
    pending_[token] = {PoolString(), 0, scheduler_.now_ns(), delivery, index, 0};
    batch_.push_back({std::move(records[index].key), std::move(records[index].value), token});
  }
  if (abandoned_) delivery->complete.set({});
  return delivery;
}

uint64_t Emitter::take_token() {
  if (free_tokens_.empty()) {
    pending_.emplace_back();
    return pending_.size() - 1;
  }
  uint64_t const token = free_tokens_.back();
  free_tokens_.pop_back();
  return token;
}

void Emitter::flush(Clear clear) {
  if (!batch_.empty()) {
    in_flight_ += batch_.size();
    moved_at_ns_ = scheduler_.now_ns();
    metrics_.add(Counter::kafka_produced, batch_.size());
    log_->produce(batch_);
    batch_.clear();
    metrics_.set(Gauge::kafka_in_flight, static_cast<int64_t>(in_flight_));
  }
  health_.watch(scheduler_.ran_ns(), in_flight_);
  drop_former_outboxes();
  while (!due_.empty() && (clear == Clear::now || due_.front().at_ns <= scheduler_.now_ns())) {
    Due next = due_.front();
    if (clear_outbox(next.bucket)) {
      due_.pop_front();
      continue;
    }
    // Kept until the link is up again. The other nodes of a cluster do not wait for it.
    if (!ledger_.is_cluster()) return;
    due_.pop_front();
    if (clear == Clear::now) continue;  // at the end: the next huntd emits them once more
    next.at_ns = scheduler_.now_ns() + limits::outbox_clear_after_ns;
    due_.push_back(next);
  }
}

// A Redis that was replaced may give ids again that the former one gave: they name other entries.
// The entries of events that are stored already are found by a sweep, which emits them once more.
// The other outboxes of a cluster are as before.
void Emitter::drop_former_outboxes() {
  if (!ledger_.up() || ledger_.changes() == changes_) return;
  changes_ = ledger_.changes();
  std::bitset<limits::buckets> former;
  for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket) {
    uint64_t const lineage = ledger_.lineage_of(bucket);
    if (!ledger_.up(bucket) || lineage == lineages_[bucket]) continue;
    lineages_[bucket] = lineage;
    to_clear_[bucket].clear();
    former.set(bucket);
  }
  if (former.none()) return;
  std::erase_if(emitting_, [&](const PoolString& name) {
    auto const bucket = read_number<uint32_t>(std::string_view(name).substr(0, name.find(':')));
    return !bucket || former[*bucket];
  });
  std::erase_if(due_, [&](const Due& due) { return former[due.bucket]; });
}

// Returns false if the link is down.
bool Emitter::clear_outbox(uint32_t bucket) {
  PoolVector<PoolString>& ids = to_clear_[bucket];
  while (!ids.empty()) {
    size_t const count = std::min(ids.size(), clear_ids_max);
    std::span<const PoolString> const some = std::span(ids).last(count);
    if (!ledger_.remove_events(bucket, some)) return false;
    for (const PoolString& id : some) emitting_.erase(entry_name(bucket, id));
    ids.resize(ids.size() - count);
  }
  return true;
}

void Emitter::on_report(uint64_t token, const DeliveryReport& report) {
  CHECK(token < pending_.size() && in_flight_ > 0);
  Pending& pending = pending_[token];
  --in_flight_;
  moved_at_ns_ = scheduler_.now_ns();
  metrics_.set(Gauge::kafka_in_flight, static_cast<int64_t>(in_flight_));
  if (report.fate == DeliveryReport::Fate::stored) {
    metrics_.add(Counter::kafka_acked);
    metrics_.record(Stage::kafka_ack, scheduler_.now_ns() - pending.enqueued_at_ns);
    health_.on_stored(scheduler_.ran_ns());
  } else if (!given_up_) {
    health_.on_failed(report.reason);
  }
  if (pending.delivery != nullptr) {
    Delivery& delivery = *pending.delivery;
    delivery.reports[pending.index] = report;
    if (--delivery.missing == 0) delivery.complete.set({});
    pending.delivery.reset();
  } else {
    finish_outbox_event(pending, report);
  }
  free_tokens_.push_back(token);
}

void Emitter::on_reachable(std::string_view unreachable_reason) {
  health_.on_reachable(unreachable_reason);
}

// A stored event is removed from the outbox; any other event stays there until the sweep.
void Emitter::finish_outbox_event(Pending& pending, const DeliveryReport& report) {
  if (pending.lineage != lineages_[pending.bucket]) {
    // Its outbox may be at another node by now: there a sweep finds what it still has.
    emitting_.erase(entry_name(pending.bucket, pending.id));
    return;
  }
  if (report.fate == DeliveryReport::Fate::stored) {
    PoolVector<PoolString>& ids = to_clear_[pending.bucket];
    if (ids.empty())
      due_.push_back({pending.bucket, scheduler_.now_ns() + limits::outbox_clear_after_ns});
    ids.push_back(std::move(pending.id));
    return;
  }
  emitting_.erase(entry_name(pending.bucket, pending.id));
  metrics_.add(Counter::kafka_failed);
  if (scheduler_.now_ns() - warned_at_ns_ <= warn_every_ns) return;
  warned_at_ns_ = scheduler_.now_ns();
  log::warning("an event stays in the outbox until the next sweep", {{"error", report.reason}});
}

void Emitter::give_up() {
  if (log_ == nullptr) return;
  given_up_ = true;
  log::notice("Kafka has not acknowledged all events: those of the outbox stay there",
              {{"events", in_flight_}});
  log_->give_up();
}

void Emitter::abandon() {
  abandoned_ = true;
  for (const Pending& pending : pending_)
    if (pending.delivery != nullptr) pending.delivery->complete.set({});
}

Task<> Emitter::sweep(uint32_t bucket, uint64_t age_ms) {
  if (log_ == nullptr) co_return;
  PoolVector<OutboxEntry> entries =
      co_await ledger_.stale_events(bucket, age_ms, scheduler_.now_ns() + sweep_timeout_ns);
  size_t const before = batch_.size();
  enqueue(std::move(entries));
  metrics_.add(Counter::outbox_swept, batch_.size() - before);
}

}  // namespace huntd::server
