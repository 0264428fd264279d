// SPDX-License-Identifier: Apache-2.0
// One end of a SOCK_SEQPACKET pair between processes of this host: whole packets, with file
// descriptors (SCM_RIGHTS).
#pragma once
#include <sys/socket.h>
#include <sys/uio.h>

#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "base/limits.h"
#include "base/pool.h"
#include "base/scm_rights.h"
#include "base/unique_fd.h"
#include "linux/ring.h"

namespace huntd::server {

class PacketUser {
 public:
  // One packet. The views are valid only during the call; the user owns the descriptors.
  virtual void on_packet(std::string_view packet, std::span<const int> descriptors) = 0;
  // The other side closed its end, or the socket failed. No callback follows.
  virtual void on_packets_end() = 0;
  // A packet has left the queue: queued_bytes() is smaller.
  virtual void on_packet_sent() {}

 protected:
  ~PacketUser() = default;
};

// How a socket is read.
struct PacketReads {
  uint32_t eager = 16;  // packets that are read at once after the first one
};
// Who sends, of several processes that share a socket.
struct PacketSender {
  uint32_t number = 0;
};

class PacketSocket {
 public:
  // Takes ownership of `descriptor` and starts to read.
  PacketSocket(Ring& ring, int descriptor, PacketUser& user, PacketReads reads = {});
  // Only sends. Each packet begins with the sender's number (u32).
  PacketSocket(Ring& ring, int descriptor, PacketUser& user, PacketSender sender);
  // REQUIRES: closed(), or the process exits.
  ~PacketSocket() = default;

  // Queues a packet. Takes ownership of `descriptor` (-1 for none) and closes it once it is sent.
  // Packets are sent in order, one at a time. REQUIRES: `packet` is not empty.
  void send(PoolString packet, int descriptor = -1);
  size_t queued_bytes() const { return queued_bytes_; }
  // Shuts down the sending side, as shutdown(SHUT_WR); reading continues.
  void finish_sending();
  // Whether on_packets_end() has been called and no operation is in the kernel.
  bool closed() const { return ended_ && !sending_; }

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
  struct Pause final : Op {
    explicit Pause(PacketSocket& owner) : socket(owner) {}
    void complete(int32_t result, uint32_t flags) override { socket.send_front(); }
    PacketSocket& socket;
  };
  struct ReceivePause final : Op {
    explicit ReceivePause(PacketSocket& owner) : socket(owner) {}
    void complete(int32_t result, uint32_t flags) override { socket.receive(); }
    PacketSocket& socket;
  };
  struct Packet {
    PoolString bytes;
    UniqueFd descriptor;
  };

  void receive();
  void on_received(int32_t result);
  void deliver(size_t length);
  void end();
  void send_front();
  void on_sent(int32_t result);
  void send_front_later(int error);
  void receive_later(int error);

  Ring& ring_;
  UniqueFd socket_;
  PacketUser& user_;
  std::optional<uint32_t> const sender_;
  PacketReads const reads_{};
  Incoming incoming_{*this};
  Outgoing outgoing_{*this};
  Pause pause_{*this};
  ReceivePause receive_pause_{*this};
  // Not filled with zeros: what no packet has used takes no memory.
  std::unique_ptr<char[]> receive_buffer_;
  alignas(cmsghdr) char receive_control_[CMSG_SPACE(descriptors_max * sizeof(int))];
  iovec receive_iov_{};
  msghdr receive_header_{};
  PoolDeque<Packet> queue_;
  size_t queued_bytes_ = 0;
  bool sending_ = false;  // the first packet is in the kernel, or waits for the end of a pause
  bool ended_ = false;
  // After a send, or a receive, for which the kernel had no room.
  __kernel_timespec pause_time_{.tv_sec = 0, .tv_nsec = 10'000'000};
  bool pause_logged_ = false;
  DescriptorRoom<1> send_room_;
  iovec send_iov_[2]{};  // the sender, if each packet begins with it, and the packet
  msghdr send_header_{};
};

}  // namespace huntd::server
