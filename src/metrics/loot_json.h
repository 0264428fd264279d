// SPDX-License-Identifier: Apache-2.0
// /loot.json of the admin port (docs/formats/admin-json.md).
#pragma once
#include <string>

#include "metrics/shared_region.h"

namespace huntd {

// The loots with the most awards, at most limits::loots_counted_max, the cores added up, and the
// tables of odds that the scripts have.
std::string write_loot_json(const SharedRegion& region);

}  // namespace huntd
