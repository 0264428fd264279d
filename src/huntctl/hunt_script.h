// SPDX-License-Identifier: Apache-2.0
// What the commands share that run a script on a worker of their own (try, simulate).
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

#include "base/result.h"
#include "bundle/bundle.h"
#include "config/config.h"
#include "rehearsal/simulation_figures.h"

namespace huntd::huntctl {

struct HuntScript {
  std::string hunt_id;
  std::string dir;
  BundleFiles files;  // the script, and what it has beside it: NAME.toml, lib/*.lua
};

inline Error usage_error(std::string message) {
  return Error{std::move(message), ErrorKind::usage};
}

// Reads `name`: FILE.lua, or a hunt in hunts.dir. The error is of kind `usage`.
Result<HuntScript> read_hunt_script(const std::string& name, const Config& config);

// The script `text` of `path`, with what is beside it. The settings of a test, NAME_test.lua, are
// those of its hunt. The error names the file that cannot be read.
Result<HuntScript> hunt_script(const std::filesystem::path& path, std::string text);

// The bundle of this one hunt, with its image. The error has file and line.
Result<Bundle> checked_bundle(const HuntScript& script, const Config& config,
                              const std::string& worker_path);

// A simulation of this hunt with a new seed, the limits of the config and two workers per CPU. Who
// calls it sets `hunters` and `hunts`.
SimulationPlan default_plan(const std::string& hunt_id, const Config& config);

// Reads --now: milliseconds since the Unix epoch, or YYYY-MM-DDTHH:MM[:SS] with Z or +HH:MM.
// The error is of kind `usage`.
Result<int64_t> read_now(const std::string& text);

}  // namespace huntd::huntctl
