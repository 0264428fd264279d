#include "protocol/json_value.h"

#include <cstring>

#include "base/limits.h"
#include "protocol/body_parser.h"
#include "protocol/value.h"

namespace huntd {
namespace {

void put_tag(Text& out, value_tag tag) { out.push_back(static_cast<char>(tag)); }

void put_count(Text& out, size_t count) {
  uint32_t const count32 = static_cast<uint32_t>(count);
  out.append(reinterpret_cast<const char*>(&count32), sizeof count32);
}

void put_text(Text& out, std::string_view text) {
  put_count(out, text.size());
  out.append(text);
}

void put_number(Text& out, double number) {
  put_tag(out, VALUE_NUMBER);
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
}

// The element lies in `depth` arrays or objects. False where it is nested too deep; the parser's
// own limit bounds the recursion.
bool put_value(Text& out, simdjson::dom::element element, size_t depth) {
  using simdjson::dom::element_type;
  bool const holds_others = element.is_array() || element.is_object();
  if (holds_others && depth == limits::json_depth_max) return false;
  switch (element.type()) {
    case element_type::NULL_VALUE:
      put_tag(out, VALUE_NULL);
      break;
    case element_type::BOOL:
      put_tag(out, bool(element) ? VALUE_TRUE : VALUE_FALSE);
      break;
    case element_type::INT64:
      put_number(out, static_cast<double>(int64_t(element)));
      break;
    case element_type::UINT64:
      put_number(out, static_cast<double>(uint64_t(element)));
      break;
    case element_type::DOUBLE:
      put_number(out, double(element));
      break;
    case element_type::STRING:
      put_tag(out, VALUE_TEXT);
      put_text(out, std::string_view(element));
      break;
    case element_type::ARRAY: {
      simdjson::dom::array const array = element;
      put_tag(out, VALUE_ARRAY);
      size_t const at = out.size();
      put_count(out, 0);
      uint32_t count = 0;
      for (simdjson::dom::element part : array) {
        if (!put_value(out, part, depth + 1)) return false;
        ++count;
      }
      std::memcpy(out.data() + at, &count, sizeof count);
      break;
    }
    case element_type::OBJECT: {
      simdjson::dom::object const object = element;
      put_tag(out, VALUE_OBJECT);
      size_t const at = out.size();
      put_count(out, 0);
      uint32_t count = 0;
      for (simdjson::dom::key_value_pair pair : object) {
        put_text(out, pair.key);
        if (!put_value(out, pair.value, depth + 1)) return false;
        ++count;
      }
      std::memcpy(out.data() + at, &count, sizeof count);
      break;
    }
  }
  return true;
}

constexpr const char* too_deep = "the body is nested more than 32 deep";
static_assert(limits::json_depth_max == 32);

}  // namespace

Result<Text> encode_json_value(std::string_view json) {
  simdjson::dom::element element;
  simdjson::error_code const error = parse_body(json).get(element);
  if (error == simdjson::DEPTH_ERROR) return Error{too_deep};
  if (error == simdjson::UTF8_ERROR) return Error{"the body is not valid UTF-8"};
  if (error == simdjson::NUMBER_ERROR)
    return Error{
        "the body holds a number that is malformed or too large; send such a number as a text"};
  if (error != simdjson::SUCCESS)
    return Error{std::string("the body is not valid JSON: ") + simdjson::error_message(error)};
  Text out;
  if (!put_value(out, element, 0)) return Error{too_deep};
  return out;
}

bool is_json(std::string_view json) {
  simdjson::dom::element element;
  return parse_body(json).get(element) == simdjson::SUCCESS;
}

}  // namespace huntd
