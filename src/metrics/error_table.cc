// SPDX-License-Identifier: Apache-2.0
#include "metrics/error_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "base/read_text.h"

namespace huntd {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

uint64_t hash_of_place(const ScriptErrorKind& kind) {
  return hash64(
      fmt::format("{} {} {}", static_cast<unsigned>(kind.reason), kind.line, kind.hunt_id));
}

// Never 0. Every number in the message counts as the same one: "no item 17", "no item 4".
uint64_t hash_of_kind(const ScriptErrorKind& kind, uint64_t place) {
  std::string text = fmt::format("{} ", place);
  for (char const c : kind.message) {
    if (!is_digit(c))
      text += c;
    else if (text.back() != '#')
      text += '#';
  }
  return std::max<uint64_t>(hash64(text), 1);
}

// On one line, and without zero bytes, which end a SharedText.
std::string text_of_kind(const ScriptErrorKind& kind) {
  std::string text =
      fmt::format("{} {} {} {}", static_cast<unsigned>(kind.reason), kind.line, kind.hunt_id,
                  std::string_view(kind.message).substr(0, error_message_bytes_max));
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return text;
}

ScriptErrorKind kind_of_text(std::string_view text) {
  ScriptErrorKind kind;
  auto const reason = read_number<unsigned>(take_word(text)).value_or(0);
  if (reason < failure_reason_names.size()) kind.reason = static_cast<FailureReason>(reason);
  kind.line = read_number<uint32_t>(take_word(text)).value_or(0);
  kind.hunt_id = take_word(text);
  kind.message = text;
  return kind;
}

}  // namespace

// A free slot, else that of the kind to be given up.
size_t ErrorTable::slot_for(uint64_t place) const {
  auto const of_place = std::count_if(rows_.begin(), rows_.end(), [place](const Row& row) {
    return row.hash.load() != 0 && row.place.load() == place;
  });
  bool const only_of_place = static_cast<size_t>(of_place) >= error_messages_max;
  size_t oldest = rows_.size();
  for (size_t i = 0; i < rows_.size(); ++i) {
    const Row& row = rows_[i];
    if (only_of_place && row.place.load() != place) continue;
    if (!only_of_place && row.hash.load() == 0) return i;
    if (row.hash.load() == 0) continue;
    if (oldest == rows_.size() || row.last_ms.load() < rows_[oldest].last_ms.load()) oldest = i;
  }
  return oldest;
}

std::optional<size_t> ErrorTable::add(const ScriptErrorKind& kind, int64_t now_ms) {
  uint64_t const place = hash_of_place(kind);
  uint64_t const hash = hash_of_kind(kind, place);
  auto const at_ms = static_cast<uint64_t>(now_ms);
  auto const known = std::find_if(rows_.begin(), rows_.end(),
                                  [hash](const Row& row) { return row.hash.load() == hash; });
  size_t const slot =
      known != rows_.end() ? static_cast<size_t>(known - rows_.begin()) : slot_for(place);
  Row& row = rows_[slot];
  bool const is_new = known == rows_.end();
  if (is_new) {
    row.kind.set("");
    no_room_.add(row.count.load());
    row.count.store(0);
    if (row.place.load() != place) {
      row.sample.set("");
      row.sample_ms.store(0);
    }
    row.first_ms.store(at_ms);
    row.place.store(place);
    row.hash.store(hash);
  }
  row.count.add(1);
  row.last_ms.store(at_ms);
  auto const sample_age_ms = static_cast<int64_t>(at_ms - row.sample_ms.load());
  // A clock that was set back counts as a long time.
  bool const due =
      row.sample_ms.load() == 0 || sample_age_ms < 0 || sample_age_ms >= error_sample_every_ms;
  // Also of a known kind: a core that was killed in a change has left it empty.
  if (due || is_new) row.kind.set(text_of_kind(kind));
  return due ? std::optional(slot) : std::nullopt;
}

void ErrorTable::set_sample(size_t slot, std::string_view json, int64_t now_ms) {
  Row& row = rows_[slot];
  row.sample_ms.store(static_cast<uint64_t>(now_ms));
  row.sample.set(json.size() <= error_sample_bytes_max ? json : "");
}

// False if the row is free, or changes its kind meanwhile.
bool ErrorTable::copy_row(const Row& row, ErrorRow& copy) const {
  std::string const text = row.kind.get();
  if (text.empty()) return false;
  copy.kind = kind_of_text(text);
  copy.hash = row.hash.load();
  copy.count = row.count.load();
  copy.first_ms = static_cast<int64_t>(row.first_ms.load());
  copy.last_ms = static_cast<int64_t>(row.last_ms.load());
  copy.sample_ms = static_cast<int64_t>(row.sample_ms.load());
  copy.sample = row.sample.get();
  return row.kind.get() == text;
}

std::vector<ErrorRow> ErrorTable::rows() const {
  constexpr int tries_max = 10;  // of a row that changes; its next kind is in the next copy
  std::vector<ErrorRow> found;
  for (const Row& row : rows_) {
    ErrorRow copy;
    for (int tries = 0; tries < tries_max; ++tries) {
      if (!copy_row(row, copy)) continue;
      found.push_back(std::move(copy));
      break;
    }
  }
  return found;
}

}  // namespace huntd
