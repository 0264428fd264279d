// SPDX-License-Identifier: Apache-2.0
#include "linux/worker_host.h"

#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "linux/spawner.h"
#include "wire/worker_frame.h"

namespace huntd::server {

UringWorkerHost::UringWorkerHost(Ring& ring, int spawner_socket)
    : ring_(ring), spawner_(ring, spawner_socket, *this) {}

// --- starts --------------------------------------------------------------------------------------

void UringWorkerHost::start(uint32_t index, std::string_view hunter_id, std::string_view job) {
  CHECK(!job.empty());
  request_start(SPAWNER_START, index, hunter_id, job);
}

void UringWorkerHost::start_idle(uint32_t index) {
  request_start(SPAWNER_START, index, WF_ARGUMENT_IDLE, "");
}

void UringWorkerHost::start_holder(uint32_t index, uint64_t memory_bytes) {
  holder_start first{0, 0, memory_bytes};
  while (first.clean_key == 0)
    CHECK(getrandom(&first.clean_key, sizeof first.clean_key, 0) == sizeof first.clean_key);
  request_start(SPAWNER_HOLDER, index, "", {reinterpret_cast<const char*>(&first), sizeof first});
  slots_[index]->clean_key = first.clean_key;
}

// `body` is a job, or a holder_start.
void UringWorkerHost::request_start(uint32_t kind, uint32_t index, std::string_view hunter_id,
                                    std::string_view body) {
  while (slots_.size() <= index)
    slots_.push_back(std::make_unique<Slot>(*this, static_cast<uint32_t>(slots_.size())));
  Slot& slot = *slots_[index];
  CHECK(!slot.in_use);
  slot.in_use = true;
  slot.exited = slot.detached = slot.status_asked = false;
  slot.kill_when_started = slot.stop_when_started = false;
  slot.clean_key = 0;
  spawner_request const request{kind, index, 0, static_cast<uint32_t>(hunter_id.size()),
                                static_cast<uint32_t>(body.size())};
  size_t const size = sizeof request + hunter_id.size() + body.size();
  CHECK(size <= SPAWNER_PACKET_BYTES_MAX);
  if (starts_.size() + size > SPAWNER_PACKET_BYTES_MAX) flush();
  // The packet is still full: it waits for a zygote to start.
  if (starts_.size() + size > SPAWNER_PACKET_BYTES_MAX) return free_slot(slot, EAGAIN, 0);
  starts_.append(reinterpret_cast<const char*>(&request), sizeof request);
  starts_.append(hunter_id);
  starts_.append(body);
  start_slots_.push_back(index);
}

void UringWorkerHost::flush() {
  stop_old_zygotes();
  if (starts_.empty()) return;
  if (method_ == StartMethod::exec) {
    for (uint32_t index : start_slots_) slots_[index]->zygote = nullptr;
    spawner_.send(std::exchange(starts_, {}));
  } else {
    if (zygote_ == nullptr) return request_zygote();
    for (uint32_t index : start_slots_) slots_[index]->zygote = zygote_;
    zygote_->workers += static_cast<uint32_t>(start_slots_.size());
    zygote_->socket.send(std::exchange(starts_, {}));
  }
  start_slots_.clear();
}

void UringWorkerHost::use_bundle(int bundle_descriptor, StartMethod method) {
  flush();  // earlier starts run the earlier bundle
  fail_starts(EAGAIN);
  method_ = method;
  zygote_ = nullptr;
  spawner_request const request{SPAWNER_USE_BUNDLE, 0, 0, 0, 0};
  spawner_.send(PoolString(reinterpret_cast<const char*>(&request), sizeof request),
                bundle_descriptor);
  zygote_requested_ = false;
  if (method == StartMethod::fork) request_zygote();
}

void UringWorkerHost::ask(PacketSocket& launcher) {
  spawner_request const request{SPAWNER_STATUS, 0, SPAWNER_PID_NONE, 0, 0};
  launcher.send(PoolString(reinterpret_cast<const char*>(&request), sizeof request));
}

void UringWorkerHost::watch_launchers(uint64_t ran_ns) {
  if (spawner_watch_.tick(ran_ns)) ask(spawner_);
  bool const forks = method_ == StartMethod::fork && zygote_ != nullptr;
  if (forks && zygote_->watch.tick(ran_ns)) ask(zygote_->socket);
  // Only the process that would start the next worker counts.
  bool const answers = forks ? !zygote_->watch.silent() : !spawner_watch_.silent();
  if (std::exchange(launcher_answers_, answers) != answers) user_->on_launcher(answers);
}

// Fails the starts that wait for a zygote.
void UringWorkerHost::fail_starts(int spawn_errno) {
  starts_.clear();
  for (uint32_t index : std::exchange(start_slots_, {})) free_slot(*slots_[index], spawn_errno, 0);
}

void UringWorkerHost::request_zygote() {
  if (zygote_requested_) return;
  zygote_requested_ = true;
  spawner_request const request{SPAWNER_ZYGOTE, ++zygote_number_, 0, 0, 0};
  spawner_.send(PoolString(reinterpret_cast<const char*>(&request), sizeof request));
}

void UringWorkerHost::on_zygote(const spawner_report& report, std::span<const int> descriptors) {
  // A zygote that was requested before use_bundle() has the old bundle; without its socket it
  // exits.
  if (report.slot != zygote_number_ || method_ != StartMethod::fork) {
    for (int descriptor : descriptors) close(descriptor);
    return;
  }
  zygote_requested_ = false;
  if (report.spawn_errno != 0 || descriptors.size() != 1) {
    // A report without the descriptor: this process is out of descriptors, and the zygote exits.
    int const error = report.spawn_errno != 0 ? report.spawn_errno : EMFILE;
    if (log_budget_.take(monotonic_ns()))
      log::error("zygote cannot be started", {{"error", std::strerror(error)}});
    return fail_starts(error);
  }
  zygotes_.push_back(std::make_unique<Zygote>(*this, descriptors[0]));
  zygote_ = zygotes_.back().get();
}

void UringWorkerHost::on_zygote_end(Zygote& zygote) {
  if (!zygote.stopping) log::error("a zygote is gone; another is started");
  if (zygote_ == &zygote) zygote_ = nullptr;
  zygote.workers = 0;
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot* const slot = slots_[i].get();
    if (!slot->in_use || slot->zygote != &zygote) continue;
    slot->zygote = nullptr;
    // The kernel kills its workers with it (PR_SET_PDEATHSIG). Starts that it has not reported are
    // lost, and exit statuses can no longer be asked for.
    if (slot->pid < 0)
      free_slot(*slot, ECHILD, 0);
    else if (slot->status_asked)
      free_slot(*slot, 0, SIGKILL);
    else
      slot->zygote_gone = true;
  }
}

