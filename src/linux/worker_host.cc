// SPDX-License-Identifier: Apache-2.0
#include "linux/worker_host.h"

#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
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
  slot.started = slot.ended = slot.detached = false;
  slot.kill_when_started = slot.stop_when_started = slot.kill_sent = slot.has_sent = false;
  slot.clean_key = 0;
  slot.spawn_errno = slot.wait_status = 0;
  slot.has_job = kind == SPAWNER_START && !body.empty();
  if (!slot.has_job) slot.socket.reset();
  spawner_request const request{kind,
                                index,
                                ++slot.run,
                                0,
                                static_cast<uint32_t>(hunter_id.size()),
                                static_cast<uint32_t>(body.size())};
  size_t const size = sizeof request + hunter_id.size() + body.size();
  CHECK(size <= SPAWNER_PACKET_BYTES_MAX);
  if (starts_.size() + size > SPAWNER_PACKET_BYTES_MAX) flush();
  // The packet is still full: it waits for a zygote to start.
  bool const has_room = starts_.size() + size <= SPAWNER_PACKET_BYTES_MAX;
  if (!has_room || index >= SPAWNER_SLOTS_MAX) return end(slot, EAGAIN, 0);
  starts_.append(reinterpret_cast<const char*>(&request), sizeof request);
  starts_.append(hunter_id);
  starts_.append(body);
  start_slots_.push_back(index);
}

void UringWorkerHost::flush() {
  flush_kills();
  stop_old_zygotes();
  if (starts_.empty()) return;
  if (method_ == StartMethod::fork && zygote_ == nullptr) return request_zygote();
  prepare_sockets();
  Zygote* const zygote = method_ == StartMethod::fork ? zygote_ : nullptr;
  for (uint32_t index : start_slots_) slots_[index]->zygote = zygote;
  if (zygote != nullptr) zygote->workers += static_cast<uint32_t>(start_slots_.size());
  (zygote != nullptr ? zygote->socket : spawner_).send(std::exchange(starts_, {}));
  start_slots_.clear();
}

// Of the process that starts workers now.
uint32_t UringWorkerHost::launcher_number() const {
  return method_ == StartMethod::fork ? zygote_->number : spawner_number;
}

// Asks for a new socket for each slot that has none with this launcher, and reads from the others.
void UringWorkerHost::prepare_sockets() {
  uint32_t const number = launcher_number();
  for (size_t at = 0; at < starts_.size();) {
    spawner_request request;
    std::memcpy(&request, starts_.data() + at, sizeof request);
    Slot& slot = *slots_[request.slot];
    if (slot.socket_of != number) slot.socket.reset();
    slot.socket_of = number;
    request.new_socket = slot.socket.valid() ? 0 : 1;
    if (slot.socket.valid()) arm_receive(slot);
    std::memcpy(starts_.data() + at, &request, sizeof request);
    at += sizeof request + request.hunter_bytes + request.job_bytes;
  }
}

void UringWorkerHost::use_bundle(int bundle_descriptor, StartMethod method) {
  flush();  // earlier starts run the earlier bundle
  fail_starts(EAGAIN);
  method_ = method;
  zygote_ = nullptr;
  spawner_request const request{SPAWNER_USE_BUNDLE, 0, 0, 0, 0, 0};
  spawner_.send(PoolString(reinterpret_cast<const char*>(&request), sizeof request),
                bundle_descriptor);
  zygote_requested_ = false;
  if (method == StartMethod::fork) request_zygote();
}

void UringWorkerHost::ask(PacketSocket& launcher) {
  spawner_request const request{SPAWNER_PING, 0, 0, 0, 0, 0};
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
  for (uint32_t index : std::exchange(start_slots_, {})) end(*slots_[index], spawn_errno, 0);
}

void UringWorkerHost::request_zygote() {
  if (zygote_requested_) return;
  zygote_requested_ = true;
  spawner_request const request{SPAWNER_ZYGOTE, ++zygote_number_, 0, 0, 0, 0};
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
  zygotes_.push_back(std::make_unique<Zygote>(*this, report.slot, descriptors[0]));
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
    // The kernel kills its workers with it (PR_SET_PDEATHSIG). Starts and exits that it has not
    // reported are lost. The socket is not used again: the worker may take a moment to die.
    slot->has_job = false;
    bool const ran = slot->started || slot->has_sent;
    if (!slot->ended) end(*slot, ran ? 0 : ECHILD, ran ? SIGKILL : 0);
  }
}

