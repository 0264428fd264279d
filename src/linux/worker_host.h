// SPDX-License-Identifier: Apache-2.0
// WorkerHost on the ring: sends start requests to the spawner or the zygote, which report the exits,
// and exchanges frames with each worker over its slot's socket. Workers of one job have the same
// socket, one after the other.
#pragma once
#include <memory>
#include <vector>

#include "base/limits.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/unique_fd.h"
#include "environment/worker_host.h"
#include "linux/launcher_watch.h"
#include "linux/packet_socket.h"
#include "wire/spawner_message.h"

namespace huntd::server {

class UringWorkerHost final : public WorkerHost, private PacketUser {
 public:
  // Takes ownership of `spawner_socket`.
  UringWorkerHost(Ring& ring, int spawner_socket);

  void set_user(WorkerUser& user) override { user_ = &user; }
  void start(uint32_t slot, std::string_view hunter_id, std::string_view job) override;
  void send(uint32_t slot, std::string_view frame) override;
  void start_idle(uint32_t slot) override;
  void start_holder(uint32_t slot, uint64_t memory_bytes) override;
  void kill(uint32_t slot) override;
  void detach(uint32_t slot) override;
  void stop(uint32_t slot) override;
  void use_bundle(int bundle_descriptor, StartMethod method) override;
  // Asks the processes that start workers whether they run. Call once per tick, before flush().
  void watch_launchers(uint64_t ran_ns);
  // Passes the tick's start requests to the ring.
  void flush();

 private:
  struct Slot;
  static constexpr uint32_t spawner_number = 0;  // zygotes count from 1
  // A process that forks workers. Every bundle has its own; an old one ends after its last worker.
  struct Zygote final : PacketUser {
    Zygote(UringWorkerHost& owner, uint32_t its_number, int descriptor)
        : host(owner), number(its_number), socket(owner.ring_, descriptor, *this) {}
    void on_packet(std::string_view packet, std::span<const int> descriptors) override {
      host.take_packet(packet, descriptors, watch);
    }
    void on_packets_end() override { host.on_zygote_end(*this); }
    UringWorkerHost& host;
    uint32_t const number;
    PacketSocket socket;
    LauncherWatch watch;
    PoolString kills;      // of the tick
    uint32_t workers = 0;  // slots in use that this zygote starts or has started
    bool stopping = false;
  };
  struct Receive final : Op {
    explicit Receive(Slot& owner) : slot(owner) {}
    void complete(int32_t result, uint32_t flags) override;
    Slot& slot;
  };
  struct Slot {
    Slot(UringWorkerHost& owner, uint32_t at) : host(owner), index(at) {}
    UringWorkerHost& host;
    uint32_t index;
    UniqueFd socket;                      // kept for the next worker of one job
    uint32_t socket_of = spawner_number;  // the launcher that has the other end
    uint32_t run = 0;                     // counts the starts
    bool in_use = false;
    bool has_job = false;   // from its start: the worker exits after it
    bool started = false;   // reported
    bool has_sent = false;  // a frame
    bool kill_sent = false;
    bool receiving = false;
    bool cancelling = false;  // of that receive
    bool ended = false;       // it has exited, or could not be started
    bool detached = false;    // what it may still send is not needed
    bool kill_when_started = false;
    bool stop_when_started = false;
    int spawn_errno = 0;
    int wait_status = 0;
    Zygote* zygote = nullptr;  // its launcher; null: the spawner
    PoolString first_job;      // of an idle worker whose start is not reported yet
    uint64_t clean_key = 0;    // of a holder's WF_CLEAN; 0: it is not a holder
    Receive receive{*this};
    // For frames of at most limits::worker_frame_bytes_max. Not filled with zeros: what no frame has
    // used takes no memory.
    std::unique_ptr<char[]> buffer =
        std::make_unique_for_overwrite<char[]>(limits::worker_frame_bytes_max);
  };

  void on_packet(std::string_view packet, std::span<const int> descriptors) override;
  void on_packets_end() override;
  void take_packet(std::string_view packet, std::span<const int> descriptors, LauncherWatch& watch);
  void on_report(const spawner_report& report, std::span<const int> descriptors);
  static void ask(PacketSocket& launcher);
  void on_started(Slot& slot, const spawner_report& report, std::span<const int> descriptors);
  void on_zygote(const spawner_report& report, std::span<const int> descriptors);
  void on_zygote_end(Zygote& zygote);
  void request_start(uint32_t kind, uint32_t slot, std::string_view hunter_id,
                     std::string_view body);
  void request_zygote();
  uint32_t launcher_number() const;
  void prepare_sockets();
  void fail_starts(int spawn_errno);
  void send_frame(Slot& slot, std::string_view frame);
  void stop_old_zygotes();
  void send_kill(Slot& slot);
  void flush_kills();
  void arm_receive(Slot& slot);
  void on_frame(Slot& slot, int32_t result);
  static std::string_view frame_in(const Slot& slot, size_t bytes);
  void on_empty_packet(Slot& slot);
  void pass_frame(Slot& slot, std::string_view frame);
  void end(Slot& slot, int spawn_errno, int wait_status);
  void finish_if_gone(Slot& slot);
  void read_rest(Slot& slot);
  void free_slot(Slot& slot);

  Ring& ring_;
  PacketSocket spawner_;
  LauncherWatch spawner_watch_;
  bool launcher_answers_ = true;  // as reported to the user
  WorkerUser* user_ = nullptr;
  std::vector<std::unique_ptr<Slot>> slots_;
  StartMethod method_ = StartMethod::exec;
  PoolString kills_;                  // the tick's kill requests to the spawner
  PoolString starts_;                 // the tick's start requests, as one packet
  PoolVector<uint32_t> start_slots_;  // their slots
  std::vector<std::unique_ptr<Zygote>> zygotes_;
  Zygote* zygote_ = nullptr;  // of the current bundle
  bool zygote_requested_ = false;
  uint32_t zygote_number_ = 0;  // of the last one requested
  log::Budget log_budget_{1};   // for zygotes that cannot be started
};

}  // namespace huntd::server
