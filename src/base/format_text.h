// fmt into a Text.
#pragma once
#include <fmt/format.h>

#include <iterator>

#include "base/pool.h"

// So that fmt writes into a Text as it does into a std::string: straight, not by the character.
template <>
struct fmt::is_contiguous<huntd::Text> : std::true_type {};

namespace huntd {

template <class... Arguments>
void append_format(Text& into, fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  fmt::format_to(std::back_inserter(into), format, std::forward<Arguments>(arguments)...);
}

template <class... Arguments>
Text format_text(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  Text text;
  append_format(text, format, std::forward<Arguments>(arguments)...);
  return text;
}

}  // namespace huntd
