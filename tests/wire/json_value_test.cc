// SPDX-License-Identifier: Apache-2.0
#include "wire/json_value.h"

#include "base/limits.h"
#include "wire/value.h"
#include "wire/worker_frame.h"

#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <vector>

using namespace huntd;

namespace {

std::string u32(uint32_t value) { return {reinterpret_cast<const char*>(&value), sizeof value}; }
std::string tag(value_tag value) { return {static_cast<char>(value)}; }
std::string text(std::string_view bytes) {
  return u32(static_cast<uint32_t>(bytes.size())) + std::string(bytes);
}
std::string text_value(std::string_view bytes) { return tag(VALUE_TEXT) + text(bytes); }
std::string number(double value) {
  return tag(VALUE_NUMBER) + std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string encoded(std::string_view json) {
  Result<PoolString> const value = encode_json_value(json);
  REQUIRE_MESSAGE(value, std::string(json));
  return std::string(*value);
}

std::string error_of(std::string_view json) {
  Result<PoolString> const value = encode_json_value(json);
  REQUIRE_FALSE_MESSAGE(value, std::string(json));
  return value.error().message;
}

std::string nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

}  // namespace

TEST_CASE("each type of JSON value is encoded") {
  CHECK(encoded("null") == tag(VALUE_NULL));
  CHECK(encoded("false") == tag(VALUE_FALSE));
  CHECK(encoded(" true\n") == tag(VALUE_TRUE));
  CHECK(encoded("0") == number(0));
  CHECK(encoded("-1.5e3") == number(-1500));
  CHECK(encoded("\"\"") == text_value(""));
  CHECK(encoded(R"("a\u00e9\ud83d\udc8e\n\"")") == text_value("a\xc3\xa9\xf0\x9f\x92\x8e\n\""));
  CHECK(encoded(R"("\u0000")") == text_value(std::string_view("\0", 1)));
  CHECK(encoded("[]") == tag(VALUE_ARRAY) + u32(0));
  CHECK(encoded("{}") == tag(VALUE_OBJECT) + u32(0));
  CHECK(encoded(R"([1,[true],"x"])") == tag(VALUE_ARRAY) + u32(3) + number(1) + tag(VALUE_ARRAY) +
                                            u32(1) + tag(VALUE_TRUE) + text_value("x"));
  CHECK(encoded(R"({"b":null,"a":{}})") == tag(VALUE_OBJECT) + u32(2) + text("b") +
                                               tag(VALUE_NULL) + text("a") + tag(VALUE_OBJECT) +
                                               u32(0));
}

TEST_CASE("whole numbers are exact up to 2^53 and rounded above it, as doubles") {
  CHECK(encoded("9007199254740992") == number(9007199254740992.0));
  CHECK(encoded("9007199254740993") == number(9007199254740992.0));
  CHECK(encoded("18446744073709551615") == number(18446744073709551615.0));
  CHECK(encoded("-9223372036854775808") == number(-9223372036854775808.0));
  CHECK(encoded("123456789012345678901234567890.0") == number(123456789012345678901234567890.0));
}

TEST_CASE("a number that does not fit a double is an error that says so") {
  for (std::string_view const json :
       {"1e400", "-1e400", "[1e999]", "123456789012345678901234567890"})
    CHECK(error_of(json).find("number") != std::string::npos);
}

TEST_CASE("a name that occurs twice is written twice, so that the last counts") {
  CHECK(encoded(R"({"a":1,"a":2})") ==
        tag(VALUE_OBJECT) + u32(2) + text("a") + number(1) + text("a") + number(2));
}

TEST_CASE("a text that is not JSON is an error") {
  for (std::string_view const json :
       {"",           " ",     "nul",      "{",       "}",    "[1,]",    "{\"a\"}",
        "{\"a\":1,}", "{a:1}", "'a'",      "01",      "+1",   ".5",      "1.",
        "0x1",        "NaN",   "Infinity", "-",       "\"",   "\"\\x\"", "\"\\ud800\"",
        "\"a\nb\"",   "1 2",   "[1] x",    "// 1\n1", "tru e"})
    CHECK(error_of(json).starts_with("the body "));
  CHECK_FALSE(encode_json_value(std::string_view("1\0", 2)));
}

