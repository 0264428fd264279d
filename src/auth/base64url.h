// SPDX-License-Identifier: Apache-2.0
// base64url without padding (RFC 4648 section 5), as tokens have it.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace huntd {

// Returns the bytes; nothing if `text` has another character, or an end that no bytes have. So two
// texts never mean the same bytes. Pure.
std::optional<std::string> read_base64url(std::string_view text);

}  // namespace huntd
