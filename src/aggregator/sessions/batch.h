// SPDX-License-Identifier: Apache-2.0
// A batch: the records read from a source since the last merge, by session. Its memory is bounded:
// if full(), the aggregator merges before it reads on.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "aggregator/sessions/aggregator_limits.h"
#include "aggregator/sessions/session.h"
#include "base/hash.h"
#include "base/limits.h"
#include "wire/loot_event.h"

namespace huntd::aggregator {

// One record as a source delivers it. The views are valid only during the call.
struct SourceRecord {
  uint32_t partition;         // Kafka partition, or bucket of the outbox
  std::string_view position;  // Kafka offset in decimal, or stream entry id
  std::string_view payload;
  std::optional<std::string_view> key = std::nullopt;  // of a Kafka message, if it has one
};

// A record that cannot be counted. It is kept in the topic kafka.dead_topic, or without Kafka in
// the table loot_events_dead.
struct DeadLetter {
  uint32_t partition;
  std::string position;  // as in SourceRecord; the event_id if `rejected_by_merge`
  std::string payload;
  std::string reason;  // one sentence
  std::optional<std::string> key = std::nullopt;
  bool rejected_by_merge = false;  // a valid event that its row in hunt_session cannot count
};

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return hash64(text); }
};

// The events of one session and one generation in a batch, as a linked list.
struct BatchChain {
  static constexpr uint32_t none = UINT32_MAX;
  uint64_t generation = 0;
  uint32_t first = none;  // number of an event
  uint32_t last = none;
  uint32_t count = 0;
  // seq -> event. Null as long as every event had a greater seq than those before it.
  std::unique_ptr<std::unordered_map<uint64_t, uint32_t>> by_seq;
  // The session's chains of other generations. Null as long as there is none, as nearly always.
  std::unique_ptr<std::map<uint64_t, BatchChain>> others;
};

// A session of a batch. The views and `chain` are valid until the batch's next add() or clear().
struct BatchSession {
  std::string_view hunter_id;
  std::string_view hunt_id;
  const BatchChain* chain = nullptr;
  uint32_t event_count = 0;  // of all generations; each (generation, seq) counts once
};
// In ascending byte order of (hunter_id, hunt_id).
using Sessions = std::span<const BatchSession>;

class Batch {
 public:
  explicit Batch(size_t memory_bytes_max = limits::batch_memory_bytes)
      : memory_bytes_max_(memory_bytes_max) {}

  // Adds one record. It becomes a dead letter if it is not an event, if its seq or timestamp is out
  // of the table's range, or if the batch has another event with its generation and seq.
  void add(const SourceRecord& record);
  bool empty() const { return records_ == 0; }
  // Returns whether the batch has to be merged before more is added.
  bool full() const { return memory_bytes() >= memory_bytes_max_; }
  void clear();

  uint64_t records() const { return records_; }
  uint64_t bytes() const { return bytes_; }  // of all payloads
  // Same generation, seq and event_id within the batch.
  uint64_t duplicates() const { return duplicates_; }
  // An estimate of the memory of events, sessions and dead letters.
  size_t memory_bytes() const;
  // Least and greatest timestamp of the events; 0 if there are none.
  int64_t oldest_ms() const { return oldest_ms_; }
  int64_t newest_ms() const { return newest_ms_; }
  const std::vector<DeadLetter>& dead_letters() const { return dead_letters_; }
  // All sessions with an event, in ascending byte order of (hunter_id, hunt_id): the order in which
  // every aggregator locks rows.
  std::vector<BatchSession> sorted() const;
  // The events of a session, those of one generation in the order of add(); its views are valid
  // until the next add() or clear().
  std::vector<SessionEvent> events(const BatchSession& session) const;

 private:
  static constexpr uint32_t none = BatchChain::none;
  static constexpr size_t chunk_events = 16'384;

  struct Event {
    EventId event_id;
    uint64_t seq;
    int64_t timestamp_ms;
    uint32_t loot;    // number in names_
    uint32_t bundle;  // number in names_
    uint32_t next;    // event of the same chain, or `none`
    int32_t units : 31;
    uint32_t from_supply : 1;
  };
  static_assert(sizeof(Event) == 48);  // limits::batch_memory_bytes
  static_assert(limits::loot_units_max < (1 << 30));
  // Stores each distinct text once, and numbers the texts.
  class Names {
   public:
    uint32_t number(std::string_view text);
    std::string_view operator[](uint32_t number) const { return texts_[number]; }
    size_t count() const { return texts_.size(); }

   private:
    std::unordered_map<std::string, uint32_t, TextHash, std::equal_to<>> numbers_;
    std::vector<std::string_view> texts_;  // keys of numbers_
  };

  void add_dead_letter(const SourceRecord& record, std::string reason);
  Event& event(uint32_t number) const {
    return chunks_[number / chunk_events][number % chunk_events];
  }
  uint32_t append(const Event& event);
  BatchChain& chain_of(const LootEventView& event);
  void append_to(BatchChain& chain, uint64_t seq, uint32_t added);
  // Returns the event with this seq, or `none`.
  uint32_t find(BatchChain& chain, uint64_t seq);
  void index_seq(BatchChain& chain, uint64_t seq, uint32_t event);

  size_t memory_bytes_max_;
  // The key is hunter_id, NUL, hunt_id. NUL is not allowed in ids and sorts before all their
  // characters.
  std::unordered_map<std::string, BatchChain, TextHash, std::equal_to<>> sessions_;
  std::string key_;  // of the last look-up; a member to reuse its memory
  std::vector<std::unique_ptr<Event[]>> chunks_;
  uint32_t event_count_ = 0;
  size_t by_seq_entries_ = 0;  // of all sessions
  size_t other_chains_ = 0;    // of all sessions
  Names names_;
  std::vector<DeadLetter> dead_letters_;
  size_t dead_letter_bytes_ = 0;
  uint64_t records_ = 0;
  uint64_t bytes_ = 0;
  uint64_t duplicates_ = 0;
  int64_t oldest_ms_ = 0;
  int64_t newest_ms_ = 0;
};

}  // namespace huntd::aggregator
