// SPDX-License-Identifier: Apache-2.0
// The part of huntctl that changes the hash `hunts` in the middle of the load: it closes a hunt,
// deletes what it gave, and opens it again.
#pragma once
#include <functional>
#include <set>
#include <string>

#include "audit.h"
#include "kafka.h"
#include "redis_server.h"
#include "wire/generation.h"

namespace huntd::server::sim {

class Huntctl {
 public:
  Huntctl(World& world, RedisServer& redis, Audit& audit, const Topic& topic)
      : world_(world), redis_(redis), audit_(audit), topic_(topic) {}
  // Closes the hunt, and opens it again after that time.
  void close(const std::string& hunt_id, uint64_t for_ns);
  // Closes the hunt, deletes what it gave as soon as that is possible, and opens it again.
  void purge(const std::string& hunt_id);
  // After a loss Redis may say that a hunt is closed that was opened since: opens it again.
  void look_after_loss();
  // Whether a hunt is closed, or being purged.
  bool busy() const { return !busy_.empty(); }

 private:
  HuntState state_of(const std::string& hunt_id) const;
  void write_state(const std::string& hunt_id, const HuntState& state);
  void open(const std::string& hunt_id);
  bool may_purge(const std::string& hunt_id) const;
  uint64_t newest_generation(const std::string& hunt_id) const;
  void try_purge(const std::string& hunt_id, int tries);
  void delete_keys(const std::string& hunt_id, uint64_t floor);

  World& world_;
  RedisServer& redis_;
  Audit& audit_;
  const Topic& topic_;
  std::set<std::string> busy_;
};

}  // namespace huntd::server::sim
