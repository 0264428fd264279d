// SPDX-License-Identifier: Apache-2.0
#include "aggregator/postgres/materialize.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include "aggregator/postgres/hourly_counts.h"
#include "aggregator/postgres/leaders.h"
#include "aggregator/postgres/merge_rules.h"
#include "aggregator/postgres/merge_slice.h"
#include "aggregator/postgres/schema.h"
#include "aggregator/postgres/supply_counts.h"
#include "aggregator/sessions/aggregator_limits.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"

namespace huntd::aggregator {
namespace {

using Of = PgArray::Of;

// Errors that the values of a row cause: data exception, integrity constraint violation, WITH CHECK
// OPTION violation, program limit exceeded, RAISE EXCEPTION of a trigger (PostgreSQL, Appendix A).
bool is_of_data(std::string_view sqlstate) {
  return sqlstate.starts_with("22") || sqlstate.starts_with("23") || sqlstate.starts_with("44") ||
         sqlstate.starts_with("54") || sqlstate == "P0001";
}

// Errors that fewer rows may not cause: a timeout, no memory, an allocation over 1 GB.
bool is_of_size(std::string_view sqlstate) {
  return sqlstate == "57014" || sqlstate == "53200" || sqlstate == "XX000";
}

class DeadLetterRows {
 public:
  void add(const DeadLetter& letter, const std::string& source) {
    sources_.add_text(source);
    partitions_.add_int4(static_cast<int32_t>(letter.partition));
    positions_.add_text(storable_text(letter.position));
    payloads_.add_text(letter.payload);
    reasons_.add_text(storable_text(letter.reason));
    bytes_ += letter.payload.size() + letter.reason.size();
  }
  size_t bytes() const { return bytes_; }
  // Returns the number of rows that are new.
  Result<uint64_t> write(PgLink& postgres) const {
    if (sources_.size() == 0) return uint64_t{0};
    Result<PgRows> const rows = postgres.execute(
        "INSERT INTO loot_events_dead (source, partition, position, payload, reason) "
        "SELECT * FROM unnest($1, $2, $3, $4, $5) AS v (source, partition, position, payload, "
        "reason) "
        "ORDER BY source COLLATE \"C\", partition, position COLLATE \"C\" ON CONFLICT DO NOTHING",
        {sources_, partitions_, positions_, payloads_, reasons_});
    if (!rows) return rows.error();
    return rows->affected();
  }

 private:
  PgArray sources_{Of::text}, partitions_{Of::int4}, positions_{Of::text};
  PgArray payloads_{Of::bytea}, reasons_{Of::text};
  size_t bytes_ = 0;
};

class BatchMerge {
 public:
  BatchMerge(PgLink& postgres, const Batch& batch, MergePace& pace)
      : postgres_(postgres), batch_(batch), pace_(pace), all_(batch.sorted()) {}

  // Merges all sessions, part by part.
  Result<void> run();
  Result<void> write_dead_letters(const std::string& source);
  Merged take() && { return std::move(merged_); }
  const std::vector<std::string>& grown() const { return grown_; }

 private:
  // What a part adds if its transaction is committed.
  struct Part {
    MergeCounts counts;
    std::vector<DeadLetter> dead_letters;
    std::vector<std::string> grown;  // hunts with more leaders
    LeaderKeys best;                 // of these hunts
  };

  Result<void> merge_all(Sessions sessions);
  Result<void> merge_part(Sessions sessions);
  // The body of a part's transaction. Returns nothing if another aggregator inserted one of the
  // rows.
  Result<std::optional<Part>> merge(Sessions sessions);
  Result<void> reject(const BatchSession& session, const Error& error);

