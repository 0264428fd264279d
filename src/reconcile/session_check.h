// SPDX-License-Identifier: Apache-2.0
// Checks one session: whether Redis, Kafka, the outbox and the table agree on what one hunter holds
// in one hunt. Without I/O. The comparison is by generation, because each generation counts its
// seqs from 1.
#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reconcile/snapshot.h"
#include "wire/seq_set.h"

namespace huntd::reconcile {

struct Difference {
  std::string kind;  // one word, stable, for programs (docs/aggregator.md#huntctl-reconcile)
  std::string hunter_id;
  std::string hunt_id;
  std::string detail;  // one sentence, for people
  // Of lost_by_redis only: the generation, the seqs that Redis no longer has, and their loot as far
  // as it is known.
  uint64_t generation = 0;
  std::vector<SeqRange> seqs = {};
  LootCounts loot = {};
};

int64_t sum_of(const LootCounts& loot);
// "3, 5 to 9"; of more than `shown_max` ranges the rest as a number.
std::string ranges_text(std::span<const SeqRange> ranges, size_t shown_max = SIZE_MAX);

// Returns one event per generation and seq. `events` are those of a session, sorted as by
// Comparison. An event that is in Kafka and in the outbox is in_outbox.
std::vector<EventSnapshot> distinct_of(std::span<const EventSnapshot> events);

// The greatest seq of each generation that the first reading of a session found in any store.
using Reach = std::map<uint64_t, uint64_t>;

// What one reading says of the table and of what Redis has lost.
struct RowFindings {
  std::vector<Difference> differences;
  uint64_t waiting = 0;  // events in the outbox and not in the table
  bool expired = false;  // the beginning of the row, or all of it, was deleted by retention
  uint64_t lost = 0;     // loot that Redis no longer has
  LootCounts lost_loot;  // as far as it is known
  // The stores were read one after the other: another reading may find that these differences were
  // only events in motion.
  bool is_doubtful = false;
  // The next merge may count some of the events that the table lacks: they are in Kafka, or on the
  // way to it.
  bool awaits_merge = false;
};

class SessionCheck {
 public:
  // `events`: those of the session. `snapshots` and `session` must outlive the check.
  //
  // `reach`: null for the first reading. For a later one, whose row was read before its `held`, the
  // reach() of the first: seqs beyond it are of later awards, of which this reading says nothing.
  SessionCheck(const Snapshots& snapshots, const SessionSnapshot& session,
               std::span<const EventSnapshot> events, const Reach* reach = nullptr);

  // The differences that one reading of Redis, of the row or of the events proves.
  std::vector<Difference> check_counts_and_events() const;
  RowFindings check_row() const;
  Reach reach() const;
  // Events of a purged season, which are not compared.
  uint64_t purged_events() const { return purged_events_; }

 private:
  // What the stores know of one generation.
  struct Generation {
    uint64_t assigned = 0;        // the newest seq that Redis has assigned
    bool row_forgot = false;      // the row no longer names the seqs that it has counted
    SeqSet counted{SIZE_MAX};     // by the row
    SeqSet in_table{SIZE_MAX};    // counted, or in hunt_session_waiting
    SeqSet in_events{SIZE_MAX};   // in Kafka or the outbox
    SeqSet table_soon{SIZE_MAX};  // in_table, or in the outbox
    SeqSet known{SIZE_MAX};       // in any of them
  };
  // A place in the session's order of awards.
  struct Position {
    uint64_t generation;
    uint64_t seq;
    auto operator<=>(const Position&) const = default;
  };
  // What Redis has lost of one generation.
  struct Lost {
    uint64_t generation = 0;
    std::vector<SeqRange> seqs;
    uint64_t count = 0;
    uint64_t known = 0;  // of these, the seqs whose events are known
    LootCounts loot;     // of the seqs whose events are known
  };

  void add_held(std::optional<uint64_t> floor);
  void add_table(std::optional<uint64_t> floor);
  void add_events(std::span<const EventSnapshot> events, std::optional<uint64_t> floor);
  void find_dropped();
  const std::string& loot_of(const EventSnapshot& event) const {
    return snapshots_.loot_ids[event.loot];
  }
  int32_t units_of(const EventSnapshot& event) const { return snapshots_.loot_units[event.loot]; }
  uint64_t generation_of(const EventSnapshot& event) const {
    return session_.generations[event.generation];
  }
  // The seqs up to this one are compared.
  uint64_t limit_of(uint64_t generation) const;
  bool has_later_awards() const;

  Difference difference(const char* kind, std::string detail) const;
  void check_counts(std::vector<Difference>& found) const;
  bool add_missing_events(std::vector<Difference>& found) const;
  Position kept_from(SeqSet Generation::*known) const;
  static bool remove_expired(std::vector<SeqRange>& missing, uint64_t generation,
                             const Position& kept_from);
  // Returns whether the table has every event that it should have.
  bool add_missing_in_table(RowFindings& found) const;
  LootCounts table_loot(uint64_t& waiting) const;
  std::vector<Lost> lost_seqs() const;
  bool is_of_single_units() const;
  void guess_lost_loot(std::vector<Lost>& all, LootCounts left) const;
  void add_lost(RowFindings& found, const LootCounts& in_table) const;
  void compare_loot(RowFindings& found, const LootCounts& in_table) const;

  const Snapshots& snapshots_;
  const SessionSnapshot& session_;
  const Reach* reach_;
  std::vector<EventSnapshot> distinct_;  // those that are compared
  std::map<uint64_t, Generation> generations_;
  uint64_t purged_events_ = 0;
  bool held_has_purged_ = false;  // loot of a purged season is in `held`, or in the row
  bool row_has_purged_ = false;
};

}  // namespace huntd::reconcile
