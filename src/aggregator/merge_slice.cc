#include "aggregator/merge_slice.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace huntd {
namespace {

using Of = PgArray::Of;

LootEvent whole(const FoldedSession& session, const SessionEvent& event) {
  return {event.event_id.text(),
          std::string(session.hunter_id),
          std::string(session.hunt_id),
          std::string(event.loot_id),
          event.seq,
          event.timestamp_ms,
          std::string(event.bundle)};
}

// The index of a session that must be there, among `sessions`, which are ascending.
size_t index_of(Sessions sessions, std::string_view hunter_id, std::string_view hunt_id) {
  auto const at = std::lower_bound(sessions.begin(), sessions.end(), std::pair(hunter_id, hunt_id),
                                   [](const FoldedSession& session, const auto& key) {
                                     return std::pair(session.hunter_id, session.hunt_id) < key;
                                   });
  CHECK(at != sessions.end() && at->hunter_id == hunter_id && at->hunt_id == hunt_id);
  return static_cast<size_t>(at - sessions.begin());
}

}  // namespace

Result<void> lock_rows(PgLink& postgres, Sessions sessions, size_t first,
                       std::vector<LockedRow>& rows) {
  PgArray hunters(Of::text);
  PgArray hunts(Of::text);
  for (const FoldedSession& session : sessions) {
    hunters.add_text(session.hunter_id);
    hunts.add_text(session.hunt_id);
  }
  Result<PgRows> found = postgres.run(
      "SELECT s.hunter_id, s.hunt_id, s.loot, s.seen_upto, s.seen_beyond "
      "FROM unnest($1, $2) AS k (hunter_id, hunt_id) JOIN hunt_session s "
      "ON s.hunter_id = k.hunter_id COLLATE \"C\" AND s.hunt_id = k.hunt_id COLLATE \"C\" "
      "ORDER BY s.hunter_id, s.hunt_id FOR NO KEY UPDATE OF s",
      {hunters, hunts});
  if (!found) return found.error();
  for (int row = 0; row < found->count(); ++row)
    rows.push_back({first + index_of(sessions, found->text(row, 0), found->text(row, 1)),
                    std::string(found->text(row, 2)), static_cast<uint64_t>(found->integer(row, 3)),
                    std::string(found->text(row, 4))});
  return {};
}

MergeSlice::MergeSlice(PgLink& postgres, const Fold& fold, Sessions sessions,
                       std::span<const LockedRow> rows, size_t first)
    : postgres_(postgres), sessions_(sessions), works_(sessions.size()) {
  for (size_t i = 0; i < sessions.size(); ++i) {
    works_[i].folded = sessions[i];
    works_[i].events = fold.events(sessions[i]);
  }
  for (const LockedRow& row : rows) {
    Work& work = works_[row.session - first];
    work.exists = true;
    Result<Session> session = Session::read(row.loot, row.seen_upto, row.seen_beyond);
    if (session) {
      work.session = std::move(*session);
    } else {
      std::string const reason =
          fmt::format("the row of hunter {} in hunt {} was changed by another hand: {}",
                      work.folded.hunter_id, work.folded.hunt_id, session.error().message);
      for (const SessionEvent& event : work.events) bury(work, event, reason);
      work.events.clear();
    }
  }
}

void MergeSlice::bury(const Work& work, const SessionEvent& event, const std::string& reason) {
  unplaced_.push_back({0, event.event_id.text(), write_loot_event(whole(work.folded, event)),
                       reason, std::string(work.folded.hunter_id), true});
}

// Only a row whose seen set is full can have events waiting beside it.
Result<void> MergeSlice::fetch_waiting() {
  PgArray hunters(Of::text);
  PgArray hunts(Of::text);
  for (const Work& work : works_) {
    if (!work.exists || !work.session.seen.full()) continue;
    hunters.add_text(work.folded.hunter_id);
    hunts.add_text(work.folded.hunt_id);
  }
  if (hunters.size() == 0) return {};
  Result<PgRows> rows = postgres_.run(
      "SELECT w.hunter_id, w.hunt_id, w.event FROM unnest($1, $2) AS k (hunter_id, hunt_id) "
      "JOIN hunt_session_waiting w "
      "ON w.hunter_id = k.hunter_id COLLATE \"C\" AND w.hunt_id = k.hunt_id COLLATE \"C\"",
      {hunters, hunts});
  if (!rows) return rows.error();
  std::vector<Work*> owners;
  for (int row = 0; row < rows->count(); ++row) {
    Work* work = &works_[index_of(sessions_, rows->text(row, 0), rows->text(row, 1))];
    Result<LootEvent> event = read_loot_event(rows->text(row, 2));
    if (!event)
      return Error{
          fmt::format("hunt_session_waiting holds what is no event for hunter {} in hunt {}: {}",
                      work->folded.hunter_id, work->folded.hunt_id, event.error().message)};
    waited_.push_back(std::move(*event));
    owners.push_back(work);
  }
  // Their texts are where they stay, now that all are there.
  for (size_t i = 0; i < owners.size(); ++i) {
    const LootEvent& event = waited_[i];
    owners[i]->events.push_back({EventId::read(event.event_id), event.seq, event.timestamp_ms,
                                 event.loot_id, event.bundle});
    owners[i]->waited += 1;
  }
  return {};
}

