// SPDX-License-Identifier: Apache-2.0
// Network on the ring: accepts connections on the shared listening sockets, connects, and owns the
// pool of streams. One multishot operation per socket accepts while there is room for the backlogs
// of all, which they can deliver at once; with less room, single operations accept at most as many
// connections, but one on each socket.
#pragma once
#include <sys/socket.h>

#include <deque>
#include <memory>
#include <vector>

#include "base/scheduler.h"
#include "base/unique_fd.h"
#include "environment/network.h"
#include "linux/stream.h"

namespace huntd::server {

class UringNetwork final : public Network {
 public:
  // Does not take ownership of the listening sockets.
  UringNetwork(Ring& ring, Scheduler& scheduler, const std::vector<int>& listen_descriptors);

  void connect(const Address& address, ConnectUser& user) override;
  void start_accepting(AcceptUser& user, bool with_peers) override;
  void stop_accepting() override;
  StreamPtr adopt(int descriptor) override;

  Ring& ring() { return ring_; }
  // Takes a closed stream back into the pool.
  void recycle(UringStream& stream) { idle_.push_back(&stream); }

 private:
  // A listening socket, and the accept operations on it.
  struct Listener final : Op {
    Listener(UringNetwork& owner, int listen_descriptor)
        : network(owner), descriptor(listen_descriptor) {}
    void complete(int32_t result, uint32_t flags) override {
      network.on_accepted(*this, result, flags);
    }
    UringNetwork& network;
    int const descriptor;
    socklen_t name_bytes = 0;  // size of a client's address; 0: it is not a TCP socket
    bool with_peers = false;   // who connects is wanted
    size_t accepting = 0;      // accept operations in the kernel
    bool multishot = false;    // it is the multishot one
  };
  struct AcceptPause final : Deadline {
    explicit AcceptPause(UringNetwork& owner) : network(owner) {}
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
  size_t backlogs() const;
  void arm_accepts();
  void arm_accepts(Listener& listener);
  void arm_accept(Listener& listener, bool multishot);
  void cancel_accepts();
  void refresh_accepts();
  void on_accepted(Listener& listener, int32_t result, uint32_t flags);
  void pause_accepts(int32_t result);
  void deliver_accepted(UringStream& stream, int accepted, const Listener& listener);

  Ring& ring_;
  Scheduler& scheduler_;
  std::deque<Listener> listeners_;  // a deque: an operation in the kernel points to its element
  AcceptUser* accept_user_ = nullptr;
  bool accept_wanted_ = false;
  size_t naming_ = 0;  // accepted, and not yet delivered
  AcceptPause pause_{*this};
  uint64_t pause_logged_at_ns_ = 0;  // 0: never
  AcceptRefresh refresh_{*this};
  std::vector<std::unique_ptr<UringStream>> streams_;
  std::vector<UringStream*> idle_;
};

}  // namespace huntd::server
