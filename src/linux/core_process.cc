// SPDX-License-Identifier: Apache-2.0
#include "linux/core_process.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <optional>

#include "base/clock.h"
#include "base/cpus.h"
#include "base/log.h"
#include "base/priority.h"
#include "base/unique_fd.h"
#include "linux/kafka_log.h"
#include "linux/message_link.h"
#include "linux/network.h"
#include "linux/real_clock.h"
#include "linux/resolver.h"
#include "linux/secret_files.h"
#include "linux/spawner.h"
#include "linux/stall_watch.h"
#include "linux/tls_network.h"
#include "linux/worker_host.h"

namespace huntd::server {
namespace {

// An idle core still writes its heartbeat.
constexpr uint64_t tick_wait_max_ns = 250 * ns_per_ms;

// Never destroyed: operations in the kernel point into it.
class CoreProcess {
 public:
  CoreProcess(CoreSetup& setup, Ring& ring, int spawner_socket)
      : ring_(ring),
        metrics_(*setup.metrics),
        listen_sockets_(setup.listen_descriptors.begin(), setup.listen_descriptors.end()),
        network_(ring, scheduler_, setup.listen_descriptors),
        resolver_(ring),
        secrets_(ring),
        host_(ring, spawner_socket),
        control_(ring, setup.control_descriptor),
        mesh_(ring, setup.index, setup.peer_sockets) {
    scheduler_.set_now(clock_.now_ns());
    const Config::Redis& redis = setup.config.redis;
    if (redis.tls)
      tls_network_.emplace(network_, ring, scheduler_, tls::files_of(redis), redis.tls_server_name);
  }

  Result<void> open(CoreSetup& setup) {
    const Config& config = setup.config;
    if (!config.kafka.bootstrap.empty()) {
      Result<std::unique_ptr<KafkaLog>> log = KafkaLog::open(ring_, config.kafka);
      if (!log) return log.error();
      kafka_ = std::move(*log);
      metrics_.kafka_address.set(config.kafka.bootstrap);
    }
    Result<std::unique_ptr<Core>> core =
        open_core(std::move(setup),
                  {clock_, tls_network_ ? static_cast<Network&>(*tls_network_) : network_,
                   resolver_, secrets_, host_, kafka_.get()},
                  {control_, mesh_.links()}, scheduler_);
    if (!core) return core.error();
    core_ = std::move(*core);
    return {};
  }

  void run() {
    core_->start();
    stall_watch_.watch_this_thread();
    while (!core_->done()) tick();
    core_->finish();
    ring_.submit_and_wait(0);
    ring_.reap();
  }

 private:
  void tick() {
    uint64_t const deadline_at_ns = scheduler_.next_deadline_at_ns();
    uint64_t const before_ns = clock_.now_ns();
    uint64_t wait_ns = 0;
    if (!scheduler_.has_ready() && deadline_at_ns > before_ns)
      wait_ns = std::min(deadline_at_ns - before_ns, tick_wait_max_ns);
    if (stopped_) wait_ns = std::min(wait_ns, limits::tick_overslept_max_ns);
    unsigned const wanted = core_->completions_wanted();
    ring_.submit_and_wait(wait_ns, {wanted, wanted > 1 ? limits::gather_ns : 0});

    uint64_t const started_ns = clock_.now_ns();
    stall_watch_.begin(started_ns);
    note_time(started_ns, wait_ns);
    // A core that was stopped gets all that came meanwhile before any deadline passes.
    if (stopped_) ring_.collect();
    has_backlog_ = !ring_.reap(stopped_ ? UINT_MAX : limits::tick_completions_max);
    core_->tick();
    host_.watch_launchers(scheduler_.ran_ns());
    flush();
    metrics_.heartbeat_ns.store(started_ns);
    metrics_.add(Counter::ticks);
    flush_log(started_ns);
    uint64_t const ended_ns = clock_.now_ns();
    metrics_.record(Stage::tick, ended_ns - started_ns);
    note_stall(stall_watch_.end(ended_ns));
    // Once all processes have closed the listening sockets, new clients get connection refused.
    if (core_->draining()) listen_sockets_.clear();
  }

  // Sets the time of a tick, and how much of it counts: of a time in which the core was stopped, or
  // had not read all that had come, little.
  void note_time(uint64_t now_ns, uint64_t waited_at_most_ns) {
    uint64_t const expected_at_ns = scheduler_.now_ns() + waited_at_most_ns;
    stopped_ = now_ns > expected_at_ns + limits::tick_overslept_max_ns;
    uint64_t counted_max_ns = limits::tick_counted_max_ns;
    if (stopped_) counted_max_ns = limits::tick_overslept_max_ns;
    if (has_backlog_) counted_max_ns = limits::tick_backlog_counted_ns;
    scheduler_.set_now(now_ns, counted_max_ns);
  }

