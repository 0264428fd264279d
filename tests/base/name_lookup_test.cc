// SPDX-License-Identifier: Apache-2.0
#include "base/name_lookup.h"

#include <poll.h>
#undef CHECK
#include <doctest/doctest.h>

using namespace huntd;

namespace {

bool ends(const NameLookup& lookup) {
  pollfd ended{lookup.descriptor(), POLLIN, 0};
  return poll(&ended, 1, 60'000) == 1;
}

}  // namespace

TEST_CASE("a look-up reports its end, and its result can be taken once") {
  NameLookup lookup("127.0.0.9");
  CHECK_FALSE(lookup.take());
  for (int turn = 0; turn < 3; ++turn) {
    REQUIRE(lookup.start());
    REQUIRE(ends(lookup));
    auto const found = lookup.take();
    REQUIRE(found);
    REQUIRE(*found);
    CHECK(**found == std::vector<std::string>{"127.0.0.9"});
    CHECK_FALSE(lookup.take());
  }
}

TEST_CASE("a result that was not taken is that of the next start") {
  NameLookup lookup("127.0.0.9");
  REQUIRE(lookup.start());
  REQUIRE(ends(lookup));
  REQUIRE(lookup.start());
  CHECK(lookup.take());
  CHECK_FALSE(lookup.take());
}

TEST_CASE("a look-up may outlive its object") {
  for (int turn = 0; turn < 50; ++turn) {
    NameLookup lookup("localhost");
    REQUIRE(lookup.start());
  }
}
