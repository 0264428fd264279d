// SPDX-License-Identifier: Apache-2.0
// How far one partition is read, and whether it is still the partition that was read before. Pure:
// KafkaSource passes it what the broker sent.
//
// A position is checked by reading an earlier record again, its anchor. If that record is absent or
// another one, the topic was deleted and made again (or a broker lost its newest records): reading
// restarts at the beginning, because reading an event twice changes nothing, and skipping one loses
// it. The newest record would prove nothing: it may already be of the new topic. Only after a check
// has succeeded, what was the newest record before it is the next anchor.
#pragma once
#include <cstdint>
#include <optional>

#include "aggregator/source/record_fingerprint.h"

namespace huntd::aggregator {

class PartitionPosition {
 public:
  static constexpr int64_t unknown = -1;

  // What to do with what the broker sent.
  struct Step {
    bool deliver = false;    // the record is new
    bool restart = false;    // fetch from start() on; what was fetched before is void
    bool recreated = false;  // another partition under the same name
    uint64_t missed = 0;     // events that retention removed before they were read
    int64_t missed_from = 0;
  };

  PartitionPosition() = default;
  // Continues at what the group has committed; `committed` is `unknown` if that is nothing.
  // Without a fingerprint the offset cannot be checked, so reading starts at the beginning.
  PartitionPosition(int64_t committed, std::optional<RecordFingerprint> fingerprint);

  // Where to fetch from. An absolute offset: librdkafka 2.0 takes "the beginning" from its cache,
  // which may be that of the deleted topic. It may be less than the log's start: then the broker
  // says "out of range".
  int64_t start() const;
  // Offset after the last record or end that was reached; `unknown` before the first.
  int64_t next() const { return next_; }
  int64_t committed() const { return committed_; }
  // A record below next() of which is known that it is of the same topic as all others that were
  // read. It is stored with the committed offset.
  const std::optional<RecordFingerprint>& anchor() const { return anchor_; }
  // The anchor is being read again, and nothing is delivered until it has arrived.
  bool checking() const { return expected_.has_value(); }
  // Whether the position is that of the partition as it is now, by what has been read of it.
  bool confirmed() const { return next_ != unknown && !expected_; }

  // Every following call may say `restart`; the caller then drops what it has fetched.
  Step on_record(const RecordFingerprint& record);
  // The end of the partition was reached at `offset`, without a record since the last call.
  Step on_end(int64_t offset);
  // The broker has no record at start() or next(); its log is from `low` to before `high`.
  Step on_out_of_range(int64_t low, int64_t high);
  // The log now starts at `low`.
  Step on_low(int64_t low);
  // Reads the anchor again. Returns false if none is known, so that on_low() has to do.
  bool check();
  // Kafka has stored `offset`. Ignores one that was sent before a restart.
  void on_committed(int64_t offset);

 private:
  Step recreated();

  int64_t next_ = unknown;
  int64_t committed_ = unknown;
  int64_t start_ = 0;        // while next_ is unknown
  int64_t low_ = 0;          // the greatest log start seen
  int64_t floor_ = unknown;  // committed by the group, perhaps of another topic; only to count gaps
  std::optional<RecordFingerprint> anchor_;
  std::optional<RecordFingerprint> last_;      // the newest record read
  std::optional<RecordFingerprint> expected_;  // the anchor, while it is read again
};

}  // namespace huntd::aggregator
