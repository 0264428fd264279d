// MessageLink on a PacketSocket: the messages of a tick leave as one packet, each after its length.
#pragma once
#include "io/outside.h"
#include "uring/packet_socket.h"

namespace huntd::uring {

class UringMessageLink final : public MessageLink, private PacketUser {
 public:
  UringMessageLink(Ring& ring, int descriptor) : socket_(ring, descriptor, *this) {}
  void set_user(MessageUser& user) override { user_ = &user; }
  bool send(std::string_view message, int descriptor) override;
  // Hands the tick's messages to the ring.
  void flush();
  // Packets handed over since the last call, for the metrics.
  uint64_t take_packets_sent() { return std::exchange(packets_sent_, 0); }

 private:
  void on_packet(std::string_view packet, std::span<const int> descriptors) override;
  void on_packets_end() override;

  PacketSocket socket_;
  MessageUser* user_ = nullptr;
  Text batch_;
  uint64_t packets_sent_ = 0;
};

}  // namespace huntd::uring
