// SPDX-License-Identifier: Apache-2.0
// Writes JSON strings.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "base/pool.h"

namespace huntd {

// Appends `text` as a quoted JSON string (RFC 8259, sections 7 and 8.1). Invalid UTF-8 becomes
// U+FFFD, so the result is always valid JSON.
void append_json_string(std::string& into, std::string_view text);
void append_json_string(PoolString& into, std::string_view text);

// The texts as a JSON array of strings.
std::string json_array(std::span<const std::string> texts);

}  // namespace huntd
