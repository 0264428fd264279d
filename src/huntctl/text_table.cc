// SPDX-License-Identifier: Apache-2.0
#include "huntctl/text_table.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace huntd::huntctl {
namespace {

std::string three_digits(double value, std::string_view unit) {
  int const decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f} {}", value, decimals, unit);
}

}  // namespace

std::string time_text(double us) {
  if (us < 0.1) return "<0.1 µs";
  if (us < 999.5) return three_digits(us, "µs");
  if (us < 999.5e3) return three_digits(us / 1e3, "ms");
  return three_digits(us / 1e6, "s");
}

std::string count_text(uint64_t n) {
  std::string text = std::to_string(n);
  for (size_t from_end = 3; from_end < text.size(); from_end += 4)
    text.insert(text.size() - from_end, " ");
  return text;
}

std::string sum_text(int64_t n) {
  return n < 0 ? "-" + count_text(uint64_t{0} - static_cast<uint64_t>(n))
               : count_text(static_cast<uint64_t>(n));
}

std::string span_text(int64_t ms) {
  int64_t const s = std::max<int64_t>(0, ms / 1000);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min", s / 60);
  if (s < 2 * 86'400) return fmt::format("{} h", s / 3600);
  return fmt::format("{} d", s / 86'400);
}

std::string utc_text(int64_t ms) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(static_cast<time_t>(ms / 1000)));
}

size_t columns_of(std::string_view text) {
  size_t columns = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b')  // skip to the final letter
      while (i + 1 < text.size() && text[i] != 'm') ++i;
    else if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80)
      ++columns;
  }
  return columns;
}

void TextTable::add_column(std::string head, Align align) {
  columns_.push_back({std::move(head), align});
}

void TextTable::add_row(std::vector<std::string> cells) {
  CHECK(cells.size() == columns_.size());
  rows_.push_back(std::move(cells));
}

std::string TextTable::str() const {
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    size_t width = columns_of(columns_[i].head);
    for (const auto& row : rows_) width = std::max(width, columns_of(row[i]));
    widths.push_back(width);
  }
  std::string text;
  auto const add_cell = [&](size_t i, const std::string& cell) {
    std::string const padding(widths[i] - columns_of(cell), ' ');
    if (i != 0) text += "  ";
    text += columns_[i].align == Align::left ? cell + padding : padding + cell;
  };
  auto const end_line = [&] {
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
  };
  for (size_t i = 0; i < columns_.size(); ++i) add_cell(i, columns_[i].head);
  end_line();
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) add_cell(i, row[i]);
    end_line();
  }
  return text;
}

}  // namespace huntd::huntctl
