// SPDX-License-Identifier: Apache-2.0
#include "huntd/prepare.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/limits.h"
#include "base/net.h"
#include "base/private_file.h"
#include "bundle/check.h"
#include "chance/seed_secrets.h"
#include "drivers/kafka_properties.h"

namespace huntd::server {
namespace {

// Resolves the name here, since a core must not wait for a resolver.
Result<Address> resolve_redis(const std::string& text) {
  Result<Address> address = parse_address(text);
  if (!address || address->unix_socket) return address;
  Result<std::string> numeric = resolve(address->host);
  if (!numeric) return Error{fmt::format("redis.address: {}", numeric.error().message)};
  address->host = std::move(*numeric);
  return address;
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
  if (Result<void> kafka = prepare_kafka_properties(prepared.config); !kafka) return kafka.error();
  if (const std::string& file = prepared.config.hunts.seed_secret_file; !file.empty()) {
    Result<std::string> secret = read_seed_secret_file(file);
    if (!secret) return secret.error();
    prepared.seed_secret = std::move(*secret);
  }
  Result<Secrets> secrets = load_secrets(prepared.config);
  if (!secrets) return secrets.error();
  prepared.secrets = std::move(*secrets);
  prepared.worker = std::move(running);
  if (prepared.worker == nullptr) {
    Result<WorkerProgram> worker = WorkerProgram::open(find_worker(prepared.config.worker.binary));
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
