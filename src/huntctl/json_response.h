// SPDX-License-Identifier: Apache-2.0
// Reads JSON responses of huntd.
#pragma once
#include <fmt/format.h>
#include <simdjson.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace huntd::huntctl {

// Parses `json` and calls `read` with the document. `read` returns a Result; it may also throw
// simdjson_error, as simdjson's conversions do if a member is missing or has another type. `what`
// names the response in the error, such as "status.json".
template <class Read>
auto parse_response(std::string_view json, const char* what, Read read)
    -> decltype(read(simdjson::dom::element())) {
  try {
    simdjson::dom::parser parser;
    simdjson::dom::element const document = parser.parse(json.data(), json.size());
    return read(document);
  } catch (const simdjson::simdjson_error& error) {
    return Error{fmt::format(
        "the server is not huntd, or its {} is not one that this version of huntctl can read: {}",
        what, error.what())};
  }
}

// The texts of the member `name`, an array; none if an older huntd does not have it.
inline std::vector<std::string> texts_of(simdjson::dom::element parent, std::string_view name) {
  std::vector<std::string> found;
  simdjson::dom::array texts;
  if (parent[name].get(texts) != simdjson::SUCCESS) return found;
  for (simdjson::dom::element const text : texts) found.emplace_back(std::string_view(text));
  return found;
}

// The member `name`; empty if an older huntd does not have it.
inline std::string text_of(simdjson::dom::element parent, std::string_view name) {
  std::string_view text;
  return parent[name].get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

// Returns `json` without the white space around it if it is one JSON object.
inline Result<std::string> object_of(std::string_view json, const char* what) {
  return parse_response(json, what, [&](simdjson::dom::element document) -> Result<std::string> {
    if (!document.is_object())
      return Error{fmt::format("the server is not huntd: its {} is not a JSON object", what)};
    size_t const first = json.find('{');
    return std::string(json.substr(first, json.rfind('}') + 1 - first));
  });
}

}  // namespace huntd::huntctl
