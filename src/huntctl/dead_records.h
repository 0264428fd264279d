// The topic kafka.dead_topic as `huntctl dead` sees it: which records can't be counted, and which
// of them were retried (protocol/dead_record.h).
#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "base/config.h"
#include "base/result.h"

namespace huntd::huntctl {

// How much of a payload is kept for people.
inline constexpr size_t dead_payload_start_bytes = 96;

struct DeadEntry {
  std::string partition;  // of kafka.topic, in decimal, as is the offset; empty where its row
  std::string offset;     // refused it:
  std::string event_id;   // then only this is there
  std::string reason;
  int64_t at_ms = 0;          // when it was last set aside
  int64_t retried_at_ms = 0;  // 0: it was not, or was set aside again since
  uint64_t payload_bytes = 0;
  std::string payload_start;
};

struct DeadBook {
  std::map<std::string, DeadEntry> entries;  // by place: "PARTITION:OFFSET", or the event_id
  uint64_t others = 0;  // records that tell no place in kafka.topic: somebody else's
};

// Reads the whole topic. A topic that is not there is empty. The error where there is no Kafka says
// where dead records are then.
Result<DeadBook> read_dead_records(const Config& config);

// Produces the records at these places of `book` to kafka.topic again, each with its key and bytes,
// and notes it in the dead topic once they are acknowledged. Returns how many; after an error some
// may have been produced and not noted: a second retry is harmless, since an event counts once.
Result<uint64_t> retry_dead_records(const Config& config, const std::set<std::string>& places);

}  // namespace huntd::huntctl
