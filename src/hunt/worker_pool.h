// A core's workers: at most max_live at a time, a bounded queue in front with a deadline of its
// own, and each hunt's time bounded by its deadline, kept with SIGKILL. Whatever the isolation
// rung, a run looks the same to its caller.
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "base/limits.h"
#include "base/log.h"
#include "base/scheduler.h"
#include "base/task.h"
#include "hunt/isolation.h"
#include "hunt/standing_queue.h"
#include "io/outside.h"
#include "stats/core_stats.h"

namespace huntd {

struct WorkerLimits {
  uint32_t deadline_ms = 50;
  uint64_t memory_bytes = 0;
  uint32_t max_live = 32;
  uint32_t queue_max = 4096;
  uint32_t queue_deadline_ms = 100;
  uint32_t queue_target_ms = 20;
  uint32_t hunts_in_flight_max = 1024;
  Isolation isolation = Isolation::process;
  uint32_t warm = 0;              // spares kept ready
  uint32_t hunts_per_worker = 1;  // "batch" only
  uint32_t idle_ms = 2000;        // a spare that is not asked for this long goes, but for `warm`
};

// What a run says next: a frame, or its end.
struct WorkerSaid {
  enum class What { frame, died, deadline, not_started, talks_too_much };
  What what = What::died;
  Text frame;
  int spawn_errno = 0;  // not_started
  int wait_status = 0;  // died
};

class WorkerPool final : private WorkerUser {
 private:
  struct Place;

 public:
  WorkerPool(WorkerHost& host, Scheduler& scheduler, CoreStats& stats, WorkerLimits limits);

  // Why there is no run: too many wait; this one waited too long; the queue stands and is as long
  // as is served in time.
  enum class Refusal { none, queue_full, queue_deadline, queue_stands };

  // A hunt on its way through the core, its commit included. Its end makes room for the next.
  class InFlight {
   public:
    explicit InFlight(WorkerPool& pool) : pool_(&pool) {}
    InFlight(InFlight&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)) {}
    InFlight& operator=(InFlight&&) = delete;
    ~InFlight();

   private:
    WorkerPool* pool_;
  };

  // One hunt's conversation with its worker. Its end (destruction) without done() kills the worker;
  // the place is free again once the process is gone.
  class Run {
   public:
    Run(WorkerPool& pool, Place& place) : pool_(&pool), place_(&place) {}
    Run(Run&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)), place_(other.place_) {}
    Run& operator=(Run&&) = delete;
    ~Run();
    // Another job will follow on this worker where this one ends well: for the job's flags.
    bool more_may_follow() const;
    // Gives the worker its job, starting it where no spare is there. Once.
    void begin(std::string_view hunt_id, std::string_view hunter_id, std::string_view job);
    // Waits for a frame, or for how it ended, at most until `deadline_at_ns` (a worker that never
    // comes). After anything but a frame there is nothing more to hear.
    Task<WorkerSaid> next(uint64_t deadline_at_ns);
    void answer(std::string_view frame);
    // The outcome is in: the worker may go by itself (or is killed at its deadline), or waits for
    // the next job.
    void done();

   private:
    WorkerPool* pool_;
    Place* place_;
  };

  struct Admission {
    std::optional<InFlight> in_flight;  // to be kept until the hunt's answer is known
    std::optional<Run> run;
    Refusal refusal = Refusal::none;
  };
  // Whether admit() would answer queue_stands, so that nothing need be prepared for it.
  bool refuses_now();
  // Waits in the queue until there is a place for one more worker and for one more hunt in flight.
  Task<Admission> admit();

  // New limits and a new bundle hold from the next admission on: spares go, and a worker that runs
  // gets no more jobs. Takes the descriptor.
  void use(const WorkerLimits& limits, int bundle_descriptor);
  // No more spares; those that wait go.
  void drain();
  const WorkerLimits& limits() const { return limits_; }
  // Processes, those that wait for a job included.
  uint32_t live() const { return live_; }

 private:
  // A worker's place. It is free; or taken by a run, with or without a process; or a spare's, with
  // a process that waits for a job; or left, with a process that is on its way out.
  struct Place final : Deadline {
    Place(WorkerPool& owner, uint32_t at) : pool(owner), index(at), said(owner.scheduler_) {}
    void on_deadline() override;
    WorkerPool& pool;
    uint32_t index;
    Slot<Signal> said;
    Queue<Text> frames;
    Text hunt_id;              // of the last job
    bool has_process = false;  // asked for, and not gone
    bool started = false;      // and reported
    bool has_run = false;      // a Run holds it
    bool begun = false;        // and its job is on the way
    bool spare = false;        // waits for a job
    bool more = false;         // its job said that another may follow
    bool overdue = false;      // killed at its deadline
    bool flooding = false;     // killed because it does not wait for answers
    bool answered = false;     // its outcome is in: it has nothing more to say
    bool unsound = false;      // it spoke all the same, and is killed
    uint32_t generation = 0;   // of the bundle that its process has
    uint32_t jobs = 0;         // that its process was given
    int spawn_errno = 0;
    int wait_status = 0;
  };
  void on_worker_started(uint32_t place, uint64_t started_at_ns) override;
  void on_worker_frame(uint32_t place, std::string_view frame) override;
  void on_worker_exit(uint32_t place, int spawn_errno, int wait_status) override;
  void end_speaker(Place& place);
  Place* take_place();
  Place* free_place();
  bool refuses(uint64_t now_ns);
  void leave_queue(const Slot<Place*>& slot);
  static void hold(Place& place);
  void swap_place(Place*& place);
  void free_if_over(Place& place);
  void admit_next();
  void make_spare(Place& place);
  void unspare(Place& place);
  void retire(Place& place);
  void send_away(Place& place);
  void keep_warm();

  WorkerHost& host_;
  Scheduler& scheduler_;
  CoreStats& stats_;
  WorkerLimits limits_;
  std::vector<std::unique_ptr<Place>> places_;
  std::vector<Place*> free_;
  std::vector<Place*> spares_;  // the last is asked first: its memory is still in the caches
  struct Waiter {
    Slot<Place*>* slot;
    uint64_t since_ns;
  };
  Queue<Waiter> queue_;
  StandingQueue standing_;
  uint32_t live_ = 0;  // places that are not free
  uint32_t in_flight_ = 0;
  uint32_t generation_ = 0;
  bool draining_ = false;
  log::Budget log_budget_{limits::hunt_log_lines_per_s};
};

}  // namespace huntd
