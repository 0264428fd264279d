// SPDX-License-Identifier: Apache-2.0
// A core's workers: at most max_live processes at a time, a bounded queue in front of them with its
// own deadline, and a deadline per hunt that SIGKILL enforces. A run looks the same to its caller
// in each isolation mode.
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "base/limits.h"
#include "base/log.h"
#include "base/scheduler.h"
#include "base/task.h"
#include "core/hunt/isolation.h"
#include "core/hunt/standing_queue.h"
#include "core/hunt/start_backoff.h"
#include "core/hunt/worker_slot.h"
#include "environment/environment.h"
#include "metrics/core_metrics.h"

namespace huntd::server {

struct WorkerLimits {
  uint32_t deadline_ms = 50;  // of one hunt
  uint64_t memory_bytes = 0;
  uint32_t max_live = 32;
  uint32_t queue_max = 4096;
  uint32_t queue_deadline_ms = 100;
  uint32_t queue_target_ms = 20;
  uint32_t hunts_in_flight_max = 1024;
  uint32_t hunter_queue_max = 64;  // requests of one hunter that wait for their turn
  Isolation isolation = Isolation::process;
  uint32_t warm = 0;              // idle workers started in advance
  uint32_t hunts_per_worker = 1;  // "batch" and "task" only
  bool batch_per_hunt = false;    // the same: a worker runs one hunt_id only
  uint32_t idle_ms = 2000;        // a worker idle this long is stopped, unless it is warm
};

// A frame from a worker, or how its run ended.
struct WorkerEvent {
  enum class Kind {
    frame,
    died,
    deadline,     // killed at the hunt's deadline
    late,         // the caller's deadline passed before that
    not_started,  // `spawn_errno`
    flooded,      // killed: it sent frames without waiting for replies
  };
  Kind kind = Kind::died;
  PoolString frame;
  int spawn_errno = 0;
  int wait_status = 0;  // died: as in waitpid(2)
};

class WorkerPool final : private WorkerUser {
 public:
  WorkerPool(WorkerHost& host, Scheduler& scheduler, CoreMetrics& metrics, WorkerLimits limits);
  ~WorkerPool();

  // Why a request was not admitted: the queue is full; the request waited too long; the queue is a
  // standing queue and already holds as many as can be served in time; it is too late to start.
  enum class Rejection { none, queue_full, queue_deadline, standing_queue, late };

  // Counts a hunt as in flight from its admission until its commit is over. Its end admits the next
  // request.
  class InFlight {
   public:
    explicit InFlight(WorkerPool& pool) : pool_(&pool) {}
    InFlight(InFlight&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)) {}
    InFlight& operator=(InFlight&&) = delete;
    ~InFlight();

   private:
    WorkerPool* pool_;
  };

  // One hunt's exchange of frames with its worker. Destroyed without done(), it kills the worker;
  // the slot is empty again once the process is gone.
  class Run {
   public:
    Run(WorkerPool& pool, WorkerSlot& slot) : pool_(&pool), slot_(&slot) {}
    Run(Run&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)), slot_(other.slot_) {}
    Run& operator=(Run&&) = delete;
    ~Run();
    // Whether the worker can take another job after this one; for the job's flags.
    bool more_may_follow() const;
    // Sends the job to the worker, and starts the worker if the slot has none. It is killed after
    // `deadline_ms`; 0: after limits().deadline_ms. REQUIRES: not called before.
    void start(std::string_view hunt_id, std::string_view hunter_id, std::string_view job,
               uint32_t deadline_ms = 0);
    // Waits for a frame or for the end of the run, at most until `deadline_at_ns`. No event follows
    // one that is not a frame. REQUIRES: start() was called.
    Task<WorkerEvent> next_event(uint64_t deadline_at_ns);
    void reply(std::string_view frame);
    // The outcome has arrived: the worker exits by itself (or is killed at its deadline), or
    // becomes idle. REQUIRES: start() was called. No other call follows.
    void done();

