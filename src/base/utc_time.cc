// SPDX-License-Identifier: Apache-2.0
#include "base/utc_time.h"

#include <time.h>

#include <array>
#include <cstddef>
#include <string_view>

namespace huntd {
namespace {

// Reads `text` by a pattern: a 0 is a digit, any other character is itself. The numbers are
// appended to `numbers`.
bool read_digits(std::string_view text, std::string_view pattern, int* numbers) {
  if (text.size() != pattern.size()) return false;
  bool in_number = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (pattern[i] != '0') {
      if (text[i] != pattern[i]) return false;
      if (in_number) ++numbers;
      in_number = false;
      continue;
    }
    if (text[i] < '0' || text[i] > '9') return false;
    *numbers = *numbers * 10 + (text[i] - '0');
    in_number = true;
  }
  return true;
}

// Seconds east of UTC, of "Z" or "+HH:MM".
std::optional<int64_t> read_offset_s(std::string_view zone) {
  if (zone == "Z") return 0;
  std::array<int, 2> numbers{};
  if (zone.empty() || (zone[0] != '+' && zone[0] != '-')) return std::nullopt;
  if (!read_digits(zone.substr(1), "00:00", numbers.data())) return std::nullopt;
  if (numbers[0] > 23 || numbers[1] > 59) return std::nullopt;
  int64_t const offset_s = numbers[0] * 3600 + numbers[1] * 60;
  return zone[0] == '+' ? offset_s : -offset_s;
}

}  // namespace

std::optional<int64_t> read_utc_ms(const std::string& text) {
  size_t const zone_at = text.find_first_of("Z+-", text.find('T'));
  if (text.find('T') == std::string::npos || zone_at == std::string::npos) return std::nullopt;
  std::string_view const local = std::string_view(text).substr(0, zone_at);
  std::array<int, 6> numbers{};
  if (!read_digits(local, "0000-00-00T00:00", numbers.data())) {
    numbers.fill(0);
    if (!read_digits(local, "0000-00-00T00:00:00", numbers.data())) return std::nullopt;
  }
  std::optional<int64_t> const offset_s = read_offset_s(std::string_view(text).substr(zone_at));
  if (!offset_s || numbers[3] > 23 || numbers[4] > 59 || numbers[5] > 59) return std::nullopt;
  tm time{};
  time.tm_year = numbers[0] - 1900;
  time.tm_mon = numbers[1] - 1;
  time.tm_mday = numbers[2];
  time.tm_hour = numbers[3];
  time.tm_min = numbers[4];
  time.tm_sec = numbers[5];
  int64_t const seconds = timegm(&time);
  // timegm() takes 30 February for 2 March.
  if (time.tm_mon != numbers[1] - 1 || time.tm_mday != numbers[2]) return std::nullopt;
  return (seconds - *offset_s) * 1000;
}

}  // namespace huntd
