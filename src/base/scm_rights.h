// SPDX-License-Identifier: Apache-2.0
// Passes file descriptors to another process in a message (SCM_RIGHTS, unix(7)).
#pragma once
#include <sys/socket.h>

#include <cstddef>
#include <cstring>

namespace huntd {

// A control buffer for `count` descriptors, aligned as cmsg(3) requires.
template <size_t count>
struct alignas(cmsghdr) DescriptorRoom {
  char bytes[CMSG_SPACE(count * sizeof(int))];
};

// Attaches `count` descriptors to `header`. REQUIRES: 1 <= count <= room_count; `room` lives until
// the message is sent.
template <size_t room_count>
void attach_descriptors(msghdr& header, DescriptorRoom<room_count>& room, const int* descriptors,
                        size_t count) {
  header.msg_control = room.bytes;
  header.msg_controllen = CMSG_SPACE(count * sizeof(int));
  cmsghdr* const c = CMSG_FIRSTHDR(&header);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(count * sizeof(int));
  std::memcpy(CMSG_DATA(c), descriptors, count * sizeof(int));
}

}  // namespace huntd
