// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <doctest/doctest.h>

#include <string>

using huntd::cut_utf8;
using huntd::storable_text;

TEST_CASE("a text is cut between two characters") {
  CHECK(cut_utf8("abc", 5) == "abc");
  CHECK(cut_utf8("abc", 2) == "ab");
  CHECK(cut_utf8("a\u00e4b", 2) == "a");
  CHECK(cut_utf8("a\u00e4b", 3) == "a\u00e4");
  CHECK(cut_utf8("\U0001F600", 3).empty());
}

TEST_CASE("what PostgreSQL cannot store in a text becomes a question mark") {
  CHECK(storable_text("a\u00e4\U0001F600") == "a\u00e4\U0001F600");
  CHECK(storable_text(std::string("a\0b", 3)) == "a?b");
  CHECK(storable_text("a\xc3") == "a?");
  CHECK(storable_text("\xff\xfe") == "??");
  CHECK(storable_text("\xed\xa0\x80") == "???");  // a surrogate
}
