// SPDX-License-Identifier: Apache-2.0
#include "metrics/loot_table.h"

#include <algorithm>
#include <cstring>

#include "base/hash.h"
#include "base/read_text.h"

namespace huntd {
namespace {

// Rows that a loot may have, from the one of its hash on.
constexpr size_t rows_probed = 8;

// "HUNT LOOT", without an allocation.
struct RowName {
  RowName(std::string_view hunt_id, std::string_view loot_id) {
    std::memcpy(text, hunt_id.data(), hunt_id.size());
    text[hunt_id.size()] = ' ';
    std::memcpy(text + hunt_id.size() + 1, loot_id.data(), loot_id.size());
    size = hunt_id.size() + 1 + loot_id.size();
  }
  std::string_view view() const { return {text, size}; }

  char text[2 * limits::id_bytes_max + 1];
  size_t size = 0;
};

}  // namespace

// The row of the loot, which it gets if it has none.
LootTable::Row& LootTable::row_of(std::string_view hunt_id, std::string_view loot_id) {
  RowName const name(hunt_id, loot_id);
  uint64_t const hash = std::max<uint64_t>(hash64(name.view()), 1);
  Row* taken = nullptr;
  for (size_t i = 0; i < rows_probed; ++i) {
    Row& row = rows_[(hash + i) % rows_.size()];
    if (row.hash.load() == hash) return row;
    // A free row was never awarded.
    if (taken == nullptr || row.last_ms.load() < taken->last_ms.load()) taken = &row;
  }
  // Readers leave the row out until it has its new hash. A core that is killed here leaves it free.
  taken->hash.publish(0);
  no_room_.add(taken->awards.load());
  for (SharedWord* const word :
       {&taken->awards, &taken->units, &taken->limit, &taken->left, &taken->left_at_ms})
    word->store(0);
  taken->name.set(name.view());
  taken->hash.publish(hash);
  return *taken;
}

void LootTable::count(std::string_view hunt_id, std::string_view loot_id, uint64_t units,
                      int64_t now_ms) {
  Row& row = row_of(hunt_id, loot_id);
  row.awards.add(1);
  row.units.add(units);
  row.last_ms.store(static_cast<uint64_t>(now_ms));
}

void LootTable::note_supply(std::string_view hunt_id, std::string_view loot_id, uint64_t limit,
                            int64_t now_ms) {
  Row& row = row_of(hunt_id, loot_id);
  row.limit.store(limit + 1);
  row.last_ms.store(static_cast<uint64_t>(now_ms));
}

std::optional<LootTable::SupplyAt> LootTable::next_supply(size_t from) const {
  for (size_t i = from; i < rows_.size(); ++i) {
    SupplyAt found{i, {}};
    if (rows_[i].limit.load() > 0 && copy_row(rows_[i], found.copy)) return found;
  }
  return std::nullopt;
}

void LootTable::set_left(const SupplyAt& supply, uint64_t left, int64_t now_ms) {
  Row& row = rows_[supply.row];
  RowName const name(supply.copy.hunt_id, supply.copy.loot_id);
  if (row.hash.load() != std::max<uint64_t>(hash64(name.view()), 1)) return;
  row.left.store(left + 1);
  row.left_at_ms.store(static_cast<uint64_t>(now_ms));
}

// False if it is free, or changes its loot meanwhile.
bool LootTable::copy_row(const Row& row, LootRow& copy) {
  uint64_t const hash = row.hash.load_published();
  if (hash == 0) return false;
  copy.awards = row.awards.load();
  copy.units = row.units.load();
  if (uint64_t const limit = row.limit.load(); limit > 0) copy.limit = limit - 1;
  if (uint64_t const left = row.left.load(); left > 0) copy.left = left - 1;
  copy.left_at_ms = static_cast<int64_t>(row.left_at_ms.load());
  std::string const name = row.name.get();
  std::string_view rest = name;
  copy.hunt_id = take_word(rest);
  copy.loot_id = rest;
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  return row.hash.load() == hash && std::max<uint64_t>(hash64(name), 1) == hash;
}

std::vector<LootRow> LootTable::rows() const {
  std::vector<LootRow> copies;
  for (const Row& row : rows_)
    if (LootRow copy; copy_row(row, copy)) copies.push_back(std::move(copy));
  return copies;
}

}  // namespace huntd
