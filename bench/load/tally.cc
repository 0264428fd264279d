// SPDX-License-Identifier: Apache-2.0
#include "tally.h"

#include <algorithm>

namespace huntd::load {
namespace {

uint64_t span(uint64_t from_ns, uint64_t to_ns) { return to_ns > from_ns ? to_ns - from_ns : 0; }

// 424: the outcome is unknown, and the request had no key.
bool is_unavailable(int status) { return status == 503 || status == 424; }

void count_response(Counts& counts, int status, uint64_t events) {
  ++counts.answered;
  ++counts.statuses[static_cast<size_t>(status)];
  counts.events += events;
  if (status == 200) ++counts.ok;
  if (status == 422) ++counts.rejected;
  if (is_unavailable(status)) ++counts.unavailable;
}

void count_loss(Counts& counts, Loss reason) {
  if (reason == Loss::broken) ++counts.broken;
  if (reason == Loss::unparseable) ++counts.unparseable;
  if (reason == Loss::unanswered) ++counts.unanswered;
}

}  // namespace

Tally::Tally()
    : all_(std::make_unique<Histogram>()),
      admitted_(std::make_unique<Histogram>()),
      unavailable_(std::make_unique<Histogram>()),
      late_(std::make_unique<Histogram>()),
      recent_(std::make_unique<Histogram>()) {}

void Tally::start(uint64_t measured_from_ns, uint64_t measured_to_ns, uint64_t timeout_ns) {
  measured_from_ns_ = measured_from_ns;
  measured_to_ns_ = measured_to_ns;
  timeout_ns_ = timeout_ns;
}

void Tally::sent(uint64_t due_ns) {
  ++whole_.sent;
  if (is_measured(due_ns)) ++measured_.sent;
}

void Tally::answered(uint64_t due_ns, uint64_t now_ns, int status, uint64_t events) {
  uint64_t const latency_ns = span(due_ns, now_ns);
  recent_->record(latency_ns);
  count_response(whole_, status, events);
  if (now_ns >= measured_from_ns_ && now_ns < measured_to_ns_) {
    ++answered_in_time_;
    if (status == 200) ++ok_in_time_;
  }
  if (!is_measured(due_ns)) return;
  count_response(measured_, status, events);
  all_->record(latency_ns);
  if (status == 200) admitted_->record(latency_ns);
  if (is_unavailable(status)) unavailable_->record(latency_ns);
}

void Tally::lost(uint64_t due_ns, uint64_t now_ns, Loss reason) {
  count_loss(whole_, reason);
  if (!is_measured(due_ns)) return;
  count_loss(measured_, reason);
  all_->record(std::max(timeout_ns_, span(due_ns, now_ns)));
}

void Tally::late(uint64_t due_ns, uint64_t now_ns) {
  if (is_measured(due_ns)) late_->record(span(due_ns, now_ns));
}

HistogramSnapshot Tally::take_recent() {
  HistogramSnapshot snapshot = recent_->snapshot();
  recent_ = std::make_unique<Histogram>();
  return snapshot;
}

}  // namespace huntd::load
