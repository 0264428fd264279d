// SPDX-License-Identifier: Apache-2.0
// The parent's child processes: one per core, and the admin process. A child that ends is started
// again; a core after a pause that grows if it keeps ending.
#pragma once
#include <poll.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "core/control.h"
#include "huntd/child.h"
#include "huntd/prepare.h"
#include "metrics/shared_region.h"

namespace huntd::server {

struct StalledCore {
  uint32_t core = 0;
  uint64_t for_ms = 0;  // since its last tick
};

class Children {
 public:
  // Descriptors of the parent, which keeps them. A child gets those that it needs and closes the
  // rest.
  struct Descriptors {
    std::vector<int> listen;  // of the public port
    int admin = -1;
    int signals = -1;
  };
  // A child starts with the content of `prepared` at that moment. Both outlive this object.
  // `pin_cores`: each core runs on one CPU only.
  Children(const Prepared& prepared, SharedRegion& region, bool pin_cores)
      : prepared_(prepared), region_(region), pin_cores_(pin_cores) {}

  // Opens the sockets between the cores.
  Result<void> open();
  // Starts all children.
  void start(const Descriptors& descriptors);
  // Kills the admin process and waits for its end.
  void end_admin();

  // Appends the descriptors that receive() needs to `waits`.
  void add_to(std::vector<pollfd>& waits) const;
  // Receives messages of the cores. add_to() appended to the polled `waits` at index `first`.
  void receive(const std::vector<pollfd>& waits, size_t first);
  // Collects ended children, after SIGCHLD. Returns those that are not of this object.
  std::vector<EndedChild> collect();
  // Starts children whose pause is over; none during a drain. They
  // close the descriptors `parent_only` (-1: none).
  void start_due(uint64_t now_ns, std::vector<int> parent_only);
  // How long until start_due() has something to do; at most `max_ms`.
  uint64_t wait_ms(uint64_t now_ns, uint64_t max_ms) const;

  // Sends a control message to every core. `descriptor` (-1 for none) stays the caller's.
  void send(const std::string& message, int descriptor = -1);
  // Informs the cores, and those that start later, whether the host leaves (ControlMessage::leaving).
  void set_leaving(bool leaving);
  // Asks the cores to finish their requests and exit. They forward requests to each other until all
  // are idle, so they exit together. None is started again.
  void drain();
  void kill_cores();

  // The numbers of the cores that run and whose new hunts do not run `bundle` yet, as texts.
  std::vector<std::string> cores_without(const std::string& bundle) const;
  // Whether every core accepts connections.
  bool all_listen() const;
  bool all_cores_ended() const;
  // The first core that has not completed a tick for too long.
  std::optional<StalledCore> stalled(uint64_t now_ns) const;

 private:
  struct Core {
    uint32_t index = 0;
    pid_t pid = -1;
    uint32_t incarnation = 0;
    bool up = false;       // it has reported that it listens
    bool drained = false;  // during a drain: it has reported that it is idle
    UniqueFd control;
    // Of every incarnation: from which it reads what other cores send, and by which they send it.
    UniqueFd inbox;
    UniqueFd outbox;
    uint64_t started_at_ns = 0;
    uint64_t backoff_ms = 0;
    uint64_t restart_at_ns = 0;  // 0: not due
  };
  void start_core(Core& core);
  void retry_start(Core& core, const char* call);
  [[noreturn]] void run_as_core(Core& core, UniqueFd control);
  void start_admin();
  [[noreturn]] void run_as_admin();
  void close_parents_own() const;
  void on_core_end(Core& core, const std::string& reason);
  void send(Core& core, const std::string& message, int descriptor = -1);
  void send_to_others(const PeerUpdate& update);
  void receive(Core& core);
  void on_listening(Core& core);
  void end_if_all_drained();

  const Prepared& prepared_;
  SharedRegion& region_;
  bool const pin_cores_;
  Descriptors descriptors_;
  std::vector<int> parent_only_;  // others, as of start_due()
  std::vector<int> cpus_;
  std::vector<Core> cores_;
  pid_t admin_pid_ = -1;
  uint64_t admin_started_at_ns_ = 0;
  bool leaving_ = false;
  bool draining_ = false;
  bool end_sent_ = false;
};

}  // namespace huntd::server
