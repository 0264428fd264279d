// SPDX-License-Identifier: Apache-2.0
#include "wire/event_id.h"

#include <doctest/doctest.h>

using huntd::EventId;

TEST_CASE("an event_id is read from its text and written back") {
  std::string_view const text = "0123456789abcdeffedcba9876543210";
  std::optional<EventId> const id = EventId::read(text);
  REQUIRE(id);
  CHECK(id->high == 0x0123456789abcdef);
  CHECK(id->low == 0xfedcba9876543210);
  CHECK(id->text() == text);
  CHECK(EventId::of(text) == *id);
}

TEST_CASE("event_ids have the order of their texts") {
  std::string const low = "0000000000000001ffffffffffffffff";
  std::string const high = "00000000000000020000000000000000";
  CHECK((low < high) == (EventId::of(low) < EventId::of(high)));
}

TEST_CASE("a text with another length or another character is not an event_id") {
  std::string const good(32, 'a');
  CHECK_FALSE(EventId::read(""));
  CHECK_FALSE(EventId::read(good.substr(1)));
  CHECK_FALSE(EventId::read(good + "a"));
  for (char const bad : {'A', 'F', 'g', '/', ':', '`', ' ', '-', '\0'})
    for (size_t at : {size_t{0}, size_t{15}, size_t{16}, size_t{31}}) {
      std::string text = good;
      text[at] = bad;
      CHECK_FALSE(EventId::read(text));
    }
}