// Before that moment rows may be gone, and with them what they had seen: whether such an event was
// counted can't be known, unless its row is there and has seen it.
void MergeSlice::set_aside_forgotten(int64_t before_ms) {
  for (Work& work : works_) {
    size_t const from_source = work.events.size() - work.waited;
    size_t kept = 0;
    for (size_t at = 0; at < work.events.size(); ++at) {
      SessionEvent const& event = work.events[at];
      if (at < from_source && event.timestamp_ms < before_ms &&
          !work.session.seen.contains(event.seq)) {
        bury(work, event,
             fmt::format("its timestamp is before {} ms, up to which rows were deleted "
                         "(aggregator.retention_days): it may have been counted",
                         before_ms));
        continue;
      }
      work.events[kept++] = event;
    }
    work.events.resize(kept);
  }
}

void MergeSlice::add_to(Hours& hours) const {
  for (const Work& work : works_) hours.add(work.folded.hunt_id, work.events, work.change.counted);
}

void MergeSlice::apply_events() {
  for (Work& work : works_) {
    work.change = add_events(work.session, work.events);
    counts_.fresh += work.change.fresh;
    counts_.duplicates += work.change.duplicates;
  }
}

// By COPY, straight into the table: the rows are in the key's order, and one that is there already
// ends it.
Result<bool> MergeSlice::insert_rows() {
  std::vector<const Work*> fresh;
  for (const Work& work : works_)
    if (!work.exists && work.change.fresh > 0) fresh.push_back(&work);
  if (fresh.empty()) return true;
  Result<uint64_t> const inserted =
      fresh.size() <= limits::insert_rows_max ? insert_few(fresh) : copy_many(fresh);
  constexpr const char* unique_violation = "23505";
  if (!inserted && postgres_.sqlstate() == unique_violation) return false;
  if (!inserted) return inserted.error();
  if (*inserted != fresh.size())
    return Error{
        fmt::format("postgres: {} of {} rows went into hunt_session: a trigger or rule "
                    "stands in the way",
                    *inserted, fresh.size())};
  counts_.rows_inserted = fresh.size();
  return true;
}

// Rows of hunt_session as arrays, in the order of the statements' columns.
struct MergeSlice::RowColumns {
  PgArray hunters{Of::text}, hunts{Of::text}, loot{Of::text}, loot_count{Of::int8};
  PgArray first{Of::timestamptz}, last{Of::timestamptz}, bundle{Of::text};
  PgArray upto{Of::int8}, beyond{Of::text};

  void add(const Work& work) {
    hunters.add_text(work.folded.hunter_id);
    hunts.add_text(work.folded.hunt_id);
    loot.add_text(work.session.loot_text());
    loot_count.add_int8(static_cast<int64_t>(work.session.loot_count()));
    first.add_timestamp_ms(work.change.first_loot_at_ms);
    last.add_timestamp_ms(work.change.last_loot_at_ms);
    if (work.change.bundle.empty())
      bundle.add_null();
    else
      bundle.add_text(work.change.bundle);
    upto.add_int8(static_cast<int64_t>(work.session.seen.upto()));
    beyond.add_text(work.session.seen.beyond_text());
  }
  std::vector<PgArray> all() const {
    return {hunters, hunts, loot, loot_count, first, last, bundle, upto, beyond};
  }
};

Result<uint64_t> MergeSlice::insert_few(const std::vector<const Work*>& fresh) {
  RowColumns columns;
  for (const Work* work : fresh) columns.add(*work);
  Result<PgRows> rows = postgres_.run(
      "INSERT INTO hunt_session (hunter_id, hunt_id, loot, loot_count, first_loot_at, "
      "last_loot_at, bundle, seen_upto, seen_beyond) SELECT v.hunter_id, v.hunt_id, v.loot::jsonb, "
      "v.loot_count, v.first_at, v.last_at, coalesce(v.bundle, ''), v.upto, "
      "v.beyond::int8multirange "
      "FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) "
      "AS v (hunter_id, hunt_id, loot, loot_count, first_at, last_at, bundle, upto, beyond) "
      "ORDER BY v.hunter_id COLLATE \"C\", v.hunt_id COLLATE \"C\"",
      columns.all());
  if (!rows) return rows.error();
  return rows->touched();
}

