// Records from a source, read and gathered by session until the next merge. Bounded: when full()
// the aggregator merges before it reads on.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "aggregator/aggregator_limits.h"
#include "protocol/loot_event.h"

namespace huntd {

// One record as a source delivers it. Views: valid only during the call.
struct Record {
  uint32_t partition;         // Kafka partition, or bucket of the outbox
  std::string_view position;  // Kafka offset in decimal, or stream entry id
  std::string_view payload;
};

// A record that can't go into the table, with the reason; it is kept in loot_events_dead.
struct DeadRecord {
  uint32_t partition;
  std::string position;
  std::string payload;
  std::string reason;
};

struct SessionKey {
  std::string hunter_id;
  std::string hunt_id;
  bool operator==(const SessionKey&) const = default;
  bool operator<(const SessionKey& other) const {
    return std::tie(hunter_id, hunt_id) < std::tie(other.hunter_id, other.hunt_id);
  }
};

// The events of one session in this batch: each seq once.
struct FoldedSession {
  SessionKey key;
  std::vector<LootEvent> events;
};

class Fold {
 public:
  // Reads one record and files it. A record that is unreadable, or that the table can't hold (seq
  // or timestamp out of range), or whose seq another event of this batch has, becomes a dead one.
  void add(const Record& record);
  bool empty() const { return records_ == 0; }
  // No more than this is read before a merge.
  bool full() const {
    return records_ >= limits::merge_records_max || bytes_ >= limits::merge_bytes_max;
  }
  void clear();

  uint64_t records() const { return records_; }
  uint64_t bytes() const { return bytes_; }            // of all payloads
  uint64_t duplicates() const { return duplicates_; }  // same seq and event_id, within the batch
  // Least and greatest timestamp of the events; 0 where there is none.
  int64_t oldest_ms() const { return oldest_ms_; }
  int64_t newest_ms() const { return newest_ms_; }
  const std::vector<DeadRecord>& dead() const { return dead_; }
  // Every session, in ascending order of (hunter_id, hunt_id) byte by byte: the order in which
  // every aggregator takes its row locks.
  std::vector<const FoldedSession*> sorted() const;

 private:
  struct Pending {
    FoldedSession session;
    std::unordered_map<uint64_t, size_t> by_seq;  // only once there are enough events to search
  };
  void bury(const Record& record, std::string reason);

  std::unordered_map<std::string, Pending> sessions_;  // by "hunter_id:hunt_id"
  std::vector<DeadRecord> dead_;
  uint64_t records_ = 0;
  uint64_t bytes_ = 0;
  uint64_t duplicates_ = 0;
  int64_t oldest_ms_ = 0;
  int64_t newest_ms_ = 0;
};

}  // namespace huntd
