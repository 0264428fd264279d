// SPDX-License-Identifier: Apache-2.0
// The links between a core and the other cores of the host. Each core reads from one socket, its
// inbox; all others send by the other end of that pair, which they share. So N cores have N pairs of
// sockets and not N². A packet begins with the number of the core that sent it.
#pragma once
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "linux/message_link.h"
#include "linux/packet_socket.h"

namespace huntd::server {

// What a core gets from the parent, which keeps all of it open for the next incarnations.
struct PeerDescriptors {
  int inbox = -1;             // from which this core reads
  std::vector<int> outboxes;  // by which it sends, by core; -1 at itself
};

class PeerMesh final : private PacketUser {
 public:
  // Takes ownership of the descriptors.
  PeerMesh(Ring& ring, uint32_t self, const PeerDescriptors& descriptors);
  // A link to each core, null at this one. They live as long as this object.
  std::vector<MessageLink*> links() const;
  // Passes the tick's messages to the ring. Returns how many packets that were.
  uint64_t flush();

 private:
  void on_packet(std::string_view packet, std::span<const int> descriptors) override;
  void on_packets_end() override;

  std::vector<std::unique_ptr<UringMessageLink>> links_;
  PacketSocket inbox_;
};

}  // namespace huntd::server
