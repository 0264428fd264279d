// SPDX-License-Identifier: Apache-2.0
#include "huntctl/hunt_script.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "base/ids.h"
#include "base/read_text.h"
#include "base/utc_time.h"
#include "bundle/check.h"
#include "bundle/load.h"

namespace huntd::huntctl {
namespace {

// Compiling a script may take longer than a run of it.
constexpr uint32_t check_deadline_ms = 5000;

// Eight hex digits: easily typed again.
std::string new_seed() {
  uint32_t drawn = 0;
  CHECK(getrandom(&drawn, sizeof drawn, 0) == static_cast<ssize_t>(sizeof drawn));
  return fmt::format("{:08x}", drawn);
}

// Noon of today, UTC: so the same seed gives the same report all day.
int64_t noon() {
  constexpr int64_t day_ms = 86'400'000;
  return wall_ms() / day_ms * day_ms + day_ms / 2;
}

}  // namespace

SimulationPlan default_plan(const std::string& hunt_id, const Config& config) {
  SimulationPlan plan;
  plan.hunt_id = hunt_id;
  plan.seed = new_seed();
  plan.memory_bytes = config.worker.memory_bytes;
  plan.deadline_ms = config.worker.deadline_ms;
  plan.now_ms = noon();
  // While one waits for a reply, another one runs.
  plan.workers = std::clamp<uint64_t>(2 * allowed_cpus().size(), 2, simulation::workers_max);
  return plan;
}

Result<HuntScript> read_hunt_script(const std::string& name, const Config& config) {
  std::filesystem::path path = name;
  if (path.extension() != ".lua") path = std::filesystem::path(config.hunts.dir) / (name + ".lua");
  if (!is_path_id(path.stem().string()))
    return usage_error(
        fmt::format("{}: the name of a hunt is 1 to 64 of A-Z a-z 0-9 _ . -", path.string()));
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file)
    return usage_error(fmt::format("cannot read {}: {}", path.string(), std::strerror(errno)));
  return hunt_script(path, text.str());
}

Result<HuntScript> hunt_script(const std::filesystem::path& path, std::string text) {
  std::string const name = path.stem().string();
  HuntScript script{name, path.parent_path().string(), {}};
  if (script.dir.empty()) script.dir = ".";
  std::string const hunt_id = std::string(hunt_of_test(name));
  if (Result<void> added = add_settings(script.dir, hunt_id, name, script.files); !added)
    return usage_error(added.error().message);
  std::vector<std::string> skipped;  // huntd and huntctl check say which
  if (Result<void> added = add_modules(script.dir, script.files, skipped); !added)
    return usage_error(added.error().message);
  script.files.emplace_back(name, std::move(text));
  return script;
}

Result<Bundle> checked_bundle(const HuntScript& script, const Config& config,
                              const std::string& worker_path) {
  Result<Bundle> const sources = make_bundle(script.files);
  if (!sources) return sources.error();
  return check_bundle(*sources, script.dir, worker_path,
                      std::max(check_deadline_ms, config.worker.deadline_ms),
                      config.worker.memory_bytes);
}

Result<int64_t> read_now(const std::string& text) {
  if (std::optional<int64_t> const ms = read_number<int64_t>(text)) return *ms;
  if (std::optional<int64_t> const ms = read_utc_ms(text)) return *ms;
  return usage_error(
      "--now takes milliseconds since 1970, or a time such as 2026-12-24T18:00+01:00");
}

}  // namespace huntd::huntctl
