// SPDX-License-Identifier: Apache-2.0
#include "base/named_primary.h"

#include <doctest/doctest.h>

using namespace huntd;

namespace {

const NamedPrimary a{"10.0.0.1", 6379};
const NamedPrimary b{"10.0.0.2", 6379};
const NamedPrimary c{"10.0.0.2", 6380};
using List = std::vector<NamedPrimary>;

}  // namespace

TEST_CASE("what more than half of all sentinels name is chosen alone") {
  for (const List& named : {List{a, b, b}, List{b, b}, List{b, a, b}}) {
    PrimaryChoice const choice = choose_primary(named, 3);
    CHECK(choice.by_majority);
    CHECK(choice.candidates == List{b});
  }
  CHECK(choose_primary({a}, 1).by_majority);
}

TEST_CASE("without a majority of all, each named one is a candidate, the most named first") {
  PrimaryChoice const disagreeing = choose_primary({a, b, c, b}, 5);
  CHECK_FALSE(disagreeing.by_majority);
  CHECK(disagreeing.candidates == List{b, a, c});
  // Half is not enough, and neither is all of too few.
  CHECK_FALSE(choose_primary({a, a}, 4).by_majority);
  CHECK_FALSE(choose_primary({a}, 2).by_majority);
  CHECK(choose_primary({a}, 3).candidates == List{a});
  CHECK(choose_primary({}, 3).candidates.empty());
  CHECK_FALSE(choose_primary({}, 3).by_majority);
}

TEST_CASE("a reply needs a host and a port") {
  CHECK(read_named_primary("10.0.0.1", "6379") == a);
  CHECK(read_named_primary("::1", "65535") == NamedPrimary{"::1", 65535});
  for (const char* port : {"", "0", "-1", "+1", "65536", "99x", " 1", "1.5"}) {
    CAPTURE(port);
    CHECK_FALSE(read_named_primary("10.0.0.1", port));
  }
  CHECK_FALSE(read_named_primary("", "6379"));
  CHECK_FALSE(read_named_primary("unix", "6379"));
}
