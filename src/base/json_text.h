// Writing JSON by hand, where a whole writer would be more than the text.
#pragma once
#include <string>
#include <string_view>

#include "base/pool.h"

namespace huntd {

// Appends `text` as a JSON string with its quotes. Bytes that are not valid UTF-8 become U+FFFD, so
// that the result is always valid JSON (RFC 8259 section 7 and 8.1).
void append_json_string(std::string& into, std::string_view text);
void append_json_string(Text& into, std::string_view text);

}  // namespace huntd
