// The parent's children: a process for each core, and the one that answers the admin port. One that
// ends is started again, a core after a pause that grows while it keeps ending.
#pragma once
#include <poll.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "huntd/control.h"
#include "huntd/prepare.h"
#include "stats/shared_region.h"

namespace huntd {

// CPUs that this process may run on.
std::vector<int> allowed_cpus();

class Children {
 public:
  // The parent's own; every child gets those that it needs and closes the others.
  struct Descriptors {
    int listen = -1;
    int admin = -1;
    int signals = -1;
  };
  // Each child begins with what `prepared` says at its start. Both outlive the children.
  Children(const Prepared& prepared, SharedRegion& region) : prepared_(prepared), region_(region) {}

  // Makes the cores' links to each other.
  Result<void> open();
  // Starts all of them.
  void start(const Descriptors& descriptors);
  // Ends the admin process, and waits for it. The cores have ended.
  void end_admin();

  // Adds what hear() needs to be told of.
  void add_to(std::vector<pollfd>& waits) const;
  // Takes what cores have said, of the `waits` from `first` on that add_to() added.
  void hear(const std::vector<pollfd>& waits, size_t first);
  // After SIGCHLD.
  void collect();
  // Starts those again whose pause is over, but not once they drain.
  void start_due(uint64_t now_ns);
  // For so long start_due() has nothing to do; `most_ms` at most.
  uint64_t wait_ms(uint64_t now_ns, uint64_t most_ms) const;

  // One control message to every core, with a descriptor or without.
  void tell(const std::string& message, int descriptor = -1);
  // The cores finish what they have begun. They forward to each other to the last, so they end
  // together, and none is started again.
  void drain();
  void kill_cores();

  bool all_listen() const;
  bool all_cores_ended() const;
  // Logs the cores whose loop does not turn; false where there is one.
  bool all_turn(uint64_t now_ns) const;

 private:
  struct Core {
    uint32_t index = 0;
    pid_t pid = -1;
    uint32_t epoch = 0;
    bool up = false;     // it said that it listens
    bool quiet = false;  // while draining: it said so
    int control = -1;
    std::vector<int> peer_descriptors;
    uint64_t started_at_ns = 0;
    uint64_t backoff_ms = 0;
    uint64_t restart_at_ns = 0;
  };
  void start_core(Core& core);
  [[noreturn]] void run_as_core(Core& core, const int control[2]) const;
  void start_admin();
  void on_core_end(Core& core, const std::string& how);
  void tell(Core& core, const std::string& message, int descriptor = -1);
  void tell_others(const PeerNews& news);
  void hear(Core& core);
  void on_listening(Core& core);
  void end_if_all_quiet();

  const Prepared& prepared_;
  SharedRegion& region_;
  Descriptors descriptors_;
  std::vector<int> cpus_;
  std::vector<Core> cores_;
  pid_t admin_pid_ = -1;
  uint64_t admin_started_at_ns_ = 0;
  bool draining_ = false;
  bool told_end_ = false;
};

}  // namespace huntd
