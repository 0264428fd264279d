// SPDX-License-Identifier: Apache-2.0
// Any text as a loot event: rejected with a reason, or read; the event written again reads as the
// same.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/ids.h"
#include "wire/loot_event.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view const json(reinterpret_cast<const char*>(data), size);
  huntd::Result<huntd::LootEvent> const event = huntd::read_loot_event(json);
  if (!event) {
    CHECK(!event.error().message.empty());
    return 0;
  }
  for (std::string_view id : {std::string_view(event->hunter_id), std::string_view(event->hunt_id),
                              std::string_view(event->loot_id)})
    CHECK(huntd::is_id(id));
  CHECK(event->event_id.size() == 32 && event->bundle.size() == 32);
  std::string const written = huntd::write_loot_event(*event);
  huntd::Result<huntd::LootEvent> const again = huntd::read_loot_event(written);
  CHECK(static_cast<bool>(again));
  CHECK(huntd::write_loot_event(*again) == written);
  CHECK(again->seq == event->seq && again->timestamp_ms == event->timestamp_ms);
  return 0;
}
