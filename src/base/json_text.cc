#include "base/json_text.h"

#include <cstdint>
#include <cstdio>

namespace huntd {
namespace {

// The length of the valid UTF-8 sequence at the start of `text` (RFC 3629), 0 where there is none.
size_t sequence_length(std::string_view text) {
  auto const at = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  uint8_t const lead = at(0);
  if (lead < 0x80) return 1;
  size_t const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((at(i) & 0xc0) != 0x80) return 0;
  // Overlong forms, surrogates, and what is past U+10FFFF.
  if (lead == 0xe0 && at(1) < 0xa0) return 0;
  if (lead == 0xed && at(1) > 0x9f) return 0;
  if (lead == 0xf0 && at(1) < 0x90) return 0;
  if (lead == 0xf4 && at(1) > 0x8f) return 0;
  return length;
}

template <class String>
void append(String& into, std::string_view text) {
  into.push_back('"');
  for (size_t i = 0; i < text.size();) {
    char const c = text[i];
    if (static_cast<uint8_t>(c) >= 0x80) {
      size_t const length = sequence_length(text.substr(i));
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
void append_json_string(Text& into, std::string_view text) { append(into, text); }

}  // namespace huntd
