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
#include <utility>

#include "base/clock.h"
#include "base/cpus.h"
#include "base/format_text.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/net.h"
#include "base/priority.h"
#include "base/sd_notify.h"
#include "base/unique_fd.h"
#include "core/core.h"
#include "huntd/children.h"
#include "huntd/listen.h"
#include "huntd/reload.h"
#include "huntd/saving.h"
#include "linux/cpu_quota.h"
#include "linux/ring.h"
#include "metrics/process_figures.h"

namespace huntd::server {
namespace {

// After the cores' own drain deadline, until they are killed.
constexpr uint64_t drain_grace_ms = 7000;
constexpr uint64_t poll_period_ms = 250;
constexpr uint64_t replaced_kept_ms = 5000;
// systemd waits for the end of a stop this much longer than it can take.
constexpr uint64_t stop_margin_ms = 3000;
constexpr const char* drained_text = "drained by the operator: not ready, serving on";
constexpr const char* publicly_unauthenticated_text =
    "http.listen: a socket is not bound to a loopback address, and auth.mode is \"none\": "
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
        region_(std::move(region)),
        children_(prepared_, region_, pin_cores),
        reload_(std::move(config_path), prepared_, region_.reload()),
        saving_(prepared_) {}

  Result<void> open(InheritedSockets inherited) {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    if (Result<void> opened = listeners_.open(std::move(inherited.http), prepared_.config); !opened)
      return opened;
    if (Result<void> opened = open_admin(std::move(inherited.admin)); !opened) return opened;
    if (Result<void> opened = children_.open(); !opened) return opened;

    sigset_t watched;
    sigemptyset(&watched);
    for (int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1, SIGUSR2})
      sigaddset(&watched, number);
    sigprocmask(SIG_BLOCK, &watched, nullptr);
    signal(SIGPIPE, SIG_IGN);
    signals_.reset(signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_.valid()) return Error{std::string("signalfd: ") + std::strerror(errno)};
    return {};
  }

  int run() {
    if (publicly_unauthenticated(prepared_.config, prepared_.secrets)) {
      log::error(publicly_unauthenticated_text);
      return exit_config;
    }
    reload_.note_start();
    watchdog_us_ = systemd::watchdog_interval_us();
    children_.start({listeners_.descriptors(), admin_.socket.get(), signals_.get()});
    while (!stopping_ || !children_.all_cores_ended()) tick();
    children_.end_admin();
    log::info("stopped");
    return EXIT_SUCCESS;
  }

 private:
  Result<void> open_admin(UniqueFd inherited) {
    bool const passed = inherited.valid();
    Result<ListeningSocket> admin =
        passed ? ListeningSocket{std::move(inherited)} : listen_for_admin(prepared_.config);
    if (!admin) return admin.error();
    admin_ = std::move(*admin);
    log::info("listening", {{"address", bound_address(admin_.socket.get())},
                            {"by", passed ? "systemd" : "admin.listen"}});
    return {};
  }

  void tick() {
    std::vector<pollfd> waits{{signals_.get(), POLLIN, 0}};
    children_.add_to(waits);
    waits.push_back({reload_.descriptor(), POLLIN, 0});
    uint64_t const entered_ns = monotonic_ns();
    uint64_t const wait_ms = children_.wait_ms(entered_ns, ms_until_drain(entered_ns));
    poll(waits.data(), waits.size(), static_cast<int>(wait_ms));
    if (waits[0].revents != 0) read_signals();
    children_.receive(waits, 1);
    report_ready();

    uint64_t const now_ns = monotonic_ns();
    region_.parent_heartbeat_ns().store(now_ns);
    log::flush(now_ns);
    if (drain_at_ns_ != 0 && !stopping_ && now_ns >= drain_at_ns_) begin_drain();
    if (stopping_) {
      if (now_ns >= kill_at_ns_) children_.kill_cores();
      return;
    }
    if (reload_.step(now_ns, [this](ReloadContent next) { return apply(std::move(next)); }))
      saving_.save();
    if (now_ns >= free_replaced_at_ns_) replaced_ = Bundle();
    children_.start_due(now_ns, {reload_.descriptor(), replaced_.descriptor()});
    feed_watchdog(now_ns);
  }

