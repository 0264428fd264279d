// SPDX-License-Identifier: Apache-2.0
// Checks whether Redis, Kafka and PostgreSQL agree on every award.
//
// Redis is the reference. For every hunter and hunt
//   - the counts in held add up to #before + #seq + #added - #taken;
//   - with Kafka, the distinct events of topic and outbox have, of each generation, all seqs that
//     Redis has assigned, and their loot adds up to held;
//   - the row has seen the same seqs, and its loot equals held. An event that is in the outbox and
//     not in the row is *waiting*, which is not a difference;
//   - no seq of a generation and no event_id belongs to two events (event_ids: shared_ids.h).
// What Kafka, the outbox or the table have beyond that, Redis has *lost*.
//
// Generations of purged seasons are not compared. If rows were deleted by retention
// (StoreFacts::expired_before_ms), the beginning of a hunter's awards may have *expired*, which is
// not a difference. A hole after the first award that is still known is a difference at any age.
//
// Of every shared supply, no more units are given than hunters hold, the event of each unit exists,
// and Redis knows all units that the table has counted (supplies.h).
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "reconcile/report.h"
#include "reconcile/session_check.h"
#include "reconcile/shared_ids.h"
#include "reconcile/snapshot.h"
#include "reconcile/supplies.h"

namespace huntd::reconcile {

// The comparison of a group of sessions. The stores of a live system are in motion while they are
// read, so a session that differs can be read again before it is reported: check(), then for the
// doubtful() sessions read their rows, then their `held`, into the snapshots, and check_again(),
// any number of times; then end().
class Comparison {
 public:
  // A session whose differences may be only events in motion.
  struct Doubt {
    uint32_t session;
    std::vector<EventSnapshot> events;
    Reach reach;
    RowFindings findings;
  };

  // Sorts snapshots.events. The arguments must outlive the comparison.
  Comparison(Snapshots& snapshots, Supplies& supplies, Findings& findings)
      : snapshots_(snapshots), supplies_(supplies), findings_(findings) {}

  void check();
  // Gives each event whose event_id `shared` wants to it.
  void name_shared(SharedEvents& shared) const;
  // The indexes of the sessions whose differences may be only events in motion.
  std::vector<uint32_t> doubtful() const;
  // Whether the next merge may count an event that a doubtful session's row has not seen.
  bool awaits_merge() const;
  // A doubtful session has this event in the outbox: it is not missing in the table.
  void found_in_outbox(const EventParts& event);
  void check_again();
  // Returns the doubts, and has none afterwards: the caller reports them.
  std::vector<Doubt> take_doubts();
  // Goes on with a doubt about a session of these snapshots.
  void add_doubt(Doubt doubt);
  // Reports what is left: doubts and what is unreadable.
  void end();

 private:
  void add(const char* kind, const SessionSnapshot& session, std::string detail);
  void add(const RowFindings& findings, const SessionSnapshot& session);
  Doubt* doubt_about(std::string_view hunter_id, std::string_view hunt_id);
  void sort_events();
  bool is_purged(const EventSnapshot& event) const;
  void check_session(uint32_t index, std::span<const EventSnapshot> events);
  void count_events(const SessionSnapshot& session, std::span<const EventSnapshot> events);

  Snapshots& snapshots_;
  Supplies& supplies_;
  Findings& findings_;
  std::vector<Doubt> doubts_;
  std::unordered_map<uint32_t, size_t> doubt_of_;  // by session; made when it is needed
};

// A comparison of one reading, whose events are all in `snapshots`.
Report compare(Snapshots& snapshots, Supplies& supplies, size_t differences_max);

}  // namespace huntd::reconcile
