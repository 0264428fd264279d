// SPDX-License-Identifier: Apache-2.0
// A loot event as a parsed JSON object. In a header of its own, so that loot_event.h does not
// include simdjson.
#pragma once
#include <simdjson.h>

#include "wire/loot_event.h"

namespace huntd {

// The same as read_loot_event() of the object's text.
Result<LootEvent> read_loot_event(simdjson::dom::object object);
// The same as view_loot_event() of the object's text. The views are valid as long as the parser's
// document.
Result<LootEventView> view_loot_event(simdjson::dom::object object);

}  // namespace huntd
