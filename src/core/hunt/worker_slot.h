// SPDX-License-Identifier: Apache-2.0
// One worker slot of a pool, and its states.
#pragma once
#include <cstdint>

#include "base/check.h"
#include "base/pool.h"
#include "base/scheduler.h"

namespace huntd::server {

class WorkerPool;

struct WorkerSlot final : Deadline {
  // Legal transitions:
  //   empty   -> claimed           a run was admitted and no worker is idle
  //   empty   -> idle              an idle worker is started in advance
  //   idle    -> claimed           a run was admitted
  //   idle    -> exiting           stopped, or killed for a frame without a job
  //   idle    -> empty             the process exited
  //   claimed -> running           the run's job was sent
  //   claimed -> exiting           the run was dropped, or took another slot
  //   claimed -> empty             the run was dropped; there is no process
  //   running -> idle              the outcome came, and the worker can take another job
  //   running -> cleaning          the outcome came, and the holder puts its memory back
  //   running -> exiting           the outcome came, or the run was dropped
  //   running -> exited            the process exited
  //   cleaning -> idle             the holder is clean
  //   cleaning -> exiting          it is clean, but not to be used again
  //   cleaning -> empty            the process exited
  //   exited  -> empty             the run has read how the process ended
  //   exiting -> empty             the process exited
  enum class State : uint8_t {
    empty,     // in the free list
    idle,      // a process waits for a job of any hunter
    claimed,   // held by a Run that has not started; a process, if there is one, waits for its job
    running,   // held by a Run whose job was sent
    cleaning,  // a holder whose last job has its outcome; the job's task may still live
    exited,    // held by a Run whose process is gone
    exiting,   // the process was asked to exit, detached or killed
  };
  enum class Process : uint8_t { none, starting, up };
  // The reason why the pool killed the process of a Run; it decides the event that the Run reports.
  // The first reason counts.
  enum class Killed : uint8_t {
    no,
    deadline,
    flooding,  // it sent frames without waiting for replies
    protocol,  // it sent a frame before it had a job
  };

  static constexpr bool may_become(State from, State to) {
    switch (from) {
      case State::empty:
        return to == State::claimed || to == State::idle;
      case State::idle:
        return to == State::claimed || to == State::exiting || to == State::empty;
      case State::claimed:
        return to == State::running || to == State::exiting || to == State::empty;
      case State::running:
        return to == State::idle || to == State::cleaning || to == State::exiting ||
               to == State::exited;
      case State::cleaning:
        return to == State::idle || to == State::exiting || to == State::empty;
      case State::exited:
      case State::exiting:
        return to == State::empty;
    }
    return false;
  }
  static constexpr bool may_have(State state, Process process) {
    if (state == State::claimed) return true;
    bool const without = state == State::empty || state == State::exited;
    return without == (process == Process::none);
  }

  WorkerSlot(WorkerPool& owner, Scheduler& scheduler, uint32_t its_index)
      : pool(owner), index(its_index), event_ready(scheduler) {}
  void on_deadline() override;

  // REQUIRES: the transition is legal, and `process` is what the next state has.
  void become(State next) {
    CHECK(may_become(state, next));
    CHECK(may_have(next, process));
    state = next;
  }
  bool has_process() const { return process != Process::none; }

  WorkerPool& pool;
  uint32_t const index;  // for the WorkerHost
  State state = State::empty;
  Process process = Process::none;
  Killed killed = Killed::no;
  bool reusable = false;       // another job may follow the one that runs
  bool is_holder = false;      // of start_holder()
  bool clean = false;          // a holder's: the task of its last job has ended, with wait_status
  uint32_t generation = 0;     // of the bundle that the process has
  uint32_t jobs = 0;           // sent to the process
  uint64_t started_at_ns = 0;  // of the process; 0 until its start is reported
  // In the time that the core ran (Scheduler::ran_ns()): when the job was sent, and the deadline.
  uint64_t job_ran_ns = 0;
  uint64_t deadline_ran_ns = 0;
  uint32_t deadline_ms = 0;  // of the job that runs, or of a worker's exit
  PoolString hunt_id;        // of the job that runs, or completed last; empty: none
  PoolDeque<PoolString> frames;
  OneShot<Signal> event_ready;  // a frame came, or the process exited
  int spawn_errno = 0;
  int wait_status = 0;
};

}  // namespace huntd::server
