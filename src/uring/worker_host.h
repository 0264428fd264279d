// WorkerHost on the ring: asks the spawner for births, talks to each worker over its socket,
// watches it by pidfd.
#pragma once
#include <memory>
#include <vector>

#include "io/outside.h"
#include "protocol/spawner_message.h"
#include "uring/packet_socket.h"

namespace huntd::uring {

class UringWorkerHost final : public WorkerHost, private PacketUser {
 public:
  // `spawner_socket` becomes this object's; `places` as worker.max_live.
  UringWorkerHost(Ring& ring, int spawner_socket, uint32_t places);

  void set_user(WorkerUser& user) override { user_ = &user; }
  void start(uint32_t place, std::string_view hunter_id, std::string_view job) override;
  void send(uint32_t place, std::string_view frame) override;
  void kill(uint32_t place) override;
  void dismiss(uint32_t place) override;
  void use_bundle(int bundle_descriptor) override;
  // Hands the tick's starts to the ring.
  void flush();
  // More places; those in use stay.
  void grow(uint32_t places);

 private:
  struct Place;
  struct Receive final : Op {
    explicit Receive(Place& owner) : place(owner) {}
    void complete(int32_t result, uint32_t flags) override;
    Place& place;
  };
  struct Exit final : Op {
    explicit Exit(Place& owner) : place(owner) {}
    void complete(int32_t result, uint32_t flags) override;
    Place& place;
  };
  struct Place {
    Place(UringWorkerHost& owner, uint32_t at) : host(owner), index(at) {}
    UringWorkerHost& host;
    uint32_t index;
    int socket = -1;
    int pidfd = -1;
    int32_t pid = -1;
    bool in_use = false;
    bool receiving = false;
    bool ended = false;       // the pidfd said so
    bool dismissed = false;   // nobody asks how
    bool kill_early = false;  // killed before the spawner told who it is
    bool status_asked = false;
    Receive receive{*this};
    Exit exit{*this};
    std::vector<char> buffer;
  };

  void on_packet(std::string_view packet, std::span<const int> descriptors) override;
  void on_packets_end() override;
  void on_started(Place& place, const SpawnerReport& report, std::span<const int> descriptors);
  void arm_receive(Place& place);
  void on_frame(Place& place, int32_t result);
  void finish_if_gone(Place& place);
  void leave(Place& place, int spawn_errno, int wait_status);

  Ring& ring_;
  PacketSocket spawner_;
  WorkerUser* user_ = nullptr;
  std::vector<std::unique_ptr<Place>> places_;
  std::string starts_;
};

}  // namespace huntd::uring
