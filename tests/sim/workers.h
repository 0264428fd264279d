// Workers that answer as scripts would, and that crash, stall and break every rule.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "machine.h"
#include "protocol/worker_frame.h"

namespace huntd::sim {

// The hunts that clients may ask for, and what their scripts do.
//   gift    one to three coins           once    the next crown after those that hunt.held() has
//   ticket  one of a supply for all, else a coin, sometimes two at once, and every other time no
//   empty   nothing                      no      hunt.reject
//   broken  fails
inline const std::vector<std::string> hunt_names = {"broken", "empty", "gift",
                                                    "no",     "once",  "ticket"};

// What a worker said of one job, before any of it is committed.
struct SaidOutcome {
  std::string hunter_id;
  std::string hunt_id;
  uint64_t seed = 0;     // of the job: made from hunter, hunt and key
  uint64_t request = 0;  // the number that the client put into the body
  bool rejected = false;
  std::vector<std::string> loot;
  std::vector<bool> limited;
};

class Workers final : public WorkerHost {
 public:
  Workers(Machine& machine, double misbehave, uint64_t tickets,
          std::function<void(const SaidOutcome&)> on_said);
  void set_user(WorkerUser& user) override { user_ = &user; }
  void start(uint32_t place, std::string_view hunter_id, std::string_view job) override;
  void start_spare(uint32_t place) override;
  void send(uint32_t place, std::string_view frame) override;
  void kill(uint32_t place) override;
  void dismiss(uint32_t place) override;
  void retire(uint32_t place) override;
  void use_bundle(int bundle_descriptor, Birth birth) override;
  size_t alive() const;

 private:
  class Worker;
  void born(uint32_t place, std::string first_frame);
  void leave(uint32_t place, const std::shared_ptr<Worker>& worker, int spawn_errno, int status);

  Machine& machine_;
  double misbehave_;
  uint64_t tickets_;
  std::function<void(const SaidOutcome&)> on_said_;
  WorkerUser* user_ = nullptr;
  std::map<uint32_t, std::shared_ptr<Worker>> workers_;
};

}  // namespace huntd::sim
