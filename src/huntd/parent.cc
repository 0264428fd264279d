#include "huntd/parent.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "admin/admin.h"
#include "base/log.h"
#include "base/priority.h"
#include "base/scm_rights.h"
#include "base/sd_notify.h"
#include "huntd/core_process.h"
#include "huntd/listen.h"
#include "uring/ring.h"

namespace huntd {
namespace {

constexpr uint64_t ns_per_ms = 1'000'000;
constexpr uint64_t restart_first_ms = 100;
constexpr uint64_t restart_max_ms = 5000;
constexpr uint64_t settled_after_ms =
    10'000;  // a process that lived this long starts again at once
constexpr uint64_t heartbeat_late_ms =
    2000;  // a core that has not turned for so long stops the watchdog's food
constexpr uint64_t drain_grace_ms = 7000;  // past the cores' own drain deadline
constexpr int poll_ms = 250;
constexpr const char* stands_open_text =
    "others can reach the public port's socket, and anybody could act for every hunter: set "
    "auth.mode, or "
    "auth.allow_unauthenticated = true where a proxy lets in only who may";

std::string errno_text(const std::string& what) { return what + ": " + std::strerror(errno); }

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

class Parent {
 public:
  Parent(Prepared prepared, std::string config_path, SharedRegion region)
      : prepared_(std::move(prepared)),
        config_path_(std::move(config_path)),
        region_(std::move(region)) {}

  Result<void> open() {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    listen_descriptor_ = inherited_socket();
    if (listen_descriptor_ < 0) {
      Result<int> opened = listen_on(prepared_.config.http.listen, "http.listen");
      if (!opened) return opened.error();
      listen_descriptor_ = *opened;
    }
    Result<int> admin = open_admin_listener(prepared_.config.admin.listen);
    if (!admin) return admin.error();
    admin_descriptor_ = *admin;

    cpus_ = allowed_cpus();
    uint32_t const count = region_.cores();
    children_.resize(count);
    for (uint32_t core = 0; core < count; ++core) children_[core].index = core;
    for (uint32_t a = 0; a < count; ++a) children_[a].peer_descriptors.assign(count, -1);
    for (uint32_t a = 0; a < count; ++a)
      for (uint32_t b = a + 1; b < count; ++b) {
        int pair[2];
        if (!make_pair(pair)) return Error{errno_text("socketpair")};
        children_[a].peer_descriptors[b] = pair[0];
        children_[b].peer_descriptors[a] = pair[1];
      }

    sigset_t watched;
    sigemptyset(&watched);
    for (int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&watched, number);
    sigprocmask(SIG_BLOCK, &watched, nullptr);
    signal(SIGPIPE, SIG_IGN);
    signals_ = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals_ < 0) return Error{errno_text("signalfd")};
    return {};
  }

  int run() {
    if (stands_open(prepared_)) {
      log::error(stands_open_text);
      return exit_config;
    }
    watchdog_us_ = systemd::watchdog_interval_us();
    start_admin();
    for (Child& child : children_) start_core(child);
    while (!finished()) turn();
    if (admin_pid_ > 0) {
      kill(admin_pid_, SIGKILL);
      waitpid(admin_pid_, nullptr, 0);
    }
    log::info("stopped");
    return EXIT_SUCCESS;
  }

 private:
  struct Child {
    uint32_t index = 0;
    pid_t pid = -1;
    uint32_t epoch = 0;
    bool up = false;     // it said that it listens
    bool quiet = false;  // while stopping: it said so
    int control = -1;
    std::vector<int> peer_descriptors;
    uint64_t started_at_ns = 0;
    uint64_t backoff_ms = 0;
    uint64_t restart_at_ns = 0;
  };