  // How long tick() may wait: until the end of http.drain_delay_ms, at most poll_period_ms.
  uint64_t ms_until_drain(uint64_t now_ns) const {
    if (drain_at_ns_ == 0 || stopping_) return poll_period_ms;
    if (now_ns >= drain_at_ns_) return 0;
    return std::min(poll_period_ms, (drain_at_ns_ - now_ns) / ns_per_ms + 1);
  }

  // Once, when every core accepts connections.
  void report_ready() {
    if (ready_sent_ || stop_requested() || !children_.all_listen()) return;
    ready_sent_ = true;
    systemd::notify("READY=1\nSTATUS=" + reload_.service_status());
    reload_.note_ready();
    if (prepared_.scripts_error.empty()) saving_.save();
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
          for (const EndedChild& child : children_.collect()) {
            reload_.on_end(child);
            saving_.on_end(child);
          }
          break;
        case SIGHUP:
          if (!stop_requested()) reload_.request();
          break;
        case SIGUSR1:
          set_drained(true);
          break;
        case SIGUSR2:
          set_drained(false);
          break;
        default:
          stop();
          break;
      }
    }
  }

  // Whether other hosts can call without authentication and the config does not permit that. Checks
  // the sockets themselves: they can be systemd's, and a reload does not change them.
  bool publicly_unauthenticated(const Config& config, const Secrets& secrets) const {
    return secrets.mode == AuthMode::none && !config.auth.allow_unauthenticated &&
           !listeners_.only_this_host();
  }

  // What a reload applies: the scripts, the limits of workers, the logins to Redis, and the secrets.
  Result<void> apply(ReloadContent next) {
    if (next.config.worker.queue_deadline_ms + next.config.worker.deadline_ms >=
        prepared_.config.http.request_deadline_ms)
      return Error{
          "worker.queue_deadline_ms + worker.deadline_ms must be less than http.request_deadline_ms, "
          "whose change needs a restart"};
    if (publicly_unauthenticated(next.config, next.secrets))
      return Error{publicly_unauthenticated_text};
    for (const std::string& key : next.waiting_keys)
      log::warning("a changed key needs a restart", {{"key", key}});
    log_skipped(next.skipped_files);
    bool const same = next.bundle.name() == prepared_.bundle.name();
    replaced_ = std::exchange(prepared_.bundle, std::move(next.bundle));
    free_replaced_at_ns_ = monotonic_ns() + replaced_kept_ms * ns_per_ms;
    prepared_.config.hunts.dir = next.config.hunts.dir;
    prepared_.config.hunts.check_deadline_ms = next.config.hunts.check_deadline_ms;
    prepared_.config.hunts.state_dir = next.config.hunts.state_dir;
    prepared_.config.worker = next.config.worker;
    prepared_.config.auth = next.config.auth;
    prepared_.config.redis.user = next.config.redis.user;
    prepared_.config.redis.password_file = next.config.redis.password_file;
    prepared_.config.redis.sentinel_user = next.config.redis.sentinel_user;
    prepared_.config.redis.sentinel_password_file = next.config.redis.sentinel_password_file;
    prepared_.redis_logins = std::move(next.redis_logins);
    prepared_.secrets = std::move(next.secrets);
    children_.send(encode(ControlMessage::bundle, worker_limits(prepared_.config)),
                   prepared_.bundle.descriptor());
    children_.send(encode(ControlMessage::redis_logins, prepared_.redis_logins));
    children_.send(encode(ControlMessage::secrets, prepared_.secrets));
    log::notice("reloaded",
                {{"bundle", prepared_.bundle.name()}, {"same_scripts", same ? "yes" : "no"}});
    return {};
  }

  // SIGUSR1 and SIGUSR2 (huntctl drain, undrain). A host that is drained serves on.
  void set_drained(bool drained) {
    if (stop_requested() || drained == drained_at_ns_.has_value()) return;
    if (drained)
      drained_at_ns_ = monotonic_ns();
    else
      drained_at_ns_.reset();
    region_.set_host_state(drained ? HostState::drained : HostState::serving);
    children_.set_leaving(drained);
    reload_.set_host_status(drained ? drained_text : "");
    if (ready_sent_) systemd::notify("STATUS=" + reload_.service_status());
    log::notice(drained ? drained_text : "no longer drained: serving");
  }

  bool stop_requested() const { return drain_at_ns_ != 0; }

  // SIGTERM. With http.drain_delay_ms, huntd first only says that it is not ready, unless it has
  // been drained for that time.
  void stop() {
    if (stop_requested()) {
      log::notice("a second signal: stopping at once");
      if (!stopping_) begin_drain();
      children_.kill_cores();
      return;
    }
    reload_.stop();
    uint64_t const now_ns = monotonic_ns();
    uint64_t const delay_ns = prepared_.config.http.drain_delay_ms * ns_per_ms;
    drain_at_ns_ = std::max(now_ns, drained_at_ns_.value_or(now_ns) + delay_ns);
    uint64_t const delay_ms = (drain_at_ns_ - now_ns) / ns_per_ms;
    uint64_t const sum_ms = delay_ms + prepared_.config.http.drain_deadline_ms + drain_grace_ms;
    // It may be more than the unit's TimeoutStopSec=.
    systemd::notify(
        fmt::format("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", (sum_ms + stop_margin_ms) * 1000));
    region_.set_host_state(HostState::stopping);
    if (delay_ms == 0) return begin_drain();
    systemd::notify(fmt::format("STATUS=not ready, serving on for {} ms; then draining", delay_ms));
    log::notice("not ready: draining soon", {{"in_ms", delay_ms}});
    children_.set_leaving(true);
  }

  // The cores finish their requests and exit. No core is started any more.
  void begin_drain() {
    stopping_ = true;
    systemd::notify("STATUS=draining");
    log::notice("draining", {{"deadline_ms", prepared_.config.http.drain_deadline_ms}});
    kill_at_ns_ =
        monotonic_ns() + (prepared_.config.http.drain_deadline_ms + drain_grace_ms) * ns_per_ms;
    // A socket closes once the cores have closed it too; then connections are refused.
    listeners_.close();
    children_.drain();
  }

  Prepared prepared_;
  SharedRegion region_;
  Children children_;
  // The bundle before the newest reload, for replaced_kept_ms: who closes the last descriptor of a
  // large one frees its memory, for some milliseconds. By then the cores have closed theirs.
  Bundle replaced_;
  uint64_t free_replaced_at_ns_ = 0;
  Reload reload_;
  Saving saving_;
  Listeners listeners_;
  ListeningSocket admin_;
  UniqueFd signals_;
  std::optional<uint64_t> drained_at_ns_;  // by the operator
  uint64_t drain_at_ns_ = 0;               // 0: no stop was requested
  bool stopping_ = false;                  // the cores drain
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
  size_t const allowed = allowed_cpus().size();
  auto const cpus = static_cast<uint32_t>(std::clamp<size_t>(allowed, 1, limits::cores_max));
  if (allowed > limits::cores_max)
    log::notice("there are more CPUs than cores of huntd; the rest is for Redis and Kafka",
                {{"cpus", allowed}, {"cores", cpus}});
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

int run_parent(Prepared prepared, const std::string& config_path, InheritedSockets inherited) {
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
  auto const pid = static_cast<uint64_t>(getpid());
  region->set_parent(pid, process_start_ticks(pid).value_or(0));
  Parent parent(std::move(prepared), config_path, std::move(*region), cores.pinned);
  if (Result<void> opened = parent.open(std::move(inherited)); !opened) {
    log::error(opened.error().message);
    return EXIT_FAILURE;
  }
  return parent.run();
}

}  // namespace huntd::server
