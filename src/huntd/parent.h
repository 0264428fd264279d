// The parent: it holds the listening socket and the shared memory, starts the cores and the admin
// process, starts again what dies, and tells the cores what is new. One thread, nothing of a
// client's ever in it.
#pragma once
#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/config.h"
#include "bundle/bundle.h"
#include "bundle/worker_program.h"
#include "huntd/control.h"
#include "stats/shared_region.h"

namespace huntd {

inline constexpr int exit_config = 78;  // EX_CONFIG, sysexits.h

// What the command line and the config file said, checked: scripts compiled, names resolved.
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

// Runs the service until it is told to stop; returns the exit status.
int run_parent(Prepared prepared, const std::string& config_path);

}  // namespace huntd
