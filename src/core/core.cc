// SPDX-License-Identifier: Apache-2.0
#include "core/core.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <list>

#include "auth/authenticator.h"
#include "base/clock.h"
#include "base/format_text.h"
#include "base/hash.h"
#include "base/log.h"
#include "bundle/bundle.h"
#include "core/client/address_limit.h"
#include "core/client/connection.h"
#include "core/events/emitter.h"
#include "core/hunt/hunt.h"
#include "core/hunt/hunt_ranking.h"
#include "core/hunt/hunter_queue.h"
#include "core/hunt/rate_limit.h"
#include "core/kafka_rest/produce.h"
#include "core/ledger/ledger.h"
#include "core/ledger/redis_nodes.h"
#include "core/ledger/seed_secret.h"
#include "core/ledger/supply.h"
#include "core/route/core_map.h"
#include "core/route/peers.h"
#include "core/sweep.h"
#include "http/problem.h"

namespace huntd::server {
namespace {

// A core without Redis accepts connections after this time, so that clients get an error response.
constexpr uint64_t accept_anyway_ns = ns_per_s;

// Between two reads of the secret of the ledger: after one that failed, and to see a new secret.
constexpr uint64_t seed_secret_retry_ns = ns_per_s;
constexpr uint64_t seed_secret_period_ns = 60 * ns_per_s;

// A forwarded request ends this much after its deadline, so that the owner core's response, which
// knows more, comes first.
constexpr uint64_t forward_grace_ns = 100 * ns_per_ms;

HttpService::Timeouts http_timeouts(const Config& config) {
  return {config.http.read_deadline_ms, config.http.first_byte_deadline_ms,
          config.http.idle_deadline_ms, config.http.send_deadline_ms,
          config.http.request_deadline_ms};
}

RedisLink::Options redis_options(const CoreSettings& settings) {
  return {settings.redis,
          settings.redis_logins,
          settings.config.redis.database,
          settings.config.redis.linger_us * ns_per_us,
          settings.index,
          settings.config.redis.allow_eviction,
          settings.config.redis.memory_max_percent,
          settings.seed_secret.empty(),
          settings.config.redis.wait_replicas,
          settings.config.redis.wait_ms};
}

// Each hunter has one core, so its limit is exact; a token and a hunt have requests on all.
RateLimits rate_limits(const Config& config, uint32_t cores, uint64_t secret) {
  return {rate_of(config.rate.hunter_per_minute, config.rate.hunter_burst, 1),
          rate_of(config.rate.token_per_minute, config.rate.token_burst, cores),
          rate_of(config.rate.hunt_per_minute, config.rate.hunt_burst, cores), secret};
}

class OpenCore final : public Core,
                       private HttpService,
                       private PeerUser,
                       private AcceptUser,
                       private MessageUser {
 public:
  OpenCore(CoreSettings settings, const Environment& environment, const CoreLinks& links,
           Scheduler& core_scheduler)
      : HttpService(core_scheduler, environment.clock, *settings.metrics,
                    http_timeouts(settings.config)),
        settings_(std::move(settings)),
        config_(settings_.config),
        clock_(environment.clock),
        scheduler_(core_scheduler),
        metrics_(*settings_.metrics),
        network_(environment.network),
        resolver_(environment.resolver),
        parent_(links.parent),
        authenticator_(settings_.secrets),
        leaving_(settings_.leaving),
        rates_(rate_limits(config_, static_cast<uint32_t>(links.cores.size()), clock_.random())),
        map_(static_cast<uint32_t>(links.cores.size())),
        redis_({network_, resolver_, environment.secrets, scheduler_, clock_, metrics_},
               redis_options(settings_)),
        ledger_(redis_, scheduler_, clock_, config_.redis.idempotency_ttl_s),
        supply_(redis_, scheduler_, clock_, metrics_, config_.redis.idempotency_ttl_s,
                config_.http.request_deadline_ms),
        workers_(environment.workers, scheduler_, metrics_, worker_limits(config_)),
        hunter_queue_(scheduler_),
        run_limits_(clock_.random()),
        hunt_ranking_(metrics_.hunts),
        emitter_(environment.events, ledger_, scheduler_, metrics_),
        produce_context_{scheduler_,
                         emitter_,
                         ledger_,
                         bundle_,
                         metrics_,
                         config_.kafka.topic,
                         config_.http.request_deadline_ms},
        hunt_context_{scheduler_,
                      clock_,
                      metrics_,
                      hunt_ranking_,
                      ledger_,
                      supply_,
                      emitter_,
                      workers_,
                      hunter_queue_,
                      run_limits_,
                      bundle_,
                      seed_key_,
                      config_.http.request_deadline_ms},
        sweep_({scheduler_, clock_, metrics_, map_, settings_.index, redis_, ledger_, supply_,
                emitter_, config_.kafka.sweep_after_s * 1000ULL}),
        peers_(settings_.index, settings_.incarnation, links.cores, scheduler_, metrics_, *this) {}

  Result<void> open() {
    Result<Bundle> bundle = open_bundle(settings_.bundle_descriptor);
    if (!bundle) return bundle.error();
    use_bundle(std::move(*bundle), workers_.limits());
    access_log = {access_log_mode(config_.http.access_log), config_.http.access_log_sample};
    address_limit = AddressLimit(config_.http.connections_per_address_max);
    proxies = TrustedProxies(config_.http.trusted_proxies);
    proxy_protocol = config_.http.proxy_protocol;
    cors = CorsOrigins(config_.http.cors_origins);
    counts_tokens = rates_.of_tokens();
    if (!settings_.seed_secret.empty()) seed_key_.emplace(settings_.seed_secret);
    for (const PeerUpdate& update : settings_.peers) apply(update);
    parent_.set_user(*this);
    return {};
  }

  void start() override {
    huntd::start(redis_.run());
    huntd::start(become_ready());
    huntd::start(sweep_.run());
  }

  void tick() override {
    scheduler_.expire(scheduler_.now_ns());
    scheduler_.run_ready();
    emitter_.flush(draining_ ? Emitter::Clear::now : Emitter::Clear::when_due);
    redis_.flush(RedisLink::Leave::when_due);
    hunt_ranking_.rank_if_due(scheduler_.now_ns());
    if (draining_) check_drained();
  }

  // No more than there can be workers: otherwise all of them could wait for this core.
  unsigned completions_wanted() const override {
    if (!workers_.rejecting()) return 1;
    return std::min<unsigned>(limits::gather_completions, workers_.limits().max_live);
  }
  bool draining() const override { return draining_; }
  bool leaving() const override { return leaving_; }
  bool done() const override { return done_; }

  void finish() override {
    emitter_.flush(Emitter::Clear::now);
    redis_.flush(RedisLink::Leave::now);
  }

  CoreLoad load() const override {
    return {connections_.size(), requests_,          hunter_queue_.hunters(),
            workers_.live(),     redis_.in_flight(), emitter_.idle()};
  }

 private:
  // --- connections -----------------------------------------------------------------------------
  void on_accepted(StreamPtr stream, const Peer& from) override {
    // Also in a drain: the kernel accepted it before the core stopped accepting.
    metrics_.add(Counter::connections_accepted);
    huntd::start(serve_client(std::move(stream), from, "", true));
    stop_accepting_if_full();
  }

  size_t room() const override {
    size_t const max = config_.http.connections_max;
    return max - std::min(max, connections_.size());
  }

  void start_accepting() {
    bool const with_peers = address_limit.bounded() || proxies.any() || access_log.on();
    network_.start_accepting(*this, with_peers);
  }

  void stop_accepting_if_full() {
    if (full_ || connections_.size() < config_.http.connections_max) return;
    full_ = true;
    network_.stop_accepting();
  }

  void accept_again_if_room() {
    if (!full_ || draining_ || connections_.size() >= config_.http.connections_max) return;
    full_ = false;
    start_accepting();
  }

  // PeerUser: a connection from another core.
  void take_over(int descriptor, const Peer& client, std::string_view bytes) override {
    if (descriptor < 0) {
      log::error("connection from another core lost: its file descriptor did not arrive",
                 {{"hint", "raise LimitNOFILE"}});
      return;
    }
    huntd::start(serve_client(network_.adopt(descriptor), client, std::string(bytes), false));
    stop_accepting_if_full();
  }

  // Serves a client's connection until it closes. `accepted`: by this core.
  Task<> serve_client(StreamPtr stream, Peer from, std::string first_bytes, bool accepted) {
    Connection connection(*this, std::move(stream), from, std::move(first_bytes), accepted);
    auto const entry = connections_.insert(connections_.end(), &connection);
    metrics_.set(Gauge::connections_open, connections_.size());
    // The kernel may accept more than connections_max within a tick; those are served. Connections
    // from other cores above the limit are rejected.
    bool const room = accepted || connections_.size() <= config_.http.connections_max;
    bool known = true;
    if (room && connection.awaits_proxy_header()) known = co_await connection.read_proxy_header();
    std::optional<ClientAddress> const counted = connection.counted_address();
    if (!known) {
      // Closed without a response: where the first request starts is unknown.
    } else if (room && (!counted || address_limit.enter(*counted))) {
      co_await connection.serve();
      if (counted) address_limit.leave(*counted);
    } else {
      co_await reject(connection);
    }
    connections_.erase(entry);
    metrics_.set(Gauge::connections_open, connections_.size());
    metrics_.add(Counter::connections_closed);
    accept_again_if_room();
  }

  // Closes a connection; with a response, unless too many others are being rejected.
  Task<> reject(Connection& connection) {
    metrics_.add(Counter::connections_rejected);
    if (rejecting_ >= limits::rejections_max) co_return;
    ++rejecting_;
    co_await connection.reject(problem_response(
        Problem::too_many_connections, "close some connections, or send more requests over each"));
    --rejecting_;
  }

  // HttpService
  Authenticator& authenticator() override { return authenticator_; }

  int better_core(std::string_view hunter_id) override {
    if (draining_) return -1;
    uint32_t const core = map_.server(bucket_of(hunter_id));
    return core == settings_.index ? -1 : static_cast<int>(core);
  }

  Task<bool> reserve_hand_over(int core, size_t bytes, uint64_t deadline_at_ns) override {
    return peers_.reserve_hand_over(static_cast<uint32_t>(core), bytes, deadline_at_ns);
  }

  void cancel_hand_over(int core, size_t bytes) override {
    peers_.cancel_hand_over(static_cast<uint32_t>(core), bytes);
  }

  void hand_over(int core, int descriptor, const Peer& client, std::string_view bytes) override {
    peers_.hand_over(static_cast<uint32_t>(core), descriptor, client, bytes);
  }

  Response reject_unsent(HuntRequest::Kind kind, std::string_view hunt_id, bool keyed) override {
    constexpr std::string_view detail = "too many requests wait for the hunter's core";
    PoolString text(detail);
    if (kind == HuntRequest::Kind::run) {
      metrics_.add(Counter::hunts_shed_link_full);
      text = format_text("nothing was awarded: {}", detail);
      if (keyed) text = detail_of_attempt(text);
    }
    Response rejected = problem_response(Problem::overloaded, text);
    if (kind == HuntRequest::Kind::run) {
      hunt_ranking_.count(hunt_id, HuntOutcome::refused, std::nullopt);
      report_outcome(rejected, Counter::hunts_shed_link_full);
    }
    rejected.bundle = bundle_.name();
    return rejected;
  }

  std::string_view core_map_json() override {
    if (map_json_.empty()) map_json_ = map_.json();
    return map_json_;
  }

  // --- requests --------------------------------------------------------------------------------
  std::optional<Response> shed(std::string_view hunt_id, std::string_view hunter_id) override {
    if (!workers_.has_queue()) return std::nullopt;
    uint32_t const bucket = bucket_of(hunter_id);
    if (map_.server(bucket) != settings_.index) return std::nullopt;
    std::optional<Response> rejected = shed_run(hunt_context_, hunt_id);
    if (rejected && map_.owner(bucket) == settings_.index) metrics_.add(Counter::hunts_owner);
    return rejected;
  }

  Task<Response> handle(HuntRequest request) override {
    uint32_t const core = map_.server(bucket_of(request.hunter_id));
    if (core == settings_.index) return run_here(std::move(request));
    return forward(core, std::move(request));
  }

  // Runs on any core: the records are keyed by hunter, whichever core produces them.
  Task<Response> produce(ProduceRequest request) override {
    ++requests_;
    Response response = co_await server::produce(produce_context_, std::move(request));
    --requests_;
    co_return response;
  }

  // PeerUser: a request from another core.
  Task<Response> run_forwarded(HuntRequest request) override {
    return run_here(std::move(request));
  }

  Task<Response> run_here(HuntRequest request) {
    if (std::optional<Response> rejected = reject_above_rate(request))
      return respond(std::move(*rejected));
    ++requests_;
    return request.kind == HuntRequest::Kind::read_held ? read_held_counted(std::move(request))
                                                        : run_hunt_counted(std::move(request));
  }

  Task<Response> respond(Response response) { co_return response; }

  // The response to a request above a limit of [rate], which it counts. Nothing: it may run.
  std::optional<Response> reject_above_rate(const HuntRequest& request) {
    if (!rates_.any()) return std::nullopt;
    auto const exceeded =
        rates_.take(request.hunter_id, request.token, request.hunt_id, clock_.now_ns());
    if (!exceeded) return std::nullopt;
    static constexpr struct {
      Counter counter;
      std::string_view what;
    } limits_of[] = {{Counter::rate_limited_hunter, "the hunter has used up its requests"},
                     {Counter::rate_limited_token, "the token has used up its requests"},
                     {Counter::rate_limited_hunt, "the hunt has used up its requests"}};
    auto const& [counter, what] = limits_of[static_cast<size_t>(exceeded->first)];
    metrics_.add(counter);
    PoolString text(what);
    bool const runs = request.kind == HuntRequest::Kind::run;
    if (runs && !request.idempotency_key.empty()) text = detail_of_attempt(text);
    Response rejected = problem_response(Problem::rate_limited, text);
    rejected.retry_after_s = static_cast<uint32_t>((exceeded->second + ns_per_s - 1) / ns_per_s);
    rejected.bundle = bundle_.name();
    if (!runs) return rejected;
    metrics_.add(Counter::hunts_rate_limited);
    hunt_ranking_.count(request.hunt_id, HuntOutcome::refused, std::nullopt);
    report_outcome(rejected, Counter::hunts_rate_limited);
    return rejected;
  }

  Task<Response> read_held_counted(HuntRequest request) {
    Response response = co_await read_held(hunt_context_, std::move(request));
    --requests_;
    co_return response;
  }

  Task<Response> run_hunt_counted(HuntRequest request) {
    bool const owned = map_.owner(bucket_of(request.hunter_id)) == settings_.index;
    Response response = co_await run_hunt(hunt_context_, std::move(request));
    --requests_;
    if (owned) metrics_.add(Counter::hunts_owner);
    co_return response;
  }

  Task<Response> forward(uint32_t core, HuntRequest request) {
    uint64_t const deadline_at_ns = hunt_context_.deadline_at_ns(request.received_at_ns);
    uint64_t const send_by_ns = request.kind == HuntRequest::Kind::run
                                    ? hunt_context_.start_by_ns(request.received_at_ns)
                                    : deadline_at_ns;
    Forwarded forwarded =
        co_await peers_.forward(core, request, send_by_ns, deadline_at_ns + forward_grace_ns);
    switch (forwarded.end) {
      case Forwarded::End::response:
        co_return std::move(forwarded.response);
      case Forwarded::End::unknown:
        co_return end_unknown(request);
      case Forwarded::End::not_sent:
        break;
    }
    // If its core went down meanwhile, another one serves the hunter.
    if (map_.server(bucket_of(request.hunter_id)) == core)
      co_return reject_unsent(request.kind, request.hunt_id, !request.idempotency_key.empty());
    co_return co_await handle(std::move(request));
  }

  // The response to a request that was sent to another core, which did not respond.
  Response end_unknown(const HuntRequest& request) {
    Response failed = problem_response(Problem::core_down, "");
    if (request.kind == HuntRequest::Kind::run) {
      metrics_.add(Counter::hunts_core_down);
      hunt_ranking_.count(request.hunt_id, HuntOutcome::failed, std::nullopt);
      failed = outcome_unknown(!request.idempotency_key.empty(), request.request_id);
      report_outcome(failed, Counter::hunts_core_down);
    }
    failed.bundle = bundle_.name();
    return failed;
  }

  // --- the parent ------------------------------------------------------------------------------
  void on_message(std::string_view message, int descriptor) override {
    WireReader reader(message);
    switch (reader.number<ControlMessage>()) {
      case ControlMessage::peer:
        apply(reader.number<PeerUpdate>());
        break;
      case ControlMessage::bundle:
        swap_bundle(reader.number<WorkerLimits>(), descriptor);
        return;
      case ControlMessage::secrets:
        authenticator_ = Authenticator(read_secrets(reader));
        if (seed_key_ && !draining_ && redis_.up()) huntd::start(read_seed_secret());
        break;
      case ControlMessage::redis_logins:
        redis_.use(read_redis_logins(reader));
        break;
      case ControlMessage::drain:
        start_drain();
        break;
      case ControlMessage::leaving:
        leaving_ = reader.number<bool>();
        break;
      case ControlMessage::end:
        may_end_ = true;
        break;
      case ControlMessage::listening:
      case ControlMessage::idle:
        break;
    }
    if (descriptor >= 0) close(descriptor);
  }

  void on_link_closed() override {
    log::error("the parent process has exited; the core exits");
    _exit(EXIT_FAILURE);
  }

  void apply(const PeerUpdate& update) {
    map_.set_up(update.core, update.up);
    peers_.set_up(update.core, update.up, update.incarnation);
    map_json_.clear();
  }

  // Takes ownership of the descriptor.
  void swap_bundle(const WorkerLimits& limits, int descriptor) {
    Result<Bundle> bundle = open_bundle(descriptor);
    if (!bundle) {
      log::error("the new bundle cannot be read; the core keeps the previous one",
                 {{"error", bundle.error().message}});
      return;
    }
    use_bundle(std::move(*bundle), limits);
    metrics_.add(Counter::bundle_swaps);
    log::info("bundle", {{"name", bundle_.name()}, {"hunts", bundle_.hunts().size()}});
  }

  void use_bundle(Bundle bundle, const WorkerLimits& limits) {
    bundle_ = std::move(bundle);
    metrics_.bundle.set(bundle_.name());
    hunt_ranking_.use(bundle_.hunts());
    run_limits_.use(bundle_.name());
    int const for_workers = fcntl(bundle_.descriptor(), F_DUPFD_CLOEXEC, 0);
    CHECK(for_workers >= 0);
    workers_.use(limits, for_workers);
  }

  Task<> become_ready() {
    // A restarted core leaves new clients to its peers until Redis is up. If Redis is unavailable,
    // it accepts anyway: clients then get an error response instead of waiting in the backlog.
    bool up = co_await until_usable(scheduler_.now_ns() + accept_anyway_ns);
    if (!draining_) start_accepting();
    parent_.send(encode(ControlMessage::listening), -1);
    while (!up) up = co_await until_usable(never_ns);
    if (!draining_) metrics_.set_state(CoreState::ready);
    if (settings_.seed_secret.empty()) huntd::start(keep_seed_secret());
  }

  // Waits until Redis can be used and the secret of hunt.random() is known. Returns false if the
  // deadline came first.
  Task<bool> until_usable(uint64_t deadline_at_ns) {
    for (;;) {
      bool const suitable = co_await redis_.until_suitable(deadline_at_ns);
      if (!suitable) co_return false;
      co_await read_seed_secret();
      if (seed_key_) co_return true;
      OneShot<Signal> pause(scheduler_);
      co_await pause.wait(std::min(deadline_at_ns, scheduler_.now_ns() + seed_secret_retry_ns));
      if (scheduler_.now_ns() >= deadline_at_ns) co_return false;
    }
  }

  // Reads the secret of the ledger, unless the config names a file of its own. After a failure the
  // one that was read before stays in use.
  Task<> read_seed_secret() {
    if (!settings_.seed_secret.empty()) co_return;
    uint64_t const deadline_at_ns = scheduler_.now_ns() + ns_per_s;
    Result<std::string> const secret = co_await fetch_seed_secret(redis_, clock_, deadline_at_ns);
    std::string const error = secret ? "" : secret.error().message;
    if (secret) seed_key_.emplace(*secret);
    if (!error.empty() && error != seed_secret_error_)
      log::warning("the secret of hunt.random() cannot be read",
                   {{"error", error}, {"hint", "see seed_secret in docs/formats/redis.md"}});
    seed_secret_error_ = error;
  }

  // All hosts use a new secret within a minute: one that replaces the former, or the one that was
  // drawn when the ledger had been emptied. Never returns.
  Task<> keep_seed_secret() {
    for (;;) {
      OneShot<Signal> pause(scheduler_);
      co_await pause.wait(scheduler_.now_ns() + seed_secret_period_ns);
      if (!draining_ && redis_.up()) co_await read_seed_secret();
    }
  }

  void start_drain() {
    if (draining_) return;
    draining_ = true;
    events_waited_from_ns_ = scheduler_.now_ns();
    drain_deadline_at_ns_ = clock_.now_ns() + config_.http.drain_deadline_ms * ns_per_ms;
    metrics_.set(Gauge::draining, 1);
    metrics_.set_state(CoreState::draining);
    network_.stop_accepting();
    workers_.drain();
    sweep_.stop();
    for (Connection* connection : connections_) connection->drain();
  }

  // A stop does not wait for Kafka: events are safe in the outbox, and a produce call gets an honest
  // response. If Kafka has been silent for a moment, it is not waited for.
  void stop_waiting_for_events() {
    if (emitter_.all_reported()) return;
    uint64_t const silent_since_ns = std::max(events_waited_from_ns_, emitter_.moved_at_ns());
    uint64_t const patience_ns = limits::drain_events_ns + config_.kafka.linger_ms * ns_per_ms;
    if (scheduler_.now_ns() < silent_since_ns + patience_ns) return;
    if (events_given_up_ && silent_since_ns == events_waited_from_ns_) return emitter_.abandon();
    events_given_up_ = true;
    events_waited_from_ns_ = scheduler_.now_ns();
    emitter_.give_up();
  }

  // A core that is idle still runs its peers' requests until the parent reports that all are idle.
  void check_drained() {
    stop_waiting_for_events();
    bool const late = clock_.now_ns() >= drain_deadline_at_ns_;
    // Without Redis, the entries of stored events stay in the outbox too, and are emitted again.
    bool const redis_done = !redis_.up() || (redis_.in_flight() == 0 && emitter_.idle());
    bool const idle = connections_.empty() && requests_ == 0 && emitter_.all_reported() &&
                      workers_.live() == 0 && redis_done;
    if (idle && !idle_sent_) {
      idle_sent_ = true;
      parent_.send(encode(ControlMessage::idle), -1);
    }
    if (late && !idle)
      log::warning("drain deadline passed: closing what is left",
                   {{"connections", connections_.size()}, {"requests", requests_}});
    if ((idle && may_end_) || late) done_ = true;
  }

  CoreSettings settings_;
  const Config& config_;
  Clock& clock_;
  Scheduler& scheduler_;
  CoreMetrics& metrics_;
  Network& network_;
  Resolver& resolver_;
  MessageLink& parent_;
  Authenticator authenticator_;
  bool leaving_;
  RateLimits rates_;
  CoreMap map_;
  std::string map_json_;  // empty: not computed since the map changed
  RedisNodes redis_;
  Ledger ledger_;
  Supply supply_;
  WorkerPool workers_;
  HunterQueue hunter_queue_;
  RunLimits run_limits_;
  HuntRanking hunt_ranking_;
  Bundle bundle_;
  std::optional<SeedKey> seed_key_;
  std::string seed_secret_error_;  // of the last read; empty: none
  Emitter emitter_;
  ProduceContext produce_context_;
  HuntContext hunt_context_;
  Sweep sweep_;
  Peers peers_;
  std::list<Connection*, PoolAllocator<Connection*>> connections_;  // oldest first
  size_t requests_ = 0;
  size_t rejecting_ = 0;  // connections that are being rejected
  bool full_ = false;     // connections_max is reached: accept is paused
  bool draining_ = false;
  bool idle_sent_ = false;
  bool may_end_ = false;
  bool done_ = false;
  uint64_t drain_deadline_at_ns_ = 0;
  uint64_t events_waited_from_ns_ = 0;  // in a drain
  bool events_given_up_ = false;
};

}  // namespace

WorkerLimits worker_limits(const Config& config) {
  auto const mode = std::find(isolation_names.begin(), isolation_names.end(),
                              std::string_view(config.worker.isolation));
  CHECK(mode != isolation_names.end());  // load_config() has checked it
  return {.deadline_ms = config.worker.deadline_ms,
          .memory_bytes = config.worker.memory_bytes,
          .max_live = config.worker.max_live,
          .queue_max = config.worker.queue_max,
          .queue_deadline_ms = config.worker.queue_deadline_ms,
          .queue_target_ms = config.worker.queue_target_ms,
          .hunts_in_flight_max = config.worker.hunts_in_flight_max,
          .hunter_queue_max = config.worker.hunter_queue_max,
          .isolation = static_cast<Isolation>(mode - isolation_names.begin()),
          .warm = config.worker.warm,
          .hunts_per_worker = config.worker.hunts_per_worker,
          .batch_per_hunt = config.worker.batch_per_hunt,
          .idle_ms = config.worker.idle_ms};
}

Result<std::unique_ptr<Core>> open_core(CoreSettings settings, const Environment& environment,
                                        const CoreLinks& links, Scheduler& scheduler) {
  auto core = std::make_unique<OpenCore>(std::move(settings), environment, links, scheduler);
  if (Result<void> opened = core->open(); !opened) return opened.error();
  return std::unique_ptr<Core>(std::move(core));
}

}  // namespace huntd::server
