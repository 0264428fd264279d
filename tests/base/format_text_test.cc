// SPDX-License-Identifier: Apache-2.0
// Hashes, ids, JSON strings: the small texts that everything is named by.
#include <doctest/doctest.h>

#include "base/hash.h"
#include "base/ids.h"
#include "base/json_text.h"

using namespace huntd;

namespace {
std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}
}  // namespace

TEST_CASE("the hashes of the empty string are the published XXH3 values") {
  // From xxHash's own sanity checks: XXH3_64bits("") and XXH3_128bits("") with seed 0.
  CHECK(hash64("") == 0x2D06800538D394C2ULL);
  CHECK(hash128_hex("") == "99aa06d3014798d86001c324468d497f");
}

TEST_CASE("every bucket has hunters") {
  std::vector<int> seen(limits::buckets);
  for (int i = 0; i < 20'000; ++i) ++seen[bucket_of("hunter-" + std::to_string(i))];
  for (int count : seen) CHECK(count > 0);
}

TEST_CASE("an id has 1 to 64 permitted characters") {
  CHECK(is_id("a"));
  CHECK(is_id("A-Z_0.9"));
  CHECK(is_id(std::string(64, 'x')));
  for (std::string_view wrong : {"", "a b", "a:b", "{b1}", "a/b", "\xc3\xa9", "a\n", "a%20"})
    CHECK_FALSE(is_id(wrong));
  CHECK_FALSE(is_id(std::string(65, 'x')));
  CHECK_FALSE(is_id(std::string_view("a\0b", 3)));
}

TEST_CASE("an id in a path is neither . nor .., which paths resolve away") {
  for (std::string_view right : {"a", "...", "..a", "a..", ".a", "a."}) CHECK(is_path_id(right));
  for (std::string_view wrong : {".", "..", "", "a/b"}) CHECK_FALSE(is_path_id(wrong));
  CHECK(is_id("."));
  CHECK(is_id(".."));
}

TEST_CASE("an idempotency key is 1 to 128 visible characters") {
  CHECK(is_idempotency_key("order:{7}/#1"));
  CHECK(is_idempotency_key(std::string(128, '~')));
  for (std::string_view wrong : {"", "a b", "a\t", "\x7f", "\x80"})
    CHECK_FALSE(is_idempotency_key(wrong));
  CHECK_FALSE(is_idempotency_key(std::string(129, 'x')));
}

TEST_CASE("a JSON string is escaped and valid for any bytes") {
  CHECK(quoted("a\"b\\c\n\t\x01") == R"("a\"b\\c\n\t\u0001")");
  CHECK(quoted("h\xc3\xa9") == "\"h\xc3\xa9\"");
  CHECK(quoted("\xff") == "\"\xef\xbf\xbd\"");
  CHECK(quoted("\xed\xa0\x80") == "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");  // a surrogate
  CHECK(quoted("\xc0\x80") == "\"\xef\xbf\xbd\xef\xbf\xbd\"");                  // overlong
  CHECK(quoted("\xe2\x82") == "\"\xef\xbf\xbd\xef\xbf\xbd\"");                  // cut off
}
