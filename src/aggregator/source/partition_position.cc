// SPDX-License-Identifier: Apache-2.0
#include "aggregator/source/partition_position.h"

#include <algorithm>

namespace huntd::aggregator {

PartitionPosition::PartitionPosition(int64_t committed,
                                     std::optional<RecordFingerprint> fingerprint) {
  if (committed <= 0) return;
  floor_ = committed;
  if (!fingerprint || fingerprint->offset >= committed) return;
  next_ = committed_ = committed;
  expected_ = anchor_ = last_ = fingerprint;
}

int64_t PartitionPosition::start() const {
  if (expected_) return expected_->offset;
  return next_ == unknown ? start_ : next_;
}

PartitionPosition::Step PartitionPosition::recreated() {
  next_ = committed_ = floor_ = unknown;
  start_ = low_ = 0;
  anchor_.reset();
  last_.reset();
  expected_.reset();
  return {.restart = true, .recreated = true};
}

PartitionPosition::Step PartitionPosition::on_record(const RecordFingerprint& record) {
  if (expected_) {
    if (record != *expected_) return recreated();
    expected_.reset();
    anchor_ = last_;
    return {.restart = next_ != record.offset + 1};  // what is between was read
  }
  next_ = record.offset + 1;
  last_ = record;
  if (!anchor_) anchor_ = record;
  return {.deliver = true};
}

PartitionPosition::Step PartitionPosition::on_end(int64_t offset) {
  if (expected_) return recreated();  // the record is not there
  // The end of a transaction is a record for the broker, but none for us.
  next_ = std::max(next_, offset);
  return {};
}

PartitionPosition::Step PartitionPosition::on_out_of_range(int64_t low, int64_t high) {
  int64_t const asked = start();
  if (asked >= low && asked <= high && next_ == unknown) return {.restart = true};  // a late reply
  // The broker had no such offset a moment ago: if it has it now, it is of other records.
  if (asked >= low) return recreated();
  Step step{.restart = true};
  int64_t const reached = next_ == unknown ? floor_ : next_;
  if (reached != unknown && low > reached) {
    step.missed = static_cast<uint64_t>(low - reached);
    step.missed_from = reached;
  }
  low_ = start_ = low;
  // From `low` on, also if that is below next_: the anchor is gone, so nothing says whether these
  // are the records that were read.
  next_ = floor_ = unknown;
  anchor_.reset();
  last_.reset();
  expected_.reset();
  return step;
}

PartitionPosition::Step PartitionPosition::on_low(int64_t low) {
  // The start of a log never goes back.
  if (low < low_) return recreated();
  low_ = low;
  return {};
}

bool PartitionPosition::check() {
  if (!expected_) expected_ = anchor_;
  return expected_.has_value();
}

void PartitionPosition::on_committed(int64_t offset) {
  if (next_ != unknown && offset <= next_) committed_ = offset;
}

}  // namespace huntd::aggregator
