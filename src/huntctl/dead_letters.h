// SPDX-License-Identifier: Apache-2.0
// Reads and retries the dead letters in the topic kafka.dead_topic (docs/formats/dead-letter.md).
#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "base/result.h"
#include "config/config.h"

namespace huntd::huntctl {

// How much of a payload is kept, for people.
inline constexpr size_t dead_letter_start_bytes = 96;

struct DeadLetterEntry {
  // Partition and offset of the original record in kafka.topic, in decimal. Empty if `event_id` is
  // set.
  std::string partition;
  std::string offset;
  std::string event_id;  // of an event that the merge rejected; else empty
  std::string reason;
  int64_t at_ms = 0;          // when it last became a dead letter
  int64_t retried_at_ms = 0;  // 0: not retried since then
  uint64_t payload_bytes = 0;
  std::string payload_start;
};

struct DeadLetters {
  // The key is the place: "PARTITION:OFFSET", or the event_id.
  std::map<std::string, DeadLetterEntry> entries;
  uint64_t others = 0;  // records that are not dead letters of kafka.topic
};

// Reads the whole topic. A topic that does not exist is empty. Without Kafka, the error says where
// dead letters are.
Result<DeadLetters> read_dead_letters(const Config& config);

// Produces the dead letters at `places` to kafka.topic again, with their keys and payloads, and
// then notes each retry in kafka.dead_topic. Returns the number of records produced. After an
// error, some records may have been produced without a note. A second retry is harmless, because an
// event counts once.
Result<uint64_t> retry_dead_letters(const Config& config, const std::set<std::string>& places);

}  // namespace huntd::huntctl
