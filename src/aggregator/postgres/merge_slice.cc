// SPDX-License-Identifier: Apache-2.0
#include "aggregator/postgres/merge_slice.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "wire/generation.h"

namespace huntd::aggregator {
namespace {

using Of = PgArray::Of;

// Returns the index of a session. REQUIRES: `sessions` is ascending and contains it.
size_t index_of(Sessions sessions, std::string_view hunter_id, std::string_view hunt_id) {
  auto const at = std::lower_bound(sessions.begin(), sessions.end(), std::pair(hunter_id, hunt_id),
                                   [](const BatchSession& session, const auto& key) {
                                     return std::pair(session.hunter_id, session.hunt_id) < key;
                                   });
  CHECK(at != sessions.end() && at->hunter_id == hunter_id && at->hunt_id == hunt_id);
  return static_cast<size_t>(at - sessions.begin());
}

LootEvent loot_event_of(std::string_view hunter_id, std::string_view hunt_id,
                        const SessionEvent& event) {
  return {event.event_id.text(),
          std::string(hunter_id),
          std::string(hunt_id),
          std::string(event.loot_id),
          event.seq,
          event.timestamp_ms,
          std::string(event.bundle),
          event.generation,
          event.from_supply,
          event.units};
}

DeadLetter dead_letter_of(std::string_view hunter_id, std::string_view hunt_id,
                          const SessionEvent& event, const std::string& reason) {
  return {.partition = 0,
          .position = event.event_id.text(),
          .payload = write_loot_event(loot_event_of(hunter_id, hunt_id, event)),
          .reason = reason,
          .key = std::string(hunter_id),
          .rejected_by_merge = true};
}

}  // namespace

std::vector<DeadLetter> dead_letters_of(const Batch& batch, const BatchSession& session,
                                        const std::string& reason) {
  std::vector<DeadLetter> letters;
  for (const SessionEvent& event : batch.events(session))
    letters.push_back(dead_letter_of(session.hunter_id, session.hunt_id, event, reason));
  return letters;
}

struct MergeSlice::EventKeys {
  PgArray hunters{Of::text}, hunts{Of::text}, generations{Of::int8}, seqs{Of::int8};

