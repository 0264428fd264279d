// SPDX-License-Identifier: Apache-2.0
#include "huntd/parent.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <optional>

#include "admin_http/admin_http_limits.h"
#include "base/clock.h"
#include "base/format_text.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/priority.h"
#include "base/sd_notify.h"
#include "base/unique_fd.h"
#include "core/core.h"
#include "huntd/children.h"
#include "huntd/listen.h"
#include "linux/cpu_quota.h"
#include "linux/ring.h"

namespace huntd::server {
namespace {

// After the cores' own drain deadline, until they are killed.
constexpr uint64_t drain_grace_ms = 7000;
constexpr uint64_t poll_period_ms = 250;
constexpr const char* publicly_unauthenticated_text =
    "http.listen: the socket is not bound to a loopback address, and auth.mode is \"none\": "
    "any caller could act as any hunter. Set auth.mode, "
    "or set auth.allow_unauthenticated = true if a proxy authenticates the callers";

// `files` as in LoadedBundle.
void log_skipped(const std::vector<std::string>& files) {
  for (const std::string& file : files)
    log::warning("a file of hunts.dir is skipped", {{"reason", file}});
}

class Parent {
 public:
  Parent(Prepared prepared, std::string config_path, SharedRegion region, bool pin_cores)
      : prepared_(std::move(prepared)),
        config_path_(std::move(config_path)),
        region_(std::move(region)),
        children_(prepared_, region_, pin_cores) {}

  Result<void> open() {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    listener_ = inherited_socket();
    if (!listener_.valid()) {
      Result<UniqueFd> opened =
          listen_on(prepared_.config.http.listen, "http.listen", limits::listen_backlog);
      if (!opened) return opened.error();
      listener_ = std::move(*opened);
    }
    Result<UniqueFd> admin =
        listen_on(prepared_.config.admin.listen, "admin.listen", limits::admin_backlog);
    if (!admin) return admin.error();
    admin_listener_ = std::move(*admin);
    if (Result<void> opened = children_.open(); !opened) return opened;

    sigset_t watched;
    sigemptyset(&watched);
    for (int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&watched, number);
    sigprocmask(SIG_BLOCK, &watched, nullptr);
    signal(SIGPIPE, SIG_IGN);
    signals_.reset(signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_.valid()) return Error{std::string("signalfd: ") + std::strerror(errno)};
    return {};
  }

  int run() {
    if (publicly_unauthenticated(prepared_)) {
      log::error(publicly_unauthenticated_text);
      return exit_config;
    }
    watchdog_us_ = systemd::watchdog_interval_us();
    children_.start({listener_.get(), admin_listener_.get(), signals_.get()});
    while (!stopping_ || !children_.all_cores_ended()) tick();
    children_.end_admin();
    log::info("stopped");
    return EXIT_SUCCESS;
  }

 private:
  void tick() {
    std::vector<pollfd> waits{{signals_.get(), POLLIN, 0}};
    children_.add_to(waits);
    uint64_t const wait_ms = children_.wait_ms(monotonic_ns(), poll_period_ms);
    poll(waits.data(), waits.size(), static_cast<int>(wait_ms));
    if (waits[0].revents != 0) read_signals();
    children_.receive(waits, 1);
    report_ready();

    uint64_t const now_ns = monotonic_ns();
    region_.parent_heartbeat_ns().store(now_ns);
    log::flush(now_ns);
    if (stopping_) {
      if (now_ns >= kill_at_ns_) children_.kill_cores();
      return;
    }
    children_.start_due(now_ns);
    feed_watchdog(now_ns);
  }

  // Once, when every core accepts connections.
  void report_ready() {
    if (ready_sent_ || stopping_ || !children_.all_listen()) return;
    ready_sent_ = true;
    systemd::notify("READY=1\nSTATUS=serving");
    log::notice("ready", {{"cores", region_.cores()}, {"bundle", prepared_.bundle.name()}});
  }

  // Only while no core is stalled: then systemd restarts the service.
  void feed_watchdog(uint64_t now_ns) {
    if (watchdog_us_ == 0 || now_ns - watchdog_fed_at_ns_ < watchdog_us_ * 1000) return;
    if (!children_.none_stalled(now_ns)) return;
    watchdog_fed_at_ns_ = now_ns;
    systemd::notify("WATCHDOG=1");
  }

