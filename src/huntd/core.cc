#include "huntd/core.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <list>

#include "base/hash.h"
#include "base/log.h"
#include "http/address_count.h"
#include "http/problem.h"
#include "rest/produce.h"

namespace huntd {
namespace {

constexpr uint64_t ns_per_ms = 1'000'000;
constexpr uint64_t ns_per_s = 1'000'000'000;
constexpr uint64_t accept_anyway_ns = ns_per_s;
constexpr uint64_t sweep_every_ns = 5 * ns_per_s;

class OpenCore final : public Core,
                       private HttpService,
                       private PeerServer,
                       private AcceptUser,
                       private MessageUser {
 public:
  OpenCore(CoreSettings settings, const Outside& outside, const CoreLinks& links,
           Scheduler& its_scheduler)
      : HttpService(
            its_scheduler, outside.clock, *settings.stats,
            {settings.config.http.header_deadline_ms, settings.config.http.first_byte_deadline_ms,
             settings.config.http.idle_deadline_ms, settings.config.http.send_deadline_ms}),
        settings_(std::move(settings)),
        config_(settings_.config),
        clock_(outside.clock),
        scheduler_(its_scheduler),
        stats_(*settings_.stats),
        network_(outside.network),
        control_(links.parent),
        per_address_(config_.http.connections_per_address_max),
        map_(static_cast<uint32_t>(links.cores.size())),
        redis_(network_, its_scheduler, clock_, stats_,
               {settings_.redis, settings_.redis_password, config_.redis.database,
                config_.redis.linger_us * 1000ULL}),
        ledger_(redis_, its_scheduler, config_.redis.idempotency_ttl_s),
        supply_(redis_, its_scheduler, stats_, config_.redis.idempotency_ttl_s),
        pool_(outside.workers, its_scheduler, stats_, worker_limits(config_)),
        lanes_(its_scheduler),
        emitter_(outside.events, ledger_, its_scheduler, stats_),
        produce_{emitter_, stats_, config_.kafka.topic, config_.http.request_deadline_ms},
        context_{its_scheduler, clock_, stats_, ledger_, supply_,
                 emitter_,      pool_,  lanes_, bundle_, config_.http.request_deadline_ms},
        peers_(settings_.index, settings_.epoch, links.cores, its_scheduler, stats_,
               static_cast<PeerServer&>(*this)) {}

  Result<void> open() {
    Result<Bundle> bundle = open_bundle(settings_.bundle_descriptor);
    if (!bundle) return bundle.error();
    bundle_ = std::move(*bundle);
    show_bundle();
    pool_.use(pool_.limits(), dup_for_spawner());
    for (const PeerNews& news : settings_.peers) hear(news);
    control_.set_user(*this);
    return {};
  }

  void begin() override {
    start(redis_.run());
    start(be_ready());
    start(sweep());
  }

  void turn() override {
    scheduler_.expire(scheduler_.now_ns());
    scheduler_.run_ready();
    emitter_.flush(draining_ ? Emitter::Clear::now : Emitter::Clear::when_due);
    redis_.flush(RedisLink::Leave::when_due);
    if (draining_) finish_if_quiet();
  }

  bool done() const override { return done_; }

  void finish() override {
    emitter_.flush(Emitter::Clear::now);
    redis_.flush(RedisLink::Leave::now);
  }

  const Doorkeeper& doorkeeper() const override { return doorkeeper_; }
  bool draining() const override { return draining_; }

  CoreHolds holds() const override {
    return {connections_.size(), requests_,          lanes_.hunters(),
            pool_.live(),        redis_.in_flight(), emitter_.idle()};
  }

 private:
  // --- clients ---------------------------------------------------------------------------------
  void on_accepted(StreamPtr stream, std::optional<ClientAddress> from) override {
    if (draining_) return;
    stats_.add(Counter::connections_accepted);
    start(serve(std::move(stream), from, "", true));
    rest_if_full();
  }

  void rest_if_full() {
    if (full_ || connections_.size() < config_.http.connections_max) return;
    full_ = true;
    network_.stop_accepting();
  }

  size_t room() const override {
    size_t const most = config_.http.connections_max;
    return most - std::min(most, connections_.size());
  }

  void accept() { network_.start_accepting(*this, per_address_.bounded()); }

  void take_over(int descriptor, std::string_view bytes) override {
    if (descriptor < 0) {
      log::error("a connection from another core came without its descriptor: raise LimitNOFILE");
      return;
    }
    std::optional<ClientAddress> from;
    if (per_address_.bounded()) from = network_.address_of(descriptor);
    start(serve(network_.adopt(descriptor), from, std::string(bytes), false));
    rest_if_full();
  }

  Task<> serve(StreamPtr stream, std::optional<ClientAddress> from, std::string first_bytes,
               bool accepted) {
    Connection connection(*this, std::move(stream), std::move(first_bytes), accepted);
    auto const place = connections_.insert(connections_.end(), &connection);
    stats_.set(Gauge::connections_open, connections_.size());
    // What the kernel accepts within a tick is served too; others may not fill this core so.
    bool const room = accepted || connections_.size() <= config_.http.connections_max;
    if (room && (!from || per_address_.enter(*from))) {
      co_await connection.serve();
      if (from) per_address_.leave(*from);
    } else {
      co_await refuse(connection);
    }
    connections_.erase(place);
    stats_.set(Gauge::connections_open, connections_.size());
    stats_.add(Counter::connections_closed);
    if (!full_ || draining_ || connections_.size() >= config_.http.connections_max) co_return;
    full_ = false;
    accept();
  }

  Task<> refuse(Connection& connection) {
    stats_.add(Counter::connections_refused);
    if (refusals_ >= limits::refusals_max) co_return;
    ++refusals_;
    co_await connection.refuse(problem_response(Problem::too_many_connections,
                                                "close some, or send more requests over each"));
    --refusals_;
  }

  // --- requests --------------------------------------------------------------------------------
  Task<Response> answer(HuntRequest request) override {
    uint32_t const core = map_.server(bucket_of(request.hunter_id));
    if (core == settings_.index) return run_here(std::move(request));
    return run_there(core, std::move(request));
  }

  // Records are keyed by hunter whichever core produces them, so no core owns the call.
  Task<Response> produce(ProduceRequest request) override {
    ++requests_;
    Response response = co_await huntd::produce(produce_, std::move(request));
    --requests_;
    co_return response;
  }

  // PeerServer: a request that another core sent here.
  Task<Response> serve(HuntRequest request) override { return run_here(std::move(request)); }

  Task<Response> run_here(HuntRequest request) {
    ++requests_;
    return request.kind == HuntRequest::Kind::read_held ? read_held_counted(std::move(request))
                                                        : run_hunt_counted(std::move(request));
  }

  Task<Response> read_held_counted(HuntRequest request) {
    Response response = co_await read_held(context_, std::move(request));
    --requests_;
    co_return response;
  }

  Task<Response> run_hunt_counted(HuntRequest request) {
    bool const owned = map_.owner(bucket_of(request.hunter_id)) == settings_.index;
    Response response = co_await run_hunt(context_, std::move(request));
    --requests_;
    if (owned) stats_.add(Counter::hunts_owner);
    co_return response;
  }

  Task<Response> run_there(uint32_t core, HuntRequest request) {
    uint64_t const deadline_at_ns =
        request.received_at_ns + config_.http.request_deadline_ms * ns_per_ms;
    std::optional<Response> response = co_await peers_.forward(core, request, deadline_at_ns);
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
    return core == settings_.index ? -1 : static_cast<int>(core);
  }

  void hand_over(int core, int descriptor, std::string_view bytes) override {
    if (peers_.hand_over(static_cast<uint32_t>(core), descriptor, bytes)) return;
    log::warning("a connection is closed: the queue to its core is full", {{"core", core}});
    network_.drop(descriptor);
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
      case ControlMessage::secrets:
        doorkeeper_ = Doorkeeper(read_secrets_news(reader));
        break;
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
    peers_.set_up(news.core, news.up, news.epoch);
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
    if (!draining_) accept();
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
    for (Connection* connection : connections_) connection->drain();
  }

  // A core whose own clients are gone goes on answering what its siblings forward, until the parent
  // says that all are quiet.
  void finish_if_quiet() {
    bool const late = clock_.now_ns() >= drain_until_ns_;
    bool const quiet = connections_.empty() && requests_ == 0 && emitter_.idle() &&
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
    for (;;) {
      Slot<Signal> pause(scheduler_);
      co_await pause.wait(scheduler_.now_ns() + sweep_every_ns);
      if (draining_ || !redis_.up()) continue;
      OutboxWalk walk(scheduler_);
      for (size_t i = 0; i < limits::sweeps_at_a_time; ++i) start(walk_outboxes(walk));
      co_await walk.ended.wait();
      stats_.set(Gauge::outbox_pending, walk.events);
      co_await supply_.sweep(&OpenCore::serves_bucket, this);
    }
  }
  // One walk over the buckets, by several tasks: a Redis that is slow to answer is asked about
  // several outboxes at a time.
  struct OutboxWalk {
    explicit OutboxWalk(Scheduler& scheduler) : ended(scheduler) {}
    uint32_t next_bucket = 0;
    uint64_t events = 0;
    size_t walking = limits::sweeps_at_a_time;
    Slot<Signal> ended;  // set by the last of them
  };
  Task<> walk_outboxes(OutboxWalk& walk) {
    uint64_t const age_ms = config_.kafka.sweep_after_s * 1000ULL;
    while (walk.next_bucket < limits::buckets && !draining_ && redis_.up()) {
      uint32_t const bucket = walk.next_bucket++;
      if (map_.server(bucket) != settings_.index) continue;
      uint64_t const length =
          co_await ledger_.outbox_length(bucket, scheduler_.now_ns() + ns_per_s);
      walk.events += length;
      if (length > 0) co_await emitter_.sweep(bucket, age_ms);
    }
    if (--walk.walking == 0) walk.ended.set(Signal());
  }
  static bool serves_bucket(void* context, uint32_t bucket) {
    auto* core = static_cast<OpenCore*>(context);
    return core->map_.server(bucket) == core->settings_.index;
  }

  CoreSettings settings_;
  const Config& config_;
  Clock& clock_;
  Scheduler& scheduler_;
  CoreStats& stats_;
  Network& network_;
  MessageLink& control_;
  Doorkeeper doorkeeper_{settings_.secrets};
  AddressCount per_address_;
  CoreMap map_;
  std::string map_json_;
  RedisLink redis_;
  Ledger ledger_;
  Supply supply_;
  WorkerPool pool_;
  Lanes lanes_;
  Bundle bundle_;
  Emitter emitter_;
  ProduceContext produce_;
  HuntContext context_;
  Peers peers_;
  std::list<Connection*, PoolAllocator<Connection*>> connections_;  // oldest first
  size_t requests_ = 0;
  size_t refusals_ = 0;  // connections that are being told too-many-connections
  bool full_ = false;    // connections_max reached: accepting rests
  bool draining_ = false;
  bool told_quiet_ = false;
  bool may_end_ = false;
  bool done_ = false;
  uint64_t drain_until_ns_ = 0;
};

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

Result<std::unique_ptr<Core>> open_core(CoreSettings settings, const Outside& outside,
                                        const CoreLinks& links, Scheduler& scheduler) {
  auto core = std::make_unique<OpenCore>(std::move(settings), outside, links, scheduler);
  if (Result<void> opened = core->open(); !opened) return opened.error();
  return std::unique_ptr<Core>(std::move(core));
}

}  // namespace huntd
