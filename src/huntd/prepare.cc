// SPDX-License-Identifier: Apache-2.0
#include "huntd/prepare.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "base/ids.h"
#include "base/limits.h"
#include "base/net.h"
#include "base/private_file.h"
#include "bundle/check.h"

namespace huntd::server {
namespace {

// The path of hunt_worker: that of the config, or the one beside this program.
std::string find_worker(const Config& config) {
  if (!config.worker.binary.empty()) return config.worker.binary;
  char path[PATH_MAX];
  ssize_t const length = readlink("/proc/self/exe", path, sizeof path);
  std::string const self(path, length > 0 ? static_cast<size_t>(length) : 0);
  return self.substr(0, self.rfind('/') + 1) + "hunt_worker";
}

// Resolves the name here, since a core must not wait for a resolver.
Result<Address> resolve_redis(const std::string& text) {
  Result<Address> address = parse_address(text);
  if (!address || address->unix_socket) return address;
  Result<std::string> numeric = resolve(address->host);
  if (!numeric) return Error{fmt::format("redis.address: {}", numeric.error().message)};
  address->host = std::move(*numeric);
  return address;
}

Result<std::string> read_seed_secret(const std::string& file) {
  constexpr const char* key = "hunts.seed_secret_file";
  Result<std::string> secret = read_secret(file, key);
  if (secret && (secret->size() < limits::secret_bytes_min ||
                 secret->size() > limits::secret_bytes_max || !is_visible_ascii(*secret)))
    return Error{
        fmt::format("{}: the first line of {} must be {} to {} visible ASCII characters, "
                    "for example from `openssl rand -hex 32`",
                    key, file, limits::secret_bytes_min, limits::secret_bytes_max)};
  return secret;
}

}  // namespace

Result<Prepared> prepare(const std::string& config_path,
                         std::shared_ptr<const WorkerProgram> running) {
  Result<Config> config = load_config(config_path);
  if (!config) return config.error();
  Prepared prepared;
  prepared.config = std::move(*config);
  Result<Address> redis = resolve_redis(prepared.config.redis.address);
  if (!redis) return redis.error();
  prepared.redis = std::move(*redis);
  if (const std::string& file = prepared.config.redis.password_file; !file.empty()) {
    Result<std::string> password = read_secret(file, "redis.password_file");
    if (!password) return password.error();
    prepared.redis_password = std::move(*password);
  }
  if (const std::string& file = prepared.config.hunts.seed_secret_file; !file.empty()) {
    Result<std::string> secret = read_seed_secret(file);
    if (!secret) return secret.error();
    prepared.seed_secret = std::move(*secret);
  }
  Result<Secrets> secrets = load_secrets(prepared.config);
  if (!secrets) return secrets.error();
  prepared.secrets = std::move(*secrets);
  prepared.worker = std::move(running);
  if (prepared.worker == nullptr) {
    Result<WorkerProgram> worker = WorkerProgram::open(find_worker(prepared.config));
    if (!worker) return worker.error();
    prepared.worker = std::make_shared<const WorkerProgram>(std::move(*worker));
  }
  Result<LoadedBundle> loaded = load_bundle(prepared.config.hunts.dir);
  if (!loaded) return loaded.error();
  prepared.skipped_files = std::move(loaded->skipped);
  // Compiling has more time than a hunt, so that a slow host does not reject a good script.
  uint32_t const check_deadline_ms = std::max<uint32_t>(2000, prepared.config.worker.deadline_ms);
  Result<Bundle> checked =
      check_bundle(loaded->bundle, prepared.config.hunts.dir, prepared.worker->exec_path(),
                   check_deadline_ms, prepared.config.worker.memory_bytes);
  if (!checked) return checked.error();
  prepared.bundle = std::move(*checked);
  return prepared;
}

}  // namespace huntd::server
