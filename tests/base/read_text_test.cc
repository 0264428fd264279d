// SPDX-License-Identifier: Apache-2.0
#include "base/read_text.h"

#include <doctest/doctest.h>

#include <cstdint>

TEST_CASE("a number is the whole text and fits") {
  CHECK(huntd::read_number<uint64_t>("18446744073709551615") == UINT64_MAX);
  CHECK(huntd::read_number<int32_t>("-7") == -7);
  for (const char* text : {"", " 1", "1 ", "1x", "+1", "-1", "0x10", "18446744073709551616"})
    CHECK_MESSAGE(!huntd::read_number<uint64_t>(text), text);
  CHECK(!huntd::read_number<int32_t>("2147483648"));
}

TEST_CASE("words are taken from the front, with the space after each") {
  std::string_view text = "v2 ab  c";
  CHECK(huntd::take_word(text) == "v2");
  CHECK(huntd::take_word(text) == "ab");
  CHECK(huntd::take_word(text).empty());
  CHECK(huntd::take_word(text) == "c");
  CHECK(text.empty());
  CHECK(huntd::take_word(text).empty());
}
