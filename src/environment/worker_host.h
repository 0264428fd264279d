// SPDX-License-Identifier: Apache-2.0
// Starts, feeds and kills hunt_worker processes.
#pragma once
#include <cstdint>
#include <string_view>

namespace huntd::server {

// How a worker process is started.
enum class StartMethod : uint8_t {
  exec,  // vfork and exec of hunt_worker
  fork,  // fork of a zygote that has already loaded the program
};

// Callbacks of a WorkerHost. `slot` is the index of a worker slot, which the worker pool chooses.
// It is in use from start() or start_idle() until on_worker_exit().
class WorkerUser {
 public:
  virtual void on_worker_started(uint32_t slot, uint64_t started_at_ns) = 0;
  // One frame (wire/worker_frame.h); the view is valid only during the call.
  virtual void on_worker_frame(uint32_t slot, std::string_view frame) = 0;
  // Of start_holder(): the task of the last job has ended with `wait_status` (as in waitpid(2)), and
  // nothing of the job is left in the worker. All frames of the job came before.
  virtual void on_worker_clean(uint32_t slot, int wait_status) = 0;
  // The worker has exited, or could not be started if `spawn_errno` is not 0. `wait_status` as in
  // waitpid(2).
  virtual void on_worker_exit(uint32_t slot, int spawn_errno, int wait_status) = 0;
  // The process that starts workers does not answer, so that starts have no end; or it answers
  // again. Reported at each change; at first it answers.
  virtual void on_launcher(bool answers) = 0;

 protected:
  ~WorkerUser() = default;
};

class WorkerHost {
 public:
  virtual ~WorkerHost() = default;
  virtual void set_user(WorkerUser& user) = 0;
  // Starts a worker for `hunter_id`; `job` is the first frame on its socket. All starts of a tick
  // are sent together.
  virtual void start(uint32_t slot, std::string_view hunter_id, std::string_view job) = 0;
  // Starts a worker that waits for a job of any hunter.
  virtual void start_idle(uint32_t slot) = 0;
  // Starts a worker that waits for jobs of any hunter and runs each in a task of its own, with
  // `memory_bytes` for the script. The next job may be sent after on_worker_clean().
  virtual void start_holder(uint32_t slot, uint64_t memory_bytes) = 0;
  // Sends a frame: a reply to one of the worker's own frames, or an idle worker's job.
  virtual void send(uint32_t slot, std::string_view frame) = 0;
  // Sends SIGKILL, by the process that started the worker.
  virtual void kill(uint32_t slot) = 0;
  // The worker has sent its last outcome: what it sends after it is not passed on.
  virtual void detach(uint32_t slot) = 0;
  // Asks an idle worker to exit. Otherwise as detach().
  virtual void stop(uint32_t slot) = 0;
  // Workers started from now on run this bundle and are started this way. Takes ownership of the
  // descriptor.
  virtual void use_bundle(int bundle_descriptor, StartMethod method) = 0;
};

}  // namespace huntd::server
