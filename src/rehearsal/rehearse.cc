// SPDX-License-Identifier: Apache-2.0
#include "rehearsal/rehearse.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "bundle/hunt_job.h"
#include "bundle/worker_process.h"
#include "wire/worker_frame.h"

namespace huntd {
namespace {

using End = Rehearsed::End;

std::string string_of(wf_text text) { return {text.data, text.size}; }

// One run, and the frames that it sends. Each step returns whether the run goes on.
class Run {
 public:
  explicit Run(const Rehearsal& rehearsal)
      : rehearsal_(rehearsal), buffer_(limits::worker_frame_bytes_max, '\0') {}

  std::string_view job(const BundledHunt& hunt, uint32_t flags);
  // Takes a frame, and replies to it on `worker`: a WorkerProcess or a JobWorker.
  template <class Worker>
  bool take(std::string_view frame, Worker& worker);
  bool fail(std::string reason) {
    rehearsed_.end = End::worker_failed;
    rehearsed_.reason = std::move(reason);
    return false;
  }
  void end(End end, std::string reason) {
    rehearsed_.end = end;
    rehearsed_.reason = std::move(reason);
  }
  Rehearsed result() { return std::move(rehearsed_); }

 private:
  std::string_view held_reply();
  std::string_view state_reply();
  uint64_t left_before(const std::string& loot_id, uint64_t limit) const;
  std::optional<std::string_view> supply_reply(wf_reader& reader);
  std::optional<std::string_view> left_reply(wf_reader& reader);
  void take_outcome(const wf_outcome& outcome);

