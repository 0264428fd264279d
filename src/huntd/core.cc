#include "huntd/core.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <cstring>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/priority.h"
#include "http/problem.h"
#include "hunt/spawner.h"
#include "huntd/real_clock.h"
#include "huntd/stall_watch.h"

namespace huntd {
namespace {

constexpr uint64_t ns_per_ms = 1'000'000;
constexpr uint64_t ns_per_s = 1'000'000'000;
constexpr uint64_t tick_wait_max_ns = 250 * ns_per_ms;  // an idle core still shows that it lives
constexpr uint64_t accept_anyway_ns = ns_per_s;
constexpr uint64_t sweep_every_ns = 5 * ns_per_s;
constexpr int kafka_drain_ms = 5000;

class Core final : private HttpService,
                   private PeerServer,
                   private AcceptUser,
                   private MessageUser {
 public:
  Core(CoreSetup& setup, uring::Ring& ring, int spawner_socket, RealClock& real_clock,
       Scheduler& its_scheduler)
      : HttpService(its_scheduler, real_clock, *setup.stats,
                    {setup.config.http.header_deadline_ms, setup.config.http.idle_deadline_ms,
                     setup.config.http.send_deadline_ms}),
        setup_(setup),
        config_(setup.config),
        ring_(ring),
        clock_(real_clock),
        scheduler_(its_scheduler),
        stats_(*setup.stats),
        network_(ring, its_scheduler, setup.listen_descriptor),
        host_(ring, spawner_socket),
        control_(ring, setup.control_descriptor),
        map_(static_cast<uint32_t>(setup.peer_descriptors.size())),
        redis_(network_, its_scheduler, real_clock, stats_,
               {setup.redis, setup.redis_password, setup.config.redis.database,
                setup.config.redis.linger_us * 1000ULL}),
        ledger_(redis_, its_scheduler, setup.config.redis.idempotency_ttl_s),
        supply_(redis_, its_scheduler, stats_, setup.config.redis.idempotency_ttl_s),
        pool_(host_, its_scheduler, stats_, worker_limits(setup.config)),
        lanes_(its_scheduler) {}

  Result<void> open() {
    if (!config_.kafka.bootstrap.empty()) {
      Result<std::unique_ptr<KafkaLog>> log = KafkaLog::open(
          ring_, {config_.kafka.bootstrap, config_.kafka.topic, config_.kafka.linger_ms,
                  config_.kafka.queue_messages_max, config_.kafka.delivery_timeout_ms});
      if (!log) return log.error();
      kafka_ = std::move(*log);
    }
    Result<Bundle> bundle = open_bundle(setup_.bundle_descriptor);
    if (!bundle) return bundle.error();
    bundle_ = std::move(*bundle);
    show_bundle();
    pool_.use(pool_.limits(), dup_for_spawner());

    emitter_.emplace(kafka_.get(), ledger_, scheduler_, stats_);
    context_.emplace(HuntContext{scheduler_, clock_, stats_, ledger_, supply_, *emitter_, pool_,
                                 lanes_, bundle_, config_.http.request_deadline_ms});
    std::vector<MessageLink*> links;
    for (int descriptor : setup_.peer_descriptors) {
      peer_links_.push_back(
          descriptor < 0 ? nullptr : std::make_unique<uring::UringMessageLink>(ring_, descriptor));
      links.push_back(peer_links_.back().get());
    }
    peers_.emplace(setup_.index, setup_.epoch, links, scheduler_, stats_,
                   static_cast<PeerServer&>(*this));
    for (const PeerNews& news : setup_.peers) hear(news);
    control_.set_user(*this);
    return {};
  }

  int run() {
    start(redis_.run());
    start(be_ready());
    start(sweep());
    stall_watch_.watch_this_thread();
    while (!done_) tick();
    if (kafka_ != nullptr) kafka_->drain(kafka_drain_ms);
    emitter_->flush(Emitter::Clear::now);
    redis_.flush(RedisLink::Leave::now);
    ring_.submit_and_wait(0);
    ring_.reap();
    return EXIT_SUCCESS;
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
    scheduler_.expire(began_ns);
    scheduler_.run_ready();
    flush();
    stats_.heartbeat_ns.store(began_ns);
    stats_.add(Counter::ticks);
    uint64_t const ended_ns = clock_.now_ns();
    stats_.record(Stage::tick, ended_ns - began_ns);
    note_stall(stall_watch_.end(ended_ns));
    if (draining_) finish_if_quiet();
  }

  void note_stall(StallWatch::Stall stall) {
    using Stall = StallWatch::Stall;
    if (stall == Stall::ran) stats_.add(Counter::ticks_long_ran);
    if (stall == Stall::waited) stats_.add(Counter::ticks_long_waited);
    if (stall == Stall::away) stats_.add(Counter::ticks_long_away);
  }

  // Each batch leaves once a tick.
  void flush() {
    emitter_->flush(draining_ ? Emitter::Clear::now : Emitter::Clear::when_due);
    redis_.flush(RedisLink::Leave::when_due);
    for (auto& link : peer_links_)
      if (link != nullptr) {
        link->flush();
        stats_.add(Counter::forward_batches, link->take_packets_sent());
      }
    control_.flush();
    host_.flush();
  }

  // --- clients ---------------------------------------------------------------------------------
  void on_accepted(StreamPtr stream) override {
    if (draining_) return;
    stats_.add(Counter::connections_accepted);
    start(serve(std::move(stream), "", true));
    if (connections_.size() >= config_.http.connections_max) {
      full_ = true;
      network_.stop_accepting();
    }
  }

  void take_over(int descriptor, std::string_view bytes) override {
    if (descriptor < 0) {
      log::error("a connection from another core came without its descriptor: raise LimitNOFILE");
      return;
    }
    start(serve(network_.adopt(descriptor), std::string(bytes), false));
  }

  Task<> serve(StreamPtr stream, std::string first_bytes, bool accepted) {
    Connection connection(*this, std::move(stream), std::move(first_bytes), accepted);
    connections_.insert(&connection);
    stats_.set(Gauge::connections_open, connections_.size());
    co_await connection.serve();
    connections_.erase(&connection);
    stats_.set(Gauge::connections_open, connections_.size());
    stats_.add(Counter::connections_closed);
    if (!full_ || draining_ || connections_.size() >= config_.http.connections_max) co_return;
    full_ = false;
    network_.start_accepting(*this);
  }

  // --- requests --------------------------------------------------------------------------------
  Task<Response> answer(HuntRequest request) override {
    uint32_t const core = map_.server(bucket_of(request.hunter_id));
    if (core == setup_.index) return run_here(std::move(request));
    return run_there(core, std::move(request));
  }

  // PeerServer: a request that another core sent here.
  Task<Response> serve(HuntRequest request) override { return run_here(std::move(request)); }

  Task<Response> run_here(HuntRequest request) {
    ++requests_;
    return request.kind == HuntRequest::Kind::read_held ? read_held_counted(std::move(request))
                                                        : run_hunt_counted(std::move(request));
  }

  Task<Response> read_held_counted(HuntRequest request) {
    Response response = co_await read_held(*context_, std::move(request));
    --requests_;
    co_return response;
  }

  Task<Response> run_hunt_counted(HuntRequest request) {
    bool const owned = map_.owner(bucket_of(request.hunter_id)) == setup_.index;
    Response response = co_await run_hunt(*context_, std::move(request));
    --requests_;
    if (owned) stats_.add(Counter::hunts_owner);
    co_return response;
  }

  Task<Response> run_there(uint32_t core, HuntRequest request) {
    uint64_t const deadline_at_ns =
        request.received_at_ns + config_.http.request_deadline_ms * ns_per_ms;
    std::optional<Response> response = co_await peers_->forward(core, request, deadline_at_ns);
    if (response) co_return std::move(*response);
    Response failed = problem_response(Problem::core_down, "");
    if (request.kind == HuntRequest::Kind::run) {
      stats_.add(Counter::hunts_core_down);
      failed = problem_response(Problem::outcome_unknown,
                                request.idempotency_key.empty()
                                    ? "with an Idempotency-Key a repeat would be safe"
                                    : "ask again with the same Idempotency-Key");
    }
    failed.bundle = bundle_.name();
    co_return failed;
  }

  int better_core(std::string_view hunter_id) override {
    if (draining_) return -1;
    uint32_t const core = map_.server(bucket_of(hunter_id));
    return core == setup_.index ? -1 : static_cast<int>(core);
  }

  void hand_over(int core, int descriptor, std::string_view bytes) override {
    if (peers_->hand_over(static_cast<uint32_t>(core), descriptor, bytes)) return;
    log::warning("a connection is closed: the queue to its core is full", {{"core", core}});
    close(descriptor);
  }

  std::string_view core_map_json() override {
    if (!map_json_.empty()) return map_json_;
    map_json_ = fmt::format(R"({{"hash":"xxh3-64","seed":0,"buckets":{},"cores":{},"up":[)",
                            limits::buckets, map_.cores());
    for (uint32_t core = 0; core < map_.cores(); ++core)
      map_json_ += fmt::format("{}{}", core == 0 ? "" : ",", map_.is_up(core));
    map_json_ += R"(],"map":[)";
    for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket)
      map_json_ += fmt::format("{}{}", bucket == 0 ? "" : ",", map_.owner(bucket));
    map_json_ += "]}";
    return map_json_;
  }

