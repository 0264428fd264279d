// SPDX-License-Identifier: Apache-2.0
#include "reconcile/unreadable_records.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/hash.h"
#include "reconcile/record.h"

namespace huntd::reconcile {
namespace {

constexpr uint32_t partitions = 64;
constexpr size_t open_max = 20'000;
constexpr size_t reason_bytes_max = 120;

using DeadLetter = std::pair<RecordPlace, uint64_t>;  // with the hash of its value

RecordPlace read_place(RecordReader& reader) {
  RecordPlace place;
  place.in_outbox = reader.byte() != 0;
  place.partition = static_cast<int32_t>(reader.number());
  place.position = reader.text();
  return place;
}

void write_place(RecordWriter& record, const RecordPlace& place) {
  record.byte(place.in_outbox ? 1 : 0).number(static_cast<uint32_t>(place.partition));
  record.text(place.position);
}

}  // namespace

std::string RecordPlace::text() const {
  if (in_outbox) return fmt::format("outbox:{{b{}}} {}", partition, position);
  return fmt::format("partition {} offset {}", partition, position);
}

uint64_t RecordPlace::hash() const { return hash64(position) + static_cast<uint32_t>(partition); }

UnreadableRecords::UnreadableRecords(TempFile& file, size_t block_bytes)
    : records_(file, partitions, block_bytes), dead_letters_(file, partitions, block_bytes) {}

Result<void> UnreadableRecords::add(const RecordPlace& place, std::string_view value,
                                    std::string_view reason) {
  has_kafka_records_ = has_kafka_records_ || !place.in_outbox;
  RecordWriter record;
  write_place(record, place);
  record.fixed(hash64(value)).text(reason.substr(0, reason_bytes_max));
  return records_.add(static_cast<uint32_t>(place.hash() % partitions), record.bytes());
}

Result<void> UnreadableRecords::add_dead_letter(const RecordPlace& place, uint64_t value_hash) {
  RecordWriter record;
  write_place(record, place);
  return dead_letters_.add(static_cast<uint32_t>(place.hash() % partitions),
                           record.fixed(value_hash).bytes());
}

Result<void> UnreadableRecords::match(Findings& findings) {
  for (uint32_t partition = 0; partition < partitions; ++partition) {
    if (records_.records(partition) == 0) continue;
    std::set<DeadLetter> dead_letters;
    Result<void> read = dead_letters_.each(partition, [&](std::string_view record) {
      RecordReader reader(record);
      RecordPlace place = read_place(reader);
      dead_letters.emplace(std::move(place), reader.fixed());
      return true;
    });
    if (!read) return read;
    read = records_.each(partition, [&](std::string_view record) {
      RecordReader reader(record);
      UnreadableRecord found{.place = read_place(reader)};
      found.value_hash = reader.fixed();
      found.reason = reader.text();
      if (dead_letters.contains({found.place, found.value_hash}))
        findings.add_dead_letter(found.place.text(), found.reason);
      else if (open_.size() < open_max)
        open_.push_back(std::move(found));
      else
        findings.add_unreadable(found.place.text(), found.reason);
      return true;
    });
    if (!read) return read;
  }
  return {};
}

void UnreadableRecords::end(Findings& findings) {
  for (const UnreadableRecord& record : open_)
    findings.add_unreadable(record.place.text(), record.reason);
  open_.clear();
}

}  // namespace huntd::reconcile
