// SPDX-License-Identifier: Apache-2.0
#include "bundle/check.h"

#include <fmt/format.h>

#include <optional>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "bundle/worker_process.h"
#include "wire/worker_frame.h"

namespace huntd {
namespace {

constexpr char hunter_id[] = "check";

// The job of a check. The view is valid until the next call.
std::string_view check_job(const BundledHunt& hunt, uint64_t memory_bytes) {
  static std::string frame(limits::worker_frame_bytes_max, '\0');
  wf_job job{};
  job.flags = WF_JOB_CHECK;
  job.memory_bytes = memory_bytes;
  job.script_offset = hunt.offset;
  job.script_bytes = hunt.bytes;
  job.hunt_id = {hunt.hunt_id.data(), static_cast<uint32_t>(hunt.hunt_id.size())};
  job.hunter_id = {hunter_id, sizeof hunter_id - 1};
  size_t const size = wf_write_job(frame.data(), frame.size(), &job);
  CHECK(size > 0);
  return std::string_view(frame).substr(0, size);
}

// The last frame of a check. The views point into the worker's buffer.
struct LastFrame {
  std::optional<std::string_view> frame;  // as of WorkerProcess::next_frame()
  int type = 0;
  wf_reader reader{};
};

// Appends the frames of the image to `image`, up to the first other frame.
LastFrame read_image(WorkerProcess& worker, uint32_t deadline_ms, std::string& image) {
  int64_t const deadline_at_ms = monotonic_ms() + deadline_ms;
  LastFrame last;
  while ((last.frame = worker.next_frame(deadline_at_ms)) && !last.frame->empty()) {
    last.type = wf_open(&last.reader, last.frame->data(), last.frame->size());
    size_t const bytes = static_cast<size_t>(last.reader.end - last.reader.at);
    if (last.type != WF_IMAGE || image.size() + bytes > limits::image_bytes_max) break;
    image.append(reinterpret_cast<const char*>(last.reader.at), bytes);
  }
  return last;
}

// Returns "" if the script passed, else its error.
std::string result_of(LastFrame& last, const std::string& hunt_id, uint32_t deadline_ms,
                      int wait_status) {
  if (!last.frame)
    return fmt::format("{}.lua: its top-level code exceeded the deadline of {} ms", hunt_id,
                       deadline_ms);
  wf_outcome outcome;
  if (last.frame->empty() || last.type != WF_OUTCOME ||
      wf_read_outcome(&last.reader, &outcome) == 0)
    return fmt::format("{}.lua: its worker exited without an outcome (wait status {:#x})", hunt_id,
                       wait_status);
  if (outcome.status == WF_OK) return "";
  std::string reason(outcome.reason.data, outcome.reason.size);
  if (outcome.status == WF_BAD_JOB)
    return fmt::format("{}.lua: its worker rejected the job: {}", hunt_id, reason);
  return reason;
}

// Returns "" if the script passed (`image` is then its image), else its error.
std::string check_one(const Bundle& bundle, const BundledHunt& hunt, const std::string& worker_path,
                      uint32_t deadline_ms, uint64_t memory_bytes, std::string& image) {
  Result<WorkerProcess> worker = WorkerProcess::start(worker_path, hunter_id, bundle.descriptor(),
                                                      check_job(hunt, memory_bytes));
  if (!worker) return worker.error().message;
  LastFrame last = read_image(*worker, deadline_ms, image);
  int const wait_status = worker->end();
  return result_of(last, hunt.hunt_id, deadline_ms, wait_status);
}

}  // namespace

Result<Bundle> check_bundle(const Bundle& bundle, const std::string& dir,
                            const std::string& worker_path, uint32_t deadline_ms,
                            uint64_t memory_bytes) {
  std::string problems;
  std::vector<std::string> images;
  for (const BundledHunt& hunt : bundle.hunts()) {
    std::string const problem =
        check_one(bundle, hunt, worker_path, deadline_ms, memory_bytes, images.emplace_back());
    if (problem.empty()) continue;
    if (!problems.empty()) problems.push_back('\n');
    // The worker knows only the name of the file.
    if (problem.starts_with(hunt.hunt_id + ".lua:")) problems += dir + "/";
    problems += problem;
  }
  if (!problems.empty()) return Error{problems};
  return add_images(bundle, images);
}

}  // namespace huntd
