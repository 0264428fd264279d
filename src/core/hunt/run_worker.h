// SPDX-License-Identifier: Apache-2.0
// One run of a hunt on a worker: sends the job, replies to the worker's queries, reads the outcome.
#pragma once
#include <optional>
#include <string_view>

#include "base/task.h"
#include "bundle/bundle.h"
#include "chance/seed.h"
#include "core/hunt/worker_pool.h"
#include "core/ledger/ledger.h"
#include "core/ledger/supply.h"

namespace huntd::server {

struct HuntContext;

struct RunResult {
  enum class End {
    ok,
    rejected,           // hunt.reject
    script_error,       // `reason` has file and line
    out_of_memory,      // of the script
    deadline,           // killed at the hunt's deadline
    late,               // killed at the request's deadline, which came first
    forbidden_call,     // killed by the system call filter
    broken_frame,       // protocol violation; `reason` has the rule
    worker_died,        // exited without an outcome for another reason; `reason` has it
    not_started,        // the spawn failed; `reason` has the error
    redis_unavailable,  // a query of the script could not be replied to
    held_full,          // for hunt.held(); `reason` is the detail of the problem
    supplies_full,      // the hunt has drawn on too many supplies; `reason` is the problem's detail
    no_such_hunt,       // a bundle without this hunt came while the request waited
  };
  End end = End::worker_died;
  PoolString bundle;         // the bundle that ran
  PoolVector<Award> awards;  // ok
  PoolString result;         // ok: JSON
  PoolString reason;
  std::optional<HeldVersion> held_version;  // of what the script read of the hunter
  std::optional<StateChange> state;         // of the script that has asked for it
  // What else decided the run, so that it can be repeated: what hunt.held() returned, the supplies
  // that had no unit, what hunt.left() returned, the time, the chance, and what hunt.state() had.
  std::optional<Held> held;
  PoolString state_before;  // JSON; empty: nothing, or the script has not asked
  PoolVector<PoolString> gone;
  // By loot_id: how many units were left, those that the run itself had reserved included.
  PoolVector<std::pair<PoolString, uint64_t>> left;
  size_t left_asked = 0;
  int64_t now_ms = 0;  // since 1970
  SeedKey::Seed seed{};
  PoolVector<Reservation> reservations;  // units reserved for this run, for each end
  uint64_t worker_start_ns = 0;          // 0: not known, as script_ns
  uint64_t script_ns = 0;
};

// Runs the hunt on an admitted worker. `run_number` counts the runs of this attempt from 0: the
// event ids of run N begin at position N * limits::awards_max, so no two runs draw the same unit.
// `input` is a value (wire/value.h) or empty. `name` and `input` must live until the task ends.
Task<RunResult> run_worker(HuntContext& context, WorkerPool::Run run, const RequestName& name,
                           uint32_t run_number, std::string_view input, uint64_t deadline_at_ns);

}  // namespace huntd::server