  static bool make_pair(int pair[2]) {
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return false;
    int const bytes = 4 * limits::peer_packet_bytes_max;
    for (int end = 0; end < 2; ++end)
      setsockopt(pair[end], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return true;
  }

  // --- children --------------------------------------------------------------------------------
  // In the child, first of all: it ends with its parent, and has its own signals.
  static void begin_child(pid_t parent_pid, const char* name, bool keep_term) {
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

  void start_core(Child& child) {
    int pair[2];
    if (!make_pair(pair)) {
      log::error("a core can't be started",
                 {{"core", child.index}, {"error", errno_text("socketpair")}});
      child.restart_at_ns = monotonic_ns() + restart_max_ms * ns_per_ms;
      return;
    }
    ++child.epoch;
    child.started_at_ns = monotonic_ns();
    child.restart_at_ns = 0;
    pid_t const parent_pid = getpid();
    pid_t const pid = fork();
    if (pid == 0) {
      begin_child(parent_pid, "huntd-core", false);
      CoreSetup setup;
      setup.index = child.index;
      setup.epoch = child.epoch;
      setup.cpu = cpus_.empty() ? -1 : cpus_[child.index % cpus_.size()];
      setup.config = prepared_.config;
      setup.redis = prepared_.redis;
      setup.redis_password = prepared_.redis_password;
      setup.secrets = prepared_.secrets;
      setup.worker_descriptor = prepared_.worker->descriptor();
      setup.listen_descriptor = listen_descriptor_;
      setup.control_descriptor = pair[1];
      setup.peer_descriptors = child.peer_descriptors;
      setup.bundle_descriptor = fcntl(prepared_.bundle.descriptor(), F_DUPFD_CLOEXEC, 0);
      setup.stats = &region_.core(child.index);
      for (const Child& other : children_)
        if (other.index != child.index) setup.peers.push_back({other.index, other.up, other.epoch});
      // What is other cores' and the parent's own is closed here.
      close(pair[0]);
      close(signals_);
      close(admin_descriptor_);
      for (const Child& other : children_) {
        if (other.control >= 0) close(other.control);
        if (other.index != child.index)
          for (int descriptor : other.peer_descriptors)
            if (descriptor >= 0) close(descriptor);
      }
      log::set_origin(fmt::format("core={}", child.index));
      _exit(run_core(std::move(setup)));
    }
    close(pair[1]);
    if (pid < 0) {
      log::error("a core can't be started", {{"core", child.index}, {"error", errno_text("fork")}});
      close(pair[0]);
      child.restart_at_ns = monotonic_ns() + restart_max_ms * ns_per_ms;
      return;
    }
    child.pid = pid;
    child.control = pair[0];
    region_.core(child.index).starts.store(child.epoch);
    tell_others({child.index, false, child.epoch});
  }

  void start_admin() {
    admin_started_at_ns_ = monotonic_ns();
    pid_t const parent_pid = getpid();
    pid_t const pid = fork();
    if (pid == 0) {
      begin_child(parent_pid, "huntd-admin", true);
      close(listen_descriptor_);
      close(signals_);
      for (const Child& child : children_) {
        if (child.control >= 0) close(child.control);
        for (int descriptor : child.peer_descriptors)
          if (descriptor >= 0) close(descriptor);
      }
      log::set_origin("process=admin");
      _exit(run_admin(region_, admin_descriptor_));
    }
    admin_pid_ = pid;
    if (pid < 0) log::error("the admin process can't be started", {{"error", errno_text("fork")}});
  }

  void collect_children() {
    for (;;) {
      int status = 0;
      pid_t const pid = waitpid(-1, &status, WNOHANG);
      if (pid <= 0) return;
      std::string const how = WIFSIGNALED(status)
                                  ? fmt::format("signal {}", WTERMSIG(status))
                                  : fmt::format("exit status {}", WEXITSTATUS(status));
      if (pid == admin_pid_) {
        admin_pid_ = -1;
        if (!stopping_) log::error("the admin process ended and is started again", {{"how", how}});
        continue;
      }
      for (Child& child : children_)
        if (child.pid == pid) on_core_end(child, how);
    }
  }

  void on_core_end(Child& child, const std::string& how) {
    child.pid = -1;
    child.up = child.quiet = false;
    if (child.control >= 0) close(std::exchange(child.control, -1));
    region_.core(child.index).note_end();
    tell_others({child.index, false, child.epoch});
    if (stopping_) return end_if_all_quiet();
    uint64_t const now_ns = monotonic_ns();
    bool const settled = now_ns - child.started_at_ns >= settled_after_ms * ns_per_ms;
    child.backoff_ms =
        settled ? 0 : std::clamp(child.backoff_ms * 2, restart_first_ms, restart_max_ms);
    child.restart_at_ns = now_ns + child.backoff_ms * ns_per_ms;
    log::error("a core ended and is started again",
               {{"core", child.index}, {"how", how}, {"in_ms", child.backoff_ms}});
  }

  void tell_others(const PeerNews& news) {
    for (Child& other : children_)
      if (other.index != news.core) tell(other, write_peer_news(news));
  }

  // One control message; a core that does not read them is stuck, and found by its heartbeat.
  void tell(Child& child, const std::string& message, int descriptor = -1) {
    if (child.control < 0) return;
    uint32_t const length = static_cast<uint32_t>(message.size());
    std::string packet(reinterpret_cast<const char*>(&length), sizeof length);
    packet += message;
    iovec iov{packet.data(), packet.size()};
    msghdr header{};
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    DescriptorRoom<1> room;
    if (descriptor >= 0) attach_descriptors(header, room, &descriptor, 1);
    if (sendmsg(child.control, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
      log::warning("a core does not take its news",
                   {{"core", child.index}, {"error", std::strerror(errno)}});
  }

  void hear(Child& child) {
    char packet[256];
    ssize_t const length = recv(child.control, packet, sizeof packet, MSG_DONTWAIT);
    if (length <= 0) {
      // Its end of the pair is closed: SIGCHLD tells the rest.
      if (length == 0) close(std::exchange(child.control, -1));
      return;
    }
    // A packet of messages, each with its length in front (MessageLink).
    for (size_t at = 0; at + sizeof(uint32_t) < static_cast<size_t>(length);) {
      uint32_t message_bytes = 0;
      std::memcpy(&message_bytes, packet + at, sizeof message_bytes);
      at += sizeof message_bytes;
      auto const kind = static_cast<ControlMessage>(packet[at]);
      if (kind == ControlMessage::listening) on_listening(child);
      if (kind == ControlMessage::quiet) on_quiet(child);
      at += message_bytes;
    }
  }

  // Siblings forward to each other to the last: they end together.
  void on_quiet(Child& child) {
    child.quiet = true;
    end_if_all_quiet();
  }

  // Once: a core that has been told ends, and then takes no more news.
  void end_if_all_quiet() {
    if (told_end_ || !std::all_of(children_.begin(), children_.end(),
                                  [](const Child& c) { return c.quiet || c.pid < 0; }))
      return;
    told_end_ = true;
    for (Child& child : children_) tell(child, write_plain(ControlMessage::end));
  }

  void on_listening(Child& child) {
    if (child.up) return;
    child.up = true;
    tell_others({child.index, true, child.epoch});
    bool const all =
        std::all_of(children_.begin(), children_.end(), [](const Child& c) { return c.up; });
    if (all && !told_ready_) {
      told_ready_ = true;
      systemd::notify("READY=1\nSTATUS=serving");
      log::notice("ready", {{"cores", children_.size()}, {"bundle", prepared_.bundle.name()}});
    }
  }

  // --- signals ---------------------------------------------------------------------------------
  void take_signals() {
    signalfd_siginfo info;
    while (read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      switch (info.ssi_signo) {
        case SIGCHLD:
          collect_children();
          break;
        case SIGHUP:
          reload();
          break;
        default:
          stop();
          break;
      }
    }
  }

  // Whether those who must not may come in: others can reach the socket, and nobody is asked who it
  // is. Of the socket itself, which may be systemd's, and which a reload does not change.
  bool stands_open(const Prepared& prepared) const {
    return prepared.secrets.mode == AuthMode::none && !prepared.config.auth.allow_unauthenticated &&
           !is_loopback(listen_descriptor_);
  }

  void reload() {
    if (stopping_) return;
    systemd::notify(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", monotonic_ns() / 1000));
    Result<Prepared> next = prepare(config_path_, prepared_.worker);
    if (next && next->config.worker.queue_deadline_ms + next->config.worker.deadline_ms >=
                    prepared_.config.http.request_deadline_ms)
      next = Error{
          "worker.queue_deadline_ms + worker.deadline_ms must be less than the "
          "http.request_deadline_ms that runs; "
          "a larger one needs a restart"};
    if (next && stands_open(*next)) next = Error{stands_open_text};
    if (!next) {
      log::error("reload refused; what ran before runs on", {{"error", next.error().message}});
    } else {
      for (const std::string& key : keys_that_wait_for_restart(prepared_.config, next->config))
        log::warning("this key changes at the next restart", {{"key", key}});
      bool const same = next->bundle.name() == prepared_.bundle.name();
      // What the cores take over without a restart: the scripts, the worker's limits, who may call.
      prepared_.bundle = std::move(next->bundle);
      prepared_.config.hunts = next->config.hunts;
      prepared_.config.worker = next->config.worker;
      prepared_.config.auth = next->config.auth;
      prepared_.secrets = std::move(next->secrets);
      std::string const news = write_bundle_news(worker_limits(prepared_.config));
      std::string const secrets = write_secrets_news(prepared_.secrets);
      for (Child& child : children_) {
        tell(child, news, prepared_.bundle.descriptor());
        tell(child, secrets);
      }
      log::notice("reloaded",
                  {{"bundle", prepared_.bundle.name()}, {"same_scripts", same ? "yes" : "no"}});
    }
    systemd::notify("READY=1");
  }

  void stop() {
    if (stopping_) {
      log::notice("a second signal: stopping at once");
      for (Child& child : children_)
        if (child.pid > 0) kill(child.pid, SIGKILL);
      return;
    }
    stopping_ = true;
    systemd::notify("STOPPING=1\nSTATUS=draining");
    log::notice("draining", {{"deadline_ms", prepared_.config.http.drain_deadline_ms}});
    kill_at_ns_ =
        monotonic_ns() + (prepared_.config.http.drain_deadline_ms + drain_grace_ms) * ns_per_ms;
    // New connections go elsewhere from now on: the socket closes once the cores have let go of it
    // too.
    close(std::exchange(listen_descriptor_, -1));
    for (Child& child : children_) tell(child, write_plain(ControlMessage::drain));
  }

  bool finished() const {
    return stopping_ && std::all_of(children_.begin(), children_.end(),
                                    [](const Child& c) { return c.pid < 0; });
  }

  // --- the turn --------------------------------------------------------------------------------
  void turn() {
    std::vector<pollfd> waits{{signals_, POLLIN, 0}};
    for (const Child& child : children_) waits.push_back({child.control, POLLIN, 0});
    poll(waits.data(), waits.size(), next_wait_ms());
    if (waits[0].revents != 0) take_signals();
    for (size_t i = 0; i < children_.size(); ++i)
      if (waits[i + 1].revents != 0 && children_[i].control == waits[i + 1].fd &&
          waits[i + 1].fd >= 0)
        hear(children_[i]);

    uint64_t const now_ns = monotonic_ns();
    if (stopping_) {
      if (now_ns >= kill_at_ns_)
        for (Child& child : children_)
          if (child.pid > 0) kill(child.pid, SIGKILL);
      return;
    }
    for (Child& child : children_)
      if (child.pid < 0 && child.restart_at_ns != 0 && now_ns >= child.restart_at_ns)
        start_core(child);
    if (admin_pid_ < 0 && now_ns - admin_started_at_ns_ > restart_first_ms * 10 * ns_per_ms)
      start_admin();
    feed_watchdog(now_ns);
  }

  int next_wait_ms() const {
    uint64_t const now_ns = monotonic_ns();
    uint64_t wait_ms = poll_ms;
    for (const Child& child : children_)
      if (child.pid < 0 && child.restart_at_ns != 0)
        wait_ms = std::min(wait_ms, child.restart_at_ns > now_ns
                                        ? (child.restart_at_ns - now_ns) / ns_per_ms + 1
                                        : 0);
    return static_cast<int>(wait_ms);
  }

  // Fed only while every core's loop turns: a stalled one is the service's stall.
  void feed_watchdog(uint64_t now_ns) {
    if (watchdog_us_ == 0 || now_ns - watchdog_fed_at_ns_ < watchdog_us_ * 1000) return;
    for (const Child& child : children_) {
      uint64_t const beat_ns = region_.core(child.index).heartbeat_ns.load();
      if (child.pid > 0 && now_ns > beat_ns && now_ns - beat_ns > heartbeat_late_ms * ns_per_ms) {
        log::warning("a core's loop does not turn",
                     {{"core", child.index}, {"for_ms", (now_ns - beat_ns) / ns_per_ms}});
        return;
      }
    }
    watchdog_fed_at_ns_ = now_ns;
    systemd::notify("WATCHDOG=1");
  }

  Prepared prepared_;
  std::string config_path_;
  SharedRegion region_;
  std::vector<int> cpus_;
  std::vector<Child> children_;
  int listen_descriptor_ = -1;
  int admin_descriptor_ = -1;
  int signals_ = -1;
  pid_t admin_pid_ = -1;
  uint64_t admin_started_at_ns_ = 0;
  bool stopping_ = false;
  bool told_ready_ = false;
  bool told_end_ = false;
  uint64_t kill_at_ns_ = 0;
  uint64_t watchdog_us_ = 0;
  uint64_t watchdog_fed_at_ns_ = 0;
};

}  // namespace

int run_parent(Prepared prepared, const std::string& config_path) {
  Result<uring::Features> features = uring::probe();
  if (!features) {
    log::error(features.error().message);
    return EXIT_FAILURE;
  }
  std::string found;
  for (const std::string& name : features->present) found += (found.empty() ? "" : ",") + name;
  std::string absent;
  for (const std::string& name : features->absent) absent += (absent.empty() ? "" : ",") + name;
  log::info("huntd starts", {{"version", HUNTD_VERSION},
                             {"kernel", features->kernel},
                             {"io_uring", found},
                             {"absent", absent}});
  if (prepared.config.cores.priority > 0 && sessions_share_cpus())
    log::warning("priorities count only among huntd's own processes",
                 {{"because", "kernel.sched_autogroup_enabled is 1"},
                  {"cure", "sysctl kernel.sched_autogroup_enabled=0"}});

  uint32_t cores = prepared.config.cores.count;
  if (cores == 0)
    cores = static_cast<uint32_t>(std::clamp<size_t>(allowed_cpus().size(), 1, limits::cores_max));
  Result<SharedRegion> region = SharedRegion::create(cores, HUNTD_VERSION, wall_ms());
  if (!region) {
    log::error(region.error().message);
    return EXIT_FAILURE;
  }
  Parent parent(std::move(prepared), config_path, std::move(*region));
  if (Result<void> opened = parent.open(); !opened) {
    log::error(opened.error().message);
    return EXIT_FAILURE;
  }
  return parent.run();
}

}  // namespace huntd
