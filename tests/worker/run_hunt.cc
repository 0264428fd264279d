// SPDX-License-Identifier: Apache-2.0
#include "worker/run_hunt.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "bundle/bundle.h"
#include "bundle/check.h"
#include "wire/json_value.h"

namespace huntd::test {
namespace {

wf_text text_of(std::string_view text) { return {text.data(), static_cast<uint32_t>(text.size())}; }
std::string string_of(wf_text text) { return {text.data, text.size}; }

const char* worker_path() {
  const char* path = std::getenv("HUNTD_WORKER");
  CHECK(path != nullptr);
  return path;
}

struct Worker {
  pid_t pid = -1;
  int socket = -1;  // the core's end
};

Worker start_worker(const std::string& argument, int bundle_descriptor) {
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  // At other numbers than those that the worker gets.
  int const theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, 16);
  int const bundle = fcntl(bundle_descriptor, F_DUPFD_CLOEXEC, 16);
  int const ours = fcntl(pair[0], F_DUPFD_CLOEXEC, 16);
  close(pair[0]);
  close(pair[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, theirs, WF_SOCKET_DESCRIPTOR);
  posix_spawn_file_actions_adddup2(&actions, bundle, WF_BUNDLE_DESCRIPTOR);
  char name[] = "hunt_worker";
  std::string hunter = argument;
  char* const argv[] = {name, hunter.data(), nullptr};
  char* const environment[] = {nullptr};
  Worker worker;
  worker.socket = ours;
  CHECK(posix_spawn(&worker.pid, worker_path(), &actions, nullptr, argv, environment) == 0);
  posix_spawn_file_actions_destroy(&actions);
  close(theirs);
  close(bundle);
  return worker;
}

void reply(int socket, wf_writer* writer, const std::vector<char>& frame) {
  size_t const size = wf_end(writer);
  CHECK(size > 0);
  // If the worker has exited, the next receive shows it.
  [[maybe_unused]] ssize_t const sent = send(socket, frame.data(), size, MSG_NOSIGNAL);
}

void take_outcome(wf_reader* reader, HuntEnd& end) {
  wf_outcome outcome;
  CHECK(wf_read_outcome(reader, &outcome) == 1);
  end.outcome_came = true;
  end.status = outcome.status;
  for (uint32_t i = 0; i < outcome.award_count; ++i)
    end.awards.push_back({string_of(outcome.awards[i].loot_id),
                          (outcome.awards[i].flags & WF_AWARD_LIMITED) != 0,
                          wf_units(&outcome.awards[i])});
  end.result = string_of(outcome.result);
  if (outcome.state.data != nullptr) end.state = string_of(outcome.state);
  end.reason = string_of(outcome.reason);
  end.log = string_of(outcome.log);
  end.started_at_ns = outcome.started_at_ns;
  end.vm_ready_at_ns = outcome.vm_ready_at_ns;
  end.script_done_at_ns = outcome.script_done_at_ns;
}

enum class Until { outcome, exit };

// Replies to the worker until it has exited, or only until its outcome.
HuntEnd run_until(Worker worker, const HuntRun& run, Until until = Until::exit) {
  HuntEnd end;
  std::vector<char> packet(limits::worker_frame_bytes_max);
  std::vector<char> buffer(limits::worker_frame_bytes_max);
  uint64_t supply_left = run.supply_left;
  int64_t const end_at_ms = monotonic_ms() + run.end_after_ms;
  for (;;) {
    int64_t const now_ms = monotonic_ms();
    pollfd wait{worker.socket, POLLIN, 0};
    int const ready = poll(&wait, 1, now_ms < end_at_ms ? static_cast<int>(end_at_ms - now_ms) : 0);
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) {
      end.killed = true;
      kill(worker.pid, SIGKILL);
      break;
    }
    ssize_t const size = recv(worker.socket, packet.data(), packet.size(), 0);
    if (size <= 0) break;
    wf_reader reader;
    int const type = wf_open(&reader, packet.data(), static_cast<size_t>(size));
    if (type == WF_ASK_HELD) {
      CHECK(wf_all_read(&reader) == 1);
      ++end.held_requests;
      wf_writer writer = wf_begin(buffer.data(), buffer.size(), WF_REPLY_HELD);
      wf_put_u32(&writer, static_cast<uint32_t>(run.held.size()));
      for (const auto& [loot_id, count] : run.held) {
        wf_put_text(&writer, loot_id.data(), loot_id.size());
        wf_put_u64(&writer, count);
      }
      reply(worker.socket, &writer, buffer);
    } else if (type == WF_ASK_STATE) {
      CHECK(wf_all_read(&reader) == 1);
      ++end.state_requests;
      PoolString value;
      if (!run.state_json.empty()) value = *encode_json_value(run.state_json);
      wf_writer writer = wf_begin(buffer.data(), buffer.size(), WF_REPLY_STATE);
      wf_put_text(&writer, value.data(), value.size());
      reply(worker.socket, &writer, buffer);
    } else if (type == WF_ASK_LEFT) {
      end.left_requests.push_back({0, string_of(wf_get_id(&reader)), wf_get_u64(&reader)});
      CHECK(wf_all_read(&reader) == 1);
      wf_writer writer = wf_begin(buffer.data(), buffer.size(), WF_REPLY_LEFT);
      wf_put_u64(&writer, supply_left);
      reply(worker.socket, &writer, buffer);
    } else if (type == WF_ASK_SUPPLY) {
      SupplyRequest request;
      request.position = wf_get_u32(&reader);
      request.loot_id = string_of(wf_get_id(&reader));
      request.limit = wf_get_u64(&reader);
      CHECK(wf_all_read(&reader) == 1);
      end.supply_requests.push_back(request);
      wf_writer writer = wf_begin(buffer.data(), buffer.size(), WF_REPLY_SUPPLY);
      wf_put_u8(&writer, supply_left > 0 ? 1 : 0);
      if (supply_left > 0) --supply_left;
      reply(worker.socket, &writer, buffer);
    } else if (type == WF_IMAGE) {
      end.image_bytes += static_cast<size_t>(reader.end - reader.at);
    } else {
      CHECK(type == WF_OUTCOME);
      CHECK(!end.outcome_came);
      take_outcome(&reader, end);
      if (until == Until::outcome) return end;
    }
  }
  while (waitpid(worker.pid, &end.wait_status, 0) < 0) CHECK(errno == EINTR);
  close(worker.socket);
  return end;
}

}  // namespace

