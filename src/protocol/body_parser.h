// The parser for the bodies that clients send. Apart from the headers of those who read with it,
// which need no JSON library.
#pragma once
#include <simdjson.h>

namespace huntd {

// One a process, with room for the largest body: each body is read to its end before the next, and
// what was read of one is gone with the next. The parser counts the document as a level too, and
// an empty array or object not at all.
simdjson::dom::parser& body_parser();

}  // namespace huntd
