// One worker's run of one hunt: the job in, its questions answered, the outcome out.
#pragma once
#include <optional>

#include "award/ledger.h"
#include "award/supply.h"
#include "base/task.h"
#include "bundle/bundle.h"
#include "hunt/worker_pool.h"

namespace huntd {

struct HuntContext;

struct RunResult {
  enum class End {
    ok,
    rejected,      // hunt.reject
    script_error,  // `reason` says file and line
    out_of_memory,
    deadline,        // killed
    forbidden_call,  // ended by the jail
    broken_frame,    // said what a worker does not say; `reason` says what
    worker_died,     // ended without an outcome in another way; `reason` says how
    not_started,     // the spawn failed; `reason` says why
    redis_away,      // a question of the script's got no answer
    no_such_hunt,    // gone with a bundle that came while the request waited
  };
  End end = End::worker_died;
  Text bundle;         // that it ran
  List<Award> awards;  // ok
  Text result;         // ok: JSON
  Text reason;
  std::optional<uint64_t> held_seq;  // the script looked at what the hunter holds, as of this seq
  List<Reservation> reservations;    // units taken for it, whatever the end
};

// Runs the hunt on an admitted worker. `input` is a value (protocol/value.h) or empty.
Task<RunResult> run_worker(HuntContext& context, WorkerPool::Run run, const RequestName& name,
                           Text input, uint64_t deadline_at_ns);

}  // namespace huntd
