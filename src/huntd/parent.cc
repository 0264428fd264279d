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
#include "huntd/admin/health.h"
#include "huntd/children.h"
#include "huntd/deploy_port.h"
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
constexpr uint64_t watch_every_ns = 1'000'000'000;
constexpr uint64_t stall_logged_every_ns = 5'000'000'000;
// How long a deploy waits until each core has the scripts, and how often it looks.
constexpr uint64_t deploy_swap_wait_ms = 5000;
constexpr uint64_t deploy_swap_poll_ms = 10;
constexpr uint64_t replaced_kept_ms = 5000;
// systemd waits for the end of a stop this much longer than it can take.
constexpr uint64_t stop_margin_ms = 3000;
constexpr const char* needs_activation_text =
    "http.idle_exit_s: systemd passed no socket for the public port, so nothing would start huntd "
    "again. Enable huntd.socket, or set http.idle_exit_s = 0";
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
        saving_(prepared_, region_.reload()) {}

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
    if (prepared_.config.http.idle_exit_s > 0 && !listeners_.passed()) {
      log::error(needs_activation_text);
      return exit_config;
    }
    reload_.note_start();
    note_start_of_scripts();
    watchdog_us_ = systemd::watchdog_interval_us();
    children_.start({listeners_.descriptors(), admin_.socket.get(), signals_.get()});
    if (Result<void> opened = deploys_.open(region_.parent_pid(), region_.parent_start_ticks());
        !opened)
      log::error("huntctl deploy and rollback cannot be used", {{"error", opened.error().message}});
    while (!stopping_ || !children_.all_cores_ended() || saving_.active()) tick();
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
    deploys_.add_to(waits);
    uint64_t const entered_ns = monotonic_ns();
    uint64_t const wait_ms = children_.wait_ms(entered_ns, max_wait_ms(entered_ns));
    poll(waits.data(), waits.size(), static_cast<int>(wait_ms));
    if (waits[0].revents != 0) read_signals();
    children_.receive(waits, 1);
    report_ready();

    uint64_t const now_ns = monotonic_ns();
    region_.parent_heartbeat_ns().store(now_ns);
    log::flush(now_ns);
    if (drain_at_ns_ != 0 && !stopping_ && now_ns >= drain_at_ns_) begin_drain();
    if (stopping_) {
      if (now_ns < kill_at_ns_) return;
      children_.kill_cores();
      saving_.kill();
      return;
    }
    if (reload_.step(now_ns, [this](ReloadContent next) { return apply(std::move(next)); }))
      saving_.save();
    serve_deploys(now_ns);
    if (now_ns >= count_served_at_ns_) count_served(now_ns);
    if (now_ns >= free_replaced_at_ns_) replaced_ = Bundle();
    std::vector<int> own = deploys_.descriptors();
    int const sources = reload_.order() ? reload_.order()->sources.get() : -1;
    own.insert(own.end(), {reload_.descriptor(), replaced_.descriptor(), sources});
    children_.start_due(now_ns, own);
    watch_cores(now_ns);
    feed_watchdog(now_ns);
    exit_if_idle(now_ns);
  }

  // --- deploys (decision 64) ---------------------------------------------------------------------
  void note_start_of_scripts() {
    const Bundle& bundle = prepared_.bundle;
    BundleHistory& history = prepared_.history;
    bool const saved = !prepared_.scripts_error.empty();
    if (!history.deployed || bundle.name() != history.live)
      history.put_live(
          {bundle.name(), wall_ms(), "start",
           saved ? "the saved scripts" : prepared_.config.hunts.dir, bundle.hunts().size(), 0},
          history.deployed);
    else
      log::notice("huntd serves a deployed bundle, not hunts.dir",
                  {{"bundle", bundle.name()},
                   {"hint", "`huntctl deploy --hunts-dir` goes back to hunts.dir"}});
    publish_history();
  }

  void publish_history() {
    region_.bundles().set(history_json(prepared_.history));
    region_.odds().set(prepared_.odds);
  }

  // Adds what the live bundle has served since the last call to its record.
  void count_served(uint64_t now_ns) {
    count_served_at_ns_ = now_ns + ns_per_s;
    uint64_t total = 0;
    for (uint32_t core = 0; core < region_.cores(); ++core)
      for (Counter const counter : {Counter::hunts_ok, Counter::hunts_replayed})
        total += region_.core(core).value(counter);
    uint64_t const more = total - std::exchange(served_, total);
    BundleRecord* const live = prepared_.history.find(prepared_.history.live);
    if (more == 0 || live == nullptr) return;
    live->served += more;
    publish_history();
  }

  void serve_deploys(uint64_t now_ns) {
    if (deploying_) {
      if (reload_.order())
        deploys_.show_progress(reload_.progress());
      else if (!reload_.error().empty() && !deploy_applied_)
        end_deploy({DeployReply::Kind::rejected, prepared_.bundle.name(), reload_.error()});
      else if (saving_.active())
        deploys_.show_progress("saving for a restart");
      else
        end_applied_deploy(now_ns);
    }
    deploys_.step(now_ns, [this](DeployPort::Call call) { return serve_deploy(std::move(call)); });
  }

  // When each core has the scripts, or after deploy_swap_wait_ms.
  void end_applied_deploy(uint64_t now_ns) {
    const std::string& live = prepared_.bundle.name();
    std::string const late = join_texts(children_.cores_without(live), ", ");
    if (!late.empty() && now_ns < deploy_swap_end_ns_)
      return deploys_.show_progress("waiting for core " + late);
    std::string const cores = late.empty() ? "" : "core " + late;
    if (saving_.failed())
      return end_deploy({DeployReply::Kind::unsaved, live,
                         "huntd's log has the reason (hunts.state_dir)" +
                             (late.empty() ? "" : "; these do not have it yet: " + cores)});
    end_deploy({late.empty() ? DeployReply::Kind::live : DeployReply::Kind::partly, live, cores});
  }

  void end_deploy(const DeployReply& reply) {
    deploying_ = false;
    deploys_.finish(reply);
  }

  std::optional<DeployPort::Served> serve_deploy(DeployPort::Call call) {
    const std::string& live = prepared_.bundle.name();
    auto const reject = [&live](std::string why) {
      return DeployPort::Served{{DeployReply::Kind::rejected, live, std::move(why)}};
    };
    DeployRequest& request = call.request;
    request.by = printable_name(request.by, deploy_by_bytes_max);
    request.from = printable_name(request.from, deploy_from_bytes_max);
    if (request.kind == DeployRequest::Kind::look)
      return DeployPort::Served{{DeployReply::Kind::looked, live, ""},
                                prepared_.bundle.descriptor()};
    if (stop_requested()) return reject("huntd is stopping");
    if (deploying_ && !reload_.order()) return reject("another deploy is not complete; try again");
    if (!request.expects.empty() && request.expects != live) {
      const BundleRecord* const record = prepared_.history.find(live);
      return reject(
          fmt::format("other scripts went live meanwhile: bundle {} by {}; look at "
                      "them, and try again",
                      live, record == nullptr ? "?" : record->by));
    }
    if (request.kind == DeployRequest::Kind::rollback)
      if (Result<void> const found = find_rollback(request); !found)
        return reject(found.error().message);
    ScriptsOrder order{std::move(request), std::move(call.descriptor)};
    deploy_applied_ = false;
    if (Result<void> const started = reload_.request(std::move(order)); !started)
      return reject(started.error().message);
    deploying_ = true;
    return std::nullopt;
  }

  // Completes the name of the bundle to go back to.
  Result<void> find_rollback(DeployRequest& request) const {
    const BundleHistory& history = prepared_.history;
    const BundleRecord* found = history.before_live();
    if (!request.bundle.empty()) {
      auto const matches = [&request](const BundleRecord& record) {
        return record.name.starts_with(request.bundle);
      };
      auto const at = std::find_if(history.records.begin(), history.records.end(), matches);
      found = at == history.records.end() ? nullptr : &*at;
      if (std::count_if(history.records.begin(), history.records.end(), matches) > 1)
        return Error{fmt::format("several bundles begin with {}", request.bundle)};
    }
    if (found == nullptr)
      return Error{
          request.bundle.empty()
              ? "no earlier bundle is kept"
              : fmt::format("no bundle {} is kept; see `huntctl bundles`", request.bundle)};
    if (found->name == history.live) return Error{fmt::format("bundle {} is live", found->name)};
    request.bundle = found->name;
    return {};
  }

  // Notes whose scripts `prepared_.bundle` now are.
  void note_live() {
    count_served(monotonic_ns());
    BundleHistory& history = prepared_.history;
    const Bundle& bundle = prepared_.bundle;
    if (const std::optional<ScriptsOrder>& order = reload_.order()) {
      const DeployRequest& request = order->request;
      bool const folder = request.kind == DeployRequest::Kind::folder;
      deploy_applied_ = true;
      deploy_swap_end_ns_ = monotonic_ns() + deploy_swap_wait_ms * ns_per_ms;
      history.unreadable = false;
      if (request.kind == DeployRequest::Kind::rollback && history.find(bundle.name()) != nullptr)
        history.go_back(bundle.name());
      else
        history.put_live(
            {bundle.name(), wall_ms(), request.by,
             folder ? prepared_.config.hunts.dir : request.from, bundle.hunts().size(), 0},
            !folder);
      log::notice("other scripts are live", {{"bundle", bundle.name()},
                                             {"by", request.by},
                                             {"from", history.find(bundle.name())->from}});
    } else if (!history.deployed) {
      history.put_live({bundle.name(), wall_ms(), "reload", prepared_.config.hunts.dir,
                        bundle.hunts().size(), 0},
                       false);
    }
    publish_history();
  }

  void use_bundle(Bundle bundle, std::string odds) {
    prepared_.odds = std::move(odds);
    replaced_ = std::exchange(prepared_.bundle, std::move(bundle));
    free_replaced_at_ns_ = monotonic_ns() + replaced_kept_ms * ns_per_ms;
  }

  Result<void> apply_scripts(ReloadContent next) {
    log_skipped(next.skipped_files);
    use_bundle(std::move(next.bundle), std::move(next.odds));
    children_.send(encode(ControlMessage::bundle, worker_limits(prepared_.config)),
                   prepared_.bundle.descriptor());
    note_live();
    return {};
  }

  // How long tick() may wait: until the end of http.drain_delay_ms, at most poll_period_ms.
  uint64_t max_wait_ms(uint64_t now_ns) const {
    if (deploying_ && deploy_applied_) return deploy_swap_poll_ms;
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

  // Once per second: logs a core that is stalled, and shows in `systemctl status` why the host is not
  // ready.
  void watch_cores(uint64_t now_ns) {
    if (!ready_sent_ || now_ns - watched_at_ns_ < watch_every_ns) return;
    watched_at_ns_ = now_ns;
    std::optional<StalledCore> const stalled = children_.stalled(now_ns);
    if (!stalled) stall_logged_at_ns_ = 0;
    if (stalled && now_ns - stall_logged_at_ns_ >= stall_logged_every_ns) {
      stall_logged_at_ns_ = now_ns;
      log::warning("core is stalled: no tick completed",
                   {{"core", stalled->core}, {"for_ms", stalled->for_ms}});
    }
    if (!stop_requested())
      reload_.set_trouble(
          check_ready(take_snapshot(region_, SnapshotDepth::without_histograms)).text);
  }

  // Only while no core is stalled: then systemd restarts the service.
  void feed_watchdog(uint64_t now_ns) {
    if (watchdog_us_ == 0 || now_ns - watchdog_fed_at_ns_ < watchdog_us_ * 1000) return;
    if (children_.stalled(now_ns)) return;
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
    if (next.scripts_only) return apply_scripts(std::move(next));
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
    use_bundle(std::move(next.bundle), std::move(next.odds));
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
    note_live();
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
      saving_.kill();
      return;
    }
    uint64_t const now_ns = monotonic_ns();
    uint64_t const delay_ns = prepared_.config.http.drain_delay_ms * ns_per_ms;
    stop_at(now_ns, std::max(now_ns, drained_at_ns_.value_or(now_ns) + delay_ns));
  }

  // Stops; the cores drain from `drain_at_ns` on.
  void stop_at(uint64_t now_ns, uint64_t drain_at_ns) {
    reload_.stop();
    if (deploying_)
      end_deploy({DeployReply::Kind::rejected, prepared_.bundle.name(), "huntd is stopping"});
    count_served(now_ns);
    if (ready_sent_ && prepared_.scripts_error.empty()) saving_.save();
    drain_at_ns_ = drain_at_ns;
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

  // --- http.idle_exit_s (decision 72) ------------------------------------------------------------
  // What the cores have read from clients and written to them; it changes with each request.
  uint64_t bytes_of_clients() const {
    uint64_t sum = 0;
    for (uint32_t core = 0; core < region_.cores(); ++core)
      for (Counter const counter : {Counter::request_bytes, Counter::response_bytes})
        sum += region_.core(core).value(counter);
    return sum;
  }

  // What a stop would break off, or what would stay undone until the next start.
  bool has_other_work() const {
    if (drained_at_ns_ || deploying_ || reload_.descriptor() >= 0 || saving_.active()) return true;
    if (prepared_.config.kafka.bootstrap.empty()) return false;
    for (uint32_t core = 0; core < region_.cores(); ++core) {
      const CoreMetrics& metrics = region_.core(core);
      if (metrics.value(Gauge::kafka_up) == 0 || metrics.value(Gauge::kafka_in_flight) > 0 ||
          metrics.value(Gauge::outbox_pending) > 0)
        return true;
    }
    return false;
  }

  // How long no request has to come; 0: huntd stays. With Kafka no less than the time in which each
  // core has counted its outboxes.
  uint64_t idle_exit_ns() const {
    uint64_t const after_ns = prepared_.config.http.idle_exit_s * ns_per_s;
    bool const kafka = !prepared_.config.kafka.bootstrap.empty();
    return after_ns == 0 || !kafka ? after_ns : std::max(after_ns, outbox_counted_within_ns);
  }

  // A connection that sends nothing keeps no host running: it ends as in any drain. The socket is
  // systemd's and stays open, so there is nothing to wait for before the drain.
  void exit_if_idle(uint64_t now_ns) {
    uint64_t const after_ns = idle_exit_ns();
    if (after_ns == 0 || !ready_sent_ || stop_requested()) return;
    uint64_t const bytes = bytes_of_clients();
    if (bytes != std::exchange(bytes_seen_, bytes) || idle_from_ns_ == 0 || has_other_work())
      idle_from_ns_ = now_ns;
    if (now_ns - idle_from_ns_ < after_ns) return;
    log::notice("no request came: stopping until the next one",
                {{"idle_exit_s", prepared_.config.http.idle_exit_s}});
    stop_at(now_ns, now_ns);
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
  DeployPort deploys_;
  bool deploying_ = false;       // a client waits for the end of a deploy
  bool deploy_applied_ = false;  // its scripts are live
  uint64_t deploy_swap_end_ns_ = 0;
  uint64_t served_ = 0;  // as of count_served()
  uint64_t count_served_at_ns_ = 0;
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
  uint64_t watched_at_ns_ = 0;
  uint64_t stall_logged_at_ns_ = 0;  // 0: no core is stalled
  uint64_t bytes_seen_ = 0;          // of bytes_of_clients(), by exit_if_idle()
  uint64_t idle_from_ns_ = 0;        // 0: before the first look
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
