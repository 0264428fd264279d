#include "aggregator/materialize.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "aggregator/aggregator_limits.h"
#include "aggregator/session.h"

namespace huntd {
namespace {

using Of = PgArray::Of;

// One session of the batch on its way through the transaction.
struct Work {
  const FoldedSession* folded = nullptr;
  std::vector<LootEvent> events;  // the batch's, then those that waited beside the row
  size_t waited = 0;              // how many of them waited
  Session session;
  bool exists = false;
  SessionChange change;
};

class Merge {
 public:
  Merge(PgLink& postgres, const Fold& fold, const std::string& source)
      : postgres_(postgres), fold_(fold), source_(source) {}

  // Steps 1 to 4 without the commit. False where another aggregator inserted one of our rows.
  Result<bool> run();
  const MergeCounts& counts() const { return counts_; }

 private:
  Result<void> lock_rows();
  Result<void> fetch_waiting();
  void apply_events();
  Result<bool> insert_rows();
  Result<void> update_rows();
  Result<void> file_waiting();
  Result<void> file_dead();
  Work* find(std::string_view hunter_id, std::string_view hunt_id);
  void bury(const Work& work, const std::string& reason);

  PgLink& postgres_;
  const Fold& fold_;
  const std::string& source_;
  std::vector<Work> works_;           // ascending by key
  std::vector<DeadRecord> unplaced_;  // events whose row can't be read
  MergeCounts counts_;
};

Work* Merge::find(std::string_view hunter_id, std::string_view hunt_id) {
  auto at =
      std::lower_bound(works_.begin(), works_.end(), std::pair(hunter_id, hunt_id),
                       [](const Work& work, const auto& key) {
                         return std::pair<std::string_view, std::string_view>(
                                    work.folded->key.hunter_id, work.folded->key.hunt_id) < key;
                       });
  CHECK(at != works_.end() && at->folded->key.hunter_id == hunter_id &&
        at->folded->key.hunt_id == hunt_id);
  return &*at;
}

void Merge::bury(const Work& work, const std::string& reason) {
  for (const LootEvent& event : work.events)
    unplaced_.push_back({0, event.event_id, write_loot_event(event), reason});
}

Result<void> Merge::lock_rows() {
  PgArray hunters(Of::text);
  PgArray hunts(Of::text);
  for (const Work& work : works_) {
    hunters.add_text(work.folded->key.hunter_id);
    hunts.add_text(work.folded->key.hunt_id);
  }
  Result<PgRows> rows = postgres_.run(
      "SELECT s.hunter_id, s.hunt_id, s.loot, s.seen_upto, s.seen_beyond "
      "FROM unnest($1, $2) AS k (hunter_id, hunt_id) JOIN hunt_session s "
      "ON s.hunter_id = k.hunter_id COLLATE \"C\" AND s.hunt_id = k.hunt_id COLLATE \"C\" "
      "ORDER BY s.hunter_id, s.hunt_id FOR NO KEY UPDATE OF s",
      {hunters, hunts});
  if (!rows) return rows.error();
  for (int row = 0; row < rows->count(); ++row) {
    Work* work = find(rows->text(row, 0), rows->text(row, 1));
    work->exists = true;
    Result<Session> session = Session::read(
        rows->text(row, 2), static_cast<uint64_t>(rows->integer(row, 3)), rows->text(row, 4));
    if (session) {
      work->session = std::move(*session);
    } else {
      bury(*work, fmt::format("the row of hunter {} in hunt {} was changed by another hand: {}",
                              work->folded->key.hunter_id, work->folded->key.hunt_id,
                              session.error().message));
      work->events.clear();
    }
  }
  return {};
}

// Only a row whose seen set is full can have events waiting beside it.
Result<void> Merge::fetch_waiting() {
  PgArray hunters(Of::text);
  PgArray hunts(Of::text);
  for (const Work& work : works_) {
    if (!work.exists || !work.session.seen.full()) continue;
    hunters.add_text(work.folded->key.hunter_id);
    hunts.add_text(work.folded->key.hunt_id);
  }
  if (hunters.size() == 0) return {};
  Result<PgRows> rows = postgres_.run(
      "SELECT w.hunter_id, w.hunt_id, w.event FROM unnest($1, $2) AS k (hunter_id, hunt_id) "
      "JOIN hunt_session_waiting w "
      "ON w.hunter_id = k.hunter_id COLLATE \"C\" AND w.hunt_id = k.hunt_id COLLATE \"C\"",
      {hunters, hunts});
  if (!rows) return rows.error();
  for (int row = 0; row < rows->count(); ++row) {
    Work* work = find(rows->text(row, 0), rows->text(row, 1));
    Result<LootEvent> event = read_loot_event(rows->text(row, 2));
    if (!event)
      return Error{fmt::format(
          "hunt_session_waiting holds what is no event for hunter {} in hunt {}: {}",
          work->folded->key.hunter_id, work->folded->key.hunt_id, event.error().message)};
    work->events.push_back(std::move(*event));
    work->waited += 1;
  }
  return {};
}

void Merge::apply_events() {
  for (Work& work : works_) {
    work.change = add_events(work.session, work.events);
    counts_.fresh += work.change.fresh;
    counts_.duplicates += work.change.duplicates;
  }
}

Result<bool> Merge::insert_rows() {
  PgArray hunters(Of::text), hunts(Of::text), loot(Of::text), loot_count(Of::int8);
  PgArray first(Of::timestamptz), last(Of::timestamptz), bundle(Of::text);
  PgArray upto(Of::int8), beyond(Of::text);
  for (const Work& work : works_) {
    if (work.exists || work.change.fresh == 0) continue;
    hunters.add_text(work.folded->key.hunter_id);
    hunts.add_text(work.folded->key.hunt_id);
    loot.add_text(work.session.loot_text());
    loot_count.add_int8(static_cast<int64_t>(work.session.loot_count()));
    first.add_timestamp_ms(work.change.first_loot_at_ms);
    last.add_timestamp_ms(work.change.last_loot_at_ms);
    bundle.add_text(work.change.bundle);
    upto.add_int8(static_cast<int64_t>(work.session.seen.upto()));
    beyond.add_text(work.session.seen.beyond_text());
  }
  if (hunters.size() == 0) return true;
  Result<PgRows> rows = postgres_.run(
      "INSERT INTO hunt_session (hunter_id, hunt_id, loot, loot_count, first_loot_at, "
      "last_loot_at, "
      "bundle, seen_upto, seen_beyond) "
      "SELECT hunter_id, hunt_id, loot::jsonb, loot_count, first_at, last_at, bundle, upto, "
      "beyond::int8multirange FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) "
      "AS v (hunter_id, hunt_id, loot, loot_count, first_at, last_at, bundle, upto, beyond) "
      "ORDER BY hunter_id COLLATE \"C\", hunt_id COLLATE \"C\" ON CONFLICT DO NOTHING",
      {hunters, hunts, loot, loot_count, first, last, bundle, upto, beyond});
  if (!rows) return rows.error();
  counts_.rows_inserted = rows->touched();
  return rows->touched() == hunters.size();
}

Result<void> Merge::update_rows() {
  PgArray hunters(Of::text), hunts(Of::text), loot(Of::text), loot_count(Of::int8);
  PgArray first(Of::timestamptz), last(Of::timestamptz), bundle(Of::text);
  PgArray upto(Of::int8), beyond(Of::text);
  for (const Work& work : works_) {
    if (!work.exists || work.change.fresh == 0) continue;
    hunters.add_text(work.folded->key.hunter_id);
    hunts.add_text(work.folded->key.hunt_id);
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
  if (hunters.size() == 0) return {};
  Result<PgRows> rows = postgres_.run(
      "UPDATE hunt_session s SET loot = v.loot::jsonb, loot_count = v.loot_count, "
      "first_loot_at = least(s.first_loot_at, v.first_at), "
      "last_loot_at = greatest(s.last_loot_at, v.last_at), bundle = coalesce(v.bundle, s.bundle), "
      "seen_upto = v.upto, seen_beyond = v.beyond::int8multirange "
      "FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) "
      "AS v (hunter_id, hunt_id, loot, loot_count, first_at, last_at, bundle, upto, beyond) "
      "WHERE s.hunter_id = v.hunter_id COLLATE \"C\" AND s.hunt_id = v.hunt_id COLLATE \"C\"",
      {hunters, hunts, loot, loot_count, first, last, bundle, upto, beyond});
  if (!rows) return rows.error();
  if (rows->touched() != hunters.size())
    return Error{
        fmt::format("postgres: {} of {} locked rows of hunt_session were updated: a trigger or "
                    "rule stands in the way",
                    rows->touched(), hunters.size())};
  counts_.rows_updated = rows->touched();
  return {};
}

Result<void> Merge::file_waiting() {
  PgArray in_hunters(Of::text), in_hunts(Of::text), in_seqs(Of::int8), in_events(Of::text);
  PgArray out_hunters(Of::text), out_hunts(Of::text), out_seqs(Of::int8);
  for (const Work& work : works_) {
    size_t const waited_from = work.events.size() - work.waited;
    std::vector<bool> still(work.events.size(), false);
    for (size_t at : work.change.waiting) {
      still[at] = true;
      if (at >= waited_from) continue;
      in_hunters.add_text(work.folded->key.hunter_id);
      in_hunts.add_text(work.folded->key.hunt_id);
      in_seqs.add_int8(static_cast<int64_t>(work.events[at].seq));
      in_events.add_text(write_loot_event(work.events[at]));
    }
    for (size_t at = waited_from; at < work.events.size(); ++at) {
      if (still[at]) continue;
      out_hunters.add_text(work.folded->key.hunter_id);
      out_hunts.add_text(work.folded->key.hunt_id);
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

Result<void> Merge::file_dead() {
  PgArray sources(Of::text), partitions(Of::int4), positions(Of::text);
  PgArray payloads(Of::bytea), reasons(Of::text);
  auto add = [&](const DeadRecord& record, const std::string& source) {
    sources.add_text(source);
    partitions.add_int4(static_cast<int32_t>(record.partition));
    positions.add_text(record.position);
    payloads.add_text(record.payload);
    reasons.add_text(record.reason);
  };
  for (const DeadRecord& record : fold_.dead()) add(record, source_);
  // An event that was well until its row refused it is filed by its event_id.
  for (const DeadRecord& record : unplaced_) add(record, "hunt_session");
  if (sources.size() == 0) return {};
  Result<PgRows> rows = postgres_.run(
      "INSERT INTO loot_events_dead (source, partition, position, payload, reason) "
      "SELECT * FROM unnest($1, $2, $3, $4, $5) AS v (source, partition, position, payload, "
      "reason) "
      "ORDER BY source COLLATE \"C\", partition, position COLLATE \"C\" ON CONFLICT DO NOTHING",
      {sources, partitions, positions, payloads, reasons});
  if (!rows) return rows.error();
  counts_.dead = rows->touched();
  return {};
}

Result<bool> Merge::run() {
  for (const FoldedSession* folded : fold_.sorted()) {
    Work& work = works_.emplace_back();
    work.folded = folded;
    work.events = folded->events;
  }
  if (!works_.empty()) {
    if (Result<void> locked = lock_rows(); !locked) return locked.error();
    if (Result<void> fetched = fetch_waiting(); !fetched) return fetched.error();
    apply_events();
    Result<bool> inserted = insert_rows();
    if (!inserted || !*inserted) return inserted;
    if (Result<void> updated = update_rows(); !updated) return updated.error();
    if (Result<void> filed = file_waiting(); !filed) return filed.error();
  }
  if (Result<void> filed = file_dead(); !filed) return filed.error();
  return true;
}

}  // namespace

Result<MergeCounts> materialize(PgLink& postgres, const Fold& fold, const std::string& source) {
  for (uint64_t restarts = 0; restarts < limits::merge_tries_max; ++restarts) {
    if (Result<void> begun = postgres.begin(); !begun) return begun.error();
    Merge merge(postgres, fold, source);
    Result<bool> ran = merge.run();
    if (!ran) {
      postgres.rollback();
      return ran.error();
    }
    if (!*ran) {
      postgres.rollback();
      continue;
    }
    if (Result<void> committed = postgres.commit(); !committed) {
      postgres.rollback();
      return committed.error();
    }
    MergeCounts counts = merge.counts();
    counts.restarts = restarts;
    return counts;
  }
  return Error{
      fmt::format("postgres: other writers inserted the same rows of hunt_session {} times in a "
                  "row; the batch is tried again",
                  limits::merge_tries_max)};
}

}  // namespace huntd