TEST_CASE("bytes that are not UTF-8 are an error in values and in names") {
  for (std::string_view const bytes :
       {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3", "\x80"}) {
    std::string const json = "{\"a\":\"" + std::string(bytes) + "\"}";
    CHECK(error_of(json) == "the body is not valid UTF-8");
    CHECK_FALSE(encode_json_value("{\"" + std::string(bytes) + "\":1}"));
  }
}

TEST_CASE("nesting is accepted up to the limit and not above it") {
  CHECK(encode_json_value(nested(limits::json_depth_max)));
  CHECK(error_of(nested(limits::json_depth_max + 1)) == "the body is nested more than 32 deep");
  CHECK(error_of(nested(8000)) == "the body is nested more than 32 deep");
  std::string const in_objects = [] {
    std::string json = "1";
    for (size_t i = 0; i < limits::json_depth_max; ++i) json = "{\"a\":" + json + "}";
    return json;
  }();
  CHECK(encode_json_value(in_objects));
  CHECK_FALSE(encode_json_value("[" + in_objects + "]"));
  CHECK(is_json(nested(limits::json_depth_max)));
  CHECK_FALSE(is_json(nested(limits::json_depth_max + 2)));
}

TEST_CASE("after an error the parser accepts the next body") {
  CHECK_FALSE(encode_json_value(nested(8000)));
  CHECK_FALSE(encode_json_value("{\"a\":\"\xff\"}"));
  CHECK(encoded("[1]") == tag(VALUE_ARRAY) + u32(1) + number(1));
}

TEST_CASE("the value of the body that grows most fits a job frame") {
  // A one-digit number grows most: two bytes of JSON become nine bytes.
  std::string json = "[0";
  while (json.size() + 3 <= limits::request_body_bytes_max) json += ",0";
  json += "]";
  for (const std::string& body : {json, "[" + json.substr(1)}) {
    REQUIRE(body.size() <= limits::request_body_bytes_max);
    std::string const value = encoded(body);
    std::string const id(limits::id_bytes_max, 'x');
    wf_job job{};
    job.hunt_id = {id.data(), static_cast<uint32_t>(id.size())};
    job.hunter_id = job.hunt_id;
    job.input = {value.data(), static_cast<uint32_t>(value.size())};
    std::vector<char> frame(limits::worker_frame_bytes_max);
    CHECK(wf_write_job(frame.data(), frame.size(), &job) > 0);
  }
}

TEST_CASE("a value has at most five times the size of its body") {
  std::mt19937_64 random(7);
  constexpr std::string_view pieces[] = {"0",  ",",     "[", "]",    "{",    "}",   ":",
                                         "\"", "\"a\"", "1", "null", "true", "1e5", " "};
  int taken = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string json;
    for (uint64_t n = random() % 12; n > 0; --n) json += pieces[random() % std::size(pieces)];
    Result<PoolString> const value = encode_json_value(json);
    CHECK(value.operator bool() == is_json(json));
    if (!value) continue;
    ++taken;
    // A single scalar has a tag and eight bytes; in an array the comma adds a byte of JSON.
    REQUIRE(value->size() <= 4.5 * static_cast<double>(json.size()) + 9);
  }
  CHECK(taken > 1000);
}

TEST_CASE("equal JSON has one hash, however it is written") {
  constexpr std::string_view equal[][2] = {
      {R"({"a":1})", "{\n\t\"a\": 1\r\n}\n"},
      {R"({"a":1,"b":2})", R"({"b":2,"a":1})"},
      {R"([{"x":{"a":1,"b":[{"c":1,"d":2}]}}])", R"([{"x":{"b":[{"d":2,"c":1}],"a":1}}])"},
      {"[100,0.5,0]", "[1e2,5E-1,-0.0]"},
      {"0.1", "0.10000000000000000555"},
      {"9007199254740992", "9007199254740993"},
      {R"({"a":"A\/"})", R"({"\u0061":"\u0041/"})"},
      {R"({"a":2})", R"({"a":1,"a":2})"},
      {R"({"":1,"a":[3]})", R"({"a":1,"":1,"a":{"a":1},"a":[3]})"},
  };
  for (const auto& pair : equal) {
    CAPTURE(std::string(pair[0]));
    CHECK(hash_value(encoded(pair[0])) == hash_value(encoded(pair[1])));
  }
}

TEST_CASE("different JSON has different hashes") {
  std::vector<uint64_t> hashes;
  for (std::string_view const json : {"null",
                                      "false",
                                      "true",
                                      "0",
                                      "1",
                                      "0.1",
                                      "0.10000000000000002",
                                      "\"\"",
                                      "\"1\"",
                                      "[]",
                                      "{}",
                                      "[[]]",
                                      "[{}]",
                                      "[1,2]",
                                      "[2,1]",
                                      "[[1],2]",
                                      "[[1,2]]",
                                      R"({"a":null})",
                                      R"({"a":1})",
                                      R"({"a":1,"a":2})",
                                      R"({"a":"b","c":"d"})",
                                      R"({"a":"d","c":"b"})",
                                      R"({"a":{"b":1}})",
                                      R"({"a":{},"b":1})",
                                      R"(["a","bc"])",
                                      R"(["ab","c"])",
                                      "\"\xc3\xa9\"",
                                      "\"e\xcc\x81\""})
    hashes.push_back(hash_value(encoded(json)));
  for (size_t i = 0; i < hashes.size(); ++i)
    for (size_t j = 0; j < i; ++j) CHECK(hashes[i] != hashes[j]);
}

TEST_CASE("the hash of a deep or a large value is worked out too") {
  CHECK(hash_value(encoded(nested(limits::json_depth_max))) !=
        hash_value(encoded(nested(limits::json_depth_max - 1))));
  std::string one = "{", other = "{";
  for (int i = 0; i < 1000; ++i) {
    one += "\"" + std::to_string(i) + "\":0,";
    other += "\"" + std::to_string(999 - i) + "\":0,";
  }
  CHECK(hash_value(encoded(one + "\"x\":0}")) == hash_value(encoded(other + "\"x\":0}")));
}

TEST_CASE("is_json accepts exactly one JSON text") {
  CHECK(is_json("null"));
  CHECK(is_json(R"({"a":[1,"x"]})"));
  CHECK_FALSE(is_json(""));
  CHECK_FALSE(is_json("{} {}"));
  CHECK_FALSE(is_json("\"\xff\""));
}
