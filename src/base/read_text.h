// SPDX-License-Identifier: Apache-2.0
// Reads numbers and words from texts that others wrote.
#pragma once
#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

namespace huntd {

// Returns the number that the whole of `text` is in decimal; nothing if it is anything else or does
// not fit into Number.
template <class Number>
std::optional<Number> read_number(std::string_view text) {
  Number number = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Removes the first word of `text` and the space after it, and returns the word.
inline std::string_view take_word(std::string_view& text) {
  size_t const space = std::min(text.find(' '), text.size());
  std::string_view const word = text.substr(0, space);
  text.remove_prefix(std::min(space + 1, text.size()));
  return word;
}

// The value of one line of Redis' INFO, or CLUSTER INFO ("name:value"); empty if it has none.
inline std::string_view info_field(std::string_view info, std::string_view name) {
  while (!info.empty()) {
    std::string_view line = info.substr(0, info.find('\n'));
    info.remove_prefix(std::min(line.size() + 1, info.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with(name) && line.substr(name.size()).starts_with(':'))
      return line.substr(name.size() + 1);
  }
  return {};
}

}  // namespace huntd