  void add(const Work& work, const SessionEvent& event) {
    hunters.add_text(work.hunter_id);
    hunts.add_text(work.hunt_id);
    generations.add_int8(static_cast<int64_t>(event.generation));
    seqs.add_int8(static_cast<int64_t>(event.seq));
  }
  size_t size() const { return hunters.size(); }
};

Result<std::vector<LockedRow>> lock_rows(PgLink& postgres, Sessions sessions) {
  PgArray hunters(Of::text);
  PgArray hunts(Of::text);
  for (const BatchSession& session : sessions) {
    hunters.add_text(session.hunter_id);
    hunts.add_text(session.hunt_id);
  }
  Result<PgRows> found = postgres.execute(
      "SELECT s.hunter_id, s.hunt_id, s.loot, s.seen_upto, s.seen_beyond, s.generation, s.past, "
      "s.forgotten_generation, s.added, s.taken "
      "FROM unnest($1, $2) AS k (hunter_id, hunt_id) JOIN hunt_session s "
      "ON s.hunter_id = k.hunter_id COLLATE \"C\" AND s.hunt_id = k.hunt_id COLLATE \"C\" "
      "ORDER BY s.hunter_id, s.hunt_id FOR NO KEY UPDATE OF s",
      {hunters, hunts});
  if (!found) return found.error();
  std::vector<LockedRow> rows;
  for (int row = 0; row < found->count(); ++row)
    rows.push_back({index_of(sessions, found->text(row, 0), found->text(row, 1)),
                    std::string(found->text(row, 2)), static_cast<uint64_t>(found->integer(row, 3)),
                    std::string(found->text(row, 4)), static_cast<uint64_t>(found->integer(row, 5)),
                    std::string(found->text(row, 6)), static_cast<uint64_t>(found->integer(row, 7)),
                    static_cast<uint64_t>(found->integer(row, 8)),
                    static_cast<uint64_t>(found->integer(row, 9))});
  return rows;
}

MergeSlice::MergeSlice(PgLink& postgres, const Batch& batch, Sessions sessions,
                       std::span<const LockedRow> rows, const MergeRules& rules)
    : postgres_(postgres), rules_(rules), sessions_(sessions), works_(sessions.size()) {
  for (size_t i = 0; i < sessions.size(); ++i) {
    works_[i].hunter_id = sessions[i].hunter_id;
    works_[i].hunt_id = sessions[i].hunt_id;
    works_[i].events = batch.events(sessions[i]);
    if (!rules.floors.empty()) drop_purged(works_[i]);
  }
  for (const LockedRow& row : rows) read_row(works_[row.session], row);
}

void MergeSlice::drop_purged(Work& work) {
  std::optional<uint64_t> const floor = rules_.floors.of(work.hunter_id, work.hunt_id);
  if (!floor) return;
  counts_.purged += std::erase_if(
      work.events, [&](const SessionEvent& event) { return event.generation <= *floor; });
}

void MergeSlice::read_row(Work& work, const LockedRow& row) {
  work.exists = true;
  Result<Session> session = Session::read({.loot = row.loot,
                                           .seen_upto = row.seen_upto,
                                           .seen_beyond = row.seen_beyond,
                                           .generation = row.generation,
                                           .past = row.past,
                                           .forgotten_generation = row.forgotten_generation,
                                           .added = row.added,
                                           .taken = row.taken});
  if (session) {
    work.session = std::move(*session);
    work.loot_count_before = work.session.loot_count();
    return;
  }
  std::string const reason =
      fmt::format("the row of hunter {} in hunt {} was changed by another program: {}",
                  work.hunter_id, work.hunt_id, session.error().message);
  for (const SessionEvent& event : work.events) reject(work, event, reason);
  work.events.clear();
}

void MergeSlice::reject(const Work& work, const SessionEvent& event, const std::string& reason) {
  dead_letters_.push_back(dead_letter_of(work.hunter_id, work.hunt_id, event, reason));
}

// Only a row with a full seen set can have waiting events.
Result<void> MergeSlice::fetch_waiting() {
  PgArray hunters(Of::text);
  PgArray hunts(Of::text);
  for (const Work& work : works_) {
    if (!work.exists || !work.session.full()) continue;
    hunters.add_text(work.hunter_id);
    hunts.add_text(work.hunt_id);
  }
  if (hunters.size() == 0) return {};
  Result<PgRows> rows = postgres_.execute(
      "SELECT w.hunter_id, w.hunt_id, w.event FROM unnest($1, $2) AS k (hunter_id, hunt_id) "
      "JOIN hunt_session_waiting w "
      "ON w.hunter_id = k.hunter_id COLLATE \"C\" AND w.hunt_id = k.hunt_id COLLATE \"C\"",
      {hunters, hunts});
  if (!rows) return rows.error();
  std::vector<Work*> owners;
  for (int row = 0; row < rows->count(); ++row) {
    Work* work = &works_[index_of(sessions_, rows->text(row, 0), rows->text(row, 1))];
    Result<LootEvent> event = read_loot_event(rows->text(row, 2));
    if (!event) continue;  // another program has changed it: reconcile reports it as unreadable
    waited_.push_back(std::move(*event));
    owners.push_back(work);
  }
  // waited_ is complete, so views of its texts stay valid.
  for (size_t i = 0; i < owners.size(); ++i) {
    const LootEvent& event = waited_[i];
    owners[i]->events.push_back({EventId::of(event.event_id), event.generation, event.seq,
                                 event.timestamp_ms, event.loot_id, event.bundle, event.from_supply,
                                 event.units});
    owners[i]->waited += 1;
  }
  return {};
}

// Rows from before that time may have been deleted with their seen sets. So it is unknown whether
// such an event was counted, unless its row exists and has seen it.
void MergeSlice::reject_expired() {
  int64_t const before_ms = rules_.expired_before_ms;
  for (Work& work : works_) {
    size_t const from_source = work.events.size() - work.waited;
    size_t kept = 0;
    for (size_t at = 0; at < work.events.size(); ++at) {
      SessionEvent const& event = work.events[at];
      if (at < from_source && event.timestamp_ms < before_ms &&
          !work.session.contains(event.generation, event.seq)) {
        reject(work, event,
               fmt::format("its timestamp is before {} ms, and rows up to that time were deleted "
                           "(aggregator.retention_days): it may have been counted",
                           before_ms));
        continue;
      }
      work.events[kept++] = event;
    }
    work.events.resize(kept);
  }
}

void MergeSlice::add_to(HourlyCounts& hourly_counts, SupplyCounts& supply_counts) const {
  for (const Work& work : works_) {
    hourly_counts.add(work.hunt_id, work.events, work.change.counted);
    supply_counts.add(work.hunt_id, work.events, work.change.counted);
  }
}

void MergeSlice::add_to(Leaders& leaders) const {
  for (const Work& work : works_) {
    if (work.change.new_events == 0) continue;
    std::optional<int64_t> const before =
        work.exists ? std::optional(work.loot_count_before) : std::nullopt;
    leaders.add(
        work.hunt_id,
        {work.session.loot_count(), work.change.last_loot_at_ms, std::string(work.hunter_id)},
        before);
  }
}

void MergeSlice::reject_of_dropped(const Work& work) {
  for (size_t at : work.change.of_dropped)
    reject(work, work.events[at],
           fmt::format("its generation {} is not above {}, and the row has dropped which seqs it "
                       "counted of generations up to that one: it may have been counted",
                       generation_text(work.events[at].generation),
                       generation_text(work.session.forgotten_generation)));
}

void MergeSlice::apply_events() {
  for (Work& work : works_) {
    work.change = add_events(work.session, work.events);
    counts_.new_events += work.change.new_events;
    counts_.duplicates += work.change.duplicates;
    if (work.exists && work.session.loot_count() < work.loot_count_before)
      counts_.rows_lowered += 1;
    reject_of_dropped(work);
  }
}

// Returns false if a row already exists.
Result<bool> MergeSlice::insert_rows() {
  std::vector<const Work*> new_rows;
  for (const Work& work : works_)
    if (!work.exists && work.change.new_events > 0) new_rows.push_back(&work);
  if (new_rows.empty()) return true;
  Result<uint64_t> const inserted =
      new_rows.size() <= limits::insert_rows_max ? insert_few(new_rows) : copy_many(new_rows);
  constexpr const char* unique_violation = "23505";
  if (!inserted && postgres_.sqlstate() == unique_violation) return false;
  if (!inserted) return inserted.error();
  if (*inserted != new_rows.size())
    return Error{fmt::format(
        "postgres: only {} of {} rows were inserted into hunt_session: remove its trigger or rule",
        *inserted, new_rows.size())};
  counts_.rows_inserted = new_rows.size();
  return true;
}

Result<uint64_t> MergeSlice::insert_few(const std::vector<const Work*>& new_rows) {
  SessionRowArrays parameters;
  for (const Work* work : new_rows) parameters.add(work->row());
  Result<PgRows> rows = postgres_.execute(insert_rows_statement(), parameters.arrays());
  if (!rows) return rows.error();
  return rows->affected();
}

Result<uint64_t> MergeSlice::copy_many(const std::vector<const Work*>& new_rows) {
  PgCopy copy;
  for (const Work* work : new_rows) add_row(copy, work->row());
  return postgres_.copy_in(copy_rows_statement(), std::move(copy));
}

Result<void> MergeSlice::update_rows() {
  SessionRowArrays parameters;
  for (const Work& work : works_)
    if (work.exists && work.change.new_events > 0) parameters.add(work.row());
  if (parameters.size() == 0) return {};
  Result<PgRows> rows = postgres_.execute(update_rows_statement(), parameters.arrays());
  if (!rows) return rows.error();
  if (rows->affected() != parameters.size())
    return Error{fmt::format(
        "postgres: only {} of {} locked rows of hunt_session were updated: remove its trigger or "
        "rule",
        rows->affected(), parameters.size())};
  counts_.rows_updated = rows->affected();
  return {};
}

Result<void> MergeSlice::delete_waiting(const EventKeys& keys) {
  if (keys.size() == 0) return {};
  Result<PgRows> rows = postgres_.execute(
      "DELETE FROM hunt_session_waiting w "
      "USING unnest($1, $2, $3, $4) AS k (hunter_id, hunt_id, generation, seq) "
      "WHERE w.hunter_id = k.hunter_id COLLATE \"C\" AND w.hunt_id = k.hunt_id COLLATE \"C\" "
      "AND w.generation = k.generation AND w.seq = k.seq",
      {keys.hunters, keys.hunts, keys.generations, keys.seqs});
  if (!rows) return rows.error();
  return {};
}

// Deletes the waiting events that are now counted, and inserts those for which a row has no room.
Result<void> MergeSlice::write_waiting() {
  EventKeys counted;
  EventKeys inserted;
  PgArray texts(Of::text);
  for (const Work& work : works_) {
    size_t const waited_from = work.events.size() - work.waited;
    std::vector<bool> waiting(work.events.size(), false);
    for (size_t at : work.change.waiting) {
      waiting[at] = true;
      if (at >= waited_from) continue;
      inserted.add(work, work.events[at]);
      texts.add_text(
          write_loot_event(loot_event_of(work.hunter_id, work.hunt_id, work.events[at])));
    }
    for (size_t at = waited_from; at < work.events.size(); ++at)
      if (!waiting[at]) counted.add(work, work.events[at]);
  }
  if (Result<void> deleted = delete_waiting(counted); !deleted) return deleted;
  if (inserted.size() == 0) return {};
  Result<PgRows> rows = postgres_.execute(
      "INSERT INTO hunt_session_waiting (hunter_id, hunt_id, generation, seq, event) "
      "SELECT * FROM unnest($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
      {inserted.hunters, inserted.hunts, inserted.generations, inserted.seqs, texts});
  if (!rows) return rows.error();
  counts_.waiting = rows->affected();
  return {};
}

Result<bool> MergeSlice::merge() {
  if (Result<void> fetched = fetch_waiting(); !fetched) return fetched.error();
  if (rules_.expired_before_ms > 0) reject_expired();
  apply_events();
  Result<bool> inserted = insert_rows();
  if (!inserted || !*inserted) return inserted;
  if (Result<void> updated = update_rows(); !updated) return updated.error();
  if (Result<void> waiting = write_waiting(); !waiting) return waiting.error();
  return true;
}

}  // namespace huntd::aggregator
