// SPDX-License-Identifier: Apache-2.0
// One hunt_worker that a program other than a core runs: to check a script, or to rehearse a hunt.
// It is in a process group of its own: a Ctrl-C in the terminal is for the program, not for it.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace huntd {

class WorkerProcess {
 public:
  // Starts `path` with `argument` on the bundle, after `job` (a frame) is in its socket. The error
  // says what to do.
  static Result<WorkerProcess> start(const std::string& path, const std::string& argument,
                                     int bundle_descriptor, std::string_view job);
  WorkerProcess(WorkerProcess&& other) noexcept;
  WorkerProcess& operator=(WorkerProcess&& other) noexcept;
  // Kills the worker.
  ~WorkerProcess();

  // The next frame; it is valid until the next call. Empty if the worker has exited, nothing if the
  // deadline on the monotonic clock has passed.
  std::optional<std::string_view> next_frame(int64_t deadline_at_ms);
  // The same without waiting: nothing if no frame has arrived.
  std::optional<std::string_view> received_frame();
  // Readable when there is a frame or the worker has exited. This object owns it.
  int descriptor() const { return socket_.get(); }
  // Returns false if the worker has exited.
  bool send(std::string_view frame);
  // The CPU time that the worker has used since its start; 0 if it has exited.
  uint64_t cpu_ns() const;
  // Kills the worker if it runs; returns its wait status (waitpid(2)).
  int end();

 private:
  WorkerProcess(UniqueFd socket, pid_t pid);
  UniqueFd socket_;
  pid_t pid_ = -1;  // -1: reaped
  int wait_status_ = 0;
  std::vector<char> frame_;
};

}  // namespace huntd
