// SPDX-License-Identifier: Apache-2.0
#include "base/unique_fd.h"

#include "base/scm_rights.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <filesystem>
#include <iterator>

using namespace huntd;

namespace {

bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }
int open_null() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

std::ptrdiff_t count_open() {
  std::filesystem::directory_iterator const files("/proc/self/fd");
  return std::distance(begin(files), end(files));
}

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

TEST_CASE("of the descriptors of a packet the first is received, and the others are closed") {
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  UniqueFd const sender(pair[0]);
  UniqueFd const receiver(pair[1]);
  UniqueFd const null(open_null());
  char byte = 'x';
  iovec iov{&byte, 1};
  msghdr header{};
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  DescriptorRoom<2> room;
  int const sent[] = {null.get(), null.get()};
  attach_descriptors(header, room, sent, 2);
  REQUIRE(sendmsg(sender.get(), &header, 0) == 1);
  std::ptrdiff_t const before = count_open();
  char packet[8];
  UniqueFd received;
  REQUIRE(receive_packet(receiver.get(), packet, received, 0) == 1);
  CHECK(is_open(received.get()));
  CHECK(count_open() == before + 1);
}