std::string HuntEnd::loot() const {
  std::string text;
  for (const Award& given : awards) text += (text.empty() ? "" : " ") + given.loot_id;
  return text;
}

namespace {

// Sends a job to the worker.
void send_job(Worker worker, const HuntRun& run, const BundledHunt* hunt, uint32_t flags) {
  std::string input;
  if (!run.input_json.empty()) {
    Result<PoolString> const value = encode_json_value(run.input_json);
    CHECK(value);
    input = *value;
  }
  wf_job job{};
  job.flags = run.flags | flags;
  job.seed[0] = run.seed[0];
  job.seed[1] = run.seed[1];
  job.now_ms = run.now_ms;
  job.memory_bytes = run.memory_bytes;
  job.script_offset = hunt->offset;
  job.script_bytes = hunt->bytes;
  job.image_offset = hunt->image_offset;
  job.image_bytes = hunt->image_bytes;
  job.hunt_id = text_of(run.hunt_id);
  job.hunter_id = text_of(run.hunter_id);
  job.input = text_of(input);
  std::vector<char> frame(limits::worker_frame_bytes_max);
  size_t const size = wf_write_job(frame.data(), frame.size(), &job);
  CHECK(size > 0);
  CHECK(send(worker.socket, frame.data(), size, MSG_NOSIGNAL) == static_cast<ssize_t>(size));
}

}  // namespace

HuntEnd run_hunt(const HuntRun& run) {
  Result<Bundle> const bundle = make_bundle({{run.hunt_id, run.script}});
  CHECK(bundle);
  Worker const worker = start_worker(run.hunter_id, bundle->descriptor());
  send_job(worker, run, bundle->find(run.hunt_id), 0);
  return run_until(worker, run);
}

std::vector<HuntEnd> run_batch(const std::vector<HuntRun>& runs) {
  std::vector<std::pair<std::string, std::string>> scripts;
  for (size_t i = 0; i < runs.size(); ++i)
    scripts.emplace_back("hunt" + std::to_string(i), runs[i].script);
  Result<Bundle> const sources = make_bundle(scripts);
  CHECK(sources);
  Result<Bundle> const bundle =
      check_bundle(*sources, "", worker_path(), 20'000, runs[0].memory_bytes);
  CHECK(bundle);
  Worker const worker = start_worker(WF_ARGUMENT_IDLE, bundle->descriptor());
  std::vector<HuntEnd> ends;
  for (size_t i = 0; i < runs.size(); ++i) {
    HuntRun run = runs[i];
    run.hunt_id = scripts[i].first;
    bool const last = i + 1 == runs.size();
    send_job(worker, run, bundle->find(run.hunt_id), last ? 0 : WF_JOB_MORE);
    ends.push_back(run_until(worker, run, last ? Until::exit : Until::outcome));
    if (!ends.back().outcome_came) break;
  }
  return ends;
}

HuntEnd run_packet(std::string_view packet, const std::string& argument, int bundle_descriptor) {
  Worker const worker = start_worker(argument, bundle_descriptor);
  CHECK(send(worker.socket, packet.data(), packet.size(), MSG_NOSIGNAL) ==
        static_cast<ssize_t>(packet.size()));
  return run_until(worker, HuntRun{});
}

HuntEnd run_packet_then_close(std::string_view packet, const std::string& argument,
                              int bundle_descriptor) {
  Worker const worker = start_worker(argument, bundle_descriptor);
  CHECK(send(worker.socket, packet.data(), packet.size(), MSG_NOSIGNAL) ==
        static_cast<ssize_t>(packet.size()));
  std::vector<char> first(limits::worker_frame_bytes_max);
  CHECK(recv(worker.socket, first.data(), first.size(), 0) > 0);
  close(worker.socket);
  HuntEnd end;
  while (waitpid(worker.pid, &end.wait_status, 0) < 0) CHECK(errno == EINTR);
  return end;
}

UsageEnd run_without_arguments() {
  int pipe_ends[2];
  CHECK(pipe2(pipe_ends, O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDERR_FILENO);
  char name[] = "hunt_worker";
  char* const argv[] = {name, nullptr};
  char* const environment[] = {nullptr};
  pid_t pid = -1;
  CHECK(posix_spawn(&pid, worker_path(), &actions, nullptr, argv, environment) == 0);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_ends[1]);
  UsageEnd end;
  char text[512];
  for (ssize_t got; (got = read(pipe_ends[0], text, sizeof text)) > 0;)
    end.stderr_text.append(text, static_cast<size_t>(got));
  close(pipe_ends[0]);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) CHECK(errno == EINTR);
  if (WIFEXITED(status)) end.exit_status = WEXITSTATUS(status);
  return end;
}

}  // namespace huntd::test
