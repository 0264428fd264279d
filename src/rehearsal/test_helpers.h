// SPDX-License-Identifier: Apache-2.0
// test_helpers.lua, which the build embeds.
#pragma once
#include <string_view>

namespace huntd {

extern const std::string_view test_helpers;

}  // namespace huntd
