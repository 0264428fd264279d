// SPDX-License-Identifier: Apache-2.0
// The hunt_worker that a service runs. The file is opened once, so an upgrade that replaces the
// file has no effect before the next start of the service. Images are only valid for the
// hunt_worker that made them.
#pragma once
#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace huntd {

// The path of hunt_worker: `configured` (worker.binary), or if that is empty the one beside the
// program that calls.
std::string find_worker(const std::string& configured);

class WorkerProgram {
 public:
  // If `path` is not an executable file, the error says which config key to set.
  static Result<WorkerProgram> open(const std::string& path);

  // O_PATH, closed on exec. This object owns it.
  int descriptor() const { return descriptor_.get(); }
  // Whether it can run each hunt in a task of its own (worker.isolation = "task"). Executes it.
  bool can_hold_tasks() const;
  // A path to execute it by, in this process and its children before they exec.
  std::string exec_path() const;

 private:
  explicit WorkerProgram(UniqueFd descriptor) : descriptor_(std::move(descriptor)) {}
  UniqueFd descriptor_;
};

}  // namespace huntd
