// One box: its cores, the parent that starts them again (as huntd/children.cc does), and what is
// around it. One seed decides everything.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/config.h"
#include "books.h"
#include "bundle/bundle.h"
#include "client.h"
#include "kafka.h"
#include "link.h"
#include "machine.h"
#include "redis_server.h"
#include "stats/shared_region.h"
#include "wire.h"
#include "workers.h"
#include "world.h"

namespace huntd::sim {

// What of a run its seed has drawn.
struct Plan {
  uint32_t cores = 2;
  bool kafka = true;
  uint32_t clients = 6;
  uint64_t load_ns = 20 * s;
  double misbehave = 0.05;
  double fault_pause_s = 1;  // between two faults, on average; 0: none
  // Each run has some of the faults, hunts and hunters only, so that those are often together
  // (swarm testing: Groce and others, ISSTA 2012).
  std::vector<uint64_t> faults;
  std::vector<std::string> hunts;
  uint32_t hunters = 12;
  uint64_t tickets = 40;
  Config config;
};
Plan draw_plan(Random& random);

class Box {
 public:
  Box(World& world, Plan plan);
  ~Box();
  // The whole run: load and faults, then healing, then the end; and what must be true then.
  void run();
  const Plan& plan() const { return plan_; }
  const Books& books() const { return books_; }

 private:
  struct Life;
  struct Slot final : PacketReader {
    void receive(Packet packet) override { box->hear(*this, packet); }
    Box* box = nullptr;
    uint32_t index = 0;
    uint32_t epoch = 0;
    bool up = false;
    bool quiet = false;
    uint64_t started_at_ns = 0;
    uint64_t backoff_ms = 0;
    Life* life = nullptr;
  };
  void start_core(Slot& slot);
  void on_core_end(Slot& slot);
  void tell_others(const PeerNews& news);
  void tell(Slot& slot, std::string message, int descriptor = -1);
  void hear(Slot& slot, const Packet& packet);
  void inject_faults();
  void inject_one();
  void swap_bundle();
  void heal();
  void settle();
  void drain();
  bool everything_answered();
  std::vector<Slot*> living();

  World& world_;
  Plan plan_;
  RedisServer redis_;
  Topic topic_;
  Descriptors descriptors_;
  Listener listener_;
  Books books_;
  SharedRegion region_;
  Bundle bundle_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<std::vector<std::unique_ptr<Channel>>> channels_;  // from, to
  std::vector<std::unique_ptr<Client>> clients_;
  bool stopping_ = false;
  bool told_end_ = false;
};

}  // namespace huntd::sim
