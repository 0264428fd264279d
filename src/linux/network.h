// SPDX-License-Identifier: Apache-2.0
// Network on the ring: accepts connections on the shared listening socket, connects, and owns the
// pool of streams. One multishot operation accepts while there is room for the whole backlog, which
// it can deliver at once; with less room, single operations accept at most as many connections.
#pragma once
#include <sys/socket.h>

#include <memory>
#include <vector>

#include "base/scheduler.h"
#include "base/unique_fd.h"
#include "environment/network.h"
#include "linux/stream.h"

namespace huntd::server {

class UringNetwork final : public Network {
 public:
  // Does not take ownership of `listen_descriptor`.
  UringNetwork(Ring& ring, Scheduler& scheduler, int listen_descriptor);

  void connect(const Address& address, ConnectUser& user) override;
  void start_accepting(AcceptUser& user, bool with_addresses) override;
  void stop_accepting() override;
  StreamPtr adopt(int descriptor) override;
  std::optional<ClientAddress> address_of(int descriptor) override;

  Ring& ring() { return ring_; }
  // Takes a closed stream back into the pool.
  void recycle(UringStream& stream) { idle_.push_back(&stream); }

 private:
  struct Accept final : Op, Deadline {
    explicit Accept(UringNetwork& owner) : network(owner) {}
    void complete(int32_t result, uint32_t flags) override { network.on_accepted(result, flags); }
    void on_deadline() override { network.arm_accepts(); }
    UringNetwork& network;
  };
  struct AcceptRefresh final : Deadline {
    explicit AcceptRefresh(UringNetwork& owner) : network(owner) {}
    void on_deadline() override { network.refresh_accepts(); }
    UringNetwork& network;
  };
  // Asks for the peer's address of an accepted file slot; getpeername(2) needs a descriptor.
  struct GetPeerName final : Op {
    GetPeerName(UringNetwork& owner, StreamPtr accepted)
        : network(owner), stream(std::move(accepted)) {}
    void complete(int32_t result, uint32_t flags) override;
    UringNetwork& network;
    StreamPtr stream;
    sockaddr_storage address{};
  };
  struct Connect final : Op {
    Connect(UringNetwork& owner, ConnectUser& connect_user) : network(owner), user(connect_user) {}
    void complete(int32_t result, uint32_t flags) override;
    UringNetwork& network;
    ConnectUser& user;
    UniqueFd descriptor;
    sockaddr_storage address{};
  };
  UringStream& idle_stream();
  size_t room() const;
  void arm_accepts();
  void arm_accept(bool multishot);
  void refresh_accepts();
  void on_accepted(int32_t result, uint32_t flags);
  void deliver_accepted(UringStream& stream, int accepted);

  Ring& ring_;
  Scheduler& scheduler_;
  int listen_descriptor_;
  AcceptUser* accept_user_ = nullptr;
  bool accept_wanted_ = false;
  socklen_t name_bytes_ = 0;  // size of a client's address; 0: addresses are not wanted
  size_t accepting_ = 0;      // accept operations in the kernel
  bool multishot_ = false;    // it is the multishot one
  size_t naming_ = 0;         // accepted, and not yet delivered
  Accept accept_{*this};      // as a Deadline: the end of a pause
  AcceptRefresh refresh_{*this};
  std::vector<std::unique_ptr<UringStream>> streams_;
  std::vector<UringStream*> idle_;
};

}  // namespace huntd::server