  void note_stall(StallWatch::Stall stall) {
    using Stall = StallWatch::Stall;
    if (stall == Stall::ran) metrics_.add(Counter::ticks_long_ran);
    if (stall == Stall::waited) metrics_.add(Counter::ticks_long_waited);
    if (stall == Stall::stalled) metrics_.add(Counter::ticks_long_stalled);
  }

  void flush_log(uint64_t now_ns) {
    log::flush(now_ns);
    uint64_t const dropped = log::lines_dropped();
    if (dropped == lines_dropped_) return;
    metrics_.add(Counter::log_lines_dropped, dropped - lines_dropped_);
    lines_dropped_ = dropped;
  }

  // Passes the tick's batches to the ring.
  void flush() {
    metrics_.add(Counter::forward_batches, mesh_.flush());
    control_.flush();
    host_.flush();
  }

  Ring& ring_;
  CoreMetrics& metrics_;
  std::vector<UniqueFd> listen_sockets_;
  RealClock clock_;
  Scheduler scheduler_;
  StallWatch stall_watch_;
  bool stopped_ = false;        // before this tick
  bool has_backlog_ = false;    // the last tick left completions
  uint64_t lines_dropped_ = 0;  // of those, how many the metric counts
  UringNetwork network_;
  std::optional<TlsNetwork> tls_network_;  // over network_, with redis.tls
  UringResolver resolver_;
  UringSecretFiles secrets_;
  UringWorkerHost host_;
  UringMessageLink control_;
  PeerMesh mesh_;
  std::unique_ptr<KafkaLog> kafka_;
  std::unique_ptr<Core> core_;
};

Result<void> pin_to(int cpu) {
  if (cpu < 0) return {};
  if (int const error = pin_to_cpu(cpu); error != 0)
    return Error{fmt::format("pinning to CPU {}: {}", cpu, std::strerror(error))};
  return {};
}

// Sets the priority of this process and of those that it starts from now on. The core works
// without, with more latency.
void prioritize(const char* process, uint32_t steps) {
  if (Result<void> set = set_priority(steps); !set)
    log::warning("priority not set", {{"process", process}, {"reason", set.error().message}});
}

}  // namespace

int run_core(CoreSetup setup) {
  auto const fail = [](const Error& error) {
    log::error("core cannot start", {{"error", error.message}});
    return EXIT_FAILURE;
  };
  RealClock clock;
  setup.metrics->note_start(getpid(), static_cast<uint32_t>(std::max(setup.cpu, 0)),
                            clock.wall_ms());
  setup.metrics->heartbeat_ns.store(clock.now_ns());
  if (Result<void> pinned = pin_to(setup.cpu); !pinned) return fail(pinned.error());
  // The spawner and its workers inherit the priority; librdkafka's threads get the default.
  if (setup.config.worker.priority > 0) prioritize("worker", setup.config.worker.priority);
  Result<Spawner> spawner = fork_spawner(setup.worker_descriptor);
  if (!spawner) return fail(spawner.error());
  // As important as the workers: at the default priority it would get nothing on a host at its limit.
  if (setup.config.http.access_log != "off" && !log::start_writer())
    log::warning("the access log has no thread: the core writes it", {});
  if (setup.config.worker.priority > 0) prioritize("helper threads", 0);
  auto* ring = new Ring;
  if (Result<void> opened = ring->open(); !opened) return fail(opened.error());
  Result<void> table =
      ring->open_slots(setup.config.http.connections_max + limits::file_slots_extra);
  if (!table)
    log::warning("client sockets are plain descriptors", {{"reason", table.error().message}});
  uint32_t const priority = setup.config.cores.priority;
  int const cpu = setup.cpu;
  auto* process = new CoreProcess(setup, *ring, spawner->socket);
  // Never freed, like the ring: operations in the kernel point into both.
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks)
  if (Result<void> opened = process->open(setup); !opened) return fail(opened.error());
  if (priority > 0) prioritize("core", priority);
  if (Result<void> set = set_time_slice(limits::core_time_slice_ns); !set)
    log::info("a core has the usual time slice", {{"reason", set.error().message}});
  log::info("core started", {{"cpu", cpu}, {"spawner", spawner->pid}});
  process->run();
  end_spawner(*spawner);
  log::stop_writer();
  return EXIT_SUCCESS;
}

}  // namespace huntd::server