  bool draining() const override { return draining_; }

  // --- the parent ------------------------------------------------------------------------------
  void on_message(std::string_view message, int descriptor) override {
    WireReader reader(message);
    switch (reader.number<ControlMessage>()) {
      case ControlMessage::peer:
        hear(reader.number<PeerNews>());
        break;
      case ControlMessage::bundle:
        swap_bundle(reader.number<WorkerLimits>(), descriptor);
        return;
      case ControlMessage::drain:
        begin_drain();
        break;
      case ControlMessage::end:
        may_end_ = true;
        break;
      case ControlMessage::listening:
      case ControlMessage::quiet:
        break;
    }
    if (descriptor >= 0) close(descriptor);
  }

  void on_messages_end() override {
    log::error("the parent is gone; this core ends");
    _exit(EXIT_FAILURE);
  }

  void hear(const PeerNews& news) {
    map_.set_up(news.core, news.up);
    peers_->set_up(news.core, news.up, news.epoch);
    map_json_.clear();
  }

  void swap_bundle(const WorkerLimits& limits, int descriptor) {
    Result<Bundle> bundle = open_bundle(descriptor);
    if (!bundle) {
      log::error("the new bundle is not taken", {{"error", bundle.error().message}});
      return;
    }
    bundle_ = std::move(*bundle);
    pool_.use(limits, dup_for_spawner());
    show_bundle();
    stats_.add(Counter::bundle_swaps);
    log::info("bundle", {{"name", bundle_.name()}, {"hunts", bundle_.hunts().size()}});
  }

