// SPDX-License-Identifier: Apache-2.0
// What a connect has to look up, as coroutines: the addresses of a name, the content of a password
// file.
#pragma once
#include <string>
#include <vector>

#include "base/pool.h"
#include "base/scheduler.h"
#include "base/task.h"
#include "environment/environment.h"
#include "environment/redis_access.h"

namespace huntd::server {

// Several coroutines may call it: one after the other is served.
class Lookup final : private ResolveUser, private SecretUser {
 public:
  Lookup(Resolver& resolver, SecretFiles& secrets, Scheduler& scheduler)
      : resolver_(resolver), secrets_(secrets), scheduler_(scheduler) {}

  // Whether addresses() asks the resolver.
  static bool is_name(const Address& address);
  // The address itself, or of a name all of its addresses: at least one. A resolver is waited for
  // limits::resolve_wait_ns at most, and until `deadline_at_ns`.
  Task<Result<std::vector<Address>>> addresses(Address address, uint64_t deadline_at_ns = never_ns);
  // Reads the password file of `login` again. Returns whether it has another password, which is in
  // `login` then. The file is waited for limits::secret_wait_ns at most, and until `deadline_at_ns`;
  // `key` names it in errors. REQUIRES: `login` has a file and outlives the call.
  Task<Result<bool>> read_password(RedisLogin& login, const char* key,
                                   uint64_t deadline_at_ns = never_ns);
  // Ends the call that waits, if one does, with an error.
  void give_up();

 private:
  Task<bool> take_turn(uint64_t deadline_at_ns);
  void end_turn();
  void on_resolved(Result<std::vector<Address>> found) override { resolved_.set(std::move(found)); }
  void on_secret(Result<std::string> secret) override { secret_.set(std::move(secret)); }

  Resolver& resolver_;
  SecretFiles& secrets_;
  Scheduler& scheduler_;
  bool taken_ = false;                    // by a coroutine
  PoolVector<OneShot<Signal>*> waiting_;  // for their turn
  bool resolving_ = false;
  bool reading_ = false;
  OneShot<Result<std::vector<Address>>> resolved_{scheduler_};
  OneShot<Result<std::string>> secret_{scheduler_};
};

}  // namespace huntd::server
