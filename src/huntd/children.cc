#include "huntd/children.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "admin/admin.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/scm_rights.h"
#include "huntd/core_process.h"

namespace huntd {
namespace {

constexpr uint64_t ns_per_ms = 1'000'000;
constexpr uint64_t restart_first_ms = 100;
constexpr uint64_t restart_max_ms = 5000;
constexpr uint64_t restart_admin_ms = 1000;
constexpr uint64_t settled_after_ms =
    10'000;                                   // a process that lived this long starts again at once
constexpr uint64_t heartbeat_late_ms = 2000;  // a core's loop turns more often

std::string errno_text(const std::string& what) { return what + ": " + std::strerror(errno); }

bool make_pair(int pair[2]) {
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return false;
  int const bytes = 4 * limits::peer_packet_bytes_max;
  for (int end = 0; end < 2; ++end)
    setsockopt(pair[end], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  return true;
}

// In the child, first of all: it ends with its parent, and has its own signals.
void begin_child(pid_t parent_pid, const char* name, bool keep_term) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent_pid) _exit(EXIT_FAILURE);
  prctl(PR_SET_NAME, name);
  // A signal to the whole group (Ctrl-C) is the parent's to act on.
  for (int number : {SIGTERM, SIGINT, SIGHUP})
    signal(number, keep_term && number == SIGTERM ? SIG_DFL : SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

Result<void> Children::open() {
  cpus_ = allowed_cpus();
  uint32_t const count = region_.cores();
  cores_.resize(count);
  for (uint32_t a = 0; a < count; ++a) {
    cores_[a].index = a;
    cores_[a].peer_descriptors.assign(count, -1);
  }
  for (uint32_t a = 0; a < count; ++a)
    for (uint32_t b = a + 1; b < count; ++b) {
      int pair[2];
      if (!make_pair(pair)) return Error{errno_text("socketpair")};
      cores_[a].peer_descriptors[b] = pair[0];
      cores_[b].peer_descriptors[a] = pair[1];
    }
  return {};
}

void Children::start(const Descriptors& descriptors) {
  descriptors_ = descriptors;
  start_admin();
  for (Core& core : cores_) start_core(core);
}

void Children::start_core(Core& core) {
  int control[2];
  if (!make_pair(control)) {
    log::error("a core can't be started",
               {{"core", core.index}, {"error", errno_text("socketpair")}});
    core.restart_at_ns = monotonic_ns() + restart_max_ms * ns_per_ms;
    return;
  }
  ++core.epoch;
  core.started_at_ns = monotonic_ns();
  core.restart_at_ns = 0;
  pid_t const parent_pid = getpid();
  pid_t const pid = fork();
  if (pid == 0) {
    begin_child(parent_pid, "huntd-core", false);
    run_as_core(core, control);
  }
  close(control[1]);
  if (pid < 0) {
    log::error("a core can't be started", {{"core", core.index}, {"error", errno_text("fork")}});
    close(control[0]);
    core.restart_at_ns = monotonic_ns() + restart_max_ms * ns_per_ms;
    return;
  }
  core.pid = pid;
  core.control = control[0];
  region_.core(core.index).starts.store(core.epoch);
  tell_others({core.index, false, core.epoch});
}

void Children::run_as_core(Core& core, const int control[2]) const {
  CoreSetup setup;
  setup.index = core.index;
  setup.epoch = core.epoch;
  setup.cpu = cpus_.empty() ? -1 : cpus_[core.index % cpus_.size()];
  setup.config = prepared_.config;
  setup.redis = prepared_.redis;
  setup.redis_password = prepared_.redis_password;
  setup.secrets = prepared_.secrets;
  setup.worker_descriptor = prepared_.worker->descriptor();
  setup.listen_descriptor = descriptors_.listen;
  setup.control_descriptor = control[1];
  setup.peer_descriptors = core.peer_descriptors;
  setup.bundle_descriptor = fcntl(prepared_.bundle.descriptor(), F_DUPFD_CLOEXEC, 0);
  setup.stats = &region_.core(core.index);
  for (const Core& other : cores_)
    if (other.index != core.index) setup.peers.push_back({other.index, other.up, other.epoch});
  // What is other cores' and the parent's own is closed here.
  close(control[0]);
  close(descriptors_.signals);
  close(descriptors_.admin);
  for (const Core& other : cores_) {
    if (other.control >= 0) close(other.control);
    if (other.index != core.index)
      for (int descriptor : other.peer_descriptors)
        if (descriptor >= 0) close(descriptor);
  }
  log::set_origin(fmt::format("core={}", core.index));
  _exit(run_core(std::move(setup)));
}

void Children::start_admin() {
  admin_started_at_ns_ = monotonic_ns();
  pid_t const parent_pid = getpid();
  pid_t const pid = fork();
  if (pid == 0) {
    begin_child(parent_pid, "huntd-admin", true);
    close(descriptors_.listen);
    close(descriptors_.signals);
    for (const Core& core : cores_) {
      if (core.control >= 0) close(core.control);
      for (int descriptor : core.peer_descriptors)
        if (descriptor >= 0) close(descriptor);
    }
    log::set_origin("process=admin");
    _exit(run_admin(region_, descriptors_.admin));
  }
  admin_pid_ = pid;
  if (pid < 0) log::error("the admin process can't be started", {{"error", errno_text("fork")}});
}

void Children::end_admin() {
  if (admin_pid_ <= 0) return;
  kill(admin_pid_, SIGKILL);
  waitpid(admin_pid_, nullptr, 0);
}

void Children::collect() {
  for (;;) {
    int status = 0;
    pid_t const pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    std::string const how = WIFSIGNALED(status)
                                ? fmt::format("signal {}", WTERMSIG(status))
                                : fmt::format("exit status {}", WEXITSTATUS(status));
    if (pid == admin_pid_) {
      admin_pid_ = -1;
      if (!draining_) log::error("the admin process ended and is started again", {{"how", how}});
      continue;
    }
    for (Core& core : cores_)
      if (core.pid == pid) on_core_end(core, how);
  }
}

void Children::on_core_end(Core& core, const std::string& how) {
  core.pid = -1;
  core.up = core.quiet = false;
  if (core.control >= 0) close(std::exchange(core.control, -1));
  region_.core(core.index).note_end();
  tell_others({core.index, false, core.epoch});
  if (draining_) return end_if_all_quiet();
  uint64_t const now_ns = monotonic_ns();
  bool const settled = now_ns - core.started_at_ns >= settled_after_ms * ns_per_ms;
  core.backoff_ms = settled ? 0 : std::clamp(core.backoff_ms * 2, restart_first_ms, restart_max_ms);
  core.restart_at_ns = now_ns + core.backoff_ms * ns_per_ms;
  log::error("a core ended and is started again",
             {{"core", core.index}, {"how", how}, {"in_ms", core.backoff_ms}});
}

void Children::start_due(uint64_t now_ns) {
  if (draining_) return;
  for (Core& core : cores_)
    if (core.pid < 0 && core.restart_at_ns != 0 && now_ns >= core.restart_at_ns) start_core(core);
  if (admin_pid_ < 0 && now_ns - admin_started_at_ns_ > restart_admin_ms * ns_per_ms) start_admin();
}

uint64_t Children::wait_ms(uint64_t now_ns, uint64_t most_ms) const {
  uint64_t wait_ms = most_ms;
  for (const Core& core : cores_)
    if (core.pid < 0 && core.restart_at_ns != 0)
      wait_ms = std::min(
          wait_ms, core.restart_at_ns > now_ns ? (core.restart_at_ns - now_ns) / ns_per_ms + 1 : 0);
  return wait_ms;
}

void Children::tell(const std::string& message, int descriptor) {
  for (Core& core : cores_) tell(core, message, descriptor);
}

void Children::tell_others(const PeerNews& news) {
  for (Core& other : cores_)
    if (other.index != news.core) tell(other, write_peer_news(news));
}

// A core that does not read its messages is stuck, and found by its heartbeat.
void Children::tell(Core& core, const std::string& message, int descriptor) {
  if (core.control < 0) return;
  uint32_t const length = static_cast<uint32_t>(message.size());
  std::string packet(reinterpret_cast<const char*>(&length), sizeof length);
  packet += message;
  iovec iov{packet.data(), packet.size()};
  msghdr header{};
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  DescriptorRoom<1> room;
  if (descriptor >= 0) attach_descriptors(header, room, &descriptor, 1);
  if (sendmsg(core.control, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    log::warning("a core does not take its news",
                 {{"core", core.index}, {"error", std::strerror(errno)}});
}

void Children::add_to(std::vector<pollfd>& waits) const {
  for (const Core& core : cores_) waits.push_back({core.control, POLLIN, 0});
}

void Children::hear(const std::vector<pollfd>& waits, size_t first) {
  for (size_t i = 0; i < cores_.size(); ++i) {
    const pollfd& wait = waits[first + i];
    // One that ended since has another descriptor, or none.
    if (wait.revents != 0 && wait.fd >= 0 && cores_[i].control == wait.fd) hear(cores_[i]);
  }
}

void Children::hear(Core& core) {
  char packet[256];
  ssize_t const length = recv(core.control, packet, sizeof packet, MSG_DONTWAIT);
  if (length <= 0) {
    // Its end of the pair is closed: SIGCHLD tells the rest.
    if (length == 0) close(std::exchange(core.control, -1));
    return;
  }
  // A packet of messages, each with its length in front (MessageLink).
  for (size_t at = 0; at + sizeof(uint32_t) < static_cast<size_t>(length);) {
    uint32_t message_bytes = 0;
    std::memcpy(&message_bytes, packet + at, sizeof message_bytes);
    at += sizeof message_bytes;
    auto const kind = static_cast<ControlMessage>(packet[at]);
    if (kind == ControlMessage::listening) on_listening(core);
    if (kind == ControlMessage::quiet) {
      core.quiet = true;
      end_if_all_quiet();
    }
    at += message_bytes;
  }
}

void Children::on_listening(Core& core) {
  if (core.up) return;
  core.up = true;
  tell_others({core.index, true, core.epoch});
}

// Once: a core that has been told ends, and then takes no more news.
void Children::end_if_all_quiet() {
  if (told_end_ || !std::all_of(cores_.begin(), cores_.end(),
                                [](const Core& core) { return core.quiet || core.pid < 0; }))
    return;
  told_end_ = true;
  tell(write_plain(ControlMessage::end));
}

void Children::drain() {
  draining_ = true;
  tell(write_plain(ControlMessage::drain));
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

bool Children::all_turn(uint64_t now_ns) const {
  for (const Core& core : cores_) {
    uint64_t const beat_ns = region_.core(core.index).heartbeat_ns.load();
    if (core.pid > 0 && now_ns > beat_ns && now_ns - beat_ns > heartbeat_late_ms * ns_per_ms) {
      log::warning("a core's loop does not turn",
                   {{"core", core.index}, {"for_ms", (now_ns - beat_ns) / ns_per_ms}});
      return false;
    }
  }
  return true;
}

}  // namespace huntd
