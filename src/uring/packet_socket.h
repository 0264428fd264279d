// One end of a SOCK_SEQPACKET pair between processes of this box: whole packets, with descriptors
// (SCM_RIGHTS).
#pragma once
#include <sys/socket.h>
#include <sys/uio.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/pool.h"
#include "base/scm_rights.h"
#include "uring/ring.h"

namespace huntd::uring {

class PacketUser {
 public:
  // `descriptors` are the receiver's to close; both are valid during the call.
  virtual void on_packet(std::string_view packet, std::span<const int> descriptors) = 0;
  virtual void on_packets_end() = 0;  // the other side closed, or the socket failed

 protected:
  ~PacketUser() = default;
};

class PacketSocket {
 public:
  // Takes `descriptor`. Reading starts at once.
  PacketSocket(Ring& ring, int descriptor, PacketUser& user);
  ~PacketSocket();  // once quiet(), or at the end of the process

  // Sends `packet`, then closes `descriptor` (-1 for none). Packets keep their order; one is in
  // flight at a time.
  void send(Text packet, int descriptor = -1);
  size_t queued_bytes() const { return queued_bytes_; }
  // Tells the other side that no more packets will come; reading goes on to its end.
  void finish_sending();
  // Nothing is in the kernel any more: it may be destroyed. Only after on_packets_end.
  bool quiet() const { return ended_ && !sending_; }

 private:
  static constexpr size_t descriptors_max = 2;
  struct Incoming final : Op {
    explicit Incoming(PacketSocket& owner) : socket(owner) {}
    void complete(int32_t result, uint32_t flags) override { socket.on_received(result); }
    PacketSocket& socket;
  };
  struct Outgoing final : Op {
    explicit Outgoing(PacketSocket& owner) : socket(owner) {}
    void complete(int32_t result, uint32_t flags) override { socket.on_sent(result); }
    PacketSocket& socket;
  };
  struct Packet {
    Text bytes;
    int descriptor;
  };

  void receive();
  void on_received(int32_t result);
  void deliver(size_t length);
  void end();
  void send_front();
  void on_sent(int32_t result);

  Ring& ring_;
  int descriptor_;
  PacketUser& user_;
  Incoming incoming_{*this};
  Outgoing outgoing_{*this};
  std::vector<char> receive_buffer_;
  alignas(cmsghdr) char receive_control_[CMSG_SPACE(descriptors_max * sizeof(int))];
  iovec receive_iov_{};
  msghdr receive_header_{};
  Queue<Packet> queue_;
  size_t queued_bytes_ = 0;
  bool sending_ = false;
  bool ended_ = false;
  DescriptorRoom<1> send_room_;
  iovec send_iov_{};
  msghdr send_header_{};
};

}  // namespace huntd::uring
