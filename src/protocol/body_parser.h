// The parser for the bodies that clients send. Apart from the headers of those who read with it,
// which need no JSON library.
#pragma once
#include <simdjson.h>

#include <string_view>

namespace huntd {

// The body, checked whole. By the process' one parser, which has room for the largest: each body is
// read to its end before the next, and what was read of one is gone with the next. The parser
// counts the document as a level too, and an empty array or object not at all.
simdjson::simdjson_result<simdjson::dom::element> parse_body(std::string_view json);

}  // namespace huntd
