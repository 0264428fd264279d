// SPDX-License-Identifier: Apache-2.0
// Reads points in time as people write them.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace huntd {

// Milliseconds since the Unix epoch of YYYY-MM-DDTHH:MM[:SS], then Z or +HH:MM or -HH:MM (RFC 3339,
// section 5.6, with optional seconds). Nothing if it is not that, or if there is no such day.
std::optional<int64_t> read_utc_ms(const std::string& text);

}  // namespace huntd
