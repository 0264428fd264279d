// SPDX-License-Identifier: Apache-2.0
#include "bundle/check.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "base/limits.h"
#include "bundle/setup.h"
#include "bundle/worker_process.h"
#include "settings/hunt_settings.h"
#include "wire/worker_frame.h"

namespace huntd {
namespace {

constexpr char hunter_id[] = "check";

// The job of a check; `setup` is what setup_of() returned. The view is valid until the next call.
std::string_view check_job(const BundledHunt& hunt, uint64_t memory_bytes, std::string_view setup) {
  static std::string frame(limits::worker_frame_bytes_max, '\0');
  wf_job job{};
  job.flags = WF_JOB_CHECK;
  job.memory_bytes = memory_bytes;
  job.script_offset = hunt.offset;
  job.script_bytes = hunt.bytes;
  job.hunt_id = {hunt.hunt_id.data(), static_cast<uint32_t>(hunt.hunt_id.size())};
  job.hunter_id = {hunter_id, sizeof hunter_id - 1};
  job.input = {setup.data(), static_cast<uint32_t>(setup.size())};
  size_t const size = wf_write_job(frame.data(), frame.size(), &job);
  CHECK(size > 0);
  return std::string_view(frame).substr(0, size);
}

// Returns "" if the script passed, else its error. `frame` is the last frame, empty if the worker
// has exited without one.
std::string result_of(std::string_view frame, const std::string& hunt_id, int wait_status) {
  wf_reader reader{};
  wf_outcome outcome;
  if (frame.empty() || wf_open(&reader, frame.data(), frame.size()) != WF_OUTCOME ||
      wf_read_outcome(&reader, &outcome) == 0)
    return fmt::format("{}.lua: its worker exited without an outcome (wait status {:#x})", hunt_id,
                       wait_status);
  if (outcome.status == WF_OK) return "";
  std::string reason(outcome.reason.data, outcome.reason.size);
  if (outcome.status == WF_BAD_JOB)
    return fmt::format("{}.lua: its worker rejected the job: {}", hunt_id, reason);
  return reason;
}

// The check of all scripts of a bundle. One thread: the end of the process ends the workers, which
// get the signal when the thread that started them ends (PR_SET_PDEATHSIG).
class Checks {
 public:
  // `sources` is what read_sources() returned, and `dir` names the files in errors.
  Checks(const Bundle& bundle, std::string_view sources, std::string dir, std::string worker_path,
         uint32_t deadline_ms, uint64_t memory_bytes, const CheckAll& all)
      : bundle_(bundle),
        sources_(sources),
        dir_(std::move(dir)),
        worker_path_(std::move(worker_path)),
        deadline_ms_(deadline_ms),
        memory_bytes_(memory_bytes),
        all_(all),
        images_(bundle.hunts().size()),
        problems_(bundle.hunts().size()) {}

  void run() {
    size_t const at_once = std::clamp<size_t>(allowed_cpus().size(), 1, check_workers_max);
    while (next_ < bundle_.hunts().size() || !running_.empty()) {
      while (running_.size() < at_once && next_ < bundle_.hunts().size()) start(next_++);
      if (!running_.empty()) serve();
    }
  }
  // By the index in hunts().
  const std::vector<HuntImage>& images() const { return images_; }
  const std::vector<std::string>& problems() const { return problems_; }  // "" if it passed

 private:
  struct Running {
    size_t index;
    WorkerProcess worker;
    int64_t deadline_at_ms;
  };

  const std::string& hunt_id(size_t index) const { return bundle_.hunts()[index].hunt_id; }

  std::string not_checked(size_t index) const {
    return fmt::format(
        "{}.lua: not checked: the time for the check of all scripts (hunts.check_deadline_ms) is "
        "over",
        hunt_id(index));
  }

  void start(size_t index) {
    if (monotonic_ms() >= all_.end_at_ms) return finish(index, not_checked(index));
    const BundledHunt& hunt = bundle_.hunts()[index];
    Result<HuntSettings> const settings =
        parse_hunt_settings(sources_.substr(hunt.settings_offset, hunt.settings_bytes),
                            fmt::format("{}/{}.toml", dir_, hunt.hunt_id));
    if (!settings) return finish(index, settings.error().message);
    images_[index].rules = settings->rules;
    Result<WorkerProcess> worker =
        WorkerProcess::start(worker_path_, hunter_id, bundle_.descriptor(),
                             check_job(hunt, memory_bytes_, setup_of(bundle_, *settings)));
    if (!worker) return finish(index, worker.error().message);
    int64_t const deadline_at_ms = std::min(monotonic_ms() + deadline_ms_, all_.end_at_ms);
    running_.push_back({index, std::move(*worker), deadline_at_ms});
  }

