// SPDX-License-Identifier: Apache-2.0
// MessageLinks: a pair of packet sockets between two processes of the host. Messages to a core that
// died are read by its next incarnation, because the parent has both ends (the parent's own link to
// a core is new for each incarnation). A link is full, as a real one, of what its reader has not
// read: it is dead, stopped or slow.
#pragma once
#include <deque>
#include <functional>
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
  // Calls `on_room` whenever unread_bytes() is smaller.
  void set_writer(std::function<void()> on_room) { on_room_ = std::move(on_room); }
  size_t unread_bytes() const { return waiting_bytes_ + at_reader_bytes_; }
  // For a reader that reads a packet later than it receives it.
  void begin_read(const Packet& packet);
  void end_read(size_t bytes);

 private:
  void deliver();
  World& world_;
  Descriptors& descriptors_;
  PacketReader* reader_ = nullptr;
  std::deque<Packet> waiting_;
  std::function<void()> on_room_ = [] {};
  size_t waiting_bytes_ = 0;
  size_t at_reader_bytes_ = 0;
  uint64_t last_ns_ = 0;
  std::deque<Packet> under_way_;
};

class MachineLink final : public MessageLink, private PacketReader {
 public:
  // `queue_bytes_max` is the link's room, unless it is empty. `may_be_full`: faults may fill the
  // link. (Parent and core exchange only a few messages.)
  MachineLink(Machine& machine, Descriptors& descriptors, Channel& out, Channel& in,
              size_t queue_bytes_max, bool may_be_full);
  void set_user(MessageUser& user) override { user_ = &user; }
  size_t room() const override;
  bool send(std::string_view message, int descriptor) override;

 private:
  void receive(Packet packet) override;
  void flush();
  void stage(Packet packet);
  void report_room();
  void be_full_for(uint64_t duration_ns);
  size_t queued_bytes() const { return own_bytes_ + out_.unread_bytes(); }
  Machine& machine_;
  Descriptors& descriptors_;
  Channel& out_;
  Channel& in_;
  size_t queue_bytes_max_;
  bool may_be_full_;
  MessageUser* user_ = nullptr;
  std::vector<std::string> batch_;
  size_t own_bytes_ = 0;  // of the batch, and of packets that are not yet submitted
  uint64_t full_until_ns_ = 0;
};

}  // namespace huntd::server::sim