Result<uint64_t> MergeSlice::copy_many(const std::vector<const Work*>& fresh) {
  PgCopy rows;
  for (const Work* each : fresh) {
    const Work& work = *each;
    rows.begin_row(9);
    rows.add_text(work.folded.hunter_id);
    rows.add_text(work.folded.hunt_id);
    rows.add_jsonb(work.session.loot_text());
    rows.add_int8(static_cast<int64_t>(work.session.loot_count()));
    rows.add_timestamp_ms(work.change.first_loot_at_ms);
    rows.add_timestamp_ms(work.change.last_loot_at_ms);
    rows.add_text(work.change.bundle);
    rows.add_int8(static_cast<int64_t>(work.session.seen.upto()));
    rows.begin_int8multirange(work.session.seen.beyond().size());
    for (const SeqRange& range : work.session.seen.beyond())
      rows.add_int8range(static_cast<int64_t>(range.first), static_cast<int64_t>(range.last + 1));
  }
  return postgres_.copy_in(
      "COPY hunt_session (hunter_id, hunt_id, loot, loot_count, first_loot_at, last_loot_at, "
      "bundle, seen_upto, seen_beyond) FROM STDIN (FORMAT binary)",
      std::move(rows));
}

Result<void> MergeSlice::update_rows() {
  RowColumns columns;
  for (const Work& work : works_)
    if (work.exists && work.change.fresh > 0) columns.add(work);
  size_t const count = columns.hunters.size();
  if (count == 0) return {};
  Result<PgRows> rows = postgres_.run(
      "UPDATE hunt_session s SET loot = v.loot::jsonb, loot_count = v.loot_count, "
      "first_loot_at = least(s.first_loot_at, v.first_at), "
      "last_loot_at = greatest(s.last_loot_at, v.last_at), bundle = coalesce(v.bundle, s.bundle), "
      "seen_upto = v.upto, seen_beyond = v.beyond::int8multirange "
      "FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) "
      "AS v (hunter_id, hunt_id, loot, loot_count, first_at, last_at, bundle, upto, beyond) "
      "WHERE s.hunter_id = v.hunter_id COLLATE \"C\" AND s.hunt_id = v.hunt_id COLLATE \"C\"",
      columns.all());
  if (!rows) return rows.error();
  if (rows->touched() != count)
    return Error{
        fmt::format("postgres: {} of {} locked rows of hunt_session were updated: a trigger or "
                    "rule stands in the way",
                    rows->touched(), count)};
  counts_.rows_updated = rows->touched();
  return {};
}

Result<void> MergeSlice::file_waiting() {
  PgArray in_hunters(Of::text), in_hunts(Of::text), in_seqs(Of::int8), in_events(Of::text);
  PgArray out_hunters(Of::text), out_hunts(Of::text), out_seqs(Of::int8);
  for (const Work& work : works_) {
    size_t const waited_from = work.events.size() - work.waited;
    std::vector<bool> still(work.events.size(), false);
    for (size_t at : work.change.waiting) {
      still[at] = true;
      if (at >= waited_from) continue;
      in_hunters.add_text(work.folded.hunter_id);
      in_hunts.add_text(work.folded.hunt_id);
      in_seqs.add_int8(static_cast<int64_t>(work.events[at].seq));
      in_events.add_text(write_loot_event(whole(work.folded, work.events[at])));
    }
    for (size_t at = waited_from; at < work.events.size(); ++at) {
      if (still[at]) continue;
      out_hunters.add_text(work.folded.hunter_id);
      out_hunts.add_text(work.folded.hunt_id);
      out_seqs.add_int8(static_cast<int64_t>(work.events[at].seq));
    }
  }
  if (out_hunters.size() > 0) {
    Result<PgRows> gone = postgres_.run(
        "DELETE FROM hunt_session_waiting w USING unnest($1, $2, $3) AS k (hunter_id, hunt_id, "
        "seq) "
        "WHERE w.hunter_id = k.hunter_id COLLATE \"C\" AND w.hunt_id = k.hunt_id COLLATE \"C\" "
        "AND w.seq = k.seq",
        {out_hunters, out_hunts, out_seqs});
    if (!gone) return gone.error();
  }
  if (in_hunters.size() > 0) {
    Result<PgRows> kept = postgres_.run(
        "INSERT INTO hunt_session_waiting (hunter_id, hunt_id, seq, event) "
        "SELECT * FROM unnest($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        {in_hunters, in_hunts, in_seqs, in_events});
    if (!kept) return kept.error();
    counts_.waiting = kept->touched();
  }
  return {};
}

Result<bool> MergeSlice::run(int64_t forgotten_before_ms) {
  if (Result<void> fetched = fetch_waiting(); !fetched) return fetched.error();
  if (forgotten_before_ms > 0) set_aside_forgotten(forgotten_before_ms);
  apply_events();
  Result<bool> inserted = insert_rows();
  if (!inserted || !*inserted) return inserted;
  if (Result<void> updated = update_rows(); !updated) return updated.error();
  if (Result<void> filed = file_waiting(); !filed) return filed.error();
  return true;
}

}  // namespace huntd
