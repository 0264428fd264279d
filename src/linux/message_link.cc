// SPDX-License-Identifier: Apache-2.0
#include "linux/message_link.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace huntd::server {

size_t UringMessageLink::room() const {
  return limits::peer_queue_bytes_max - std::min(limits::peer_queue_bytes_max, queued_bytes());
}

bool UringMessageLink::send(std::string_view message, int descriptor) {
  CHECK(message.size() <= limits::peer_message_bytes_max);
  uint32_t const length = static_cast<uint32_t>(message.size());
  static_assert(sizeof length == limits::peer_message_prefix_bytes);
  if (sizeof length + length > room()) return false;
  if (descriptor >= 0 || batch_.size() + sizeof length + length > limits::peer_packet_bytes_max)
    send_batch();
  batch_.append(reinterpret_cast<const char*>(&length), sizeof length);
  batch_.append(message);
  // A packet of its own: a descriptor belongs to a packet, not to a message in it.
  if (descriptor >= 0) send_batch(descriptor);
  return true;
}

void UringMessageLink::flush() {
  if (socket_.queued_bytes() == 0) send_batch();
}

void UringMessageLink::send_batch(int descriptor) {
  if (batch_.empty()) return;
  ++packets_sent_;
  socket_.send(std::exchange(batch_, {}), descriptor);
}

void UringMessageLink::on_packet(std::string_view packet, std::span<const int> descriptors) {
  CHECK(descriptors.size() <= 1);
  int descriptor = descriptors.empty() ? -1 : descriptors[0];
  while (!packet.empty()) {
    uint32_t length = 0;
    CHECK(packet.size() >= sizeof length);
    std::memcpy(&length, packet.data(), sizeof length);
    packet.remove_prefix(sizeof length);
    CHECK(length <= packet.size());
    if (user_ != nullptr)
      user_->on_message(packet.substr(0, length), std::exchange(descriptor, -1));
    packet.remove_prefix(length);
  }
  if (descriptor >= 0) close(descriptor);
}

void UringMessageLink::on_packets_end() {
  if (user_ != nullptr) user_->on_link_closed();
}

void UringMessageLink::on_packet_sent() {
  flush();
  if (user_ != nullptr) user_->on_room();
}

}  // namespace huntd::server
