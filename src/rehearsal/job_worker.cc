// SPDX-License-Identifier: Apache-2.0
#include "rehearsal/job_worker.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>

#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "wire/worker_frame.h"

namespace huntd {
namespace {

// Between two looks at the CPU time of a worker.
constexpr int64_t watch_every_ms = 5;
// A job that waits for the machine this long is given up.
constexpr int64_t wait_ms_max = 60'000;

}  // namespace

std::string end_of_worker(int status) {
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
    return "the worker tried a forbidden system call";
  return WIFSIGNALED(status) ? fmt::format("the worker was killed by signal {}", WTERMSIG(status))
                             : fmt::format("the worker exited with status {}", WEXITSTATUS(status));
}

Result<void> JobWorker::start(std::string_view job) {
  deadline_passed_ = false;
  end_.clear();
  // A worker that has ended since its last job gets no job: a new one does.
  if (!worker_ || !worker_->send(job)) {
    worker_.reset();
    Result<WorkerProcess> worker =
        WorkerProcess::start(worker_path_, WF_ARGUMENT_IDLE, bundle_descriptor_, job);
    if (!worker) return worker.error();
    worker_.emplace(std::move(*worker));
  }
  cpu_at_start_ns_ = worker_->cpu_ns();
  return {};
}

std::optional<std::string_view> JobWorker::next_frame() {
  CHECK(worker_.has_value());
  int64_t const give_up_at_ms = monotonic_ms() + wait_ms_max;
  for (;;) {
    std::optional<std::string_view> const frame =
        worker_->next_frame(monotonic_ms() + watch_every_ms);
    if (frame && !frame->empty()) return frame;
    if (frame) {
      end_ = end_of_worker(worker_->end());
      break;
    }
    deadline_passed_ = worker_->cpu_ns() >= cpu_at_start_ns_ + deadline_ms_ * ns_per_ms;
    if (deadline_passed_) {
      end_ = fmt::format("it ran longer than {} ms", deadline_ms_);
      break;
    }
    if (monotonic_ms() >= give_up_at_ms) {
      end_ = fmt::format("the worker sent nothing for {} s", wait_ms_max / 1000);
      break;
    }
  }
  worker_.reset();
  return std::nullopt;
}

bool JobWorker::send(std::string_view frame) { return worker_ && worker_->send(frame); }

}  // namespace huntd
