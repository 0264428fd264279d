#include "emit/emitter.h"

#include <algorithm>
#include <span>

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"

namespace huntd {
namespace {
constexpr uint64_t sweep_deadline_ns = 2'000'000'000;
constexpr uint64_t complain_every_ns = 5'000'000'000;
constexpr size_t clear_ids_max = 128;  // of one XDEL
}  // namespace

Emitter::Emitter(EventLog* log, Ledger& ledger, Scheduler& scheduler, CoreStats& stats)
    : log_(log), ledger_(ledger), scheduler_(scheduler), stats_(stats) {
  if (log_ != nullptr) log_->set_user(*this);
}

void Emitter::enqueue(List<OutboxEntry> entries) {
  if (log_ == nullptr) return;
  for (OutboxEntry& entry : entries) {
    // Past the bound events just stay in the outbox; the sweep brings them later.
    if (full()) return;
    if (!under_way_.insert(title(entry.bucket, entry.id)).second) continue;
    uint64_t const token = take_token();
    pending_[token] = {std::move(entry.id), entry.bucket, scheduler_.now_ns(), nullptr, 0};
    batch_.push_back({std::move(entry.hunter_id), std::move(entry.event), token});
  }
}

std::shared_ptr<Delivery> Emitter::produce(List<Record> records) {
  CHECK(log_ != nullptr && !records.empty());
  auto delivery =
      std::allocate_shared<Delivery>(PoolAllocator<Delivery>(), scheduler_, records.size());
  for (size_t place = 0; place < records.size(); ++place) {
    if (full()) {
      DeliveryReport& report = delivery->reports[place];
      report.fate = DeliveryReport::Fate::not_now;
      report.why = "too many events wait for Kafka";
      if (--delivery->missing == 0) delivery->whole.set({});
      continue;
    }
    uint64_t const token = take_token();
    pending_[token] = {Text(), 0, scheduler_.now_ns(), delivery, place};
    batch_.push_back({std::move(records[place].key), std::move(records[place].value), token});
  }
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
    stats_.add(Counter::kafka_produced, batch_.size());
    log_->produce(batch_);
    batch_.clear();
    stats_.set(Gauge::kafka_in_flight, static_cast<int64_t>(in_flight_));
  }
  while (!due_.empty() && (clear == Clear::now || due_.front().at_ns <= scheduler_.now_ns())) {
    if (!clear_outbox(due_.front().bucket)) return;  // the link is down; kept until it is up again
    due_.pop_front();
  }
}

// False where the link is down.
bool Emitter::clear_outbox(uint32_t bucket) {
  List<Text>& ids = to_clear_[bucket];
  while (!ids.empty()) {
    size_t const count = std::min(ids.size(), clear_ids_max);
    std::span<const Text> const some = std::span(ids).last(count);
    if (!ledger_.clear(bucket, some)) return false;
    for (const Text& id : some) under_way_.erase(title(bucket, id));
    ids.resize(ids.size() - count);
  }
  return true;
}

void Emitter::on_report(uint64_t token, const DeliveryReport& report) {
  CHECK(token < pending_.size() && in_flight_ > 0);
  Pending& pending = pending_[token];
  --in_flight_;
  stats_.set(Gauge::kafka_in_flight, static_cast<int64_t>(in_flight_));
  if (report.fate == DeliveryReport::Fate::stored) {
    stats_.add(Counter::kafka_acked);
    stats_.record(Stage::kafka_ack, scheduler_.now_ns() - pending.enqueued_at_ns);
  }
  if (pending.delivery != nullptr) {
    Delivery& delivery = *pending.delivery;
    delivery.reports[pending.place] = report;
    if (--delivery.missing == 0) delivery.whole.set({});
    pending.delivery.reset();
  } else {
    settle(pending, report);
  }
  free_tokens_.push_back(token);
}

// What came from the outbox leaves it, or stays there until the sweep.
void Emitter::settle(Pending& pending, const DeliveryReport& report) {
  if (report.fate == DeliveryReport::Fate::stored) {
    List<Text>& ids = to_clear_[pending.bucket];
    if (ids.empty())
      due_.push_back({pending.bucket, scheduler_.now_ns() + limits::outbox_clear_after_ns});
    ids.push_back(std::move(pending.id));
    return;
  }
  under_way_.erase(title(pending.bucket, pending.id));
  stats_.add(Counter::kafka_failed);
  if (scheduler_.now_ns() - complained_at_ns_ <= complain_every_ns) return;
  complained_at_ns_ = scheduler_.now_ns();
  log::warning("an event stays in the outbox for now", {{"error", report.why}});
}

Task<> Emitter::sweep(uint32_t bucket, uint64_t age_ms) {
  if (log_ == nullptr) co_return;
  List<OutboxEntry> entries =
      co_await ledger_.overdue(bucket, age_ms, scheduler_.now_ns() + sweep_deadline_ns);
  size_t const before = batch_.size();
  enqueue(std::move(entries));
  stats_.add(Counter::outbox_swept, batch_.size() - before);
}

}  // namespace huntd
