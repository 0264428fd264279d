// WorkerHost on the ring: asks the spawner or the zygote for births, talks to each worker over its
// socket, watches it by pidfd.
#pragma once
#include <memory>
#include <vector>

#include "io/outside.h"
#include "protocol/spawner_message.h"
#include "uring/packet_socket.h"

namespace huntd::uring {

class UringWorkerHost final : public WorkerHost, private PacketUser {
 public:
  // `spawner_socket` becomes this object's.
  UringWorkerHost(Ring& ring, int spawner_socket);

  void set_user(WorkerUser& user) override { user_ = &user; }
  void start(uint32_t place, std::string_view hunter_id, std::string_view job) override;
  void send(uint32_t place, std::string_view frame) override;
  void start_spare(uint32_t place) override;
  void kill(uint32_t place) override;
  void dismiss(uint32_t place) override;
  void retire(uint32_t place) override;
  void use_bundle(int bundle_descriptor, Birth birth) override;
  // Hands the tick's starts to the ring.
  void flush();

 private:
  struct Place;
  // One that forks; a new one at every swap. The old one ends after its last worker.
  struct Zygote final : PacketUser {
    Zygote(UringWorkerHost& owner, int descriptor)
        : host(owner), socket(owner.ring_, descriptor, *this) {}
    void on_packet(std::string_view packet, std::span<const int> descriptors) override {
      host.on_packet(packet, descriptors);
    }
    void on_packets_end() override { host.on_zygote_end(*this); }
    UringWorkerHost& host;
    PacketSocket socket;
    uint32_t workers = 0;  // asked of it and not gone
    bool told_to_end = false;
  };
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
    bool retired = false;      // waits for no job any more
    bool zygote_gone = false;  // who bore it can't be asked any more
    Zygote* zygote = nullptr;  // who bore it; null: the spawner
    Text first_job;            // of a spare whose start is not reported yet
    Receive receive{*this};
    Exit exit{*this};
    std::vector<char> buffer;
  };

  void on_packet(std::string_view packet, std::span<const int> descriptors) override;
  void on_packets_end() override;
  void on_started(Place& place, const spawner_report& report, std::span<const int> descriptors);
  void on_zygote(const spawner_report& report, std::span<const int> descriptors);
  void on_zygote_end(Zygote& zygote);
  void request_start(uint32_t place, std::string_view hunter_id, std::string_view job);
  void ask_for_zygote();
  void fail_starts(int spawn_errno);
  void send_frame(Place& place, std::string_view frame);
  void end_old_zygotes();
  void ask_bearer(const Place& place, uint32_t kind, int32_t pid);
  void arm_receive(Place& place);
  void on_frame(Place& place, int32_t result);
  void finish_if_gone(Place& place);
  void leave(Place& place, int spawn_errno, int wait_status);

  Ring& ring_;
  PacketSocket spawner_;
  WorkerUser* user_ = nullptr;
  std::vector<std::unique_ptr<Place>> places_;
  Birth birth_ = Birth::spawn;
  Text starts_;               // the tick's, as one packet
  List<uint32_t> starts_of_;  // whose they are
  std::vector<std::unique_ptr<Zygote>> zygotes_;
  Zygote* zygote_ = nullptr;  // the one that bears now
  bool zygote_asked_ = false;
  uint32_t zygote_number_ = 0;  // of the one asked for last
};

}  // namespace huntd::uring
