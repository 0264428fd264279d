// A core's workers: at most max_live at a time, a bounded queue in front with a deadline of its
// own, and a worker's life bounded by its deadline, kept with SIGKILL. Whatever the isolation rung,
// a run looks the same to its caller.
#pragma once
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/scheduler.h"
#include "base/task.h"
#include "io/outside.h"
#include "stats/core_stats.h"

namespace huntd {

struct WorkerLimits {
  uint32_t deadline_ms = 50;
  uint64_t memory_bytes = 0;
  uint32_t max_live = 32;
  uint32_t queue_max = 4096;
  uint32_t queue_deadline_ms = 100;
};

// What a run says next: a frame, or its end.
struct WorkerSaid {
  enum class What { frame, died, deadline, not_started };
  What what = What::died;
  std::string frame;
  int spawn_errno = 0;  // not_started
  int wait_status = 0;  // died
};

class WorkerPool final : private WorkerUser {
 private:
  struct Place;

 public:
  WorkerPool(WorkerHost& host, Scheduler& scheduler, CoreStats& stats, WorkerLimits limits);

  enum class Refusal { none, queue_full, queue_deadline };

  // One worker's conversation. Its end (destruction) without done() kills the worker; the place is
  // free again once the process is gone.
  class Run {
   public:
    Run(WorkerPool& pool, Place& place) : pool_(&pool), place_(&place) {}
    Run(Run&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)), place_(other.place_) {}
    Run& operator=(Run&&) = delete;
    ~Run();
    // Starts the worker with its job. Once.
    void begin(std::string_view hunter_id, std::string_view job);
    // Waits for a frame, or for how it ended. After anything but a frame there is nothing more to
    // hear.
    Task<WorkerSaid> next();
    void answer(std::string_view frame);
    // The outcome is in: the worker may go by itself (or is killed at its deadline).
    void done();

   private:
    WorkerPool* pool_;
    Place* place_;
  };

  struct Admission {
    std::optional<Run> run;
    Refusal refusal = Refusal::none;
  };
  // Waits in the queue for a place.
  Task<Admission> admit();

  // New limits hold from the next admission on.
  void set_limits(const WorkerLimits& limits);
  const WorkerLimits& limits() const { return limits_; }
  uint32_t live() const { return live_; }

 private:
  struct Place final : Deadline {
    Place(WorkerPool& owner, uint32_t at) : pool(owner), index(at), said(owner.scheduler_) {}
    void on_deadline() override;
    WorkerPool& pool;
    uint32_t index;
    Slot<Signal> said;
    std::deque<std::string> frames;
    bool begun = false;
    bool has_run = false;  // a Run holds it
    bool gone = false;
    bool overdue = false;  // killed at its deadline
    int spawn_errno = 0;
    int wait_status = 0;
  };
  void on_worker_started(uint32_t place, uint64_t started_at_ns) override;
  void on_worker_frame(uint32_t place, std::string_view frame) override;
  void on_worker_exit(uint32_t place, int spawn_errno, int wait_status) override;
  Place* take_place();
  void free_if_over(Place& place);

  WorkerHost& host_;
  Scheduler& scheduler_;
  CoreStats& stats_;
  WorkerLimits limits_;
  std::vector<std::unique_ptr<Place>> places_;
  std::vector<Place*> free_;
  std::deque<Slot<Place*>*> queue_;
  uint32_t live_ = 0;
};

}  // namespace huntd
