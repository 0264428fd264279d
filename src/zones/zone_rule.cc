// SPDX-License-Identifier: Apache-2.0
#include "zones/zone_rule.h"

#include <chrono>
#include <utility>

namespace huntd {
namespace {

constexpr int64_t hour_s = 3600;
constexpr int64_t day_s = 24 * hour_s;
constexpr int first_year = 1970;
constexpr int end_year = 2100;

// A day of the year and a time of that day by the clocks before the change: M10.5.0/3 is 3 o'clock
// of the last Sunday of October.
struct YearlyTime {
  unsigned month = 0;
  unsigned week = 0;  // 5: the last
  unsigned weekday = 0;
  int64_t at_s = 2 * hour_s;

  // Seconds since 1970, as if the clocks showed UTC.
  int64_t in(int year) const {
    using namespace std::chrono;
    std::chrono::year const y{year};
    std::chrono::month const m{month};
    std::chrono::weekday const w{weekday};
    sys_days const day = week == 5 ? sys_days(y / m / w[last]) : sys_days(y / m / w[week]);
    return day.time_since_epoch().count() * day_s + at_s;
  }
};

// Reads the parts of a rule. A part that is not there or not understood fails the reader.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool failed() const { return failed_; }
  bool at_end() const { return rest_.empty(); }
  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void need(char c) { failed_ |= !take(c); }

  // "CET" or "<+03>".
  void name() {
    size_t size = 0;
    if (take('<')) {
      size = rest_.find('>');
      failed_ |= size == std::string_view::npos;
      rest_.remove_prefix(failed_ ? rest_.size() : size + 1);
      return;
    }
    while (size < rest_.size() && is_letter(rest_[size])) ++size;
    failed_ |= size < 3;
    rest_.remove_prefix(size);
  }
  // "H", "H:MM" or "H:MM:SS" with a sign or not, in seconds.
  int64_t time() {
    bool const negative = take('-');
    if (!negative) take('+');
    int64_t seconds = number(167) * hour_s;
    if (take(':')) seconds += number(59) * 60;
    if (take(':')) seconds += number(59);
    return negative ? -seconds : seconds;
  }
  bool at_time() const {
    return !rest_.empty() && (rest_.front() == '-' || rest_.front() == '+' || is_digit(rest_[0]));
  }
  YearlyTime yearly() {
    YearlyTime read;
    need(',');
    need('M');
    read.month = static_cast<unsigned>(number(12));
    need('.');
    read.week = static_cast<unsigned>(number(5));
    need('.');
    read.weekday = static_cast<unsigned>(number(6));
    if (take('/')) read.at_s = time();
    failed_ |= read.month == 0 || read.week == 0;
    return read;
  }

 private:
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
  int64_t number(int64_t max) {
    int64_t read = 0;
    size_t digits = 0;
    for (; digits < 3 && digits < rest_.size() && is_digit(rest_[digits]); ++digits)
      read = read * 10 + (rest_[digits] - '0');
    rest_.remove_prefix(digits);
    failed_ |= digits == 0 || read > max;
    return read;
  }

  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace

Result<void> append_rule(std::string_view rule, int64_t after_s, ZoneChanges& changes) {
  Reader reader(rule);
  reader.name();
  int64_t const standard_s = -reader.time();
  auto const add = [&](int64_t at_s, int64_t offset_s) {
    if (at_s <= after_s || at_s <= 0 || at_s >= zone_end_s) return;
    changes.push_back({static_cast<uint32_t>(at_s), static_cast<int32_t>(offset_s)});
  };
  if (reader.at_end() && !reader.failed()) return {};  // as after the last change
  reader.name();
  int64_t const summer_s = reader.at_time() ? -reader.time() : standard_s + hour_s;
  YearlyTime const to_summer = reader.yearly();
  YearlyTime const to_standard = reader.yearly();
  if (reader.failed() || !reader.at_end()) return Error{"its rule is not understood"};
  for (int year = first_year; year < end_year; ++year) {
    std::pair summer(to_summer.in(year)-standard_s, summer_s);
    std::pair standard(to_standard.in(year)-summer_s, standard_s);
    if (standard.first < summer.first) std::swap(summer, standard);
    add(summer.first, summer.second);
    add(standard.first, standard.second);
  }
  return {};
}

}  // namespace huntd