  int dup_for_spawner() {
    int const copy = fcntl(bundle_.descriptor(), F_DUPFD_CLOEXEC, 0);
    CHECK(copy >= 0);
    return copy;
  }

  void show_bundle() { stats_.bundle.set(bundle_.name()); }

  Task<> be_ready() {
    // A core that comes back leaves new clients to its siblings until it has Redis; but where Redis
    // is away clients are told so, and do not wait in the backlog.
    bool up = co_await redis_.until_up(scheduler_.now_ns() + accept_anyway_ns);
    if (!draining_) network_.start_accepting(*this);
    control_.send(write_plain(ControlMessage::listening), -1);
    // Ready means: a hunt can be run.
    while (!up) up = co_await redis_.until_up(never_ns);
    if (!draining_) stats_.set_state(CoreState::ready);
  }

  void begin_drain() {
    if (draining_) return;
    draining_ = true;
    drain_until_ns_ = clock_.now_ns() + config_.http.drain_deadline_ms * ns_per_ms;
    stats_.set(Gauge::draining, 1);
    stats_.set_state(CoreState::draining);
    network_.stop_accepting();
    pool_.drain();
    // The last process that lets go of the socket closes it: from then on clients are refused and
    // go elsewhere.
    close(setup_.listen_descriptor);
    for (Connection* connection : connections_) connection->drain();
  }

