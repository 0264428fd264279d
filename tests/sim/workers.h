// SPDX-License-Identifier: Apache-2.0
// Workers that send what scripts would, and that crash, stall and violate the frame protocol.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "machine.h"
#include "wire/worker_frame.h"

namespace huntd::server::sim {

// The hunts that clients may ask for, and what their scripts do.
//   gift    one to three coins
//   once    the next crown after those that hunt.held() has
//   smith   three iron that hunt.held() has, for a sword; else two to four iron. Or it takes three iron
//           without a look at what is held
//   ticket  one or two units of a shared supply, else a coin; half of the time it then rejects. At times it
//           asks what is left of the supply
//   diary   counts by hunt.state(), and mostly gives the page with the new number
//   empty   nothing
//   no      hunt.reject
//   broken  fails
inline const std::vector<std::string> hunt_names = {"broken", "diary", "empty", "gift",
                                                    "no",     "once",  "smith", "ticket"};

// The outcome that a worker sent for a job, before it is committed.
struct WorkerOutcome {
  std::string hunter_id;
  std::string hunt_id;
  uint64_t seed = 0;     // the first half of the job's: a keyed hash of hunter, hunt and key
  uint64_t request = 0;  // the number in the body of the client's request
  bool rejected = false;
  std::vector<std::string> loot;
  std::vector<bool> limited;
  std::vector<int32_t> units;  // below 0: taken
  std::string state;           // what its script keeps; empty: it has not asked
};

class Workers final : public WorkerHost {
 public:
  // `per_hunt`: no worker may get jobs of two hunts.
  Workers(Machine& machine, double misbehave, uint64_t tickets, bool per_hunt,
          std::function<void(const WorkerOutcome&)> on_outcome);
  void set_user(WorkerUser& user) override { user_ = &user; }
  void start(uint32_t slot, std::string_view hunter_id, std::string_view job) override;
  void start_idle(uint32_t slot) override;
  void start_holder(uint32_t slot, uint64_t memory_bytes) override;
  void send(uint32_t slot, std::string_view frame) override;
  void kill(uint32_t slot) override;
  void detach(uint32_t slot) override;
  void stop(uint32_t slot) override;
  void use_bundle(int bundle_descriptor, StartMethod method) override;
  size_t alive() const;

 private:
  class Worker;
  void spawn(uint32_t slot, std::string first_frame, bool is_holder);
  void report_exit(uint32_t slot, const std::shared_ptr<Worker>& worker, int spawn_errno,
                   int status);

  Machine& machine_;
  double misbehave_;
  uint64_t tickets_;
  bool per_hunt_;
  std::function<void(const WorkerOutcome&)> on_outcome_;
  WorkerUser* user_ = nullptr;
  std::map<uint32_t, std::shared_ptr<Worker>> workers_;
};

}  // namespace huntd::server::sim
