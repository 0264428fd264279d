// SPDX-License-Identifier: Apache-2.0
// Which known name was probably meant by a misspelt one.
#pragma once
#include <cstddef>
#include <span>
#include <string_view>

namespace huntd {

// The least number of letters to insert, remove, replace or swap with the next that makes `from`
// into `to`. Upper and lower case are the same.
size_t edit_distance(std::string_view from, std::string_view to);

// The name that is closest to `wrong`, the first of several; empty if none is close: at most one
// edit for up to 5 letters, two for up to 9, three for more.
std::string_view nearest_name(std::string_view wrong, std::span<const std::string_view> names);

}  // namespace huntd
