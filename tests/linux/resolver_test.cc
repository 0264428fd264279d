// SPDX-License-Identifier: Apache-2.0
#include "linux/resolver.h"

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>

#include <optional>
#include <vector>

using namespace huntd;
using namespace huntd::server;

namespace {

struct User final : ResolveUser {
  void on_resolved(Result<std::vector<Address>> addresses) override { found = addresses; }
  std::optional<Result<std::vector<Address>>> found;
};

// Never destroyed, like a core's: operations in the kernel point into it.
struct World {
  World() { REQUIRE(bool(ring.open())); }
  void await(const User& user) {
    for (int turn = 0; turn < 600 && !user.found; ++turn) {
      ring.submit_and_wait(100'000'000);
      ring.reap();
    }
    REQUIRE(user.found.has_value());
  }
  Ring ring;
  UringResolver resolver{ring};
};

// Reachable until the end, so LeakSanitizer does not report it.
World& make_world() {
  static auto& all = *new std::vector<World*>;
  return *all.emplace_back(new World);
}

}  // namespace

TEST_CASE("a name's addresses come through the ring, with the port") {
  World& world = make_world();
  for (int turn = 0; turn < 2; ++turn) {
    User user;
    world.resolver.resolve({false, "localhost", 7}, user);
    world.await(user);
    REQUIRE(bool(*user.found));
    for (const Address& address : **user.found) {
      CHECK((address.host == "127.0.0.1" || address.host == "::1"));
      CHECK(address.port == 7);
    }
  }
}

TEST_CASE("who gives up gets no callback, and the next one gets the result") {
  World& world = make_world();
  User first;
  world.resolver.resolve({false, "localhost", 7}, first);
  world.resolver.give_up();
  world.ring.submit_and_wait(50'000'000);
  world.ring.reap();
  CHECK_FALSE(first.found.has_value());
  User second;
  world.resolver.resolve({false, "localhost", 7}, second);
  world.await(second);
  CHECK(bool(*second.found));
  CHECK_FALSE(first.found.has_value());
}
