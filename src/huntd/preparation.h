// SPDX-License-Identifier: Apache-2.0
// The check of a reload, in a process of its own: prepare() reads files, asks a resolver and
// compiles scripts, and each of these can take long. The parent never waits for it.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "auth/secrets.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "bundle/bundle.h"
#include "config/config.h"
#include "environment/redis_access.h"
#include "huntd/child.h"
#include "huntd/prepare.h"

namespace huntd::server {

// What a check found, if it found no error.
struct ReloadContent {
  Config config;
  RedisLogins redis_logins;
  Secrets secrets;
  Bundle bundle;                           // scripts compiled
  std::string odds;                        // as in Prepared
  std::vector<std::string> skipped_files;  // of hunts.dir, as in Prepared
  std::vector<std::string> waiting_keys;   // changed keys that need a restart
  bool scripts_only = false;               // only `bundle`, `odds` and `skipped_files` are set
};

class Preparation {
 public:
  // Kills the process, if one runs.
  ~Preparation() { kill(); }

  // Forks the process "huntd-check", which prepares `config_path`; its workers end with it.
  // `running` is what is in use. With an `order`, only the scripts are prepared, and the config is
  // not read. The time that it has is hunts.check_deadline_ms of `running`. REQUIRES: !active(), and
  // the calling process has one thread.
  Result<void> start(const std::string& config_path, const Prepared& running,
                     const ScriptsOrder* order = nullptr);
  // From start() until receive() has returned the result, or kill().
  bool active() const { return active_; }
  // Readable when receive() has something to do; -1 if no process runs.
  int descriptor() const { return socket_.get(); }

  // Takes what the process has sent, without waiting. Returns the result once: the content, or an
  // error with one line per problem. The process ends then. `now_ms` is the monotonic time.
  std::optional<Result<ReloadContent>> receive(int64_t now_ms);
  // What it does, in words: "checking scripts: 3 of 12".
  const std::string& progress() const { return progress_; }

  // The parent has collected this child; it may be another one.
  void on_end(const EndedChild& child);
  // Ends the process and its workers at once. There is no result.
  void kill();

 private:
  void take_packets();
  Result<ReloadContent> read_report() const;

  bool active_ = false;
  pid_t pid_ = -1;  // -1: ended, or killed
  UniqueFd socket_;
  UniqueFd report_;
  UniqueFd bundle_;
  std::string config_path_;
  std::string progress_;
  std::string end_reason_;  // how the process ended; empty: it has not been collected
  uint32_t deadline_ms_ = 0;
  int64_t deadline_at_ms_ = 0;
};

}  // namespace huntd::server
