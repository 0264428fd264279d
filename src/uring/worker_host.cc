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

UringWorkerHost::UringWorkerHost(Ring& ring, int spawner_socket, uint32_t places)
    : ring_(ring), spawner_(ring, spawner_socket, *this) {
  grow(places);
}

void UringWorkerHost::grow(uint32_t places) {
  while (places_.size() < places)
    places_.push_back(std::make_unique<Place>(*this, static_cast<uint32_t>(places_.size())));
}

void UringWorkerHost::start(uint32_t index, std::string_view hunter_id, std::string_view job) {
  Place& place = *places_[index];
  CHECK(!place.in_use);
  place.in_use = true;
  place.ended = place.dismissed = place.kill_early = place.status_asked = false;
  SpawnerRequest const request{SpawnerMessage::start, index, 0,
                               static_cast<uint32_t>(hunter_id.size()),
                               static_cast<uint32_t>(job.size())};
  size_t const size = sizeof request + hunter_id.size() + job.size();
  CHECK(size <= limits::peer_packet_bytes_max);
  if (starts_.size() + size > limits::peer_packet_bytes_max) flush();
  starts_.append(reinterpret_cast<const char*>(&request), sizeof request);
  starts_.append(hunter_id);
  starts_.append(job);
}

void UringWorkerHost::flush() {
  if (!starts_.empty()) spawner_.send(std::exchange(starts_, {}));
}

void UringWorkerHost::use_bundle(int bundle_descriptor) {
  flush();  // starts asked for before the swap run the bundle that they were asked for with
  SpawnerRequest const request{SpawnerMessage::use_bundle, 0, 0, 0, 0};
  spawner_.send(std::string(reinterpret_cast<const char*>(&request), sizeof request),
                bundle_descriptor);
}

void UringWorkerHost::on_packet(std::string_view packet, std::span<const int> descriptors) {
  SpawnerReport report;
  CHECK(packet.size() == sizeof report);
  std::memcpy(&report, packet.data(), sizeof report);
  CHECK(report.place < places_.size());
  Place& place = *places_[report.place];
  CHECK(place.in_use);
  if (report.kind == SpawnerMessage::started) return on_started(place, report, descriptors);
  CHECK(report.kind == SpawnerMessage::ended && place.pid == report.pid);
  leave(place, 0, report.wait_status);
}

void UringWorkerHost::on_packets_end() {
  // Without its spawner a core can start nothing, and a new one must be forked before the ring
  // exists: the parent restarts the core.
  log::error("the spawner is gone; this core ends and is restarted");
  std::_Exit(EXIT_FAILURE);
}

void UringWorkerHost::on_started(Place& place, const SpawnerReport& report,
                                 std::span<const int> descriptors) {
  if (report.spawn_errno != 0 || descriptors.size() != 2) {
    for (int descriptor : descriptors) close(descriptor);
    return leave(place, report.spawn_errno != 0 ? report.spawn_errno : EMFILE, 0);
  }
  place.socket = descriptors[0];
  place.pidfd = descriptors[1];
  place.pid = report.pid;
  io_uring_sqe* sqe = ring_.prepare(place.exit);
  io_uring_prep_poll_add(sqe, place.pidfd, POLLIN);
  place.buffer.resize(limits::worker_frame_bytes_max);
  arm_receive(place);
  if (place.kill_early) kill(place.index);
  user_->on_worker_started(place.index, report.started_at_ns);
}

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
  place.status_asked = true;
  SpawnerRequest const request{SpawnerMessage::status, place.index, place.pid, 0, 0};
  spawner_.send(std::string(reinterpret_cast<const char*>(&request), sizeof request));
}

void UringWorkerHost::leave(Place& place, int spawn_errno, int wait_status) {
  if (place.socket >= 0) close(std::exchange(place.socket, -1));
  if (place.pidfd >= 0) close(std::exchange(place.pidfd, -1));
  place.pid = -1;
  place.in_use = false;
  user_->on_worker_exit(place.index, spawn_errno, wait_status);
}

void UringWorkerHost::send(uint32_t index, std::string_view frame) {
  Place& place = *places_[index];
  if (!place.in_use || place.socket < 0) return;
  // An answer is small and the worker waits for it: the socket's buffer has room. A worker that
  // filled it by not reading gets no answer and is killed at its deadline.
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

}  // namespace huntd::uring
