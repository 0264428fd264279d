// SPDX-License-Identifier: Apache-2.0
// Reads and checks the config file and all that it names, before anything starts and at each
// reload.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "bundle/bundle.h"
#include "bundle/bundle_history.h"
#include "bundle/deploy_message.h"
#include "bundle/worker_program.h"
#include "config/config.h"
#include "core/control.h"
#include "environment/redis_access.h"

namespace huntd::server {

struct Prepared {
  Config config;
  std::string config_text;  // of which `config` was made
  RedisServers redis;       // not resolved: the cores look names up
  RedisLogins redis_logins;
  Secrets secrets;
  std::string seed_secret;  // empty: the ledger has it
  std::shared_ptr<const WorkerProgram> worker;
  Bundle bundle;                           // scripts compiled
  std::string odds;                        // meant_odds() of it
  std::vector<std::string> skipped_files;  // of hunts.dir, as in LoadedBundle
  // What is wrong with the scripts of hunts.dir, one line per problem; then `bundle` has the saved
  // scripts. Empty: nothing.
  std::string scripts_error;
  BundleHistory history;  // as the start has read it; then the parent keeps it
};

// A change of the scripts alone, by huntctl.
struct ScriptsOrder {
  DeployRequest request;  // not `look`; a rollback has its bundle
  UniqueFd sources;       // of a `deploy`
};

struct PrepareOptions {
  // A reload passes the worker program that is in use, which stays in use.
  std::shared_ptr<const WorkerProgram> running;
  // When the check has to end, on the monotonic clock. 0: after hunts.check_deadline_ms of the
  // config that is read. Bounds the scripts; files and the resolver are not bounded.
  int64_t end_at_ms = 0;
  // At a start: the scripts may be those that were deployed, and if they or hunts.dir have an error,
  // those saved in hunts.state_dir.
  bool may_use_saved = false;
  // At a reload: the scripts that were deployed and stay; null: those of hunts.dir.
  const Bundle* deployed = nullptr;
  // Called with what is done next, in words; may be empty. `new_step`: it is another step, and not
  // only another number.
  std::function<void(const std::string& text, bool new_step)> progress;
};

// Changes nothing outside. The error has one line per problem.
Result<Prepared> prepare(const std::string& config_path, const PrepareOptions& options = {});

// What is in use, with other scripts, which are also kept in hunts.state_dir: a bundle that is not
// kept there does not go live.
Result<Prepared> prepare_scripts_of(const ScriptsOrder& order, const Prepared& in_use,
                                    const PrepareOptions& options);

// The directory of the saved scripts: hunts.state_dir, or that of systemd; empty for none.
std::string state_dir_of(const Config& config);

}  // namespace huntd::server
