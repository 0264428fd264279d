// The bound of connections per client address.
#include "http/address_count.h"

#include <doctest/doctest.h>

namespace huntd {
namespace {

constexpr ClientAddress alice{false, 0x7f000001};
constexpr ClientAddress bob{false, 0x7f000002};

TEST_CASE("an address may have as many connections as the bound says, and one more when one left") {
  AddressCount count(2);
  CHECK(count.enter(alice));
  CHECK(count.enter(alice));
  CHECK_FALSE(count.enter(alice));
  count.leave(alice);
  CHECK(count.enter(alice));
  CHECK_FALSE(count.enter(alice));
}

TEST_CASE("addresses do not count for each other, nor IPv4 for the IPv6 network of the same bits") {
  AddressCount count(1);
  CHECK(count.enter(alice));
  CHECK(count.enter(bob));
  CHECK(count.enter({true, alice.bits}));
  CHECK_FALSE(count.enter(bob));
}

TEST_CASE("an address without a connection takes no memory, however often it was refused") {
  AddressCount count(1);
  CHECK(count.enter(alice));
  for (int i = 0; i < 3; ++i) CHECK_FALSE(count.enter(alice));
  CHECK(count.addresses() == 1);
  count.leave(alice);
  CHECK(count.addresses() == 0);
}

TEST_CASE("without a bound nothing is counted") {
  AddressCount count(0);
  CHECK_FALSE(count.bounded());
  for (int i = 0; i < 100; ++i) CHECK(count.enter(alice));
  CHECK(count.addresses() == 0);
  count.leave(alice);
}

}  // namespace
}  // namespace huntd
