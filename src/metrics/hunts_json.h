// SPDX-License-Identifier: Apache-2.0
// /hunts.json, as huntctl and the admin page read it (docs/formats/admin-json.md).
#pragma once
#include <string>

#include "metrics/shared_region.h"

namespace huntd {

// The hunts with the most runs on all cores together, at most limits::hunts_counted_max, and one
// entry for all others. REQUIRES: `snapshot` has the figures of hunts.
std::string write_hunts_json(const MetricsSnapshot& snapshot);

}  // namespace huntd
