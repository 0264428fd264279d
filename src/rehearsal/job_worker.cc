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
// A job that is waited for this long in all is given up.
constexpr uint64_t wait_ms_max = 60'000;

bool is_outcome(std::string_view frame) {
  wf_reader reader;
  return wf_open(&reader, frame.data(), frame.size()) == WF_OUTCOME;
}

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
  waited_ns_ = 0;
  return {};
}

bool JobWorker::ran_too_long() {
  deadline_passed_ = worker_->cpu_ns() >= cpu_at_start_ns_ + deadline_ms_ * ns_per_ms;
  if (deadline_passed_) end_ = fmt::format("it ran longer than {} ms", deadline_ms_);
  return deadline_passed_;
}

std::optional<std::string_view> JobWorker::next_frame() {
  CHECK(worker_.has_value());
  for (;;) {
    uint64_t const since_ns = monotonic_ns();
    std::optional<std::string_view> const frame =
        worker_->next_frame(monotonic_ms() + watch_every_ms);
    waited_ns_ += monotonic_ns() - since_ns;
    if (frame && frame->empty()) {
      end_ = end_of_worker(worker_->end());
      break;
    }
    // A worker that sends one query after the other has a deadline too.
    if (frame && is_outcome(*frame)) return frame;
    if (ran_too_long()) break;
    if (waited_ns_ >= wait_ms_max * ns_per_ms) {
      end_ = fmt::format("its worker did not end it in {} s", wait_ms_max / 1000);
      break;
    }
    if (frame) return frame;
  }
  worker_.reset();
  return std::nullopt;
}

bool JobWorker::send(std::string_view frame) { return worker_ && worker_->send(frame); }

}  // namespace huntd
