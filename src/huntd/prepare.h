// What the config file says, read and checked before anything starts, and again at every reload.
#pragma once
#include <memory>
#include <string>

#include "base/config.h"
#include "bundle/bundle.h"
#include "bundle/worker_program.h"
#include "huntd/control.h"

namespace huntd {

// Scripts compiled, names resolved.
struct Prepared {
  Config config;
  Address redis;  // a numeric address
  std::string redis_password;
  Secrets secrets;  // who may call
  std::shared_ptr<const WorkerProgram> worker;
  Bundle bundle;
};
// Reads the config and everything that it names; changes nothing. `running` is the worker that a
// reload goes on with. The error has a line for each problem.
Result<Prepared> prepare(const std::string& config_path,
                         std::shared_ptr<const WorkerProgram> running = nullptr);

}  // namespace huntd
