// SPDX-License-Identifier: Apache-2.0
#include "link.h"

#include <algorithm>
#include <utility>

namespace huntd::server::sim {
namespace {

size_t bytes_of(const Packet& packet) {
  size_t bytes = 0;
  for (const std::string& message : packet.messages) bytes += message.size();
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
  deliver();
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
  }
}

MachineLink::MachineLink(Machine& machine, Descriptors& descriptors, Channel& out, Channel& in,
                         bool may_be_full)
    : machine_(machine), descriptors_(descriptors), out_(out), may_be_full_(may_be_full) {
  in.set_reader(this);
  machine_.on_death([&in] { in.set_reader(nullptr); });
  machine_.flush_with([this] { flush(); });
}

bool MachineLink::send(std::string_view message, int descriptor) {
  World& world = machine_.world();
  bool const full = out_.waiting_bytes() > limits::peer_queue_bytes_max;
  if (full || (may_be_full_ && world.faults_on && world.random.chance(0.001))) {
    world.fault("a link between processes full", machine_.name());
    return false;
  }
  if (descriptor >= 0) flush();
  batch_.emplace_back(message);
  if (descriptor >= 0)
    machine_.stage([this, descriptor, batch = std::exchange(batch_, {})]() mutable {
      descriptors_.pass(descriptor, nullptr);
      out_.send({std::move(batch), descriptor});
    });
  return true;
}

void MachineLink::flush() {
  if (batch_.empty()) return;
  machine_.stage([this, batch = std::exchange(batch_, {})]() mutable {
    out_.send({std::move(batch), -1});
  });
}

void MachineLink::receive(Packet packet) {
  if (descriptors_.has(packet.descriptor)) descriptors_.pass(packet.descriptor, &machine_);
  machine_.post([this, packet = std::move(packet)] {
    int descriptor = packet.descriptor;
    for (const std::string& message : packet.messages)
      user_->on_message(message, std::exchange(descriptor, -1));
  });
}

}  // namespace huntd::server::sim