// Closes the sockets of zygotes of earlier bundles that have no worker left; they exit.
void UringWorkerHost::stop_old_zygotes() {
  std::erase_if(zygotes_, [this](const std::unique_ptr<Zygote>& zygote) {
    if (zygote.get() != zygote_ && zygote->workers == 0 && !zygote->stopping &&
        zygote->socket.queued_bytes() == 0) {
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
  CHECK(!packet.empty() && packet.size() % sizeof(spawner_report) == 0);
  for (; !packet.empty(); packet.remove_prefix(sizeof(spawner_report))) {
    spawner_report report;
    std::memcpy(&report, packet.data(), sizeof report);
    watch.received(report.kind == SPAWNER_PONG);
    if (report.kind != SPAWNER_PONG) on_report(report, descriptors);
  }
}

void UringWorkerHost::on_report(const spawner_report& report, std::span<const int> descriptors) {
  if (report.kind == SPAWNER_ZYGOTE) return on_zygote(report, descriptors);
  CHECK(report.slot < slots_.size());
  Slot& slot = *slots_[report.slot];
  CHECK(report.kind == SPAWNER_STARTED || report.kind == SPAWNER_ENDED);
  // One that was given up, since its socket did not arrive.
  if (!slot.in_use || slot.ended || slot.run != report.run) {
    for (int descriptor : descriptors) close(descriptor);
    return;
  }
  if (report.kind == SPAWNER_STARTED) return on_started(slot, report, descriptors);
  end(slot, 0, report.wait_status);
}

void UringWorkerHost::on_packets_end() {
  // A spawner must be forked before the ring exists, so the parent restarts the core.
  log::error("the spawner is gone; this core ends and is restarted");
  std::_Exit(exit_without_spawner);
}

void UringWorkerHost::on_started(Slot& slot, const spawner_report& report,
                                 std::span<const int> descriptors) {
  if (!descriptors.empty()) slot.socket.reset(descriptors[0]);
  if (report.spawn_errno != 0) return end(slot, report.spawn_errno, 0);
  if (!slot.socket.valid()) {
    // The worker runs, but this process is out of descriptors and did not receive its socket.
    send_kill(slot);
    return end(slot, EMFILE, 0);
  }
  slot.started = true;
  if (!descriptors.empty()) arm_receive(slot);
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
  slot.cancelling = false;
}

void UringWorkerHost::Receive::complete(int32_t result, uint32_t flags) {
  slot.host.on_frame(slot, result);
}

void UringWorkerHost::on_frame(Slot& slot, int32_t result) {
  slot.receiving = false;
  if ((result == -EINTR || result == -EAGAIN) && !slot.ended) return arm_receive(slot);
  if (result == 0) on_empty_packet(slot);
  if (result > 0) {
    size_t const length = static_cast<size_t>(result);
    pass_frame(slot, frame_in(slot, length));
    if (!slot.detached && !slot.ended) return arm_receive(slot);
  }
  finish_if_gone(slot);
}

// What a receive of `bytes` has put into the buffer. A frame above the limit is delivered as an empty
// one, which the pool treats as a protocol violation.
std::string_view UringWorkerHost::frame_in(const Slot& slot, size_t bytes) {
  bool const fits = bytes <= limits::worker_frame_bytes_max;
  return fits ? std::string_view(slot.buffer.get(), bytes) : std::string_view();
}

// The end of the socket, or an empty packet, which no correct worker sends: it is passed on as an
// empty frame. The socket is not used again.
void UringWorkerHost::on_empty_packet(Slot& slot) {
  slot.has_job = false;
  pollfd wait{slot.socket.get(), POLLIN, 0};
  bool const at_end = poll(&wait, 1, 0) > 0 && (wait.revents & POLLHUP) != 0;
  if (!at_end && !slot.detached) pass_frame(slot, "");
}

// A WF_CLEAN counts only with the holder's key: a script that took its task over could send one.
void UringWorkerHost::pass_frame(Slot& slot, std::string_view frame) {
  slot.has_sent = true;
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

// The worker has exited, or could not be started.
void UringWorkerHost::end(Slot& slot, int spawn_errno, int wait_status) {
  slot.ended = true;
  slot.spawn_errno = spawn_errno;
  slot.wait_status = wait_status;
  // A holder's task ends with it (PR_SET_PDEATHSIG), unless it has not come that far yet.
  if (slot.clean_key != 0 && slot.socket.valid()) ::shutdown(slot.socket.get(), SHUT_WR);
  finish_if_gone(slot);
}

// What the worker sent before it exited is read first.
void UringWorkerHost::finish_if_gone(Slot& slot) {
  if (!slot.ended) return;
  if (slot.receiving) {
    if (!std::exchange(slot.cancelling, true)) ring_.cancel(slot.receive);
    return;
  }
  if (slot.socket.valid()) read_rest(slot);
  free_slot(slot);
}

// Empties the socket, so that the next worker's frames are its own. Nothing more can come from this
// one, except from a holder's task, whose socket is not used again. Nor is it if it was not emptied.
void UringWorkerHost::read_rest(Slot& slot) {
  for (;;) {
    ssize_t const length = ::recv(slot.socket.get(), slot.buffer.get(),
                                  limits::worker_frame_bytes_max, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0 && errno == EAGAIN) return;
    if (length <= 0) {
      slot.has_job = false;
      return;
    }
    size_t const bytes = static_cast<size_t>(length);
    if (!slot.detached) pass_frame(slot, frame_in(slot, bytes));
  }
}

// Asks the process that started this worker to kill it.
void UringWorkerHost::send_kill(Slot& slot) {
  if (std::exchange(slot.kill_sent, true)) return;
  spawner_request const request{SPAWNER_KILL, slot.index, slot.run, 0, 0, 0};
  PoolString& kills = slot.zygote != nullptr ? slot.zygote->kills : kills_;
  kills.append(reinterpret_cast<const char*>(&request), sizeof request);
}

// A packet of them for each process; before the starts.
void UringWorkerHost::flush_kills() {
  auto const send_all = [](PacketSocket& launcher, PoolString& kills) {
    while (!kills.empty()) {
      size_t const most = SPAWNER_PACKET_BYTES_MAX / sizeof(spawner_request);
      size_t const bytes = std::min(kills.size(), most * sizeof(spawner_request));
      launcher.send(kills.substr(0, bytes));
      kills.erase(0, bytes);
    }
  };
  send_all(spawner_, kills_);
  for (const std::unique_ptr<Zygote>& zygote : zygotes_) send_all(zygote->socket, zygote->kills);
}

void UringWorkerHost::free_slot(Slot& slot) {
  // A stopped worker's socket is shut down, and a holder's task may have survived it for a moment.
  bool const keeps = slot.has_job && slot.spawn_errno == 0 && slot.index < SPAWNER_KEPT_SLOTS;
  if (!keeps) slot.socket.reset();
  slot.in_use = false;
  slot.first_job.clear();
  if (slot.zygote != nullptr) --std::exchange(slot.zygote, nullptr)->workers;
  user_->on_worker_exit(slot.index, slot.spawn_errno, slot.wait_status);
}

void UringWorkerHost::send(uint32_t index, std::string_view frame) {
  Slot& slot = *slots_[index];
  if (!slot.in_use) return;
  if (!slot.started)
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
  if (!slot.in_use || slot.ended) return;
  if (slot.started)
    send_kill(slot);
  else
    slot.kill_when_started = true;
}

void UringWorkerHost::detach(uint32_t index) {
  Slot& slot = *slots_[index];
  if (slot.in_use) slot.detached = true;
}

void UringWorkerHost::stop(uint32_t index) {
  Slot& slot = *slots_[index];
  if (!slot.in_use) return;
  slot.detached = slot.stop_when_started = true;
  slot.has_job = false;  // the socket is not used again
  if (slot.socket.valid()) ::shutdown(slot.socket.get(), SHUT_WR);
}

}  // namespace huntd::server
