#include "uring/worker_host.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "base/log.h"

namespace huntd::uring {

UringWorkerHost::UringWorkerHost(Ring& ring, int spawner_socket)
    : ring_(ring), spawner_(ring, spawner_socket, *this) {}

// --- births --------------------------------------------------------------------------------------

void UringWorkerHost::start(uint32_t index, std::string_view hunter_id, std::string_view job) {
  CHECK(!job.empty());
  request_start(index, hunter_id, job);
}

void UringWorkerHost::start_spare(uint32_t index) { request_start(index, WF_ARGUMENT_SPARE, ""); }

void UringWorkerHost::request_start(uint32_t index, std::string_view hunter_id,
                                    std::string_view job) {
  while (places_.size() <= index)
    places_.push_back(std::make_unique<Place>(*this, static_cast<uint32_t>(places_.size())));
  Place& place = *places_[index];
  CHECK(!place.in_use);
  place.in_use = true;
  place.ended = place.dismissed = place.kill_early = place.status_asked = place.retired = false;
  spawner_request const request{SPAWNER_START, index, 0, static_cast<uint32_t>(hunter_id.size()),
                                static_cast<uint32_t>(job.size())};
  size_t const size = sizeof request + hunter_id.size() + job.size();
  CHECK(size <= SPAWNER_PACKET_BYTES_MAX);
  if (starts_.size() + size > SPAWNER_PACKET_BYTES_MAX) flush();
  // Still no room: a zygote is on its way and the packet for it is full.
  if (starts_.size() + size > SPAWNER_PACKET_BYTES_MAX) return leave(place, EAGAIN, 0);
  starts_.append(reinterpret_cast<const char*>(&request), sizeof request);
  starts_.append(hunter_id);
  starts_.append(job);
  starts_of_.push_back(index);
}

void UringWorkerHost::flush() {
  end_old_zygotes();
  if (starts_.empty()) return;
  if (birth_ == Birth::spawn) {
    for (uint32_t index : starts_of_) places_[index]->zygote = nullptr;
    spawner_.send(std::exchange(starts_, {}));
  } else {
    if (zygote_ == nullptr) return ask_for_zygote();
    for (uint32_t index : starts_of_) places_[index]->zygote = zygote_;
    zygote_->workers += static_cast<uint32_t>(starts_of_.size());
    zygote_->socket.send(std::exchange(starts_, {}));
  }
  starts_of_.clear();
}

void UringWorkerHost::use_bundle(int bundle_descriptor, Birth birth) {
  flush();  // starts asked for before the swap run the bundle that they were asked for with
  fail_starts(EAGAIN);
  birth_ = birth;
  zygote_ = nullptr;
  spawner_request const request{SPAWNER_USE_BUNDLE, 0, 0, 0, 0};
  spawner_.send(Text(reinterpret_cast<const char*>(&request), sizeof request), bundle_descriptor);
  zygote_asked_ = false;
  if (birth == Birth::fork) ask_for_zygote();
}

// Those that wait for a zygote get none.
void UringWorkerHost::fail_starts(int spawn_errno) {
  starts_.clear();
  for (uint32_t index : std::exchange(starts_of_, {})) leave(*places_[index], spawn_errno, 0);
}

void UringWorkerHost::ask_for_zygote() {
  if (zygote_asked_) return;
  zygote_asked_ = true;
  spawner_request const request{SPAWNER_ZYGOTE, ++zygote_number_, 0, 0, 0};
  spawner_.send(Text(reinterpret_cast<const char*>(&request), sizeof request));
}

void UringWorkerHost::on_zygote(const spawner_report& report, std::span<const int> descriptors) {
  // One that was asked for before a swap holds the old bundle: let go of, it ends.
  if (report.place != zygote_number_ || birth_ != Birth::fork) {
    for (int descriptor : descriptors) close(descriptor);
    return;
  }
  zygote_asked_ = false;
  if (report.spawn_errno != 0 || descriptors.size() != 1) {
    // Without its descriptor, which got lost on the way, it has ended already.
    int const error = report.spawn_errno != 0 ? report.spawn_errno : EMFILE;
    log::error("the zygote can't be started", {{"error", std::strerror(error)}});
    return fail_starts(error);
  }
  zygotes_.push_back(std::make_unique<Zygote>(*this, descriptors[0]));
  zygote_ = zygotes_.back().get();
}

void UringWorkerHost::on_zygote_end(Zygote& zygote) {
  if (!zygote.told_to_end) log::error("a zygote is gone; another is started");
  if (zygote_ == &zygote) zygote_ = nullptr;
  zygote.workers = 0;
  for (size_t i = 0; i < places_.size(); ++i) {
    Place* const place = places_[i].get();
    if (!place->in_use || place->zygote != &zygote) continue;
    place->zygote = nullptr;
    // Its workers end with it (PR_SET_PDEATHSIG). Of those not reported nothing more is heard, and
    // nobody can tell any more how one ended.
    if (place->pid < 0)
      leave(*place, ECHILD, 0);
    else if (place->status_asked)
      leave(*place, 0, SIGKILL);
    else
      place->zygote_gone = true;
  }
}

// One that bears no more and has no worker left is let go of, and ends.
void UringWorkerHost::end_old_zygotes() {
  std::erase_if(zygotes_, [this](const std::unique_ptr<Zygote>& zygote) {
    if (zygote.get() != zygote_ && zygote->workers == 0 && !zygote->told_to_end) {
      zygote->told_to_end = true;
      zygote->socket.finish_sending();
    }
    return zygote->socket.quiet() && zygote->workers == 0;
  });
}

void UringWorkerHost::on_packet(std::string_view packet, std::span<const int> descriptors) {
  spawner_report report;
  CHECK(packet.size() == sizeof report);
  std::memcpy(&report, packet.data(), sizeof report);
  if (report.kind == SPAWNER_ZYGOTE) return on_zygote(report, descriptors);
  CHECK(report.place < places_.size());
  Place& place = *places_[report.place];
  CHECK(place.in_use);
  if (report.kind == SPAWNER_STARTED) return on_started(place, report, descriptors);
  CHECK(report.kind == SPAWNER_ENDED && place.pid == report.pid);
  leave(place, 0, report.wait_status);
}

void UringWorkerHost::on_packets_end() {
  // Without its spawner a core can start nothing, and a new one must be forked before the ring
  // exists: the parent restarts the core.
  log::error("the spawner is gone; this core ends and is restarted");
  std::_Exit(EXIT_FAILURE);
}

void UringWorkerHost::on_started(Place& place, const spawner_report& report,
                                 std::span<const int> descriptors) {
  if (report.spawn_errno != 0 || descriptors.size() != 2) {
    for (int descriptor : descriptors) close(descriptor);
    // It runs, but its descriptors got lost on the way: this process is out of them.
    if (report.spawn_errno == 0) ask_bearer(place, SPAWNER_KILL, report.pid);
    return leave(place, report.spawn_errno != 0 ? report.spawn_errno : EMFILE, 0);
  }
  place.socket = descriptors[0];
  place.pidfd = descriptors[1];
  place.pid = report.pid;
  io_uring_sqe* sqe = ring_.prepare(place.exit);
  io_uring_prep_poll_add(sqe, place.pidfd, POLLIN);
  place.buffer.resize(limits::worker_frame_bytes_max);
  arm_receive(place);
  if (!place.first_job.empty()) send_frame(place, std::exchange(place.first_job, {}));
  if (place.retired) retire(place.index);
  if (place.kill_early) kill(place.index);
  user_->on_worker_started(place.index, report.started_at_ns);
}

// --- talk ----------------------------------------------------------------------------------------

void UringWorkerHost::arm_receive(Place& place) {
  io_uring_sqe* sqe = ring_.prepare(place.receive);
  // MSG_TRUNC: a frame larger than the bound shows by its length instead of being cut unseen
  // (recv(2)).
  io_uring_prep_recv(sqe, place.socket, place.buffer.data(), place.buffer.size(), MSG_TRUNC);
  place.receiving = true;
}

void UringWorkerHost::Receive::complete(int32_t result, uint32_t flags) {
  place.host.on_frame(place, result);
}

void UringWorkerHost::on_frame(Place& place, int32_t result) {
  place.receiving = false;
  if (result == -EINTR || result == -EAGAIN) return arm_receive(place);
  if (result > 0) {
    size_t const length = static_cast<size_t>(result);
    // Too long a frame reaches the pool as an empty one: it knows what to do with a worker that
    // breaks the rules.
    user_->on_worker_frame(place.index, length <= place.buffer.size()
                                            ? std::string_view(place.buffer.data(), length)
                                            : "");
    if (!place.dismissed) return arm_receive(place);
  }
  finish_if_gone(place);
}

void UringWorkerHost::Exit::complete(int32_t result, uint32_t flags) {
  place.ended = true;
  place.host.finish_if_gone(place);
}

void UringWorkerHost::finish_if_gone(Place& place) {
  // What it sent before it ended is read first: the receive ends by itself, since nobody holds the
  // other side.
  if (!place.ended || (place.receiving && !place.dismissed)) return;
  if (place.receiving) {
    ring_.cancel(place.receive);
    return;
  }
  if (place.dismissed) return leave(place, 0, 0);
  if (place.status_asked) return;
  if (place.zygote_gone) return leave(place, 0, SIGKILL);
  place.status_asked = true;
  ask_bearer(place, SPAWNER_STATUS, place.pid);
}

// Who bore this worker is told or asked something about it.
void UringWorkerHost::ask_bearer(const Place& place, uint32_t kind, int32_t pid) {
  spawner_request const request{kind, place.index, pid, 0, 0};
  PacketSocket& bearer = place.zygote != nullptr ? place.zygote->socket : spawner_;
  bearer.send(Text(reinterpret_cast<const char*>(&request), sizeof request));
}

void UringWorkerHost::leave(Place& place, int spawn_errno, int wait_status) {
  if (place.socket >= 0) close(std::exchange(place.socket, -1));
  if (place.pidfd >= 0) close(std::exchange(place.pidfd, -1));
  place.pid = -1;
  place.in_use = false;
  place.zygote_gone = false;
  place.first_job.clear();
  if (place.zygote != nullptr) --std::exchange(place.zygote, nullptr)->workers;
  user_->on_worker_exit(place.index, spawn_errno, wait_status);
}

void UringWorkerHost::send(uint32_t index, std::string_view frame) {
  Place& place = *places_[index];
  if (!place.in_use) return;
  if (place.socket < 0)
    place.first_job = frame;
  else
    send_frame(place, frame);
}

void UringWorkerHost::send_frame(Place& place, std::string_view frame) {
  // One job or answer at a time, and the worker waits for it: the socket's buffer has room. A
  // worker that filled it by not reading gets nothing and is killed at its deadline.
  [[maybe_unused]] ssize_t sent =
      ::send(place.socket, frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void UringWorkerHost::kill(uint32_t index) {
  Place& place = *places_[index];
  if (!place.in_use) return;
  if (place.pidfd < 0) {
    place.kill_early = true;
    return;
  }
  syscall(SYS_pidfd_send_signal, place.pidfd, SIGKILL, nullptr, 0);
}

void UringWorkerHost::dismiss(uint32_t index) {
  Place& place = *places_[index];
  if (place.in_use) place.dismissed = true;
}

void UringWorkerHost::retire(uint32_t index) {
  Place& place = *places_[index];
  if (!place.in_use) return;
  place.dismissed = place.retired = true;
  if (place.socket >= 0) ::shutdown(place.socket, SHUT_WR);
}

}  // namespace huntd::uring
