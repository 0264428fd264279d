// SPDX-License-Identifier: Apache-2.0
// Records of the topic and of the outbox that are not events, and which of them the aggregator has
// dead-lettered.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "reconcile/report.h"
#include "reconcile/spool.h"

namespace huntd::reconcile {

// Of a Kafka record or of an entry of the outbox.
struct RecordPlace {
  bool in_outbox = false;
  int32_t partition = 0;      // of the outbox: the bucket
  std::string position = {};  // the offset, or the entry's id

  // "partition 3 offset 41" or "outbox:{b7} 1700-0".
  std::string text() const;
  // What the partition of a spool is chosen by.
  uint64_t hash() const;
  auto operator<=>(const RecordPlace&) const = default;  // NOLINT(modernize-use-nullptr)
};

// An unreadable record that is not known to be a dead letter.
struct UnreadableRecord {
  RecordPlace place = {};
  uint64_t value_hash = 0;  // hash64() of the value
  std::string reason = {};
};

class UnreadableRecords {
 public:
  UnreadableRecords(TempFile& file, size_t block_bytes);

  Result<void> add(const RecordPlace& place, std::string_view value, std::string_view reason);
  // Whether there are Kafka records: then the dead-letter topic has to be read.
  bool has_kafka_records() const { return has_kafka_records_; }
  // Adds a dead letter of a Kafka record.
  Result<void> add_dead_letter(const RecordPlace& place, uint64_t value_hash);
  // Compares the two. What is a dead letter is reported, what is not becomes an open() record, or,
  // if there are many, is reported too.
  Result<void> match(Findings& findings);

  // Records that may still become dead letters. The caller removes those that did.
  std::vector<UnreadableRecord>& open() { return open_; }
  // Reports open() as differences.
  void end(Findings& findings);

 private:
  Spool records_;
  Spool dead_letters_;
  bool has_kafka_records_ = false;
  std::vector<UnreadableRecord> open_;
};

}  // namespace huntd::reconcile
