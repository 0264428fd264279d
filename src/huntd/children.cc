// SPDX-License-Identifier: Apache-2.0
#include "huntd/children.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/clock.h"
#include "base/cpus.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/scm_rights.h"
#include "huntd/admin/admin.h"
#include "huntd/listen.h"
#include "linux/core_process.h"
#include "linux/spawner.h"

namespace huntd::server {
namespace {

constexpr uint64_t restart_first_ms = 100;
constexpr uint64_t restart_max_ms = 5000;
constexpr uint64_t restart_admin_ms = 1000;
// A core that ran this long is started again without a pause.
constexpr uint64_t stable_after_ms = 10'000;
// A core completes a tick at least every 250 ms.
constexpr uint64_t stalled_after_ms = 2000;

// A SOCK_SEQPACKET pair; both invalid on failure, with errno set.
struct SocketPair {
  UniqueFd first;
  UniqueFd second;
};

SocketPair make_pair() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return {};
  int const bytes = 4 * limits::peer_packet_bytes_max;
  for (int end : pair) setsockopt(end, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  return {UniqueFd(pair[0]), UniqueFd(pair[1])};
}

// `status` as in waitpid(2), of a child.
std::string text_of_end(int status) {
  if (WIFSIGNALED(status)) return fmt::format("signal {}", WTERMSIG(status));
  if (WEXITSTATUS(status) == exit_without_spawner) return "its spawner was gone";
  return fmt::format("exit status {}", WEXITSTATUS(status));
}

}  // namespace

Result<void> Children::open() {
  if (pin_cores_) cpus_ = allowed_cpus();
  uint32_t const count = region_.cores();
  cores_.resize(count);
  for (uint32_t index = 0; index < count; ++index) {
    SocketPair pair = make_pair();
    if (!pair.first.valid()) return Error{std::string("socketpair: ") + std::strerror(errno)};
    cores_[index].index = index;
    cores_[index].inbox = std::move(pair.first);
    cores_[index].outbox = std::move(pair.second);
  }
  return {};
}

void Children::start(const Descriptors& descriptors) {
  descriptors_ = descriptors;
  start_admin();
  for (Core& core : cores_) start_core(core);
}

void Children::start_core(Core& core) {
  SocketPair control = make_pair();
  if (!control.first.valid()) return retry_start(core, "socketpair");
  ++core.incarnation;
  core.started_at_ns = monotonic_ns();
  core.restart_at_ns = 0;
  pid_t const parent_pid = getpid();
  pid_t const pid = fork();
  if (pid < 0) return retry_start(core, "fork");
  if (pid == 0) {
    begin_child(parent_pid, "huntd-core", false);
    control.first.reset();
    run_as_core(core, std::move(control.second));
  }
  core.pid = pid;
  core.control = std::move(control.first);
  region_.core(core.index).starts.store(core.incarnation);
  send_to_others({core.index, false, core.incarnation});
}

void Children::retry_start(Core& core, const char* call) {
  log::error("core cannot be started",
             {{"core", core.index}, {"error", fmt::format("{}: {}", call, std::strerror(errno))}});
  core.restart_at_ns = monotonic_ns() + restart_max_ms * ns_per_ms;
}

void Children::run_as_core(Core& core, UniqueFd control) {
  CoreSetup setup;
  setup.index = core.index;
  setup.incarnation = core.incarnation;
  setup.cpu = cpus_.empty() ? -1 : cpus_[core.index % cpus_.size()];
  setup.config = prepared_.config;
  setup.redis = prepared_.redis;
  setup.redis_logins = prepared_.redis_logins;
  setup.secrets = prepared_.secrets;
  setup.seed_secret = prepared_.seed_secret;
  setup.worker_descriptor = prepared_.worker->descriptor();
  setup.listen_descriptors = descriptors_.listen;
  setup.control_descriptor = control.release();
  setup.peer_sockets.inbox = core.inbox.release();
  for (Core& other : cores_)
    setup.peer_sockets.outboxes.push_back(other.index == core.index ? -1 : other.outbox.release());
  // Without another descriptor of it, so that the core can free the memory of the bundle.
  setup.bundle_descriptor = prepared_.bundle.descriptor();
  setup.metrics = &region_.core(core.index);
  setup.leaving = leaving_;
  for (const Core& other : cores_)
    if (other.index != core.index)
      setup.peers.push_back({other.index, other.up, other.incarnation});
  // Close the sockets of the other cores and what only the parent needs.
  close_parents_own();
  close(descriptors_.admin);
  for (Core& other : cores_) {
    other.control.reset();
    other.inbox.reset();
    other.outbox.reset();
  }
  log::set_origin(fmt::format("core={}", core.index));
  _exit(run_core(std::move(setup)));
}

void Children::close_parents_own() const {
  close(descriptors_.signals);
  for (int const descriptor : parent_only_)
    if (descriptor >= 0) close(descriptor);
}

void Children::start_admin() {
  admin_started_at_ns_ = monotonic_ns();
  pid_t const parent_pid = getpid();
  admin_pid_ = fork();
  if (admin_pid_ == 0) {
    begin_child(parent_pid, "huntd-admin", true);
    run_as_admin();
  }
  if (admin_pid_ < 0)
    log::error("the admin process cannot be started",
               {{"error", fmt::format("fork: {}", std::strerror(errno))}});
}

void Children::run_as_admin() {
  for (int const descriptor : descriptors_.listen) close(descriptor);
  close_parents_own();
  close(prepared_.bundle.descriptor());
  cores_.clear();
  log::set_origin("process=admin");
  // Who can reach the port of another host's may read neither what hunters sent nor loot_ids.
  bool const only_this_host = is_loopback(descriptors_.admin);
  _exit(run_admin(region_, UniqueFd(descriptors_.admin),
                  only_this_host ? Private::shown : Private::hidden));
}

void Children::end_admin() {
  if (admin_pid_ <= 0) return;
  kill(admin_pid_, SIGKILL);
  waitpid(admin_pid_, nullptr, 0);
}

std::vector<EndedChild> Children::collect() {
  std::vector<EndedChild> others;
  for (;;) {
    int status = 0;
    pid_t const pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return others;
    std::string const reason = text_of_end(status);
    if (pid == admin_pid_) {
      admin_pid_ = -1;
      if (!draining_)
        log::error("the admin process ended and is started again", {{"reason", reason}});
      continue;
    }
    auto const core = std::find_if(cores_.begin(), cores_.end(),
                                   [pid](const Core& one) { return one.pid == pid; });
    if (core != cores_.end())
      on_core_end(*core, reason);
    else
      others.push_back({pid, reason});
  }
}

void Children::on_core_end(Core& core, const std::string& reason) {
  core.pid = -1;
  core.up = core.drained = false;
  core.control.reset();
  region_.core(core.index).note_end(reason);
  send_to_others({core.index, false, core.incarnation});
  if (draining_) return end_if_all_drained();
  uint64_t const now_ns = monotonic_ns();
  bool const stable = now_ns - core.started_at_ns >= stable_after_ms * ns_per_ms;
  core.backoff_ms = stable ? 0 : std::clamp(core.backoff_ms * 2, restart_first_ms, restart_max_ms);
  core.restart_at_ns = now_ns + core.backoff_ms * ns_per_ms;
  log::error("a core ended and is started again",
             {{"core", core.index}, {"reason", reason}, {"in_ms", core.backoff_ms}});
}

void Children::start_due(uint64_t now_ns, std::vector<int> parent_only) {
  parent_only_ = std::move(parent_only);
  if (draining_) return;
  for (Core& core : cores_)
    if (core.pid < 0 && core.restart_at_ns != 0 && now_ns >= core.restart_at_ns) start_core(core);
  if (admin_pid_ < 0 && now_ns - admin_started_at_ns_ > restart_admin_ms * ns_per_ms) start_admin();
}

uint64_t Children::wait_ms(uint64_t now_ns, uint64_t max_ms) const {
  uint64_t wait_ms = max_ms;
  for (const Core& core : cores_)
    if (core.pid < 0 && core.restart_at_ns != 0)
      wait_ms = std::min(
          wait_ms, core.restart_at_ns > now_ns ? (core.restart_at_ns - now_ns) / ns_per_ms + 1 : 0);
  return wait_ms;
}

std::vector<std::string> Children::cores_without(const std::string& bundle) const {
  std::vector<std::string> found;
  for (const Core& core : cores_)
    if (core.pid > 0 && region_.core(core.index).bundle.get() != bundle)
      found.push_back(std::to_string(core.index));
  return found;
}

void Children::send(const std::string& message, int descriptor) {
  for (Core& core : cores_) send(core, message, descriptor);
}

void Children::send_to_others(const PeerUpdate& update) {
  for (Core& other : cores_)
    if (other.index != update.core) send(other, encode(ControlMessage::peer, update));
}

// Does not wait: a core that does not read its socket is stalled, and its heartbeat shows that.
void Children::send(Core& core, const std::string& message, int descriptor) {
  if (!core.control.valid()) return;
  uint32_t const length = static_cast<uint32_t>(message.size());
  std::string packet(reinterpret_cast<const char*>(&length), sizeof length);
  packet += message;
  if (send_packet(core.control.get(), packet, descriptor, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    log::warning("control message dropped: core is not reading its socket",
                 {{"core", core.index}, {"error", std::strerror(errno)}});
}

void Children::add_to(std::vector<pollfd>& waits) const {
  for (const Core& core : cores_) waits.push_back({core.control.get(), POLLIN, 0});
}

void Children::receive(const std::vector<pollfd>& waits, size_t first) {
  for (size_t i = 0; i < cores_.size(); ++i) {
    const pollfd& wait = waits[first + i];
    // A core that has ended since the poll has another descriptor, or none.
    if (wait.revents != 0 && wait.fd >= 0 && cores_[i].control.get() == wait.fd) receive(cores_[i]);
  }
}

void Children::receive(Core& core) {
  char packet[256];
  ssize_t const length = recv(core.control.get(), packet, sizeof packet, MSG_DONTWAIT);
  if (length <= 0) {
    // The core closed its end: it has ended, and SIGCHLD follows.
    if (length == 0) core.control.reset();
    return;
  }
  // A packet is a sequence of messages, each after its length (MessageLink).
  for (size_t at = 0; at + sizeof(uint32_t) < static_cast<size_t>(length);) {
    uint32_t message_bytes = 0;
    std::memcpy(&message_bytes, packet + at, sizeof message_bytes);
    at += sizeof message_bytes;
    auto const kind = static_cast<ControlMessage>(packet[at]);
    if (kind == ControlMessage::listening) on_listening(core);
    if (kind == ControlMessage::idle) {
      core.drained = true;
      end_if_all_drained();
    }
    at += message_bytes;
  }
}

void Children::on_listening(Core& core) {
  if (core.up) return;
  core.up = true;
  send_to_others({core.index, true, core.incarnation});
}

// Sends ControlMessage::end once: a core exits on it.
void Children::end_if_all_drained() {
  bool const all_drained = std::all_of(
      cores_.begin(), cores_.end(), [](const Core& core) { return core.drained || core.pid < 0; });
  if (end_sent_ || !all_drained) return;
  end_sent_ = true;
  send(encode(ControlMessage::end));
}

void Children::set_leaving(bool leaving) {
  leaving_ = leaving;
  send(encode(ControlMessage::leaving, leaving));
}

void Children::drain() {
  draining_ = true;
  send(encode(ControlMessage::drain));
}

void Children::kill_cores() {
  for (const Core& core : cores_)
    if (core.pid > 0) kill(core.pid, SIGKILL);
}

bool Children::all_listen() const {
  return std::all_of(cores_.begin(), cores_.end(), [](const Core& core) { return core.up; });
}

bool Children::all_cores_ended() const {
  return std::all_of(cores_.begin(), cores_.end(), [](const Core& core) { return core.pid < 0; });
}

std::optional<StalledCore> Children::stalled(uint64_t now_ns) const {
  for (const Core& core : cores_) {
    // Before the first tick, the heartbeat is that of the core's last process, or 0.
    uint64_t const beat_ns =
        std::max<uint64_t>(region_.core(core.index).heartbeat_ns.load(), core.started_at_ns);
    if (core.pid > 0 && now_ns > beat_ns && now_ns - beat_ns > stalled_after_ms * ns_per_ms)
      return StalledCore{core.index, (now_ns - beat_ns) / ns_per_ms};
  }
  return std::nullopt;
}

}  // namespace huntd::server
