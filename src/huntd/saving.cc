// SPDX-License-Identifier: Apache-2.0
#include "huntd/saving.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/log.h"
#include "bundle/kept_bundles.h"
#include "bundle/saved_bundle.h"

namespace huntd::server {
namespace {

Result<void> save_all(const std::string& dir, const Bundle& bundle, const BundleHistory& history) {
  if (Result<void> saved = save_bundle(dir, bundle); !saved) return saved;
  if (Result<void> kept = keep_bundle(dir, bundle); !kept) return kept;
  return save_history(dir, history);
}

[[noreturn]] void run_save(const std::string& dir, const Prepared& in_use) {
  close_all_but({in_use.bundle.descriptor()});
  log::set_origin("process=save");
  Result<void> const saved = save_all(dir, in_use.bundle, in_use.history);
  if (!saved)
    log::warning("the scripts cannot be saved for a later start",
                 {{"error", saved.error().message}, {"hint", "see hunts.state_dir"}});
  _exit(saved ? EXIT_SUCCESS : EXIT_FAILURE);
}

}  // namespace

void Saving::save() {
  std::string const dir = state_dir_of(in_use_.config);
  if (dir.empty()) return;
  again_ = pid_ > 0;
  if (again_) return;
  pid_t const parent_pid = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    begin_child(parent_pid, "huntd-save", false);
    run_save(dir, in_use_);
  }
  failed_ = pid_ < 0;
  if (failed_)
    log::warning("the scripts cannot be saved for a later start",
                 {{"error", std::string("fork: ") + std::strerror(errno)}});
}

void Saving::on_end(const EndedChild& child) {
  if (child.pid != pid_) return;
  pid_ = -1;
  failed_ = child.reason != "exit status 0";
  if (again_) save();
}

void Saving::kill() {
  again_ = false;
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

}  // namespace huntd::server
