// SPDX-License-Identifier: Apache-2.0
#include "wire/json_value.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/hash.h"
#include "base/limits.h"
#include "wire/body_parser.h"
#include "wire/message_codec.h"
#include "wire/value.h"

namespace huntd {
namespace {

void put_tag(PoolString& out, value_tag tag) { out.push_back(static_cast<char>(tag)); }

void put_count(PoolString& out, size_t count) {
  uint32_t const count32 = static_cast<uint32_t>(count);
  out.append(reinterpret_cast<const char*>(&count32), sizeof count32);
}

void put_text(PoolString& out, std::string_view text) {
  put_count(out, text.size());
  out.append(text);
}

void put_number(PoolString& out, double number) {
  put_tag(out, VALUE_NUMBER);
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
}

bool put_value(PoolString& out, simdjson::dom::element element, size_t depth);

// Appends tag, count and elements. `put` appends one element and returns false if it is nested too
// deep.
template <class Elements, class Put>
bool put_elements(PoolString& out, value_tag tag, Elements elements, Put put) {
  put_tag(out, tag);
  size_t const count_at = out.size();
  put_count(out, 0);
  uint32_t count = 0;
  for (auto element : elements) {
    if (!put(element)) return false;
    ++count;
  }
  std::memcpy(out.data() + count_at, &count, sizeof count);
  return true;
}

// Appends an element that is in `depth` arrays or objects. Returns false if it is nested too deep;
// the parser's own limit bounds the recursion.
bool put_value(PoolString& out, simdjson::dom::element element, size_t depth) {
  using simdjson::dom::element_type;
  bool const is_container = element.is_array() || element.is_object();
  if (is_container && depth == limits::json_depth_max) return false;
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
    case element_type::ARRAY:
      return put_elements(
          out, VALUE_ARRAY, simdjson::dom::array(element),
          [&](simdjson::dom::element part) { return put_value(out, part, depth + 1); });
    case element_type::OBJECT:
      return put_elements(out, VALUE_OBJECT, simdjson::dom::object(element),
                          [&](simdjson::dom::key_value_pair member) {
                            put_text(out, member.key);
                            return put_value(out, member.value, depth + 1);
                          });
  }
  return true;
}

void put_canonical(PoolString& out, WireReader& in);

// Appends an object's members by name, without those that a later one of the same name replaces.
void put_canonical_members(PoolString& out, WireReader& in) {
  struct Member {
    std::string_view name;
    PoolString value;
  };
  uint32_t const count = in.number<uint32_t>();
  PoolVector<Member> members;
  members.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    members.push_back({in.text(), {}});
    put_canonical(members.back().value, in);
  }
  // Names are parts of one text, so of equal names the last one has the highest address.
  std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) {
    int const order = a.name.compare(b.name);
    return order != 0 ? order < 0 : a.name.data() < b.name.data();
  });
  size_t const count_at = out.size();
  put_count(out, 0);
  uint32_t kept = 0;
  for (size_t i = 0; i < members.size(); ++i) {
    if (i + 1 < members.size() && members[i + 1].name == members[i].name) continue;
    put_text(out, members[i].name);
    out += members[i].value;
    ++kept;
  }
  std::memcpy(out.data() + count_at, &kept, sizeof kept);
}

// Appends the next value of `in` in a form in which equal values have equal bytes.
void put_canonical(PoolString& out, WireReader& in) {
  auto const tag = static_cast<value_tag>(in.number<uint8_t>());
  switch (tag) {
    case VALUE_NULL:
    case VALUE_FALSE:
    case VALUE_TRUE:
      return put_tag(out, tag);
    case VALUE_NUMBER: {
      double const number = in.number<double>();
      return put_number(out, number == 0 ? 0 : number);  // -0 equals 0
    }
    case VALUE_TEXT:
      put_tag(out, tag);
      return put_text(out, in.text());
    case VALUE_ARRAY: {
      put_tag(out, tag);
      uint32_t const count = in.number<uint32_t>();
      put_count(out, count);
      for (uint32_t i = 0; i < count; ++i) put_canonical(out, in);
      return;
    }
    case VALUE_OBJECT:
      put_tag(out, tag);
      return put_canonical_members(out, in);
  }
  CHECK(false);
}

constexpr const char* too_deep = "the body is nested more than 32 deep";
static_assert(limits::json_depth_max == 32);

}  // namespace

Result<PoolString> encode_json_value(std::string_view json) {
  simdjson::dom::element element;
  simdjson::error_code const error = parse_body(json).get(element);
  if (error == simdjson::DEPTH_ERROR) return Error{too_deep};
  if (error == simdjson::UTF8_ERROR) return Error{"the body is not valid UTF-8"};
  if (error == simdjson::NUMBER_ERROR)
    return Error{
        "the body holds a number that is malformed or too large; send such a number as a text"};
  if (error != simdjson::SUCCESS)
    return Error{std::string("the body is not valid JSON: ") + simdjson::error_message(error)};
  PoolString out;
  if (!put_value(out, element, 0)) return Error{too_deep};
  return out;
}

uint64_t hash_value(std::string_view value) {
  PoolString canonical;
  canonical.reserve(value.size());
  WireReader reader(value);
  put_canonical(canonical, reader);
  return hash64(canonical);
}

bool is_json(std::string_view json) {
  simdjson::dom::element element;
  return parse_body(json).get(element) == simdjson::SUCCESS;
}

}  // namespace huntd