  void finish(size_t index, std::string problem) {
    problems_[index] = std::move(problem);
    ++checked_;
    if (all_.progress) all_.progress(checked_, problems_.size());
  }

  // Waits until a worker has sent something, or a deadline has passed.
  void serve() {
    std::vector<pollfd> waits;
    int64_t until_ms = std::numeric_limits<int64_t>::max();
    for (const Running& one : running_) {
      waits.push_back({one.worker.descriptor(), POLLIN, 0});
      until_ms = std::min(until_ms, one.deadline_at_ms);
    }
    int64_t const left_ms = std::clamp<int64_t>(until_ms - monotonic_ms(), 0, poll_max_ms);
    poll(waits.data(), waits.size(), static_cast<int>(left_ms));
    std::erase_if(running_, [this](Running& one) { return ended(one); });
  }

  // Takes what the worker has sent. Returns true if its check has ended.
  bool ended(Running& one) {
    std::string& image = images_[one.index].image;
    while (std::optional<std::string_view> const frame = one.worker.next_frame(0)) {
      wf_reader reader{};
      bool const of_image =
          !frame->empty() && wf_open(&reader, frame->data(), frame->size()) == WF_IMAGE;
      size_t const bytes = of_image ? static_cast<size_t>(reader.end - reader.at) : 0;
      if (of_image && image.size() + bytes <= limits::image_bytes_max) {
        image.append(reinterpret_cast<const char*>(reader.at), bytes);
        continue;
      }
      std::string const last(*frame);
      int const wait_status = one.worker.end();
      finish(one.index, result_of(last, hunt_id(one.index), wait_status));
      return true;
    }
    if (monotonic_ms() < one.deadline_at_ms) return false;
    one.worker.end();
    finish(one.index, one.deadline_at_ms == all_.end_at_ms
                          ? not_checked(one.index)
                          : fmt::format("{}.lua: its top-level code exceeded the deadline of {} ms",
                                        hunt_id(one.index), deadline_ms_));
    return true;
  }

  static constexpr int64_t poll_max_ms = 60'000;
  const Bundle& bundle_;
  std::string_view const sources_;
  std::string const dir_;
  std::string const worker_path_;
  uint32_t const deadline_ms_;
  uint64_t const memory_bytes_;
  const CheckAll& all_;
  size_t next_ = 0;
  size_t checked_ = 0;
  std::vector<Running> running_;
  std::vector<HuntImage> images_;
  std::vector<std::string> problems_;
};

}  // namespace

Result<Bundle> check_bundle(const Bundle& bundle, const std::string& dir,
                            const std::string& worker_path, uint32_t deadline_ms,
                            uint64_t memory_bytes, const CheckAll& all) {
  Result<std::string> const sources = read_sources(bundle);
  if (!sources) return sources.error();
  // Without a use of hunt.date the bundle needs no time zones.
  bool const may_use_dates = sources->find("date") != std::string::npos;
  std::optional<Bundle> with_zones;
  if (may_use_dates) {
    Result<Bundle> added = add_zones(bundle);
    if (!added) return added.error();
    with_zones = std::move(*added);
  }
  const Bundle& whole = with_zones ? *with_zones : bundle;
  Checks checks(whole, *sources, dir, worker_path, deadline_ms, memory_bytes, all);
  checks.run();
  std::string problems;
  std::set<std::string> of_modules;  // one that several hunts need has its mistake once
  for (size_t index = 0; index < bundle.hunts().size(); ++index) {
    const std::string& problem = checks.problems()[index];
    bool const of_module = problem.starts_with("lib/");
    if (problem.empty() || (of_module && !of_modules.insert(problem).second)) continue;
    if (!problems.empty()) problems.push_back('\n');
    // The worker knows only the name of the file.
    if (of_module || problem.starts_with(bundle.hunts()[index].hunt_id + ".lua:"))
      problems += dir + "/";
    problems += problem;
  }
  if (!problems.empty()) return Error{problems};
  return add_images(whole, checks.images());
}

}  // namespace huntd