// Closes the sockets of zygotes of earlier bundles that have no worker left; they exit.
void UringWorkerHost::stop_old_zygotes() {
  std::erase_if(zygotes_, [this](const std::unique_ptr<Zygote>& zygote) {
    if (zygote.get() != zygote_ && zygote->workers == 0 && !zygote->stopping) {
      zygote->stopping = true;
      zygote->socket.finish_sending();
    }
    return zygote->socket.closed() && zygote->workers == 0;
  });
}

void UringWorkerHost::on_packet(std::string_view packet, std::span<const int> descriptors) {
  take_packet(packet, descriptors, spawner_watch_);
}

// `watch` is of the process that has sent it.
void UringWorkerHost::take_packet(std::string_view packet, std::span<const int> descriptors,
                                  LauncherWatch& watch) {
  spawner_report report;
  CHECK(packet.size() == sizeof report);
  std::memcpy(&report, packet.data(), sizeof report);
  bool const reply = report.kind == SPAWNER_ENDED && report.pid == SPAWNER_PID_NONE;
  watch.received(reply);
  if (reply) return;
  if (report.kind == SPAWNER_ZYGOTE) return on_zygote(report, descriptors);
  CHECK(report.slot < slots_.size());
  Slot& slot = *slots_[report.slot];
  CHECK(slot.in_use);
  if (report.kind == SPAWNER_STARTED) return on_started(slot, report, descriptors);
  CHECK(report.kind == SPAWNER_ENDED && slot.pid == report.pid);
  free_slot(slot, 0, report.wait_status);
}

void UringWorkerHost::on_packets_end() {
  // A spawner must be forked before the ring exists, so the parent restarts the core.
  log::error("the spawner is gone; this core ends and is restarted");
  std::_Exit(exit_without_spawner);
}

void UringWorkerHost::on_started(Slot& slot, const spawner_report& report,
                                 std::span<const int> descriptors) {
  if (report.spawn_errno != 0 || descriptors.size() != 2) {
    for (int descriptor : descriptors) close(descriptor);
    // The worker runs, but this process is out of descriptors and did not receive the worker's.
    if (report.spawn_errno == 0) send_to_launcher(slot, SPAWNER_KILL, report.pid);
    return free_slot(slot, report.spawn_errno != 0 ? report.spawn_errno : EMFILE, 0);
  }
  slot.socket.reset(descriptors[0]);
  slot.pidfd.reset(descriptors[1]);
  slot.pid = report.pid;
  io_uring_sqe* sqe = ring_.prepare(slot.exit);
  io_uring_prep_poll_add(sqe, slot.pidfd.get(), POLLIN);
  arm_receive(slot);
  if (!slot.first_job.empty()) send_frame(slot, std::exchange(slot.first_job, {}));
  if (slot.stop_when_started) stop(slot.index);
  if (slot.kill_when_started) kill(slot.index);
  user_->on_worker_started(slot.index, report.started_at_ns);
}

// --- frames --------------------------------------------------------------------------------------

