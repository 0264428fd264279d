// SPDX-License-Identifier: Apache-2.0
// A hunt_worker of many jobs, one after the other, each with a deadline of CPU time: how long a job
// takes by the clock depends on what else the machine does.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "bundle/worker_process.h"

namespace huntd {

class JobWorker {
 public:
  // REQUIRES: the bundle of `bundle_descriptor` exists as long as this object.
  JobWorker(std::string worker_path, int bundle_descriptor, uint32_t deadline_ms)
      : worker_path_(std::move(worker_path)),
        bundle_descriptor_(bundle_descriptor),
        deadline_ms_(deadline_ms) {}

  // Starts a job, on a new worker if there is none. `job` is a frame with WF_JOB_MORE. The error
  // says why no worker could be started.
  Result<void> start(std::string_view job);
  // Waits for the next frame of the job, which is valid until the next call. Nothing: there is none,
  // the worker is gone, and end() says why.
  std::optional<std::string_view> next_frame();
  // False if the worker has exited: next_frame() will say so.
  bool send(std::string_view frame);
  // Kills the worker: the next job gets another one.
  void stop() { worker_.reset(); }

  bool deadline_passed() const { return deadline_passed_; }
  // Why there is no next frame, as in "the worker was killed by signal 9".
  const std::string& end() const { return end_; }
  uint32_t deadline_ms() const { return deadline_ms_; }

 private:
  // Whether the CPU time of the job has passed the deadline; then end() has it.
  bool ran_too_long();

  std::string worker_path_;
  int bundle_descriptor_;
  uint32_t deadline_ms_;
  std::optional<WorkerProcess> worker_;
  uint64_t cpu_at_start_ns_ = 0;
  uint64_t waited_ns_ = 0;  // for frames of this job
  bool deadline_passed_ = false;
  std::string end_;
};

// What ended a worker without an outcome, by its wait status (waitpid(2)).
std::string end_of_worker(int status);

}  // namespace huntd
