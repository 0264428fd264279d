// SPDX-License-Identifier: Apache-2.0
#include "huntd/prepare.h"

#include <fmt/format.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/limits.h"
#include "base/private_file.h"
#include "bundle/check.h"
#include "bundle/kept_bundles.h"
#include "bundle/load.h"
#include "bundle/saved_bundle.h"
#include "chance/seed_secrets.h"
#include "drivers/kafka_properties.h"
#include "huntd/meant_odds.h"
#include "tls/context.h"

namespace huntd::server {
namespace {

void report(const PrepareOptions& options, const char* step) {
  if (options.progress) options.progress(step, true);
}

// Compiles the scripts. `dir` names them in errors.
Result<Bundle> check_scripts(const Prepared& prepared, const PrepareOptions& options,
                             const Bundle& bundle, const std::string& dir, int64_t end_at_ms) {
  CheckAll all;
  all.end_at_ms = end_at_ms;
  if (options.progress)
    all.progress = [&options](size_t checked, size_t count) {
      options.progress(fmt::format("checking scripts: {} of {}", checked, count), false);
    };
  report(options, "checking scripts");
  // Compiling has more time than a hunt, so that a slow host does not reject a good script.
  uint32_t const deadline_ms = std::max<uint32_t>(2000, prepared.config.worker.deadline_ms);
  return check_bundle(bundle, dir, prepared.worker->exec_path(), deadline_ms,
                      prepared.config.worker.memory_bytes, all);
}

// Compiles `bundle`, which becomes that of `prepared`.
Result<void> use_scripts(Prepared& prepared, const PrepareOptions& options,
                         const Result<Bundle>& bundle, const std::string& dir, int64_t end_at_ms) {
  if (!bundle) return bundle.error();
  Result<Bundle> checked = check_scripts(prepared, options, *bundle, dir, end_at_ms);
  if (!checked) return checked.error();
  prepared.bundle = std::move(*checked);
  prepared.odds = meant_odds(prepared.bundle);
  return {};
}

std::string deployed_label(const std::string& name) { return "the deployed bundle " + name; }

Result<Bundle> without_images(const Bundle& bundle) {
  Result<std::string> const sources = read_sources(bundle);
  if (!sources) return sources.error();
  return bundle_of(*sources);
}

Result<void> prepare_folder(Prepared& prepared, const PrepareOptions& options, int64_t end_at_ms) {
  const std::string& dir = prepared.config.hunts.dir;
  report(options, "reading hunts.dir");
  Result<LoadedBundle> loaded = load_bundle(dir);
  if (!loaded) return loaded.error();
  prepared.skipped_files = std::move(loaded->skipped);
  return use_scripts(prepared, options, std::move(loaded->bundle), dir, end_at_ms);
}

Result<void> prepare_scripts(Prepared& prepared, const PrepareOptions& options, int64_t end_at_ms) {
  if (options.deployed != nullptr)
    return use_scripts(prepared, options, without_images(*options.deployed),
                       deployed_label(options.deployed->name()), end_at_ms);
  std::string const state_dir = options.may_use_saved ? state_dir_of(prepared.config) : "";
  if (!state_dir.empty()) {
    report(options, "reading the history of bundles");
    Result<std::optional<BundleHistory>> history = load_history(state_dir);
    if (!history) {
      // It may name a deployed bundle, which hunts.dir must not replace.
      prepared.history.deployed = true;
      prepared.history.unreadable = true;
      return history.error();
    }
    if (history->has_value()) prepared.history = std::move(**history);
  }
  if (!prepared.history.deployed) return prepare_folder(prepared, options, end_at_ms);
  report(options, "reading the deployed bundle");
  const std::string& name = prepared.history.live;
  return use_scripts(prepared, options, load_kept_bundle(state_dir, name), deployed_label(name),
                     end_at_ms);
}

// The sources that huntctl has sent in a file without a name.
Result<Bundle> read_given(int descriptor) {
  struct stat status {};
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode))
    return Error{"huntctl has sent no bundle"};
  if (static_cast<size_t>(status.st_size) > limits::bundle_bytes_max)
    return Error{fmt::format("the scripts have more than {} bytes", limits::bundle_bytes_max)};
  std::string bytes(static_cast<size_t>(status.st_size), '\0');
  if (pread(descriptor, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return Error{"huntctl has sent no bundle"};
  return bundle_of(bytes);
}

// `error` is that of the scripts, and stays the error if there are no saved scripts.
Result<void> prepare_saved_scripts(Prepared& prepared, const PrepareOptions& options,
                                   const std::string& error) {
  std::string const dir = state_dir_of(prepared.config);
  if (dir.empty()) return Error{error};
  Result<std::optional<Bundle>> const saved = load_saved_bundle(dir);
  if (!saved) return Error{fmt::format("{}\nthe saved scripts: {}", error, saved.error().message)};
  if (!saved->has_value()) return Error{error};
  Result<Bundle> checked = check_scripts(prepared, options, **saved, saved_bundle_path(dir),
                                         monotonic_ms() + prepared.config.hunts.check_deadline_ms);
  if (!checked) return Error{fmt::format("{}\n{}", error, checked.error().message)};
  prepared.bundle = std::move(*checked);
  prepared.odds = meant_odds(prepared.bundle);
  prepared.scripts_error = error;
  return {};
}

Result<void> prepare_worker(Prepared& prepared, const PrepareOptions& options) {
  prepared.worker = options.running;
  std::string const path = find_worker(prepared.config.worker.binary);
  if (prepared.worker == nullptr) {
    Result<WorkerProgram> worker = WorkerProgram::open(path);
    if (!worker) return worker.error();
    prepared.worker = std::make_shared<const WorkerProgram>(std::move(*worker));
  }
  if (prepared.config.worker.isolation == "task" && !prepared.worker->can_hold_tasks())
    return Error{fmt::format(
        "worker.isolation: \"task\" needs a hunt_worker that is built against musl for x86_64, and "
        "{} is not; use \"process\"",
        path)};
  return {};
}

Result<std::vector<Address>> parse_addresses(const std::vector<std::string>& texts) {
  std::vector<Address> addresses;
  for (const std::string& text : texts) {
    Result<Address> address = parse_address(text);
    if (!address) return address.error();
    addresses.push_back(std::move(*address));
  }
  return addresses;
}

Result<RedisServers> redis_servers(const Config::Redis& config) {
  bool const by_sentinel = !config.sentinels.empty();
  Result<std::vector<Address>> addresses =
      parse_addresses(by_sentinel ? config.sentinels : config.address);
  if (!addresses) return addresses.error();
  if (by_sentinel) return RedisServers{{}, std::move(*addresses), config.sentinel_primary};
  return RedisServers{std::move(*addresses), {}, "", config.cluster};
}

// `key` names the file in errors.
Result<RedisLogin> read_login(const std::string& user, const std::string& file, const char* key) {
  RedisLogin login{user, file, ""};
  if (file.empty()) return login;
  Result<std::string> password = read_secret(file, key);
  if (!password) return password.error();
  login.password = std::move(*password);
  return login;
}

Result<RedisLogins> read_redis_logins(const Config::Redis& config) {
  Result<RedisLogin> redis = read_login(config.user, config.password_file, "redis.password_file");
  if (!redis) return redis.error();
  Result<RedisLogin> sentinel = read_login(config.sentinel_user, config.sentinel_password_file,
                                           "redis.sentinel_password_file");
  if (!sentinel) return sentinel.error();
  return RedisLogins{std::move(*redis), std::move(*sentinel)};
}

}  // namespace

std::string state_dir_of(const Config& config) {
  if (!config.hunts.state_dir.empty()) return config.hunts.state_dir;
  const char* const dirs = std::getenv("STATE_DIRECTORY");  // systemd.exec(5): separated by colons
  std::string const all = dirs == nullptr ? "" : dirs;
  return all.substr(0, all.find(':'));
}

Result<Prepared> prepare_scripts_of(const ScriptsOrder& order, const Prepared& in_use,
                                    const PrepareOptions& options) {
  Prepared prepared;
  prepared.config = in_use.config;
  prepared.worker = in_use.worker;
  std::string const state_dir = state_dir_of(in_use.config);
  if (state_dir.empty())
    return Error{
        "hunts.state_dir is empty, so a deployed bundle would be lost at a restart: set it, and "
        "restart huntd"};
  Result<void> used;
  if (order.request.kind == DeployRequest::Kind::folder) {
    used = prepare_folder(prepared, options, options.end_at_ms);
  } else if (order.request.kind == DeployRequest::Kind::rollback) {
    const std::string& name = order.request.bundle;
    used = use_scripts(prepared, options, load_kept_bundle(state_dir, name),
                       "the kept bundle " + name, options.end_at_ms);
  } else {
    used = use_scripts(prepared, options, read_given(order.sources.get()), order.request.from,
                       options.end_at_ms);
  }
  if (!used) return used.error();
  report(options, "keeping the bundle");
  if (Result<void> kept = keep_bundle(state_dir, prepared.bundle); !kept) return kept.error();
  return prepared;
}

Result<Prepared> prepare(const std::string& config_path, const PrepareOptions& options) {
  report(options, "reading the config");
  Result<std::string> text = read_config_text(config_path);
  if (!text) return text.error();
  Result<Config> config = parse_config(*text, config_path);
  if (!config) return config.error();
  Prepared prepared;
  prepared.config = std::move(*config);
  prepared.config_text = std::move(*text);
  int64_t const end_at_ms = options.end_at_ms != 0
                                ? options.end_at_ms
                                : monotonic_ms() + prepared.config.hunts.check_deadline_ms;
  Result<RedisServers> redis = redis_servers(prepared.config.redis);
  if (!redis) return redis.error();
  prepared.redis = std::move(*redis);
  report(options, "reading the files of secrets");
  Result<RedisLogins> logins = read_redis_logins(prepared.config.redis);
  if (!logins) return logins.error();
  prepared.redis_logins = std::move(*logins);
  if (prepared.config.redis.tls) {
    Result<tls::Context> const context = tls::load_context(tls::files_of(prepared.config.redis));
    if (!context) return context.error();
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
  if (Result<void> worker = prepare_worker(prepared, options); !worker) return worker.error();
  Result<void> scripts = prepare_scripts(prepared, options, end_at_ms);
  if (!scripts && options.may_use_saved)
    scripts = prepare_saved_scripts(prepared, options, scripts.error().message);
  if (!scripts) return scripts.error();
  return prepared;
}

}  // namespace huntd::server
