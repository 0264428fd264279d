// SPDX-License-Identifier: Apache-2.0
// fmt output into a PoolString.
#pragma once
#include <fmt/format.h>

#include <string>
#include <string_view>

#include "base/pool.h"

namespace huntd {

template <class... Arguments>
void append_format(PoolString& into, fmt::format_string<Arguments...> format,
                   Arguments&&... arguments) {
  // Not into the string itself: fmt would make it longer, and clear it, for each argument.
  fmt::basic_memory_buffer<char, 512> buffer;
  fmt::format_to(fmt::appender(buffer), format, std::forward<Arguments>(arguments)...);
  into.append(buffer.data(), buffer.size());
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
