// A loot event inside JSON that is already parsed. Apart from loot_event.h, which needs no JSON
// library.
#pragma once
#include <simdjson.h>

#include "protocol/loot_event.h"

namespace huntd {

// As read_loot_event of its text.
Result<LootEvent> read_loot_event(simdjson::dom::object object);
// As view_loot_event of its text; the views are its parser's.
Result<LootEventView> view_loot_event(simdjson::dom::object object);

}  // namespace huntd
