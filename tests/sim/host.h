// SPDX-License-Identifier: Apache-2.0
// One or several hosts: their cores, the parents that restart them (as huntd/children.cc does), the
// servers and the clients. The seed decides everything.
#pragma once
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "audit.h"
#include "bundle/bundle.h"
#include "client.h"
#include "config/config.h"
#include "huntctl.h"
#include "kafka.h"
#include "link.h"
#include "machine.h"
#include "metrics/shared_region.h"
#include "redis_server.h"
#include "wire.h"
#include "workers.h"
#include "world.h"

namespace huntd::server::sim {

// As many as were tried; with three cores each they are fewer than limits::cores_max.
inline constexpr uint32_t hosts_max = 5;

// The properties of a run, drawn from its seed.
struct Plan {
  uint32_t hosts = 1;  // that share Redis and Kafka; at most hosts_max
  uint32_t cores = 2;  // of each host
  bool kafka = true;
  uint32_t clients = 6;
  uint64_t load_ns = 20 * s;
  double misbehave = 0.05;
  double fault_pause_s = 1;  // between two faults, on average; 0: none
  // Each run has only some of the faults, hunts and hunters, so that these often coincide (swarm
  // testing: Groce and others, ISSTA 2012).
  std::vector<uint64_t> faults;
  std::vector<std::string> hunts;
  uint32_t hunters = 12;
  uint64_t tickets = 40;
  size_t link_bytes = limits::peer_queue_bytes_max;  // of what a core has not read
  bool redis_named = true;                           // its address is a name
  Config config;
};
Plan draw_plan(Random& random);

class Host {
 public:
  Host(World& world, Plan plan);
  ~Host();
  // The whole run: load and faults, recovery, the checks, a drain.
  void run();
  const Plan& plan() const { return plan_; }
  const Audit& audit() const { return audit_; }

 private:
  struct Process;
  // A core as its parent knows it.
  struct CoreEntry final : PacketReader {
    void receive(Packet packet) override { host->receive_from(*this, packet); }
    Host* host = nullptr;
    uint32_t machine = 0;  // the host that it is on
    uint32_t index = 0;    // on its host
    uint32_t number = 0;   // of all cores
    uint32_t incarnation = 0;
    bool up = false;
    bool idle = false;
    uint64_t started_at_ns = 0;
    uint64_t backoff_ms = 0;
    Process* process = nullptr;
  };
  void make_clients();
  void see_commands(Machine& machine, std::string_view bytes);
  void start_core(CoreEntry& entry);
  void on_core_exit(CoreEntry& entry);
  // Notifies the other cores of the same host.
  void update_others(const CoreEntry& of, bool up);
  void send(CoreEntry& entry, std::string message, int descriptor = -1);
  void receive_from(CoreEntry& entry, const Packet& packet);
  void inject_faults();
  void inject_one();
  bool inject_core_fault(uint64_t fault, uint64_t duration_ns);
  bool inject_server_fault(uint64_t fault, uint64_t duration_ns);
  void inject_loss(uint64_t fault, uint64_t duration_ns);
  void jump_redis_clock();
  void evict_keys(uint64_t until_ns);
  void swap_bundle();
  void heal();
  void await_results();
  void drain();
  bool all_have_results();
  void check_cores();
  void check_hunt_figures();
  std::vector<CoreEntry*> running_cores();

  World& world_;
  Plan plan_;
  RedisServer redis_;
  Topic topic_;
  Descriptors descriptors_;
  std::vector<std::unique_ptr<Listener>> listeners_;  // by host
  Audit audit_;
  Huntctl huntctl_;
  SharedRegion region_;
  Bundle bundle_;
  std::vector<std::unique_ptr<CoreEntry>> entries_;
  std::vector<std::vector<std::unique_ptr<Channel>>> channels_;  // from, to
  std::vector<std::unique_ptr<Client>> clients_;
  bool stopping_ = false;
  std::set<uint32_t> end_sent_;  // hosts
};

}  // namespace huntd::server::sim