void UringWorkerHost::arm_receive(Slot& slot) {
  io_uring_sqe* sqe = ring_.prepare(slot.receive);
  // MSG_TRUNC: for a frame above the limit, the result is its full length (recv(2)).
  io_uring_prep_recv(sqe, slot.socket.get(), slot.buffer.get(), limits::worker_frame_bytes_max,
                     MSG_TRUNC);
  sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;  // the frame is rarely here yet
  slot.receiving = true;
}

void UringWorkerHost::Receive::complete(int32_t result, uint32_t flags) {
  slot.host.on_frame(slot, result);
}

void UringWorkerHost::on_frame(Slot& slot, int32_t result) {
  slot.receiving = false;
  if (result == -EINTR || result == -EAGAIN) return arm_receive(slot);
  if (result > 0) {
    size_t const length = static_cast<size_t>(result);
    // A frame above the limit is delivered as an empty one, which the pool treats as a protocol
    // violation.
    bool const fits = length <= limits::worker_frame_bytes_max;
    pass_frame(slot, fits ? std::string_view(slot.buffer.get(), length) : "");
    if (!slot.detached) return arm_receive(slot);
  }
  finish_if_gone(slot);
}

// A WF_CLEAN counts only with the holder's key: a script that took its task over could send one.
void UringWorkerHost::pass_frame(const Slot& slot, std::string_view frame) {
  wf_reader reader;
  wf_clean clean{};
  bool const says_clean = slot.clean_key != 0 && frame.size() == WF_CLEAN_BYTES &&
                          wf_open(&reader, frame.data(), frame.size()) == WF_CLEAN &&
                          wf_read_clean(&reader, &clean) != 0 && clean.key == slot.clean_key;
  if (says_clean)
    user_->on_worker_clean(slot.index, static_cast<int>(clean.wait_status));
  else
    user_->on_worker_frame(slot.index, frame);
}

void UringWorkerHost::Exit::complete(int32_t result, uint32_t flags) {
  slot.exited = true;
  // A holder's task ends with it (PR_SET_PDEATHSIG), unless it has not come that far yet.
  if (slot.clean_key != 0) ::shutdown(slot.socket.get(), SHUT_WR);
  slot.host.finish_if_gone(slot);
}

void UringWorkerHost::finish_if_gone(Slot& slot) {
  // What the worker sent before it exited is read first; the receive then ends by itself, since the
  // other end is closed.
  if (!slot.exited || (slot.receiving && !slot.detached)) return;
  if (slot.receiving) {
    ring_.cancel(slot.receive);
    return;
  }
  if (slot.detached) return free_slot(slot, 0, 0);
  if (slot.status_asked) return;
  if (slot.zygote_gone) return free_slot(slot, 0, SIGKILL);
  slot.status_asked = true;
  send_to_launcher(slot, SPAWNER_STATUS, slot.pid);
}

// Sends a request about this worker to the process that started it.
void UringWorkerHost::send_to_launcher(const Slot& slot, uint32_t kind, int32_t pid) {
  spawner_request const request{kind, slot.index, pid, 0, 0};
  PacketSocket& launcher = slot.zygote != nullptr ? slot.zygote->socket : spawner_;
  launcher.send(PoolString(reinterpret_cast<const char*>(&request), sizeof request));
}

void UringWorkerHost::free_slot(Slot& slot, int spawn_errno, int wait_status) {
  slot.socket.reset();
  slot.pidfd.reset();
  slot.pid = -1;
  slot.in_use = false;
  slot.zygote_gone = false;
  slot.first_job.clear();
  if (slot.zygote != nullptr) --std::exchange(slot.zygote, nullptr)->workers;
  user_->on_worker_exit(slot.index, spawn_errno, wait_status);
}

void UringWorkerHost::send(uint32_t index, std::string_view frame) {
  Slot& slot = *slots_[index];
  if (!slot.in_use) return;
  if (!slot.socket.valid())
    slot.first_job = frame;
  else
    send_frame(slot, frame);
}

void UringWorkerHost::send_frame(Slot& slot, std::string_view frame) {
  // The worker waits for one job or reply at a time, so the socket's buffer has room. A worker that
  // does not read gets nothing more and is killed at its deadline.
  [[maybe_unused]] ssize_t sent =
      ::send(slot.socket.get(), frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void UringWorkerHost::kill(uint32_t index) {
  Slot& slot = *slots_[index];
  if (!slot.in_use) return;
  if (!slot.pidfd.valid()) {
    slot.kill_when_started = true;
    return;
  }
  syscall(SYS_pidfd_send_signal, slot.pidfd.get(), SIGKILL, nullptr, 0);
}

void UringWorkerHost::detach(uint32_t index) {
  Slot& slot = *slots_[index];
  if (slot.in_use) slot.detached = true;
}

void UringWorkerHost::stop(uint32_t index) {
  Slot& slot = *slots_[index];
  if (!slot.in_use) return;
  slot.detached = slot.stop_when_started = true;
  if (slot.socket.valid()) ::shutdown(slot.socket.get(), SHUT_WR);
}

}  // namespace huntd::server
