// SPDX-License-Identifier: Apache-2.0
// All time zones in one text, in which a worker finds one by its name (docs/formats/bundle.md).
#pragma once
#include <string>

namespace huntd {

// The table of this host's zones; without any if it has no database. It is made once.
const std::string& zone_table();

}  // namespace huntd
