// SPDX-License-Identifier: Apache-2.0
#include "huntctl/json_pretty.h"

#include <simdjson.h>

#include "base/json_text.h"

namespace huntd::huntctl {
namespace {

constexpr size_t short_max = 60;

bool is_flat(const simdjson::dom::element& element) {
  auto const is_scalar = [](const simdjson::dom::element& value) {
    return !value.is_object() && !value.is_array();
  };
  if (element.is_object())
    for (auto const& [key, value] : simdjson::dom::object(element))
      if (!is_scalar(value)) return false;
  if (element.is_array())
    for (simdjson::dom::element const value : simdjson::dom::array(element))
      if (!is_scalar(value)) return false;
  return true;
}

void append(std::string& into, const simdjson::dom::element& element, size_t level) {
  std::string const small = simdjson::minify(element);
  bool const is_object = element.is_object();
  if ((!is_object && !element.is_array()) || small.size() == 2 ||
      (is_flat(element) && small.size() <= short_max)) {
    into += small;
    return;
  }
  std::string const indent(2 * (level + 1), ' ');
  into += is_object ? '{' : '[';
  bool first = true;
  auto const next_line = [&] {
    into += first ? "\n" : ",\n";
    into += indent;
    first = false;
  };
  if (is_object) {
    for (auto const& [key, value] : simdjson::dom::object(element)) {
      next_line();
      append_json_string(into, key);
      into += ": ";
      append(into, value, level + 1);
    }
  } else {
    for (simdjson::dom::element const value : simdjson::dom::array(element)) {
      next_line();
      append(into, value, level + 1);
    }
  }
  into += '\n';
  into.append(2 * level, ' ');
  into += is_object ? '}' : ']';
}

}  // namespace

std::string pretty_json(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::element element;
  if (parser.parse(json.data(), json.size()).get(element) != simdjson::SUCCESS)
    return std::string(json);
  std::string text;
  append(text, element, 0);
  return text;
}

}  // namespace huntd::huntctl
