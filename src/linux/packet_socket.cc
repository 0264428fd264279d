// SPDX-License-Identifier: Apache-2.0
#include "linux/packet_socket.h"

#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace huntd::server {
namespace {

// A packet and its sender.
constexpr size_t received_bytes_max = sizeof(uint32_t) + limits::peer_packet_bytes_max;

// Not the other side's fault: no memory, or too many descriptors of this user are in packets that
// are not read (unix(7), ETOOMANYREFS).
bool is_lack_of_room(int32_t result) {
  return result == -ENOBUFS || result == -ENOMEM || result == -ETOOMANYREFS;
}

}  // namespace

PacketSocket::PacketSocket(Ring& ring, int descriptor, PacketUser& user, PacketReads reads)
    : ring_(ring),
      socket_(descriptor),
      user_(user),
      reads_(reads),
      receive_buffer_(std::make_unique_for_overwrite<char[]>(received_bytes_max)) {
  receive();
}

PacketSocket::PacketSocket(Ring& ring, int descriptor, PacketUser& user, PacketSender sender)
    : ring_(ring), socket_(descriptor), user_(user), sender_(sender.number) {}

void PacketSocket::receive() {
  receive_iov_ = {receive_buffer_.get(), received_bytes_max};
  receive_header_ = {};
  receive_header_.msg_iov = &receive_iov_;
  receive_header_.msg_iovlen = 1;
  receive_header_.msg_control = receive_control_;
  receive_header_.msg_controllen = sizeof receive_control_;
  io_uring_sqe* sqe = ring_.prepare(incoming_);
  io_uring_prep_recvmsg(sqe, socket_.get(), &receive_header_, MSG_CMSG_CLOEXEC);
}

void PacketSocket::on_received(int32_t result) {
  if (result == -EINTR || result == -EAGAIN) return receive();
  if (is_lack_of_room(result)) return receive_later(-result);
  if (result <= 0) return end();
  deliver(static_cast<size_t>(result));
  // By plain system calls, so that a busy sender does not cost one trip through the ring per packet.
  for (uint32_t i = 0; i < reads_.eager; ++i) {
    receive_header_.msg_controllen = sizeof receive_control_;
    ssize_t const length =
        recvmsg(socket_.get(), &receive_header_, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (length < 0 && is_lack_of_room(-errno)) return receive_later(errno);
    if (length <= 0) return end();
    deliver(static_cast<size_t>(length));
  }
  receive();
}

void PacketSocket::end() {
  ended_ = true;
  user_.on_packets_end();
}

void PacketSocket::finish_sending() { ::shutdown(socket_.get(), SHUT_WR); }

void PacketSocket::deliver(size_t length) {
  CHECK((receive_header_.msg_flags & MSG_TRUNC) == 0);  // senders keep to peer_packet_bytes_max
  int descriptors[descriptors_max];
  size_t count = 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&receive_header_); c != nullptr;
       c = CMSG_NXTHDR(&receive_header_, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    CHECK(count <= descriptors_max);
    std::memcpy(descriptors, CMSG_DATA(c), count * sizeof(int));
  }
  if ((receive_header_.msg_flags & MSG_CTRUNC) != 0)
    log::error("a packet's file descriptors were lost: out of file descriptors",
               {{"hint", "raise LimitNOFILE"}});
  user_.on_packet({receive_buffer_.get(), length}, {descriptors, count});
}

void PacketSocket::send(PoolString packet, int descriptor) {
  CHECK(!packet.empty() && packet.size() <= limits::peer_packet_bytes_max);
  queued_bytes_ += packet.size();
  queue_.push_back({std::move(packet), UniqueFd(descriptor)});
  if (!sending_) send_front();
}

void PacketSocket::send_front() {
  Packet& packet = queue_.front();
  send_iov_[0] = {const_cast<uint32_t*>(sender_ ? &*sender_ : nullptr),
                  sender_ ? sizeof *sender_ : 0};
  send_iov_[1] = {packet.bytes.data(), packet.bytes.size()};
  send_header_ = {};
  send_header_.msg_iov = send_iov_;
  send_header_.msg_iovlen = std::size(send_iov_);
  if (packet.descriptor.valid()) {
    int const descriptor = packet.descriptor.get();
    attach_descriptors(send_header_, send_room_, &descriptor, 1);
  }
  io_uring_sqe* sqe = ring_.prepare(outgoing_);
  io_uring_prep_sendmsg(sqe, socket_.get(), &send_header_, MSG_NOSIGNAL);
  sending_ = true;
}

void PacketSocket::on_sent(int32_t result) {
  if (result == -EINTR || result == -EAGAIN) return send_front();
  if (is_lack_of_room(result)) return send_front_later(-result);
  sending_ = false;
  queued_bytes_ -= queue_.front().bytes.size();
  queue_.pop_front();
  // A failed send means that the other side is gone, which the receive reports; the remaining sends
  // fail too.
  if (!queue_.empty()) send_front();
  user_.on_packet_sent();
}

void PacketSocket::receive_later(int error) {
  if (!std::exchange(pause_logged_, true))
    log::warning("packets of another process wait: the kernel has no room for one",
                 {{"error", std::strerror(error)}});
  io_uring_prep_timeout(ring_.prepare(receive_pause_), &pause_time_, 0, 0);
}

// The packet may have a connection, which must not be lost because of that.
void PacketSocket::send_front_later(int error) {
  if (!std::exchange(pause_logged_, true))
    log::warning("a packet to another process waits: the kernel has no room for it",
                 {{"error", std::strerror(error)}, {"hint", "raise LimitNOFILE"}});
  io_uring_prep_timeout(ring_.prepare(pause_), &pause_time_, 0, 0);
}

}  // namespace huntd::server
