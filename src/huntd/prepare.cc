#include "huntd/prepare.h"

#include <fmt/format.h>
#include <netdb.h>
#include <unistd.h>

#include <climits>
#include <fstream>

#include "bundle/check.h"

namespace huntd {
namespace {

// hunt_worker, as the config names it or beside this program.
std::string find_worker(const Config& config) {
  if (!config.worker.binary.empty()) return config.worker.binary;
  char path[PATH_MAX];
  ssize_t const length = readlink("/proc/self/exe", path, sizeof path);
  std::string const self(path, length > 0 ? static_cast<size_t>(length) : 0);
  return self.substr(0, self.rfind('/') + 1) + "hunt_worker";
}

// A name becomes a numeric address here, once: a core must not wait for a resolver.
Result<Address> resolve(const std::string& text) {
  Result<Address> address = parse_address(text);
  if (!address || address->unix_socket) return address;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  int const error = getaddrinfo(address->host.c_str(), nullptr, &hints, &found);
  if (error != 0)
    return Error{
        fmt::format("redis.address: {} can't be resolved: {}", address->host, gai_strerror(error))};
  char numeric[NI_MAXHOST];
  getnameinfo(found->ai_addr, found->ai_addrlen, numeric, sizeof numeric, nullptr, 0,
              NI_NUMERICHOST);
  freeaddrinfo(found);
  address->host = numeric;
  return address;
}

}  // namespace

Result<Prepared> prepare(const std::string& config_path,
                         std::shared_ptr<const WorkerProgram> running) {
  Result<Config> config = load_config(config_path);
  if (!config) return config.error();
  Prepared prepared;
  prepared.config = std::move(*config);
  Result<Address> redis = resolve(prepared.config.redis.address);
  if (!redis) return redis.error();
  prepared.redis = *redis;
  if (const std::string& file = prepared.config.redis.password_file; !file.empty()) {
    std::ifstream secret(file);
    if (!std::getline(secret, prepared.redis_password) || prepared.redis_password.empty())
      return Error{fmt::format("redis.password_file: {} has no first line to read", file)};
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
  Result<Bundle> bundle = load_bundle(prepared.config.hunts.dir);
  if (!bundle) return bundle.error();
  // Compiling has more time than a hunt: a cold box must not refuse a good script.
  uint32_t const check_deadline_ms = std::max<uint32_t>(2000, prepared.config.worker.deadline_ms);
  Result<Bundle> checked =
      check_bundle(*bundle, prepared.config.hunts.dir, prepared.worker->exec_path(),
                   check_deadline_ms, prepared.config.worker.memory_bytes);
  if (!checked) return checked.error();
  prepared.bundle = std::move(*checked);
  return prepared;
}

}  // namespace huntd
