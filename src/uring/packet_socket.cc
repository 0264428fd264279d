#include "uring/packet_socket.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/log.h"

namespace huntd::uring {
namespace {
// Packets taken by plain system calls after one completion: a busy sender fills a tick without a
// ring round for each.
constexpr int eager_receives_max = 16;
}  // namespace

PacketSocket::PacketSocket(Ring& ring, int descriptor, PacketUser& user)
    : ring_(ring),
      descriptor_(descriptor),
      user_(user),
      receive_buffer_(limits::peer_packet_bytes_max) {
  receive();
}

PacketSocket::~PacketSocket() { close(descriptor_); }

void PacketSocket::receive() {
  receive_iov_ = {receive_buffer_.data(), receive_buffer_.size()};
  receive_header_ = {};
  receive_header_.msg_iov = &receive_iov_;
  receive_header_.msg_iovlen = 1;
  receive_header_.msg_control = receive_control_;
  receive_header_.msg_controllen = sizeof receive_control_;
  io_uring_sqe* sqe = ring_.prepare(incoming_);
  io_uring_prep_recvmsg(sqe, descriptor_, &receive_header_, MSG_CMSG_CLOEXEC);
}

void PacketSocket::on_received(int32_t result) {
  if (result == -EINTR || result == -EAGAIN) return receive();
  if (result <= 0) return end();
  deliver(static_cast<size_t>(result));
  for (int i = 0; i < eager_receives_max; ++i) {
    receive_header_.msg_controllen = sizeof receive_control_;
    ssize_t const length = recvmsg(descriptor_, &receive_header_, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR)) return end();
    if (length < 0) break;
    deliver(static_cast<size_t>(length));
  }
  receive();
}

void PacketSocket::end() {
  ended_ = true;
  user_.on_packets_end();
}

void PacketSocket::finish_sending() { ::shutdown(descriptor_, SHUT_WR); }

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
    log::error("descriptors lost between processes: raise LimitNOFILE of the service");
  user_.on_packet({receive_buffer_.data(), length}, {descriptors, count});
}

void PacketSocket::send(Text packet, int descriptor) {
  CHECK(!packet.empty() && packet.size() <= limits::peer_packet_bytes_max);
  queued_bytes_ += packet.size();
  queue_.push_back({std::move(packet), descriptor});
  if (!sending_) send_front();
}

void PacketSocket::send_front() {
  Packet& packet = queue_.front();
  send_iov_ = {packet.bytes.data(), packet.bytes.size()};
  send_header_ = {};
  send_header_.msg_iov = &send_iov_;
  send_header_.msg_iovlen = 1;
  if (packet.descriptor >= 0) attach_descriptors(send_header_, send_room_, &packet.descriptor, 1);
  io_uring_sqe* sqe = ring_.prepare(outgoing_);
  io_uring_prep_sendmsg(sqe, descriptor_, &send_header_, MSG_NOSIGNAL);
  sending_ = true;
}

void PacketSocket::on_sent(int32_t result) {
  sending_ = false;
  if (result == -EINTR || result == -EAGAIN) return send_front();
  Packet& packet = queue_.front();
  if (packet.descriptor >= 0) close(packet.descriptor);
  queued_bytes_ -= packet.bytes.size();
  queue_.pop_front();
  // A failed send means that the other side is gone: reading tells the user so; the rest is sent to
  // nobody.
  if (!queue_.empty()) send_front();
}

}  // namespace huntd::uring