  const Rehearsal& rehearsal_;
  std::map<std::string, uint64_t> drawn_;  // units of supplies that the run has
  std::string buffer_;                     // of the frame to send
  Rehearsed rehearsed_;
};

std::string_view Run::job(const BundledHunt& hunt, uint32_t flags) {
  wf_job job = hunt_job(hunt, rehearsal_.memory_bytes);
  job.flags = flags;
  job.seed[0] = rehearsal_.seed[0];
  job.seed[1] = rehearsal_.seed[1];
  job.now_ms = rehearsal_.now_ms;
  job.hunter_id = text_of(rehearsal_.hunter_id);
  job.input = text_of(rehearsal_.input);
  size_t const size = wf_write_job(buffer_.data(), buffer_.size(), &job);
  CHECK(size > 0);
  return std::string_view(buffer_).substr(0, size);
}

std::string_view Run::held_reply() {
  wf_writer writer = wf_begin(buffer_.data(), buffer_.size(), WF_REPLY_HELD);
  wf_put_u32(&writer, static_cast<uint32_t>(rehearsal_.held.size()));
  for (const auto& [loot_id, count] : rehearsal_.held) {
    wf_put_text(&writer, loot_id.data(), loot_id.size());
    wf_put_u64(&writer, count);
  }
  return std::string_view(buffer_).substr(0, wf_end(&writer));
}

std::string_view Run::state_reply() {
  return huntd::state_reply(buffer_.data(), buffer_.size(), rehearsal_.state);
}

// What is left of a supply before the run.
uint64_t Run::left_before(const std::string& loot_id, uint64_t limit) const {
  auto const left = rehearsal_.supply_left.find(loot_id);
  if (left != rehearsal_.supply_left.end()) return left->second;
  auto const given = rehearsal_.supply_given.find(loot_id);
  uint64_t const taken = given == rehearsal_.supply_given.end() ? 0 : given->second;
  return limit - std::min(limit, taken);
}

std::optional<std::string_view> Run::supply_reply(wf_reader& reader) {
  wf_get_u32(&reader);  // the position of the award
  std::string const loot_id = string_of(wf_get_id(&reader));
  uint64_t const limit = wf_get_u64(&reader);
  if (wf_all_read(&reader) == 0) return std::nullopt;
  uint64_t& drawn = drawn_[loot_id];
  bool const granted = left_before(loot_id, limit) > drawn;
  if (granted) ++drawn;
  rehearsed_.supplies_asked.insert(loot_id);
  if (!granted) rehearsed_.supplies_gone.insert(loot_id);
  return unit_reply(buffer_.data(), buffer_.size(), granted);
}

std::optional<std::string_view> Run::left_reply(wf_reader& reader) {
  std::string const loot_id = string_of(wf_get_id(&reader));
  uint64_t const limit = wf_get_u64(&reader);
  if (wf_all_read(&reader) == 0) return std::nullopt;
  uint64_t const before = std::min(left_before(loot_id, limit), limit);
  rehearsed_.supplies_left.try_emplace(loot_id, before);
  return huntd::left_reply(buffer_.data(), buffer_.size(),
                           before - std::min(before, drawn_[loot_id]));
}

void Run::take_outcome(const wf_outcome& outcome) {
  rehearsed_.end = run_end_of(outcome.status);
  for (uint32_t i = 0; i < outcome.award_count; ++i)
    rehearsed_.awards.push_back({string_of(outcome.awards[i].loot_id),
                                 (outcome.awards[i].flags & WF_AWARD_LIMITED) != 0,
                                 wf_units(&outcome.awards[i])});
  rehearsed_.result = string_of(outcome.result);
  if (outcome.state.data != nullptr) rehearsed_.state = string_of(outcome.state);
  rehearsed_.reason = string_of(outcome.reason);
  rehearsed_.log = string_of(outcome.log);
  if (outcome.vm_ready_at_ns > outcome.started_at_ns)
    rehearsed_.start_us = (outcome.vm_ready_at_ns - outcome.started_at_ns) / 1000;
  rehearsed_.script_us = script_ns_of(outcome) / 1000;
}

template <class Worker>
bool Run::take(std::string_view frame, Worker& worker) {
  wf_reader reader;
  switch (wf_open(&reader, frame.data(), frame.size())) {
    case WF_ASK_HELD:
      if (wf_all_read(&reader) == 0) return fail("the worker sent a malformed query");
      return worker.send(held_reply()) || fail("the worker exited before the reply to hunt.held()");
    case WF_ASK_STATE:
      if (wf_all_read(&reader) == 0) return fail("the worker sent a malformed query");
      return worker.send(state_reply()) ||
             fail("the worker exited before the reply to hunt.state()");
    case WF_ASK_SUPPLY: {
      std::optional<std::string_view> const reply = supply_reply(reader);
      if (!reply) return fail("the worker sent a malformed query");
      return worker.send(*reply) || fail("the worker exited before the reply to hunt.award()");
    }
    case WF_ASK_LEFT: {
      std::optional<std::string_view> const reply = left_reply(reader);
      if (!reply) return fail("the worker sent a malformed query");
      return worker.send(*reply) || fail("the worker exited before the reply to hunt.left()");
    }
    case WF_OUTCOME: {
      wf_outcome outcome;
      if (wf_read_outcome(&reader, &outcome) == 0)
        return fail("the outcome of the worker is malformed");
      take_outcome(outcome);
      return false;
    }
    default:
      return fail("the worker sent a frame of an unknown type");
  }
}

}  // namespace

Result<Rehearsed> rehearse(const Bundle& bundle, const std::string& worker_path,
                           const Rehearsal& rehearsal) {
  const BundledHunt* const hunt = bundle.find(rehearsal.hunt_id);
  CHECK(hunt != nullptr);
  Run run(rehearsal);
  Result<WorkerProcess> worker = WorkerProcess::start(worker_path, rehearsal.hunter_id,
                                                      bundle.descriptor(), run.job(*hunt, 0));
  if (!worker) return worker.error();
  int64_t const deadline_at_ms = monotonic_ms() + rehearsal.deadline_ms;
  for (bool running = true; running;) {
    std::optional<std::string_view> const frame = worker->next_frame(deadline_at_ms);
    if (!frame) {
      run.end(End::deadline,
              fmt::format("it ran longer than worker.deadline_ms, {} ms", rehearsal.deadline_ms));
      break;
    }
    if (frame->empty()) {
      run.fail(end_of_worker(worker->end()));
      break;
    }
    running = run.take(*frame, *worker);
  }
  return run.result();
}

Result<Rehearsed> HuntPlayer::play(const Rehearsal& rehearsal) {
  const BundledHunt* const hunt = bundle_.find(rehearsal.hunt_id);
  CHECK(hunt != nullptr && rehearsal.deadline_ms == worker_.deadline_ms());
  Run run(rehearsal);
  if (Result<void> started = worker_.start(run.job(*hunt, WF_JOB_MORE)); !started)
    return started.error();
  for (bool running = true; running;) {
    std::optional<std::string_view> const frame = worker_.next_frame();
    if (frame) {
      running = run.take(*frame, worker_);
      continue;
    }
    if (worker_.deadline_passed())
      run.end(End::deadline,
              fmt::format("it ran longer than worker.deadline_ms, {} ms", rehearsal.deadline_ms));
    else
      run.fail(worker_.end());
    running = false;
  }
  Rehearsed rehearsed = run.result();
  // It may be in the middle of its job.
  if (rehearsed.end == End::worker_failed) worker_.stop();
  return rehearsed;
}

}  // namespace huntd
