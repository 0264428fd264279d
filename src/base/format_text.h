// SPDX-License-Identifier: Apache-2.0
// fmt output into a PoolString.
#pragma once
#include <fmt/format.h>

#include <iterator>
#include <string>
#include <string_view>

#include "base/pool.h"

// Lets fmt write into a PoolString in blocks, as into a std::string, and not character by
// character.
template <>
struct fmt::is_contiguous<huntd::PoolString> : std::true_type {};

namespace huntd {

template <class... Arguments>
void append_format(PoolString& into, fmt::format_string<Arguments...> format,
                   Arguments&&... arguments) {
  fmt::format_to(std::back_inserter(into), format, std::forward<Arguments>(arguments)...);
}

template <class... Arguments>
PoolString format_text(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  PoolString text;
  append_format(text, format, std::forward<Arguments>(arguments)...);
  return text;
}

// Joins texts with `separator` between them. (With fmt::join, g++ 12 reports overflows in fmt 9's
// own parser that do not exist.)
template <class Texts>
std::string join_texts(const Texts& texts, std::string_view separator) {
  std::string joined;
  for (std::string_view const text : texts) {
    if (!joined.empty()) joined += separator;
    joined += text;
  }
  return joined;
}

}  // namespace huntd
