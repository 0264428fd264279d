// SPDX-License-Identifier: Apache-2.0
#include "core/client/address_limit.h"

#include <doctest/doctest.h>

namespace huntd::server {
namespace {

constexpr ClientAddress alice{false, 0x7f000001};
constexpr ClientAddress bob{false, 0x7f000002};

TEST_CASE("an address has at most the allowed connections at a time") {
  AddressLimit count(2);
  CHECK(count.enter(alice));
  CHECK(count.enter(alice));
  CHECK_FALSE(count.enter(alice));
  count.leave(alice);
  CHECK(count.enter(alice));
  CHECK_FALSE(count.enter(alice));
}

TEST_CASE("each address has its own count, also IPv4 and IPv6 with the same bits") {
  AddressLimit count(1);
  CHECK(count.enter(alice));
  CHECK(count.enter(bob));
  CHECK(count.enter({true, alice.bits}));
  CHECK_FALSE(count.enter(bob));
}

TEST_CASE("an address without a connection takes no memory, even after rejections") {
  AddressLimit count(1);
  CHECK(count.enter(alice));
  for (int i = 0; i < 3; ++i) CHECK_FALSE(count.enter(alice));
  CHECK(count.addresses() == 1);
  count.leave(alice);
  CHECK(count.addresses() == 0);
}

TEST_CASE("without a limit nothing is counted") {
  AddressLimit count(0);
  CHECK_FALSE(count.bounded());
  for (int i = 0; i < 100; ++i) CHECK(count.enter(alice));
  CHECK(count.addresses() == 0);
  count.leave(alice);
}

}  // namespace
}  // namespace huntd::server
