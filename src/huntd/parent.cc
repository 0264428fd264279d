#include "huntd/parent.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "admin/admin.h"
#include "base/log.h"
#include "base/priority.h"
#include "base/sd_notify.h"
#include "huntd/children.h"
#include "huntd/core.h"
#include "huntd/listen.h"
#include "uring/ring.h"

namespace huntd {
namespace {

constexpr uint64_t ns_per_ms = 1'000'000;
constexpr uint64_t drain_grace_ms = 7000;  // past the cores' own drain deadline
constexpr uint64_t poll_ms = 250;
constexpr const char* stands_open_text =
    "others can reach the public port's socket, and anybody could act for every hunter: set "
    "auth.mode, or "
    "auth.allow_unauthenticated = true where a proxy lets in only who may";

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
    if (Result<void> opened = children_.open(); !opened) return opened;

    sigset_t watched;
    sigemptyset(&watched);
    for (int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&watched, number);
    sigprocmask(SIG_BLOCK, &watched, nullptr);
    signal(SIGPIPE, SIG_IGN);
    signals_ = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals_ < 0) return Error{std::string("signalfd: ") + std::strerror(errno)};
    return {};
  }

  int run() {
    if (stands_open(prepared_)) {
      log::error(stands_open_text);
      return exit_config;
    }
    watchdog_us_ = systemd::watchdog_interval_us();
    children_.start({listen_descriptor_, admin_descriptor_, signals_});
    while (!stopping_ || !children_.all_cores_ended()) turn();
    children_.end_admin();
    log::info("stopped");
    return EXIT_SUCCESS;
  }

 private:
  void turn() {
    std::vector<pollfd> waits{{signals_, POLLIN, 0}};
    children_.add_to(waits);
    poll(waits.data(), waits.size(), static_cast<int>(children_.wait_ms(monotonic_ns(), poll_ms)));
    if (waits[0].revents != 0) take_signals();
    children_.hear(waits, 1);
    tell_when_ready();

    uint64_t const now_ns = monotonic_ns();
    if (stopping_) {
      if (now_ns >= kill_at_ns_) children_.kill_cores();
      return;
    }
    children_.start_due(now_ns);
    feed_watchdog(now_ns);
  }

  void tell_when_ready() {
    if (told_ready_ || stopping_ || !children_.all_listen()) return;
    told_ready_ = true;
    systemd::notify("READY=1\nSTATUS=serving");
    log::notice("ready", {{"cores", region_.cores()}, {"bundle", prepared_.bundle.name()}});
  }

  // Fed only while every core's loop turns: a stalled one is the service's stall.
  void feed_watchdog(uint64_t now_ns) {
    if (watchdog_us_ == 0 || now_ns - watchdog_fed_at_ns_ < watchdog_us_ * 1000) return;
    if (!children_.all_turn(now_ns)) return;
    watchdog_fed_at_ns_ = now_ns;
    systemd::notify("WATCHDOG=1");
  }

  void take_signals() {
    signalfd_siginfo info;
    while (read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      switch (info.ssi_signo) {
        case SIGCHLD:
          children_.collect();
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
      children_.tell(news, prepared_.bundle.descriptor());
      children_.tell(secrets);
      log::notice("reloaded",
                  {{"bundle", prepared_.bundle.name()}, {"same_scripts", same ? "yes" : "no"}});
    }
    systemd::notify("READY=1");
  }

  void stop() {
    if (stopping_) {
      log::notice("a second signal: stopping at once");
      children_.kill_cores();
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
    children_.drain();
  }

  Prepared prepared_;
  std::string config_path_;
  SharedRegion region_;
  Children children_{prepared_, region_};
  int listen_descriptor_ = -1;
  int admin_descriptor_ = -1;
  int signals_ = -1;
  bool stopping_ = false;
  bool told_ready_ = false;
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