  PgLink& postgres_;
  const Batch& batch_;
  MergePace& pace_;
  std::vector<BatchSession> all_;
  Merged merged_;
  std::vector<std::string> grown_;
  LeaderKeys committed_leaders_;
  size_t rejected_rows_ = 0;
  // Of the last part.
  size_t row_bytes_ = 0;
  bool may_halve_ = false;  // it failed, and fewer sessions may help
};

Result<void> BatchMerge::run() {
  // In a single part the order does not matter.
  size_t const first = all_.size() > pace_.sessions() ? likely_leaders_first(all_) : 0;
  if (Result<void> done = merge_all(Sessions(all_).first(first)); !done) return done;
  return merge_all(Sessions(all_).subspan(first));
}

// REQUIRES: `sessions` are in ascending key order.
Result<void> BatchMerge::merge_all(Sessions sessions) {
  for (size_t at = 0; at < sessions.size();) {
    Sessions const part = pace_.first_part(sessions.subspan(at));
    int64_t const started_at_ms = monotonic_ms();
    row_bytes_ = 0;
    may_halve_ = false;
    Result<void> const done = merge_part(part);
    postgres_.report_waiting();
    if (done) {
      pace_.merged(part.size(), row_bytes_, monotonic_ms() - started_at_ms);
      at += part.size();
      continue;
    }
    bool const of_data = is_of_data(postgres_.sqlstate());
    if (may_halve_ || of_data || is_of_size(postgres_.sqlstate())) pace_.failed(part.size());
    if (!may_halve_ && !of_data) return done.error();
    if (part.size() > 1) continue;
    if (Result<void> rejected = reject(part.front(), done.error()); !rejected) return rejected;
    at += 1;
  }
  return {};
}

Result<void> BatchMerge::reject(const BatchSession& session, const Error& error) {
  rejected_rows_ += 1;
  if (rejected_rows_ > limits::merge_rejected_rows_max)
    return Error{fmt::format("more than {} rows were rejected, the last by: {}",
                             limits::merge_rejected_rows_max, error.message)};
  log::warning(
      "PostgreSQL rejects a row, its events become dead letters",
      {{"hunter_id", session.hunter_id}, {"hunt_id", session.hunt_id}, {"error", error.message}});
  std::string const reason =
      fmt::format("PostgreSQL rejects its row: {}",
                  cut_utf8(storable_text(error.message), limits::dead_reason_bytes_max));
  std::vector<DeadLetter> letters = dead_letters_of(batch_, session, reason);
  std::move(letters.begin(), letters.end(), std::back_inserter(merged_.dead_letters));
  return {};
}

Result<void> BatchMerge::merge_part(Sessions sessions) {
  for (uint64_t tries = 0; tries < limits::merge_tries_max; ++tries) {
    Result<std::optional<Part>> part = in_transaction(postgres_, [&] { return merge(sessions); });
    if (!part) return part.error();
    if (!*part) {
      merged_.counts.restarts += 1;
      continue;
    }
    merged_.counts += (*part)->counts;
    std::move((*part)->dead_letters.begin(), (*part)->dead_letters.end(),
              std::back_inserter(merged_.dead_letters));
    grown_.insert(grown_.end(), (*part)->grown.begin(), (*part)->grown.end());
    for (auto& [hunt_id, keys] : (*part)->best) committed_leaders_[hunt_id] = std::move(keys);
    return {};
  }
  // Or the table has another unique index, which one of the rows violates.
  may_halve_ = true;
  return Error{fmt::format(
      "postgres: other writers inserted rows of this batch into hunt_session {} times in a row",
      limits::merge_tries_max)};
}

Result<std::optional<BatchMerge::Part>> BatchMerge::merge(Sessions sessions) {
  Result<MergeRules> const rules = lock_merge_rules(postgres_, sessions);
  if (!rules) return rules.error();
  Result<std::vector<LockedRow>> const rows = lock_rows(postgres_, sessions);
  if (!rows) return rows.error();
  for (const LockedRow& row : *rows) row_bytes_ += row.bytes();
  if (row_bytes_ > pace_.bytes_max() && sessions.size() > 1) {
    may_halve_ = true;
    return Error{"the rows of this part are too large"};
  }
  Leaders leaders(committed_leaders_);
  if (Result<void> read = leaders.read_entries(postgres_, sessions); !read) return read.error();
  MergeSlice slice(postgres_, batch_, sessions, *rows, *rules);
  Result<bool> const done = slice.merge();
  if (!done) return done.error();
  if (!*done) {
    row_bytes_ = 0;
    return std::optional<Part>();
  }
  HourlyCounts hourly_counts;
  SupplyCounts supply_counts;
  slice.add_to(hourly_counts, supply_counts);
  slice.add_to(leaders);
  if (Result<void> written = hourly_counts.write(postgres_); !written) return written.error();
  if (Result<void> written = supply_counts.write(postgres_); !written) return written.error();
  if (Result<void> written = leaders.write(postgres_); !written) return written.error();
  std::vector<std::string> grown = leaders.grown();
  return std::optional(
      Part{slice.counts(), slice.dead_letters(), std::move(grown), std::move(leaders).take_best()});
}

Result<void> BatchMerge::write_dead_letters(const std::string& source) {
  if (batch_.dead_letters().empty() && merged_.dead_letters.empty()) return {};
  Result<bool> const written = in_transaction(postgres_, [&]() -> Result<bool> {
    if (Result<void> const fine = check_version_in(postgres_); !fine) return fine.error();
    uint64_t count = 0;
    DeadLetterRows rows;
    auto const write = [&]() -> Result<void> {
      Result<uint64_t> const added = rows.write(postgres_);
      if (!added) return added.error();
      count += *added;
      rows = {};
      return {};
    };
    auto const add_all = [&](const std::vector<DeadLetter>& letters,
                             const std::string& from) -> Result<void> {
      for (const DeadLetter& letter : letters) {
        if (rows.bytes() > pace_.bytes_max())
          if (Result<void> done = write(); !done) return done;
        rows.add(letter, from);
      }
      return {};
    };
    Result<void> done = add_all(batch_.dead_letters(), source);
    if (done) done = add_all(merged_.dead_letters, "hunt_session");
    if (done) done = write();
    if (!done) return done.error();
    merged_.counts.dead_letters = count;
    return true;
  });
  if (!written) return written.error();
  merged_.dead_letters.clear();
  return {};
}

}  // namespace

Result<Merged> materialize(PgLink& postgres, const Batch& batch, const std::string& source,
                           DeadLetterTarget dead_letter_target, MergePace& pace) {
  BatchMerge merge(postgres, batch, pace);
  if (Result<void> done = merge.run(); !done) return done.error();
  if (dead_letter_target == DeadLetterTarget::table)
    if (Result<void> done = merge.write_dead_letters(source); !done) return done.error();
  // Everything is counted: if this fails, a later merge does it.
  if (Result<void> trimmed = trim_leaders(postgres, merge.grown()); !trimmed)
    log::warning("the leaders of a hunt could not be trimmed",
                 {{"error", trimmed.error().message}});
  return std::move(merge).take();
}

}  // namespace huntd::aggregator
