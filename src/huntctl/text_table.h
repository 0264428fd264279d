// SPDX-License-Identifier: Apache-2.0
// Formats numbers and tables for people.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace huntd::huntctl {

// Three digits and a unit, "1.23 ms"; "<0.1 µs" below a histogram's resolution.
std::string time_text(double us);
// Digits in groups of three: "1 234 567".
std::string count_text(uint64_t n);
// The same of a number that can be below 0: "-1 234".
std::string sum_text(int64_t n);
// A duration in its largest unit: "3 min".
std::string span_text(int64_t ms);
// A time since the Unix epoch: "2026-11-29 06:54:00 UTC".
std::string utc_text(int64_t ms);
// The width of UTF-8 `text` on a terminal: one column per code point, none for escape sequences.
size_t columns_of(std::string_view text);

// A table whose columns are as wide as their widest cell, with two spaces between.
class TextTable {
 public:
  enum class Align { left, right };
  void add_column(std::string head, Align align);
  // REQUIRES: as many cells as columns.
  void add_row(std::vector<std::string> cells);
  std::string str() const;

 private:
  struct Column {
    std::string head;
    Align align;
  };
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace huntd::huntctl