  void read_signals() {
    signalfd_siginfo info;
    while (read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
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

  // Whether other hosts can call without authentication and the config does not permit that. Checks
  // the socket itself: it can be systemd's, and a reload does not change it.
  bool publicly_unauthenticated(const Prepared& prepared) const {
    return prepared.secrets.mode == AuthMode::none && !prepared.config.auth.allow_unauthenticated &&
           !is_loopback(listener_.get());
  }

  void reload() {
    if (stopping_) return;
    systemd::notify(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", monotonic_ns() / 1000));
    Result<Prepared> next = prepare(config_path_, prepared_.worker);
    if (next && next->config.worker.queue_deadline_ms + next->config.worker.deadline_ms >=
                    prepared_.config.http.request_deadline_ms)
      next = Error{
          "worker.queue_deadline_ms + worker.deadline_ms must be less than http.request_deadline_ms, "
          "whose change needs a restart"};
    if (next && publicly_unauthenticated(*next)) next = Error{publicly_unauthenticated_text};
    if (!next) {
      log::error("reload failed, keeping the previous configuration",
                 {{"error", next.error().message}});
    } else {
      for (const std::string& key : keys_that_wait_for_restart(prepared_.config, next->config))
        log::warning("a changed key needs a restart", {{"key", key}});
      log_skipped(next->skipped_files);
      bool const same = next->bundle.name() == prepared_.bundle.name();
      // What a reload applies: the scripts, the limits of workers, and the secrets.
      prepared_.bundle = std::move(next->bundle);
      prepared_.config.hunts.dir = next->config.hunts.dir;
      prepared_.config.worker = next->config.worker;
      prepared_.config.auth = next->config.auth;
      prepared_.secrets = std::move(next->secrets);
      children_.send(encode(ControlMessage::bundle, worker_limits(prepared_.config)),
                     prepared_.bundle.descriptor());
      children_.send(encode(ControlMessage::secrets, prepared_.secrets));
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
    // The socket closes once the cores have closed it too; then connections are refused.
    listener_.reset();
    children_.drain();
  }

  Prepared prepared_;
  std::string config_path_;
  SharedRegion region_;
  Children children_;
  UniqueFd listener_;
  UniqueFd admin_listener_;
  UniqueFd signals_;
  bool stopping_ = false;
  bool ready_sent_ = false;
  uint64_t kill_at_ns_ = 0;
  uint64_t watchdog_us_ = 0;
  uint64_t watchdog_fed_at_ns_ = 0;
};

struct CoreCount {
  uint32_t count = 1;
  // Each core has a CPU of its own. Not so below a quota: it is a share of all CPUs, and the cores
  // of several containers would meet on the first ones.
  bool pinned = true;
};

// cores.count, or if it is 0 as many cores as there is CPU time for.
CoreCount core_count(uint32_t configured) {
  if (configured > 0) return {configured};
  auto const cpus =
      static_cast<uint32_t>(std::clamp<size_t>(allowed_cpus().size(), 1, limits::cores_max));
  std::optional<CpuQuota> const quota = cpu_quota();
  if (!quota || quota->cpus >= cpus) return {cpus};
  auto const count = std::max(static_cast<uint32_t>(std::ceil(quota->cpus)), 1U);
  if (count == cpus) return {cpus};
  bool const v2 = quota->file.ends_with("/cpu.max");
  log::info("a CPU quota limits the number of cores",
            {{"cores", count},
             {"cpus", cpus},
             {"reason",
              fmt::format("{} allows {:g} CPU", v2 ? "cpu.max" : "cpu.cfs_quota_us", quota->cpus)},
             {"file", quota->file}});
  return {count, false};
}

}  // namespace

int run_parent(Prepared prepared, const std::string& config_path) {
  Result<RingFeatures> features = probe_ring();
  if (!features) {
    log::error(features.error().message);
    return EXIT_FAILURE;
  }
  log::info("huntd starts", {{"version", HUNTD_VERSION},
                             {"kernel", features->kernel},
                             {"io_uring", join_texts(features->present, ",")},
                             {"absent", join_texts(features->absent, ",")}});
  if (prepared.config.cores.priority > 0 && sessions_share_cpus())
    log::warning("priorities count only among huntd's own processes",
                 {{"reason", "kernel.sched_autogroup_enabled is 1"},
                  {"hint", "sysctl kernel.sched_autogroup_enabled=0"}});

  log_skipped(prepared.skipped_files);
  CoreCount const cores = core_count(prepared.config.cores.count);
  Result<SharedRegion> region = SharedRegion::create(cores.count, HUNTD_VERSION, wall_ms());
  if (!region) {
    log::error(region.error().message);
    return EXIT_FAILURE;
  }
  Parent parent(std::move(prepared), config_path, std::move(*region), cores.pinned);
  if (Result<void> opened = parent.open(); !opened) {
    log::error(opened.error().message);
    return EXIT_FAILURE;
  }
  return parent.run();
}

}  // namespace huntd::server
