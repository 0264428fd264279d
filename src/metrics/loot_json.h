// SPDX-License-Identifier: Apache-2.0
// /loot.json of the admin port (docs/formats/admin-json.md).
#pragma once
#include <string>

#include "metrics/private.h"
#include "metrics/shared_region.h"

namespace huntd {

// The loots with the most awards, at most limits::loots_counted_max, the cores added up, and the
// tables of odds that the scripts have. Without either if they are hidden.
std::string write_loot_json(const SharedRegion& region, Private loot);

}  // namespace huntd
