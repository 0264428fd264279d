// SPDX-License-Identifier: Apache-2.0
#include "base/json_text.h"

#include <cstdint>
#include <cstdio>

#include "base/utf8.h"

namespace huntd {
namespace {

template <class String>
void append(String& into, std::string_view text) {
  into.push_back('"');
  for (size_t i = 0; i < text.size();) {
    char const c = text[i];
    if (static_cast<uint8_t>(c) >= 0x80) {
      size_t const length = utf8_sequence_bytes(text.substr(i));
      into.append(length == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(i, length));
      i += length == 0 ? 1 : length;
      continue;
    }
    ++i;
    switch (c) {
      case '"':
        into.append("\\\"");
        break;
      case '\\':
        into.append("\\\\");
        break;
      case '\n':
        into.append("\\n");
        break;
      case '\r':
        into.append("\\r");
        break;
      case '\t':
        into.append("\\t");
        break;
      default:
        if (static_cast<uint8_t>(c) < 0x20) {
          char escape[8];
          std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
          into.append(escape);
        } else {
          into.push_back(c);
        }
    }
  }
  into.push_back('"');
}

}  // namespace

void append_json_string(std::string& into, std::string_view text) { append(into, text); }
void append_json_string(PoolString& into, std::string_view text) { append(into, text); }

std::string json_array(std::span<const std::string> texts) {
  std::string json = "[";
  for (const std::string& text : texts) {
    if (json.size() > 1) json += ',';
    append_json_string(json, text);
  }
  return json + "]";
}

}  // namespace huntd
