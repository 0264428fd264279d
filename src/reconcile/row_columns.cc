// SPDX-License-Identifier: Apache-2.0
#include "reconcile/row_columns.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <string>
#include <utility>

#include "aggregator/sessions/session.h"

namespace huntd::reconcile {
namespace {

// What the texts of a row need when they are read, per byte, and an event that waits, at most.
constexpr size_t row_factor = 10;
constexpr size_t waiting_bytes = 512;

Result<LootCounts> read_loot(std::string_view json) {
  thread_local simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(json.data(), json.size()).get(object) != simdjson::SUCCESS)
    return Error{"loot is not a JSON object"};
  LootCounts loot;
  for (auto [loot_id, value] : object) {
    int64_t count = 0;
    if (value.get(count) != simdjson::SUCCESS) return Error{"loot has a value that is not a count"};
    if (count != 0) loot[std::string(loot_id)] = count;
  }
  return loot;
}

Result<void> read_row(const RowColumns& columns, RowSnapshot& into) {
  Result<LootCounts> loot = read_loot(columns.loot);
  if (!loot) return loot.error();
  into.loot = std::move(*loot);
  into.loot_count = columns.loot_count;
  Result<SeqSet> seen = SeqSet::read(columns.seen_upto, columns.seen_beyond);
  if (!seen) return seen.error();
  into.seen = std::move(*seen);
  into.generation = columns.generation;
  if (!columns.past.empty()) {
    Result<aggregator::SeenByGeneration> past = aggregator::read_past(columns.past);
    if (!past) return past.error();
    into.past = std::move(*past);
  }
  into.forgotten_generation = columns.forgotten_generation;
  into.added = columns.added;
  into.taken = columns.taken;
  return {};
}

}  // namespace

void set_row(const RowColumns& columns, SessionSnapshot& session, Snapshots& snapshots) {
  session.has_row = true;
  snapshots.bytes +=
      row_factor * (columns.loot.size() + columns.seen_beyond.size() + columns.past.size());
  if (Result<void> const read = read_row(columns, session.row); !read)
    snapshots.unreadable.push_back(
        {fmt::format("row of hunter {} in hunt {}", session.hunter_id, session.hunt_id),
         read.error().message});
}

void add_waiting(std::string_view json, Snapshots& snapshots) {
  Result<LootEvent> event = read_loot_event(json);
  if (!event) return;
  snapshots.bytes += waiting_bytes;
  snapshots.session(event->hunter_id, event->hunt_id).row.waiting.push_back(std::move(*event));
}

}  // namespace huntd::reconcile
