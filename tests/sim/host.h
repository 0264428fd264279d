// SPDX-License-Identifier: Apache-2.0
// One host: its cores, the parent that restarts them (as huntd/children.cc does), the servers and
// the clients. The seed decides everything.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "audit.h"
#include "bundle/bundle.h"
#include "client.h"
#include "config/config.h"
#include "kafka.h"
#include "link.h"
#include "machine.h"
#include "metrics/shared_region.h"
#include "redis_server.h"
#include "wire.h"
#include "workers.h"
#include "world.h"

namespace huntd::server::sim {

// The properties of a run, drawn from its seed.
struct Plan {
  uint32_t cores = 2;
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
    uint32_t index = 0;
    uint32_t incarnation = 0;
    bool up = false;
    bool idle = false;
    uint64_t started_at_ns = 0;
    uint64_t backoff_ms = 0;
    Process* process = nullptr;
  };
  void start_core(CoreEntry& entry);
  void on_core_exit(CoreEntry& entry);
  void update_others(const PeerUpdate& update);
  void send(CoreEntry& entry, std::string message, int descriptor = -1);
  void receive_from(CoreEntry& entry, const Packet& packet);
  void inject_faults();
  void inject_one();
  bool inject_core_fault(uint64_t fault, uint64_t duration_ns);
  void inject_server_fault(uint64_t fault, uint64_t duration_ns);
  void swap_bundle();
  void heal();
  void await_results();
  void drain();
  bool all_have_results();
  void check_cores();
  std::vector<CoreEntry*> running_cores();

  World& world_;
  Plan plan_;
  RedisServer redis_;
  Topic topic_;
  Descriptors descriptors_;
  Listener listener_;
  Audit audit_;
  SharedRegion region_;
  Bundle bundle_;
  std::vector<std::unique_ptr<CoreEntry>> entries_;
  std::vector<std::vector<std::unique_ptr<Channel>>> channels_;  // from, to
  std::vector<std::unique_ptr<Client>> clients_;
  bool stopping_ = false;
  bool end_sent_ = false;
};

}  // namespace huntd::server::sim