   private:
    WorkerPool* pool_;
    WorkerSlot* slot_;
  };

  struct Admission {
    std::optional<InFlight> in_flight;  // keep it until the hunt's response is known
    std::optional<Run> run;
    Rejection rejection = Rejection::none;
    uint64_t queue_ns = 0;  // how long an admitted hunt has waited
  };
  // Whether requests wait in the queue: if not, sheds_now() is false.
  bool has_queue() const { return !queue_.empty(); }
  // Whether admit() would reject for a standing queue. If so, the caller rejects its request: it is
  // counted as rejected.
  bool sheds_now();
  // Whether requests have been rejected lately because of a standing queue.
  bool rejecting() const { return standing_.rejecting(scheduler_.now_ns()); }
  // Waits in the queue until one more worker may live and one more hunt may be in flight, but not
  // after `start_by_ns`: a hunt that starts later could not have the whole of its deadline. The run
  // is started with the same `hunt_id`, which must stay until then.
  Task<Admission> admit(std::string_view hunt_id, uint64_t start_by_ns);

  // Takes new limits and a new bundle for admissions from now on: idle workers are stopped, and
  // running workers get no further job. Takes ownership of the descriptor.
  void use(const WorkerLimits& limits, int bundle_descriptor);
  // Stops the idle workers, and keeps none from now on.
  void drain();
  const WorkerLimits& limits() const { return limits_; }
  // Slots in use: processes, and runs without a process.
  uint32_t live() const { return live_; }

 private:
  friend struct WorkerSlot;
  void on_worker_started(uint32_t index, uint64_t started_at_ns) override;
  void on_worker_frame(uint32_t index, std::string_view frame) override;
  void on_worker_clean(uint32_t index, int wait_status) override;
  void on_worker_exit(uint32_t index, int spawn_errno, int wait_status) override;
  void on_launcher(bool answers) override;
  void on_deadline(WorkerSlot& slot);

  WorkerSlot& empty_slot();
  void release(WorkerSlot& slot);
  bool may_run(const WorkerSlot& slot, std::string_view hunt_id) const;
  WorkerSlot* idle_worker_for(std::string_view hunt_id) const;
  bool make_room();
  WorkerSlot* claim_slot(std::string_view hunt_id);
  void swap_slot(WorkerSlot*& slot);
  void make_idle(WorkerSlot& slot);
  void leave_idle(WorkerSlot& slot, WorkerSlot::State next);
  void stop_idle(WorkerSlot& slot);
  void stop(WorkerSlot& slot);
  void kill(WorkerSlot& slot, WorkerSlot::Killed reason);
  void kill_for_protocol(WorkerSlot& slot);
  void start_deadline(WorkerSlot& slot, uint64_t from_ns);
  bool may_reuse(uint32_t jobs) const;
  bool must_swap(const WorkerSlot& slot) const;
  bool can_take_another(const WorkerSlot& slot) const;
  size_t warm_workers() const;
  void keep_warm();
  void start_waiting(WorkerSlot& slot);
  void start_idle();

  // Starts that fail. Until one succeeds, idle workers are started one at a time, with pauses
  // between them. This one shows that starts are possible again, also if no request comes.
  void on_start_failed(int spawn_errno, int wait_status);
  void on_start_succeeded();
  void report_start_failure(uint64_t now_ns);
  void show_start_failure();
  bool may_start() const;
  void retry_start();
  void reject_start(WorkerSlot& slot);

  bool must_shed(uint64_t now_ns);
  void admit_next();
  void leave_queue(const OneShot<WorkerSlot*>& admitted);

  WorkerHost& host_;
  Scheduler& scheduler_;
  CoreMetrics& metrics_;
  WorkerLimits limits_;
  std::vector<std::unique_ptr<WorkerSlot>> slots_;
  std::vector<WorkerSlot*> empty_;
  std::vector<WorkerSlot*> idle_;  // the last is claimed first: its memory is still in the caches
  struct Waiter {
    OneShot<WorkerSlot*>* admitted;
    std::string_view hunt_id;
    uint64_t since_ns;
  };
  PoolDeque<Waiter> queue_;
  StandingQueue standing_;
  uint32_t live_ = 0;  // slots that are not empty
  uint32_t in_flight_ = 0;
  uint32_t generation_ = 0;  // of the bundle
  bool draining_ = false;
  bool warming_ = false;  // keep_warm() is running
  struct StartRetry final : Deadline {
    explicit StartRetry(WorkerPool& owner) : pool(owner) {}
    void on_deadline() override { pool.retry_start(); }
    WorkerPool& pool;
  };
  bool launcher_silent_ = false;  // no start is tried
  StartBackoff backoff_;
  StartRetry start_retry_{*this};         // armed while backoff_.failed(), until drain()
  WorkerSlot* probe_ = nullptr;           // started by retry_start(), while backoff_.failed()
  uint64_t start_failure_log_at_ns_ = 0;  // no line before
  bool start_failure_logged_ = false;     // and no line yet that starts are possible again
  log::Budget log_budget_{limits::hunt_log_lines_per_s};
};

}  // namespace huntd::server
