// Records from a source, read and gathered by session until the next merge. Bounded by the memory
// that it takes: when full() the aggregator merges before it reads on.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "aggregator/aggregator_limits.h"
#include "aggregator/session.h"
#include "base/hash.h"

namespace huntd {

// One record as a source delivers it. Views: valid only during the call.
struct Record {
  uint32_t partition;         // Kafka partition, or bucket of the outbox
  std::string_view position;  // Kafka offset in decimal, or stream entry id
  std::string_view payload;
  std::optional<std::string_view> key = std::nullopt;  // of a Kafka message that has one
};

// A record that can't go into the table, with the reason; it is kept in loot_events_dead: the topic
// where there is Kafka, else the table.
struct DeadRecord {
  uint32_t partition;
  std::string position;  // as in Record; the event_id where its row refused it
  std::string payload;
  std::string reason;
  std::optional<std::string> key = std::nullopt;
  bool row_refused = false;  // it was well until its row in hunt_session could not be read
};

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return hash64(text); }
};

// A session of this batch, as sorted() shows it; views into the fold.
struct FoldedSession {
  std::string_view hunter_id;
  std::string_view hunt_id;
  uint32_t first_event = 0;  // of the chain that events() follows
  uint32_t event_count = 0;  // each seq once
};

class Fold {
 public:
  explicit Fold(size_t memory_bytes_max = limits::fold_memory_bytes)
      : memory_bytes_max_(memory_bytes_max) {}

  // Reads one record and files it. A record that is unreadable, or that the table can't hold (seq
  // or timestamp out of range), or whose seq another event of this batch has, becomes a dead one.
  void add(const Record& record);
  bool empty() const { return records_ == 0; }
  // No more than this is read before a merge.
  bool full() const { return memory_bytes() >= memory_bytes_max_; }
  void clear();

  uint64_t records() const { return records_; }
  uint64_t bytes() const { return bytes_; }            // of all payloads
  uint64_t duplicates() const { return duplicates_; }  // same seq and event_id, within the batch
  // What it takes, about: events, sessions and dead records.
  size_t memory_bytes() const;
  // Least and greatest timestamp of the events; 0 where there is none.
  int64_t oldest_ms() const { return oldest_ms_; }
  int64_t newest_ms() const { return newest_ms_; }
  const std::vector<DeadRecord>& dead() const { return dead_; }
  // Every session, in ascending order of (hunter_id, hunt_id) byte by byte: the order in which
  // every aggregator takes its row locks. Valid until the next add() or clear().
  std::vector<FoldedSession> sorted() const;
  // The events of one of them, as they came.
  std::vector<SessionEvent> events(const FoldedSession& session) const;

 private:
  static constexpr uint32_t none = UINT32_MAX;
  static constexpr size_t chunk_events = 16'384;

  struct Event {
    EventId event_id;
    uint64_t seq;
    int64_t timestamp_ms;
    uint32_t loot;    // in names_
    uint32_t bundle;  // in names_
    uint32_t next;    // of the same session
  };
  struct Gathered {
    uint32_t first = none;
    uint32_t last = none;
    uint32_t count = 0;
    uint64_t newest_seq = 0;
    // seq -> event; only once one came that is not newer than all before it.
    std::unique_ptr<std::unordered_map<uint64_t, uint32_t>> by_seq;
  };
  // Texts that come again and again, each once.
  class Names {
   public:
    uint32_t number(std::string_view text);
    std::string_view operator[](uint32_t number) const { return texts_[number]; }
    size_t count() const { return texts_.size(); }

   private:
    std::unordered_map<std::string, uint32_t, TextHash, std::equal_to<>> numbers_;
    std::vector<std::string_view> texts_;  // keys of numbers_
  };

  void bury(const Record& record, std::string reason);
  Event& event(uint32_t number) const {
    return chunks_[number / chunk_events][number % chunk_events];
  }
  uint32_t append(const Event& event);
  // The event of this session that has this seq; none where it is new.
  uint32_t find(Gathered& gathered, uint64_t seq);
  void note_seq(Gathered& gathered, uint64_t seq, uint32_t event);

  size_t memory_bytes_max_;
  // By hunter_id, a NUL and hunt_id: NUL is no id character and before all of them.
  std::unordered_map<std::string, Gathered, TextHash, std::equal_to<>> sessions_;
  std::string key_;  // the last one looked up
  std::vector<std::unique_ptr<Event[]>> chunks_;
  uint32_t event_count_ = 0;
  size_t by_seq_entries_ = 0;  // of all sessions
  Names names_;
  std::vector<DeadRecord> dead_;
  size_t dead_bytes_ = 0;
  uint64_t records_ = 0;
  uint64_t bytes_ = 0;
  uint64_t duplicates_ = 0;
  int64_t oldest_ms_ = 0;
  int64_t newest_ms_ = 0;
};

}  // namespace huntd
