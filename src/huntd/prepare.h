// SPDX-License-Identifier: Apache-2.0
// Reads and checks the config file and all that it names, before anything starts and at each
// reload.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "bundle/worker_program.h"
#include "config/config.h"
#include "core/control.h"

namespace huntd::server {

struct Prepared {
  Config config;
  Address redis;  // a numeric address
  std::string redis_password;
  Secrets secrets;
  std::string seed_secret;  // empty: the ledger has it
  std::shared_ptr<const WorkerProgram> worker;
  Bundle bundle;                           // scripts compiled
  std::vector<std::string> skipped_files;  // of hunts.dir, as in LoadedBundle
};
// Changes nothing outside. A reload passes the `running` worker program, which stays in use. The
// error has one line per problem.
Result<Prepared> prepare(const std::string& config_path,
                         std::shared_ptr<const WorkerProgram> running = nullptr);

}  // namespace huntd::server
