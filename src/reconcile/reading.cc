// SPDX-License-Identifier: Apache-2.0
#include "reconcile/reading.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "reconcile/record.h"

namespace huntd::reconcile {
namespace {

constexpr uint32_t id_partitions = 256;
constexpr uint32_t unit_partitions = id_partitions;  // a unit is looked for in its partition

// The events of at most N shared event_ids are named.
constexpr size_t shared_ids_max = 100'000;

enum Kind : uint8_t { held_kind = 0, row_kind = 1, waiting_kind = 2, event_kind = 4 };
// An event's kind byte also has these.
constexpr uint8_t in_outbox_flag = 8;
constexpr uint8_t expired_flag = 16;
constexpr uint8_t units_flag = 32;  // it gives or takes several, and how many follows

uint32_t id_partition_of(const EventId& event_id) {
  // The ids of tests and of other producers are not random.
  return static_cast<uint32_t>((event_id.high * 0x9e37'79b9'7f4a'7c15U ^ event_id.low) *
                                   0xc2b2'ae3d'27d4'eb4fU >>
                               56) %
         id_partitions;
}

// Decodes one record of a session; false if it is not of the group.
bool load_record(std::string_view record, const Group& group, Snapshots& into) {
  RecordReader reader(record);
  uint8_t const kind = reader.byte();
  std::string_view const hunter_id = reader.text();
  std::string_view const hunt_id = reader.text();
  if (!group.has(hunter_id, hunt_id)) return false;
  if ((kind & event_kind) != 0) {
    EventParts event{.hunter_id = hunter_id, .hunt_id = hunt_id};
    event.loot_id = reader.text();
    event.event_id.high = reader.fixed();
    event.event_id.low = reader.fixed();
    event.generation = reader.fixed();
    event.seq = reader.number();
    if ((kind & units_flag) != 0) event.units = static_cast<int32_t>(reader.fixed());
    event.in_outbox = (kind & in_outbox_flag) != 0;
    event.expired = (kind & expired_flag) != 0;
    into.add_event(event);
    return true;
  }
  if (kind == waiting_kind) {
    add_waiting(reader.text(), into);
    return true;
  }
  SessionSnapshot& session = into.session(hunter_id, hunt_id);
  if (kind == held_kind) {
    std::vector<HeldField> fields(reader.number());
    for (HeldField& field : fields) {
      field.field = reader.text();
      field.value = reader.text();
    }
    set_held(fields, session, into);
    return true;
  }
  RowColumns columns;
  columns.loot = reader.text();
  columns.loot_count = static_cast<int64_t>(reader.fixed());
  columns.seen_upto = reader.number();
  columns.seen_beyond = reader.text();
  columns.generation = reader.number();
  columns.past = reader.text();
  columns.forgotten_generation = reader.number();
  columns.added = reader.number();
  columns.taken = reader.number();
  set_row(columns, session, into);
  return true;
}

RecordWriter& begin_record(uint8_t kind, std::string_view hunter_id, std::string_view hunt_id) {
  thread_local RecordWriter record;
  record.clear();
  return record.byte(kind).text(hunter_id).text(hunt_id);
}

}  // namespace

std::array<Group, 2> Group::split() const {
  if (first < last) {
    uint32_t const middle = first + (last - first) / 2;
    return {{{first, middle, slice, slices}, {middle + 1, last, slice, slices}}};
  }
  return {{{first, last, slice, 2 * slices}, {first, last, slice + slices, 2 * slices}}};
}

bool Group::has(std::string_view hunter_id, std::string_view hunt_id) const {
  if (slices == 1) return true;
  return (hash64(hunter_id) / limits::buckets ^ hash64(hunt_id)) % slices == slice;
}

Reading::Reading(Scope scope, const MemoryPlan& plan, TempFile& file, Findings& findings)
    : unreadable(file, plan.block_bytes),
      scope_(std::move(scope)),
      findings_(findings),
      id_bytes_max_(plan.group_bytes),
      sessions_(file, limits::buckets, plan.block_bytes),
      ids_(file, id_partitions, plan.block_bytes),
      units_(file, unit_partitions, plan.block_bytes) {}

Result<void> Reading::add_held(std::string_view hunter_id, std::string_view hunt_id,
                               std::span<const HeldField> fields) {
  if (!scope_.has(hunter_id, hunt_id)) return {};
  RecordWriter& record = begin_record(held_kind, hunter_id, hunt_id).number(fields.size());
  for (const HeldField& field : fields) record.text(field.field).text(field.value);
  return sessions_.add(bucket_of(hunter_id), record.bytes());
}

Result<void> Reading::add_row(std::string_view hunter_id, std::string_view hunt_id,
                              const RowColumns& columns) {
  if (!scope_.has(hunter_id, hunt_id)) return {};
  RecordWriter& record = begin_record(row_kind, hunter_id, hunt_id);
  record.text(columns.loot).fixed(static_cast<uint64_t>(columns.loot_count));
  record.number(columns.seen_upto);
  record.text(columns.seen_beyond).number(columns.generation).text(columns.past);
  record.number(columns.forgotten_generation).number(columns.added).number(columns.taken);
  return sessions_.add(bucket_of(hunter_id), record.bytes());
}

Result<void> Reading::add_waiting(std::string_view json) {
  Result<LootEventView> const event = view_loot_event(json);
  if (!event) {
    findings_.add_unreadable("hunt_session_waiting", event.error().message);
    return {};
  }
  if (!scope_.has(event->hunter_id, event->hunt_id)) return {};
  RecordWriter& record = begin_record(waiting_kind, event->hunter_id, event->hunt_id).text(json);
  return sessions_.add(bucket_of(event->hunter_id), record.bytes());
}

Result<void> Reading::add_unit(uint32_t supply, std::string_view event_id, bool pending) {
  std::optional<EventId> const id = EventId::read(event_id);
  RecordWriter record;
  record.number(supply).byte(pending ? 1 : 0).byte(id ? 1 : 0);
  if (!id) return units_.add(0, record.text(event_id).bytes());
  return units_.add(id_partition_of(*id), record.fixed(id->high).fixed(id->low).bytes());
}

Result<void> Reading::add_event(const LootEventView& event, bool in_outbox) {
  if (!scope_.has(event.hunter_id, event.hunt_id)) return {};
  EventId const id = EventId::of(event.event_id);
  bool const expired = event.timestamp_ms < facts.expired_before_ms;
  auto const kind =
      static_cast<uint8_t>(event_kind | (in_outbox ? in_outbox_flag : 0) |
                           (expired ? expired_flag : 0) | (event.units != 1 ? units_flag : 0));
  RecordWriter& record = begin_record(kind, event.hunter_id, event.hunt_id);
  record.text(event.loot_id).fixed(id.high).fixed(id.low).fixed(event.generation);
  record.number(event.seq);
  if (event.units != 1) record.fixed(static_cast<uint64_t>(int64_t{event.units}));
  uint32_t const bucket = bucket_of(event.hunter_id);
  events_[bucket] += 1;
  if (Result<void> added = sessions_.add(bucket, record.bytes()); !added) return added;
  RecordWriter identified;
  identified.fixed(id.high).fixed(id.low).fixed(
      fingerprint_of(event.hunter_id, event.hunt_id, event.loot_id, event.generation, event.seq));
  return ids_.add(id_partition_of(id), identified.bytes());
}

Result<void> Reading::add_value(std::string_view value, bool in_outbox, const RecordPlace& place) {
  Result<LootEventView> const event = view_countable_event(value);
  if (event) return add_event(*event, in_outbox);
  // A record that is not an event is not of any hunter.
  if (!scope_.is_all()) return {};
  return unreadable.add(place, value, event.error().message);
}

Result<void> Reading::check_partition(uint32_t partition, std::vector<EventId>& shared) {
  // An id may be in many records: then only different ones are kept. If even these do not fit, they
  // are kept all the same, and it is the ids of one partition of 256 that need the memory.
  size_t limit = std::max<size_t>(id_bytes_max_ / sizeof(IdentifiedEvent), 1024);
  std::vector<IdentifiedEvent> events;
  events.reserve(std::min<size_t>(limit, ids_.records(partition)));
  Result<void> read = ids_.each(partition, [&](std::string_view record) {
    RecordReader reader(record);
    IdentifiedEvent event;
    event.event_id.high = reader.fixed();
    event.event_id.low = reader.fixed();
    event.fingerprint = reader.fixed();
    events.push_back(event);
    if (events.size() < limit) return true;
    std::sort(events.begin(), events.end());
    events.erase(std::unique(events.begin(), events.end()), events.end());
    limit = std::max(limit, 2 * events.size());
    return true;
  });
  if (!read) return read;
  find_shared_ids(events, shared);
  std::vector<SupplyUnit> units;
  read = units_.each(partition, [&](std::string_view record) {
    RecordReader reader(record);
    SupplyUnit& unit = units.emplace_back();
    unit.supply = static_cast<uint32_t>(reader.number());
    unit.pending = reader.byte() != 0;
    if (reader.byte() != 0) {
      unit.event_id.high = reader.fixed();
      unit.event_id.low = reader.fixed();
    } else {
      unit.malformed = reader.text();
    }
    return true;
  });
  if (!read) return read;
  bool const has_every_event = facts.has_kafka && facts.kafka_from_the_start;
  count_units(std::move(units), has_every_event ? &events : nullptr, supplies, findings_);
  return {};
}

Result<std::vector<EventId>> Reading::check_ids() {
  std::vector<EventId> shared;
  uint64_t unnamed = 0;
  for (uint32_t partition = 0; partition < id_partitions; ++partition) {
    if (Result<void> checked = check_partition(partition, shared); !checked) return checked.error();
    if (shared.size() <= shared_ids_max) continue;
    unnamed += shared.size() - shared_ids_max;
    shared.resize(shared_ids_max);
  }
  if (unnamed > 0)
    findings_.add({.kind = "event_id_shared",
                   .hunter_id = "",
                   .hunt_id = "",
                   .detail = fmt::format("{} more event_ids belong to several events", unnamed)});
  return shared;
}

Result<bool> Reading::load(const Group& group, size_t bytes_max, Snapshots& snapshots) const {
  static_cast<StoreFacts&>(snapshots) = facts;
  uint64_t events = 0;
  for (uint32_t bucket = group.first; bucket <= group.last; ++bucket) events += events_[bucket];
  size_t const events_max = bytes_max / sizeof(EventSnapshot);
  // At once, so that the vector is never copied; memory that is not written to costs nothing.
  snapshots.events.reserve(std::min<size_t>(events, events_max));
  auto const fits = [&] {
    return snapshots.bytes + snapshots.events.size() * sizeof(EventSnapshot) <= bytes_max;
  };
  bool fitting = true;
  for (uint32_t bucket = group.first; fitting && bucket <= group.last; ++bucket) {
    Result<void> const read = sessions_.each(bucket, [&](std::string_view record) {
      if (!load_record(record, group, snapshots) || fits()) return true;
      // A topic may have the same record many times.
      size_t const before = snapshots.events.size();
      snapshots.drop_duplicates();
      fitting = fits() && snapshots.events.size() <= before / 2;
      return fitting;
    });
    if (!read) return read.error();
  }
  return fitting;
}

uint64_t Reading::records_of(const Group& group) const {
  uint64_t records = 0;
  for (uint32_t bucket = group.first; bucket <= group.last; ++bucket)
    records += sessions_.records(bucket);
  return records;
}

uint64_t Reading::record_bytes_of(const Group& group) const {
  uint64_t bytes = 0;
  for (uint32_t bucket = group.first; bucket <= group.last; ++bucket)
    bytes += sessions_.bytes(bucket);
  return bytes;
}

Result<LootEventView> view_countable_event(std::string_view value) {
  Result<LootEventView> event = view_loot_event(value);
  if (!event) return event;
  if (Result<void> const bounds = check_bounds(event->seq, event->timestamp_ms); !bounds)
    return bounds.error();
  return event;
}

EventParts parts_of(const LootEventView& event, bool in_outbox, int64_t expired_before_ms) {
  return {.event_id = EventId::of(event.event_id),
          .hunter_id = event.hunter_id,
          .hunt_id = event.hunt_id,
          .loot_id = event.loot_id,
          .generation = event.generation,
          .seq = event.seq,
          .in_outbox = in_outbox,
          .expired = event.timestamp_ms < expired_before_ms,
          .units = event.units};
}

}  // namespace huntd::reconcile
