// Network on the ring: accepts on the shared listening socket, connects, and a pool of streams.
// Accepting is one multishot operation while there is room for all that the backlog can hold, which
// comes at once; with less room it is single ones, no more than there is room for.
#pragma once
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "base/scheduler.h"
#include "io/outside.h"
#include "uring/stream.h"

namespace huntd::uring {

class UringNetwork final : public Network {
 public:
  // `listen_descriptor` stays the caller's.
  UringNetwork(Ring& ring, Scheduler& scheduler, int listen_descriptor);

  void connect(const Address& address, ConnectUser& user) override;
  void start_accepting(AcceptUser& user, bool tell_addresses) override;
  void stop_accepting() override;
  StreamPtr adopt(int descriptor) override;
  std::optional<ClientAddress> address_of(int descriptor) override;
  void drop(int descriptor) override { close(descriptor); }

  Ring& ring() { return ring_; }
  void retire(UringStream& stream) { idle_.push_back(&stream); }

 private:
  struct Accept final : Op, Deadline {
    explicit Accept(UringNetwork& owner) : network(owner) {}
    void complete(int32_t result, uint32_t flags) override { network.on_accepted(result, flags); }
    void on_deadline() override { network.arm_accepts(); }
    UringNetwork& network;
  };
  struct Renewal final : Deadline {
    explicit Renewal(UringNetwork& owner) : network(owner) {}
    void on_deadline() override { network.renew_accepts(); }
    UringNetwork& network;
  };
  // Asks the kernel whose an accepted slot is: a slot has no descriptor for getpeername(2).
  struct Naming final : Op {
    Naming(UringNetwork& owner, StreamPtr accepted) : network(owner), stream(std::move(accepted)) {}
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
    int descriptor = -1;
    sockaddr_storage address{};
  };
  UringStream& idle_stream();
  size_t room() const;
  void arm_accepts();
  void arm_accept(bool multishot);
  void renew_accepts();
  void on_accepted(int32_t result, uint32_t flags);
  void introduce(UringStream& stream, int accepted);

  Ring& ring_;
  Scheduler& scheduler_;
  int listen_descriptor_;
  AcceptUser* accept_user_ = nullptr;
  bool accept_wanted_ = false;
  socklen_t name_bytes_ = 0;  // of a client's address; 0: nobody asks for it
  size_t accepting_ = 0;      // accepts in the kernel
  bool multishot_ = false;    // they are the multishot one
  size_t naming_ = 0;         // accepted, and the user has not been told yet
  Accept accept_{*this};
  Renewal renewal_{*this};
  std::vector<std::unique_ptr<UringStream>> streams_;
  std::vector<UringStream*> idle_;
};

}  // namespace huntd::uring
