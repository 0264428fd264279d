// SPDX-License-Identifier: Apache-2.0
// MessageLink on a PacketSocket. A packet is the messages of one tick, each after its length (u32).
#pragma once
#include "environment/message_link.h"
#include "linux/packet_socket.h"

namespace huntd::server {

class UringMessageLink final : public MessageLink, private PacketUser {
 public:
  // Takes ownership of `descriptor`.
  UringMessageLink(Ring& ring, int descriptor) : socket_(ring, descriptor, *this) {}
  // Only sends, by a socket that others share; take_packet() gets what the other side sends.
  UringMessageLink(Ring& ring, int descriptor, uint32_t sender)
      : socket_(ring, descriptor, *this, PacketSender{sender}) {}
  void set_user(MessageUser& user) override { user_ = &user; }
  size_t room() const override;
  bool send(std::string_view message, int descriptor) override;
  // Passes the tick's messages to the ring. While an earlier packet waits, they wait for more.
  void flush();
  // One packet of the other side, as PacketUser::on_packet().
  void take_packet(std::string_view packet, std::span<const int> descriptors) {
    on_packet(packet, descriptors);
  }
  // Returns how many packets were passed on since the last call.
  uint64_t take_packets_sent() { return std::exchange(packets_sent_, 0); }

 private:
  void on_packet(std::string_view packet, std::span<const int> descriptors) override;
  void on_packets_end() override;
  void on_packet_sent() override;
  void send_batch(int descriptor = -1);
  size_t queued_bytes() const { return socket_.queued_bytes() + batch_.size(); }

  PacketSocket socket_;
  MessageUser* user_ = nullptr;
  PoolString batch_;
  uint64_t packets_sent_ = 0;
};

}  // namespace huntd::server