  // A core whose own clients are gone goes on answering what its siblings forward, until the parent
  // says that all are quiet.
  void finish_if_quiet() {
    bool const late = clock_.now_ns() >= drain_until_ns_;
    bool const quiet = connections_.empty() && requests_ == 0 && emitter_->idle() &&
                       pool_.live() == 0 && (redis_.in_flight() == 0 || !redis_.up());
    if (quiet && !told_quiet_) {
      told_quiet_ = true;
      control_.send(write_plain(ControlMessage::quiet), -1);
    }
    if (late && !quiet)
      log::warning("drain deadline: what is left is cut",
                   {{"connections", connections_.size()}, {"requests", requests_}});
    if ((quiet && may_end_) || late) done_ = true;
  }

  // --- background ------------------------------------------------------------------------------
  // Counts the outboxes of this core's buckets, emits what was left in them, and resolves units of
  // supplies that nobody settled.
  Task<> sweep() {
    uint64_t const age_ms = config_.kafka.sweep_after_s * 1000ULL;
    for (;;) {
      Slot<Signal> pause(scheduler_);
      co_await pause.wait(scheduler_.now_ns() + sweep_every_ns);
      if (draining_ || !redis_.up()) continue;
      uint64_t events = 0;
      for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket) {
        if (map_.server(bucket) != setup_.index) continue;
        uint64_t const length =
            co_await ledger_.outbox_length(bucket, scheduler_.now_ns() + ns_per_s);
        events += length;
        if (length > 0) co_await emitter_->sweep(bucket, age_ms);
        if (draining_ || !redis_.up()) break;
      }
      stats_.set(Gauge::outbox_pending, events);
      co_await supply_.sweep(&Core::serves_bucket, this);
    }
  }
  static bool serves_bucket(void* context, uint32_t bucket) {
    auto* core = static_cast<Core*>(context);
    return core->map_.server(bucket) == core->setup_.index;
  }

  CoreSetup& setup_;
  const Config& config_;
  uring::Ring& ring_;
  RealClock& clock_;
  Scheduler& scheduler_;
  CoreStats& stats_;
  StallWatch stall_watch_;
  uring::UringNetwork network_;
  uring::UringWorkerHost host_;
  uring::UringMessageLink control_;
  CoreMap map_;
  std::string map_json_;
  RedisLink redis_;
  Ledger ledger_;
  Supply supply_;
  WorkerPool pool_;
  Lanes lanes_;
  Bundle bundle_;
  std::unique_ptr<KafkaLog> kafka_;
  std::optional<Emitter> emitter_;
  std::optional<HuntContext> context_;
  std::vector<std::unique_ptr<uring::UringMessageLink>> peer_links_;
  std::optional<Peers> peers_;
  std::unordered_set<Connection*> connections_;
  size_t requests_ = 0;
  bool full_ = false;  // connections_max reached: accepting rests
  bool draining_ = false;
  bool told_quiet_ = false;
  bool may_end_ = false;
  bool done_ = false;
  uint64_t drain_until_ns_ = 0;
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

WorkerLimits worker_limits(const Config& config) {
  auto const rung = std::find(isolation_names.begin(), isolation_names.end(),
                              std::string_view(config.worker.isolation));
  CHECK(rung != isolation_names.end());  // the config was checked
  return {config.worker.deadline_ms,
          config.worker.memory_bytes,
          config.worker.max_live,
          config.worker.queue_max,
          config.worker.queue_deadline_ms,
          config.worker.queue_target_ms,
          config.worker.hunts_in_flight_max,
          static_cast<Isolation>(rung - isolation_names.begin()),
          config.worker.warm,
          config.worker.hunts_per_worker,
          config.worker.idle_ms};
}

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
  // Everything below lives as long as the process: operations in the kernel point into it.
  auto* ring = new uring::Ring;
  if (Result<void> opened = ring->open(); !opened) return fail(opened.error());
  Result<void> table = ring->open_slots(setup.config.http.connections_max + limits::slots_spare);
  if (!table)
    log::warning("client sockets are plain descriptors", {{"because", table.error().message}});
  auto* scheduler = new Scheduler;
  scheduler->set_now(clock.now_ns());
  auto* core = new Core(setup, *ring, spawner->socket, clock, *scheduler);
  if (Result<void> opened = core->open(); !opened) return fail(opened.error());
  if (setup.config.cores.priority > 0) prioritize("a core's loop", setup.config.cores.priority);
  log::info("core serves", {{"cpu", setup.cpu}, {"spawner", spawner->pid}});
  return core->run();
}

}  // namespace huntd
