// SPDX-License-Identifier: Apache-2.0
#include "huntd/saving.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "base/log.h"
#include "bundle/kept_bundles.h"
#include "bundle/saved_bundle.h"

namespace huntd::server {
namespace {

// At most PIPE_BUF, so that one write takes it.
constexpr size_t reason_bytes_max = 2048;

Result<void> save_all(const std::string& dir, const Bundle& bundle, const BundleHistory& history) {
  if (Result<void> saved = save_bundle(dir, bundle); !saved) return saved;
  if (Result<void> kept = keep_bundle(dir, bundle); !kept) return kept;
  if (history.unreadable) return {};
  return save_history(dir, history);
}

[[noreturn]] void run_save(const std::string& dir, const Prepared& in_use, int report) {
  close_all_but({in_use.bundle.descriptor(), report});
  log::set_origin("process=save");
  Result<void> const saved = save_all(dir, in_use.bundle, in_use.history);
  if (saved) _exit(EXIT_SUCCESS);
  std::string const why = saved.error().message.substr(0, reason_bytes_max);
  // Without it, the parent logs how this process ended.
  [[maybe_unused]] ssize_t const written = write(report, why.data(), why.size());
  _exit(EXIT_FAILURE);
}

// What the child has written; empty if it wrote nothing.
std::string reason_in(int report) {
  std::string why(reason_bytes_max, '\0');
  ssize_t const got = read(report, why.data(), why.size());
  why.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return why;
}

}  // namespace

void Saving::save() {
  std::string const dir = state_dir_of(in_use_.config);
  if (dir.empty()) return note_end("");
  again_ = pid_ > 0;
  if (again_) return;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
    return note_end(std::string("pipe: ") + std::strerror(errno));
  report_.reset(ends[0]);
  UniqueFd const write_end(ends[1]);
  pid_t const parent_pid = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    begin_child(parent_pid, "huntd-save", false);
    run_save(dir, in_use_, write_end.get());
  }
  failed_ = false;
  if (pid_ < 0) note_end(std::string("fork: ") + std::strerror(errno));
}

void Saving::on_end(const EndedChild& child) {
  if (child.pid != pid_) return;
  pid_ = -1;
  std::string const why = reason_in(report_.get());
  report_.reset();
  bool const ended_well = child.reason == "exit status 0";
  note_end(why.empty() && !ended_well ? child.reason : why);
  if (again_) save();
}

void Saving::note_end(std::string_view why) {
  failed_ = !why.empty();
  shared_.set_save_error(why);
  if (failed_)
    log::warning("the scripts cannot be saved for a later start",
                 {{"error", why}, {"hint", "see hunts.state_dir"}});
}

void Saving::kill() {
  again_ = false;
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

}  // namespace huntd::server
