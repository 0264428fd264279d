// SPDX-License-Identifier: Apache-2.0
#include "huntd/saving.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/log.h"
#include "bundle/saved_bundle.h"

namespace huntd::server {
namespace {

[[noreturn]] void run_save(const std::string& dir, const Bundle& bundle) {
  close_all_but({bundle.descriptor()});
  log::set_origin("process=save");
  Result<void> const saved = save_bundle(dir, bundle);
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
    run_save(dir, in_use_.bundle);
  }
  if (pid_ < 0)
    log::warning("the scripts cannot be saved for a later start",
                 {{"error", std::string("fork: ") + std::strerror(errno)}});
}

void Saving::on_end(const EndedChild& child) {
  if (child.pid != pid_) return;
  pid_ = -1;
  if (again_) save();
}

}  // namespace huntd::server
