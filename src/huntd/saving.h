// SPDX-License-Identifier: Apache-2.0
// Saves the scripts that are in use, for a start whose own scripts have an error. In a process of
// its own, since a disk can take long.
#pragma once
#include <sys/types.h>

#include <string_view>

#include "base/unique_fd.h"
#include "huntd/child.h"
#include "huntd/prepare.h"
#include "metrics/reload_status.h"

namespace huntd::server {

class Saving {
 public:
  // Both outlive this object. `shared` gets why the newest one failed.
  Saving(const Prepared& in_use, SharedReload& shared) : in_use_(in_use), shared_(shared) {}

  // Forks the process "huntd-save", which saves the scripts in use now, and the history of bundles,
  // to state_dir_of() their config. If one runs, the next one follows it. Does nothing without such
  // a directory.
  void save();
  // The parent has collected this child; it may be another one. Logs why the scripts could not be
  // saved. (The child does not: journald cannot name the unit of a process that has ended.)
  void on_end(const EndedChild& child);
  // Until what save() was called for is on the disk, or cannot be written.
  bool active() const { return pid_ > 0; }
  // Whether the last one could not be written; the log has the reason.
  bool failed() const { return failed_; }
  // Ends the process, for a stop that has no more time.
  void kill();

 private:
  // Of the newest one: why it failed, empty if it did not.
  void note_end(std::string_view why);

  const Prepared& in_use_;
  SharedReload& shared_;
  pid_t pid_ = -1;
  UniqueFd report_;  // a pipe to which the child writes why it fails
  bool again_ = false;
  bool failed_ = false;
};

}  // namespace huntd::server
