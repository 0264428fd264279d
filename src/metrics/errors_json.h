// SPDX-License-Identifier: Apache-2.0
// /errors.json and /lines.json of the admin port (docs/formats/admin-json.md).
#pragma once
#include <string>

#include "metrics/private.h"
#include "metrics/shared_region.h"

namespace huntd {

// The errors of scripts, the newest first, the cores added up.
std::string write_errors_json(const SharedRegion& region, Private examples);
// The newest lines of each core; none if they are hidden.
std::string write_lines_json(const SharedRegion& region, Private lines);

}  // namespace huntd
