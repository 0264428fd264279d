// SPDX-License-Identifier: Apache-2.0
// The rule by which a zone goes on after the changes that its file lists.
#pragma once
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "zones/zone.h"

namespace huntd {

// Appends the changes of a rule such as "CET-1CEST,M3.5.0,M10.5.0/3" (POSIX TZ, with the hours of
// RFC 8536) that are after `after_s` and before zone_end_s.
Result<void> append_rule(std::string_view rule, int64_t after_s, ZoneChanges& changes);

}  // namespace huntd
