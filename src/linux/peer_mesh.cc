// SPDX-License-Identifier: Apache-2.0
#include "linux/peer_mesh.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace huntd::server {
namespace {

// All other cores send to the inbox.
PacketReads reads_of(const PeerDescriptors& descriptors) {
  PacketReads reads;
  reads.eager = std::max(reads.eager, static_cast<uint32_t>(2 * descriptors.outboxes.size()));
  return reads;
}

}  // namespace

PeerMesh::PeerMesh(Ring& ring, uint32_t self, const PeerDescriptors& descriptors)
    : inbox_(ring, descriptors.inbox, *this, reads_of(descriptors)) {
  for (int const outbox : descriptors.outboxes)
    links_.push_back(outbox < 0 ? nullptr : std::make_unique<UringMessageLink>(ring, outbox, self));
}

std::vector<MessageLink*> PeerMesh::links() const {
  std::vector<MessageLink*> found;
  for (const auto& link : links_) found.push_back(link.get());
  return found;
}

uint64_t PeerMesh::flush() {
  uint64_t packets = 0;
  for (const auto& link : links_) {
    if (link == nullptr) continue;
    link->flush();
    packets += link->take_packets_sent();
  }
  return packets;
}

void PeerMesh::on_packet(std::string_view packet, std::span<const int> descriptors) {
  uint32_t sender = 0;
  CHECK(packet.size() >= sizeof sender);
  std::memcpy(&sender, packet.data(), sizeof sender);
  CHECK(sender < links_.size() && links_[sender] != nullptr);
  links_[sender]->take_packet(packet.substr(sizeof sender), descriptors);
}

// The parent has the other end open as long as this process exists.
void PeerMesh::on_packets_end() { CHECK(!"the inbox is open"); }

}  // namespace huntd::server
