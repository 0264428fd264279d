// SPDX-License-Identifier: Apache-2.0
// Passes file descriptors to another process in a message (SCM_RIGHTS, unix(7)).
#pragma once
#include <sys/socket.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "base/unique_fd.h"

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

// Sends one packet, with `descriptor` unless it is -1. `flags` as of sendmsg(2), whose result this
// returns.
inline ssize_t send_packet(int socket, std::string_view packet, int descriptor, int flags) {
  iovec iov{const_cast<char*>(packet.data()), packet.size()};
  msghdr header{};
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  DescriptorRoom<1> room;
  if (descriptor >= 0) attach_descriptors(header, room, &descriptor, 1);
  return sendmsg(socket, &header, flags);
}

// Receives one packet of at most into.size() bytes, and the descriptor that came with it, if any;
// further ones are closed. `flags` as of recvmsg(2), whose result this returns.
inline ssize_t receive_packet(int socket, std::span<char> into, UniqueFd& descriptor, int flags) {
  iovec iov{into.data(), into.size()};
  msghdr header{};
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  DescriptorRoom<1> room;
  header.msg_control = room.bytes;
  header.msg_controllen = sizeof room.bytes;
  ssize_t const size = recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC);
  if (size < 0) return size;
  cmsghdr* const c = CMSG_FIRSTHDR(&header);
  if (c == nullptr || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) return size;
  // The padding of the room has space for more than one.
  size_t const count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  for (size_t i = 0; i < count; ++i) {
    int number = -1;
    std::memcpy(&number, CMSG_DATA(c) + i * sizeof number, sizeof number);
    UniqueFd received(number);
    if (i == 0) descriptor = std::move(received);
  }
  return size;
}

}  // namespace huntd
