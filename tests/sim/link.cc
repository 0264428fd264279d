// SPDX-License-Identifier: Apache-2.0
#include "link.h"

#include <algorithm>
#include <utility>

namespace huntd::server::sim {
namespace {

size_t room_of(std::string_view message) {
  return message.size() + limits::peer_message_prefix_bytes;
}

size_t bytes_of(const Packet& packet) {
  size_t bytes = 0;
  for (const std::string& message : packet.messages) bytes += room_of(message);
  return bytes;
}

}  // namespace

void Channel::send(Packet packet) {
  waiting_bytes_ += bytes_of(packet);
  last_ns_ = std::max(last_ns_ + 1, world_.now_ns() + world_.hop_ns());
  under_way_.push_back(std::move(packet));
  world_.at(last_ns_, [this] {
    waiting_.push_back(std::move(under_way_.front()));
    under_way_.pop_front();
    deliver();
  });
}

void Channel::set_reader(PacketReader* reader) {
  reader_ = reader;
  end_read(at_reader_bytes_);  // what a dead process had received and not read is gone
  deliver();
}

void Channel::begin_read(const Packet& packet) { at_reader_bytes_ += bytes_of(packet); }

void Channel::end_read(size_t bytes) {
  at_reader_bytes_ -= bytes;
  on_room_();
}

void Channel::deliver() {
  while (reader_ != nullptr && !waiting_.empty()) {
    Packet packet = std::move(waiting_.front());
    waiting_.pop_front();
    waiting_bytes_ -= bytes_of(packet);
    if (descriptors_.has(packet.descriptor) && world_.faults_on && world_.random.chance(0.01)) {
      // The receiver is out of descriptors: the kernel closes what it can't install.
      world_.fault("a descriptor lost between cores");
      descriptors_.take(std::exchange(packet.descriptor, -1))->core_leaves();
    }
    reader_->receive(std::move(packet));
    on_room_();
  }
}

MachineLink::MachineLink(Machine& machine, Descriptors& descriptors, Channel& out, Channel& in,
                         size_t queue_bytes_max, bool may_be_full)
    : machine_(machine),
      descriptors_(descriptors),
      out_(out),
      in_(in),
      queue_bytes_max_(queue_bytes_max),
      may_be_full_(may_be_full) {
  in_.set_reader(this);
  machine_.on_death([&in] { in.set_reader(nullptr); });
  out_.set_writer([this] { report_room(); });
  machine_.flush_with([this] { flush(); });
}

size_t MachineLink::room() const {
  if (machine_.world().now_ns() < full_until_ns_) return 0;
  constexpr size_t largest = limits::peer_message_bytes_max + limits::peer_message_prefix_bytes;
  if (queued_bytes() == 0) return std::max(queue_bytes_max_, largest);
  return queue_bytes_max_ - std::min(queue_bytes_max_, queued_bytes());
}

bool MachineLink::send(std::string_view message, int descriptor) {
  World& world = machine_.world();
  if (queued_bytes() + room_of(message) > limits::peer_queue_bytes_max) return false;
  if (descriptor >= 0) flush();
  own_bytes_ += room_of(message);
  batch_.emplace_back(message);
  if (descriptor >= 0) stage({std::exchange(batch_, {}), descriptor});
  if (may_be_full_ && world.faults_on && world.random.chance(0.002))
    be_full_for(world.random.chance(0.2) ? world.random.below(5 * s) : world.random.below(50 * ms));
  return true;
}

void MachineLink::be_full_for(uint64_t duration_ns) {
  World& world = machine_.world();
  world.fault("a link between processes full", machine_.name());
  full_until_ns_ = world.now_ns() + duration_ns;
  world.at(full_until_ns_, [this] { report_room(); });
}

void MachineLink::report_room() {
  machine_.post([this] {
    if (user_ != nullptr) user_->on_room();
  });
}

void MachineLink::flush() {
  if (!batch_.empty()) stage({std::exchange(batch_, {}), -1});
}

// The packet leaves when the tick's requests are submitted.
void MachineLink::stage(Packet packet) {
  machine_.stage([this, packet = std::move(packet)]() mutable {
    own_bytes_ -= bytes_of(packet);
    if (packet.descriptor >= 0) descriptors_.pass(packet.descriptor, nullptr);
    out_.send(std::move(packet));
  });
}

void MachineLink::receive(Packet packet) {
  if (descriptors_.has(packet.descriptor)) descriptors_.pass(packet.descriptor, &machine_);
  in_.begin_read(packet);
  machine_.post([this, packet = std::move(packet)] {
    in_.end_read(bytes_of(packet));
    int descriptor = packet.descriptor;
    for (const std::string& message : packet.messages)
      user_->on_message(message, std::exchange(descriptor, -1));
  });
}

}  // namespace huntd::server::sim
