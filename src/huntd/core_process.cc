#include "huntd/core_process.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "base/priority.h"
#include "emit/kafka_log.h"
#include "hunt/spawner.h"
#include "huntd/real_clock.h"
#include "huntd/stall_watch.h"
#include "uring/message_link.h"
#include "uring/network.h"
#include "uring/worker_host.h"

namespace huntd {
namespace {

constexpr uint64_t ns_per_ms = 1'000'000;
constexpr uint64_t tick_wait_max_ns = 250 * ns_per_ms;  // an idle core still shows that it lives
constexpr int kafka_drain_ms = 5000;

// Lives as long as the process: operations in the kernel point into it.
class CoreProcess {
 public:
  CoreProcess(CoreSetup& setup, uring::Ring& ring, int spawner_socket)
      : ring_(ring),
        stats_(*setup.stats),
        listen_descriptor_(setup.listen_descriptor),
        network_(ring, scheduler_, setup.listen_descriptor),
        host_(ring, spawner_socket),
        control_(ring, setup.control_descriptor) {
    scheduler_.set_now(clock_.now_ns());
    for (int descriptor : setup.peer_descriptors)
      peer_links_.push_back(
          descriptor < 0 ? nullptr : std::make_unique<uring::UringMessageLink>(ring, descriptor));
  }

  Result<void> open(CoreSetup& setup) {
    const Config& config = setup.config;
    if (!config.kafka.bootstrap.empty()) {
      Result<std::unique_ptr<KafkaLog>> log = KafkaLog::open(
          ring_, {config.kafka.bootstrap, config.kafka.topic, config.kafka.linger_ms,
                  config.kafka.queue_messages_max, config.kafka.delivery_timeout_ms});
      if (!log) return log.error();
      kafka_ = std::move(*log);
    }
    std::vector<MessageLink*> links;
    for (auto& link : peer_links_) links.push_back(link.get());
    Result<std::unique_ptr<Core>> core = open_core(
        std::move(setup), {clock_, network_, host_, kafka_.get()}, {control_, links}, scheduler_);
    if (!core) return core.error();
    core_ = std::move(*core);
    return {};
  }

  void run() {
    core_->begin();
    stall_watch_.watch_this_thread();
    while (!core_->done()) tick();
    if (kafka_ != nullptr) kafka_->drain(kafka_drain_ms);
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
    ring_.submit_and_wait(wait_ns);

    uint64_t const began_ns = clock_.now_ns();
    stall_watch_.begin(began_ns);
    scheduler_.set_now(began_ns);
    ring_.reap();
    core_->turn();
    flush();
    stats_.heartbeat_ns.store(began_ns);
    stats_.add(Counter::ticks);
    uint64_t const ended_ns = clock_.now_ns();
    stats_.record(Stage::tick, ended_ns - began_ns);
    note_stall(stall_watch_.end(ended_ns));
    // The last process that lets go of the listening socket closes it: from then on clients are
    // refused and go elsewhere.
    if (core_->draining() && listen_descriptor_ >= 0) close(std::exchange(listen_descriptor_, -1));
  }

  void note_stall(StallWatch::Stall stall) {
    using Stall = StallWatch::Stall;
    if (stall == Stall::ran) stats_.add(Counter::ticks_long_ran);
    if (stall == Stall::waited) stats_.add(Counter::ticks_long_waited);
    if (stall == Stall::away) stats_.add(Counter::ticks_long_away);
  }

  // Each batch leaves once a tick.
  void flush() {
    for (auto& link : peer_links_)
      if (link != nullptr) {
        link->flush();
        stats_.add(Counter::forward_batches, link->take_packets_sent());
      }
    control_.flush();
    host_.flush();
  }

  uring::Ring& ring_;
  CoreStats& stats_;
  int listen_descriptor_;
  RealClock clock_;
  Scheduler scheduler_;
  StallWatch stall_watch_;
  uring::UringNetwork network_;
  uring::UringWorkerHost host_;
  uring::UringMessageLink control_;
  std::vector<std::unique_ptr<uring::UringMessageLink>> peer_links_;
  std::unique_ptr<KafkaLog> kafka_;
  std::unique_ptr<Core> core_;
};

Result<void> pin_to(int cpu) {
  if (cpu < 0) return {};
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0)
    return Error{fmt::format("pinning to CPU {}: {}", cpu, std::strerror(errno))};
  return {};
}

// From here on. A refusal costs latency, nothing else, so the core goes on.
void prioritize(const char* who, uint32_t steps) {
  if (Result<void> set = set_priority(steps); !set)
    log::warning("priority stays as it is", {{"of", who}, {"because", set.error().message}});
}

}  // namespace

int run_core(CoreSetup setup) {
  auto const fail = [](const Error& error) {
    log::error("core does not start", {{"error", error.message}});
    return EXIT_FAILURE;
  };
  RealClock clock;
  setup.stats->note_start(getpid(), static_cast<uint32_t>(std::max(setup.cpu, 0)), clock.wall_ms());
  setup.stats->heartbeat_ns.store(clock.now_ns());
  if (Result<void> pinned = pin_to(setup.cpu); !pinned) return fail(pinned.error());
  // The spawner and its workers inherit theirs; librdkafka's threads get the usual one.
  if (setup.config.worker.priority > 0) prioritize("workers", setup.config.worker.priority);
  Result<Spawner> spawner = fork_spawner(setup.worker_descriptor);
  if (!spawner) return fail(spawner.error());
  if (setup.config.worker.priority > 0) prioritize("a core's helpers", 0);
  auto* ring = new uring::Ring;
  if (Result<void> opened = ring->open(); !opened) return fail(opened.error());
  Result<void> table = ring->open_slots(setup.config.http.connections_max + limits::slots_spare);
  if (!table)
    log::warning("client sockets are plain descriptors", {{"because", table.error().message}});
  uint32_t const priority = setup.config.cores.priority;
  int const cpu = setup.cpu;
  auto* process = new CoreProcess(setup, *ring, spawner->socket);
  // Given back by the end of the process, as the ring is.
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks)
  if (Result<void> opened = process->open(setup); !opened) return fail(opened.error());
  if (priority > 0) prioritize("a core's loop", priority);
  log::info("core serves", {{"cpu", cpu}, {"spawner", spawner->pid}});
  process->run();
  return EXIT_SUCCESS;
}

}  // namespace huntd
