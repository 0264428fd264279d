// SPDX-License-Identifier: Apache-2.0
#include "wire/event_id.h"

#include <fmt/format.h>

#include "base/check.h"

namespace huntd {
namespace {

constexpr size_t half_digits = 16;

// Sets `fine` to false if a character is not a lower-case hex digit. Without branches: the
// aggregator reads one per event.
uint64_t read_half(std::string_view digits, bool& fine) {
  uint64_t number = 0;
  for (char c : digits) {
    bool const decimal = c >= '0' && c <= '9';
    bool const letter = c >= 'a' && c <= 'f';
    fine &= decimal | letter;
    number = number << 4 | static_cast<uint64_t>((decimal ? c - '0' : c - 'a' + 10) & 0xf);
  }
  return number;
}

}  // namespace

std::optional<EventId> EventId::read(std::string_view hex) {
  if (hex.size() != 2 * half_digits) return std::nullopt;
  bool fine = true;
  EventId const id{read_half(hex.substr(0, half_digits), fine),
                   read_half(hex.substr(half_digits), fine)};
  return fine ? std::optional(id) : std::nullopt;
}

EventId EventId::of(std::string_view hex) {
  std::optional<EventId> const id = read(hex);
  CHECK(id.has_value());
  return *id;
}

std::string EventId::text() const { return fmt::format("{:016x}{:016x}", high, low); }

}  // namespace huntd
