// SPDX-License-Identifier: Apache-2.0
#include "base/unique_fd.h"

#include <doctest/doctest.h>
#include <fcntl.h>

using namespace huntd;

namespace {

bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }
int open_null() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

}  // namespace

TEST_CASE("a UniqueFd closes its descriptor when it is destroyed") {
  int const fd = open_null();
  REQUIRE(fd >= 0);
  { UniqueFd const owner(fd); }
  CHECK(!is_open(fd));
}

TEST_CASE("a moved UniqueFd has one owner, and assignment closes the old descriptor") {
  UniqueFd first(open_null());
  UniqueFd second(open_null());
  int const kept = first.get();
  int const closed = second.get();
  second = std::move(first);
  CHECK(!is_open(closed));
  CHECK(is_open(kept));
  CHECK(second.get() == kept);
  CHECK(!first.valid());  // NOLINT(bugprone-use-after-move): a moved UniqueFd owns nothing
}

TEST_CASE("release gives up ownership, and reset closes what was owned") {
  UniqueFd owner(open_null());
  int const released = owner.release();
  CHECK(!owner.valid());
  CHECK(is_open(released));
  owner.reset(released);
  owner.reset();
  CHECK(!is_open(released));
}
