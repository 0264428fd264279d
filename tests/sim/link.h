// SPDX-License-Identifier: Apache-2.0
// MessageLinks: a pair of packet sockets between two processes of the host. Messages to a core that
// died are read by its next incarnation, because the parent has both ends (the parent's own link to
// a core is new for each incarnation).
#pragma once
#include <deque>
#include <string>
#include <vector>

#include "machine.h"
#include "wire.h"

namespace huntd::server::sim {

struct Packet {
  std::vector<std::string> messages;
  int descriptor = -1;  // of the first message
};

class PacketReader {
 public:
  virtual void receive(Packet packet) = 0;

 protected:
  ~PacketReader() = default;
};

// One direction of a pair.
class Channel {
 public:
  Channel(World& world, Descriptors& descriptors) : world_(world), descriptors_(descriptors) {}
  void send(Packet packet);
  // Reads from now on; null: no reader.
  void set_reader(PacketReader* reader);
  size_t waiting_bytes() const { return waiting_bytes_; }

 private:
  void deliver();
  World& world_;
  Descriptors& descriptors_;
  PacketReader* reader_ = nullptr;
  std::deque<Packet> waiting_;
  size_t waiting_bytes_ = 0;
  uint64_t last_ns_ = 0;
  std::deque<Packet> under_way_;
};

class MachineLink final : public MessageLink, private PacketReader {
 public:
  // `may_be_full`: faults may fill the link. (Parent and core exchange only a few messages.)
  MachineLink(Machine& machine, Descriptors& descriptors, Channel& out, Channel& in,
              bool may_be_full);
  void set_user(MessageUser& user) override { user_ = &user; }
  bool send(std::string_view message, int descriptor) override;

 private:
  void receive(Packet packet) override;
  void flush();
  Machine& machine_;
  Descriptors& descriptors_;
  Channel& out_;
  bool may_be_full_;
  MessageUser* user_ = nullptr;
  std::vector<std::string> batch_;
};

}  // namespace huntd::server::sim
