// SPDX-License-Identifier: Apache-2.0
// An event_id as a number.
#pragma once
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace huntd {

// 128 bits: 32 lower-case hex digits as text. Numbers and texts have the same order.
struct EventId {
  uint64_t high = 0;
  uint64_t low = 0;
  // clang-tidy 14 sees a null pointer in each <=>.
  auto operator<=>(const EventId&) const = default;  // NOLINT(modernize-use-nullptr)

  // Reads a text; nothing if it is not an event_id.
  static std::optional<EventId> read(std::string_view hex);
  // Reads a text that view_loot_event() has checked; CHECKs that it is an event_id.
  static EventId of(std::string_view hex);
  std::string text() const;
};

}  // namespace huntd
