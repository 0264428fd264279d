// SPDX-License-Identifier: Apache-2.0
#include "host.h"

#include <fcntl.h>
#include <signal.h>

#include <algorithm>

#include "base/hash.h"
#include "base/limits.h"
#include "core/control.h"
#include "core/ledger/supply.h"

namespace huntd::server::sim {
namespace {

// As huntd/children.cc.
constexpr uint64_t restart_first_ms = 100;
constexpr uint64_t restart_max_ms = 5000;
constexpr uint64_t stable_after_ms = 10'000;

constexpr uint64_t fault_kinds = 27;

// What Redis' ACL may forbid at any moment. Not SADD: a supply whose name is not stored is not
// swept.
const std::vector<std::string> forbidden_commands = {
    "ECHO", "EVALSHA", "GET",  "HDEL",    "HGET",   "HGETALL", "HINCRBY",       "HLEN",
    "HSET", "HSETNX",  "INFO", "PEXPIRE", "PTTL",   "SCRIPT",  "SET",           "SMEMBERS",
    "TIME", "XADD",    "XDEL", "XLEN",    "XRANGE", "ZADD",    "ZRANGEBYSCORE", "ZREM"};

const std::vector<std::string> rejections = {
    "OOM command not allowed when used memory > 'maxmemory'.",
    "READONLY You can't write against a read only replica.",
    "NOREPLICAS Not enough good replicas to write.",
    "MISCONF Errors writing to the AOF file: No space left on device",
    "BUSY Redis is busy running a script."};

// The error of a script's command, in versions of Redis.
const std::vector<std::string> forbidden_in_scripts = {
    "ERR The user executing the script can't run this command or subcommand",
    "NOPERM User default has no permissions to run the command",
    "@user_script: 18: The user executing the script can't run this command"};

// A core that runs knows for sure that Redis evicts keys: a check, a reply that is late, a second.
constexpr uint64_t unsuitable_after_ns =
    limits::redis_check_ns + limits::redis_silence_max_ns + 1 * s;

// An idle core has these coroutines: the link to Redis (two), the sweep, and the one that reads the
// secret of hunt.random(), each with its root.
constexpr size_t coroutines_when_idle = 7;

Bundle make_hunts(int version) {
  std::vector<std::pair<std::string, std::string>> scripts;
  for (const std::string& name : hunt_names)
    scripts.emplace_back(name, fmt::format("-- version {}\nreturn function(hunt) end", version));
  Result<Bundle> bundle = make_bundle(scripts);
  CHECK(bool(bundle));
  return std::move(*bundle);
}

}  // namespace

Plan draw_plan(Random& random) {
  Plan plan;
  plan.hosts = random.chance(0.25) ? 2 : 1;
  plan.cores = static_cast<uint32_t>(random.between(1, 3));
  plan.kafka = random.chance(0.9);
  plan.clients = static_cast<uint32_t>(random.between(3, 10));
  plan.load_ns = (random.chance(0.1) ? 90 : random.between(5, 30)) * s;
  plan.misbehave = random.chance(0.7) ? 0.05 : 0.0;
  plan.fault_pause_s = random.chance(0.1) ? 0 : random.one_of<double>({0.3, 1, 3});
  double const share = random.one_of<double>({0.2, 0.5, 1});
  for (uint64_t fault = 0; fault < fault_kinds; ++fault)
    if (random.chance(share)) plan.faults.push_back(fault);
  if (plan.faults.empty()) plan.faults.push_back(random.below(fault_kinds));
  for (const std::string& hunt : hunt_names)
    if (random.chance(0.6)) plan.hunts.push_back(hunt);
  if (plan.hunts.empty()) plan.hunts.push_back("gift");
  plan.hunters = static_cast<uint32_t>(random.between(1, 12));
  plan.tickets = random.one_of<uint64_t>({3, 40, 100'000});
  plan.link_bytes = random.one_of<size_t>({256, 2048, limits::peer_queue_bytes_max});
  Config& config = plan.config;
  config.http.idle_deadline_ms = 20'000;
  config.worker.max_live = static_cast<uint32_t>(random.between(1, 12));
  config.worker.queue_max = static_cast<uint32_t>(random.one_of<uint64_t>({0, 4, 100}));
  config.worker.hunts_in_flight_max = static_cast<uint32_t>(random.one_of<uint64_t>({2, 1024}));
  config.worker.hunter_queue_max = static_cast<uint32_t>(random.one_of<uint64_t>({1, 4, 64}));
  config.worker.isolation = random.one_of<std::string>({"process", "fork", "batch", "task"});
  config.worker.hunts_per_worker = static_cast<uint32_t>(random.between(2, 20));
  config.worker.batch_per_hunt = random.chance(0.3);
  config.worker.warm = static_cast<uint32_t>(random.below(3));
  config.worker.idle_ms = 500;
  config.redis.idempotency_ttl_s = 3600;
  config.redis.allow_eviction = random.chance(0.2);
  config.redis.linger_us = static_cast<uint32_t>(random.one_of<uint64_t>({0, 500}));
  config.kafka.bootstrap = plan.kafka ? "simulated" : "";
  config.kafka.sweep_after_s = static_cast<uint32_t>(random.one_of<uint64_t>({3, 10}));
  plan.redis_named = random.chance(0.5);
  return plan;
}

// The process of a core: the core and its environment.
struct Host::Process {
  Process(Host& host, CoreEntry& entry)
      : machine(host.world_, entry.number, entry.incarnation),
        clock(host.world_, host.world_.random.next()),
        network(
            machine, host.descriptors_, *host.listeners_[entry.machine], host.redis_,
            [&host](std::string_view bytes) { host.audit_.on_core_response(bytes); },
            [this, &host](std::string_view bytes) { host.see_commands(machine, bytes); }),
        resolver(machine),
        workers(machine, host.plan_.misbehave, host.plan_.tickets,
                host.plan_.config.worker.batch_per_hunt,
                [&host](const WorkerOutcome& outcome) { host.audit_.on_worker_outcome(outcome); }),
        producer(machine, host.topic_),
        to_core(host.world_, host.descriptors_),
        to_parent(host.world_, host.descriptors_),
        control(machine, host.descriptors_, to_parent, to_core, limits::peer_queue_bytes_max,
                false) {
    to_parent.set_reader(&entry);
  }
  Machine machine;
  MachineClock clock;
  MachineNetwork network;
  MachineResolver resolver;
  NoSecretFiles secrets;
  Workers workers;
  Producer producer;
  Channel to_core;
  Channel to_parent;
  MachineLink control;
  std::vector<std::unique_ptr<MachineLink>> links;
  std::unique_ptr<Core> core;
};

Host::Host(World& world, Plan plan)
    : world_(world),
      plan_(std::move(plan)),
      redis_(world),
      topic_(world),
      audit_(world, plan_.tickets),
      huntctl_(world, redis_, audit_, topic_),
      region_(std::move(*SharedRegion::create(plan_.hosts * plan_.cores, "sim", 0))),
      bundle_(make_hunts(0)) {
  redis_.on_store = [this](RedisStore& store, const RedisStore* of) { audit_.watch(store, of); };
  redis_.on_primary = [this](RedisStore& store, uint64_t former_ns) {
    audit_.on_primary(store, former_ns);
    huntctl_.look_after_loss();
  };
  redis_.start();
  for (uint32_t host = 0; host < plan_.hosts; ++host)
    listeners_.push_back(std::make_unique<Listener>(world_));
  for (uint32_t i = 0; i < plan_.hosts * plan_.cores; ++i) {
    entries_.push_back(std::make_unique<CoreEntry>());
    entries_.back()->host = this;
    entries_.back()->machine = i / plan_.cores;
    entries_.back()->index = i % plan_.cores;
    entries_.back()->number = i;
    channels_.emplace_back();
    for (uint32_t j = 0; j < plan_.hosts * plan_.cores; ++j)
      channels_.back().push_back(std::make_unique<Channel>(world_, descriptors_));
  }
  make_clients();
}

void Host::make_clients() {
  std::vector<std::string> hunters;
  for (int i = 0; i < static_cast<int>(plan_.hunters); ++i)
    hunters.push_back(fmt::format("h{}", i));
  std::vector<Listener*> listeners;
  for (auto& listener : listeners_) listeners.push_back(listener.get());
  for (uint32_t i = 0; i < plan_.clients; ++i) {
    using Kind = Client::Kind;
    Kind const kind = i == 1 && plan_.fault_pause_s > 0 ? Kind::rude
                      : i % 3 != 2                      ? Kind::player
                      : world_.random.chance(0.5)       ? Kind::proxy
                                                        : Kind::gateway;
    clients_.push_back(std::make_unique<Client>(
        world_, audit_, listeners, kind, fmt::format("client{}", i),
        kind == Kind::player ? std::vector<std::string>{hunters[i % hunters.size()]} : hunters,
        plan_.hunts));
  }
}

Host::~Host() = default;

// In the tick of a core that sends to Redis.
void Host::see_commands(Machine& machine, std::string_view bytes) {
  if (bytes.find("\r\nv2 ") == std::string_view::npos) return;
  machine.note_commit();
  audit_.on_core_commands(bytes, machine.running_ns());
  uint64_t const evicts_since_ns = redis_.evicts_since_ns();
  bool const has_seen = evicts_since_ns != never_ns &&
                        world_.now_ns() > evicts_since_ns + unsuitable_after_ns &&
                        machine.running_ns() > unsuitable_after_ns;
  if (has_seen && !plan_.config.redis.allow_eviction)
    world_.violation("I8", machine.name() + " sends a commit to a Redis that evicts keys");
}

// --- the parent ----------------------------------------------------------------------------------

void Host::start_core(CoreEntry& entry) {
  ++entry.incarnation;
  entry.started_at_ns = world_.now_ns();
  entry.idle = false;
  auto* process = new Process(*this, entry);  // never deleted: see Machine
  entry.process = process;
  CoreSettings settings;
  settings.index = entry.index;
  settings.incarnation = entry.incarnation;
  settings.config = plan_.config;
  settings.redis.addresses = {{false, plan_.redis_named ? redis_name : "192.0.2.2", 6379}};
  settings.bundle_descriptor = fcntl(bundle_.descriptor(), F_DUPFD_CLOEXEC, 0);
  settings.metrics = &region_.core(entry.number);
  std::vector<MessageLink*> links;
  for (const auto& other : entries_) {
    if (other->machine != entry.machine) continue;
    if (other->index == entry.index) {
      process->links.push_back(nullptr);
    } else {
      settings.peers.push_back({other->index, other->up, other->incarnation});
      process->links.push_back(std::make_unique<MachineLink>(
          process->machine, descriptors_, *channels_[entry.number][other->number],
          *channels_[other->number][entry.number], plan_.link_bytes, true));
    }
    links.push_back(process->links.back().get());
  }
  Result<std::unique_ptr<Core>> core =
      open_core(std::move(settings),
                {process->clock, process->network, process->resolver, process->secrets,
                 process->workers, plan_.kafka ? &process->producer : nullptr},
                {process->control, links}, process->machine.scheduler());
  CHECK(bool(core));
  process->core = std::move(*core);
  process->machine.on_death([this, process, &entry] {
    if (entry.process == process) on_core_exit(entry);
  });
  update_others(entry, false);
  process->machine.run(*process->core);
}

void Host::on_core_exit(CoreEntry& entry) {
  world_.trace("{} has exited", entry.process->machine.name());
  entry.process->to_parent.set_reader(nullptr);
  entry.process = nullptr;
  entry.up = entry.idle = false;
  // The parent receives SIGCHLD.
  world_.after(world_.hop_ns(), [this, &entry] {
    update_others(entry, false);
    if (stopping_) return;
    bool const stable = world_.now_ns() - entry.started_at_ns >= stable_after_ms * ms;
    entry.backoff_ms =
        stable ? 0 : std::clamp(entry.backoff_ms * 2, restart_first_ms, restart_max_ms);
    world_.after(entry.backoff_ms * ms, [this, &entry] {
      if (entry.process == nullptr && !stopping_) start_core(entry);
    });
  });
}

void Host::update_others(const CoreEntry& of, bool up) {
  PeerUpdate const update{of.index, up, of.incarnation};
  for (auto& other : entries_)
    if (other->machine == of.machine && other->index != of.index)
      send(*other, encode(ControlMessage::peer, update));
}

void Host::send(CoreEntry& entry, std::string message, int descriptor) {
  if (entry.process != nullptr) entry.process->to_core.send({{std::move(message)}, descriptor});
}

void Host::receive_from(CoreEntry& entry, const Packet& packet) {
  for (const std::string& message : packet.messages) {
    auto const kind = static_cast<ControlMessage>(message[0]);
    if (kind == ControlMessage::listening && !entry.up) {
      entry.up = true;
      update_others(entry, true);
    }
    if (kind == ControlMessage::idle) entry.idle = true;
  }
  bool const all = std::all_of(entries_.begin(), entries_.end(), [&entry](const auto& other) {
    return other->machine != entry.machine || other->idle || other->process == nullptr;
  });
  if (!stopping_ || !all || !end_sent_.insert(entry.machine).second) return;
  for (auto& other : entries_)
    if (other->machine == entry.machine) send(*other, encode(ControlMessage::end));
}

void Host::swap_bundle() {
  bundle_ = make_hunts(static_cast<int>(world_.random.below(3)));
  for (auto& entry : entries_)
    send(*entry, encode(ControlMessage::bundle, worker_limits(plan_.config)),
         entry->process == nullptr ? -1 : fcntl(bundle_.descriptor(), F_DUPFD_CLOEXEC, 0));
}

// --- faults --------------------------------------------------------------------------------------

std::vector<Host::CoreEntry*> Host::running_cores() {
  std::vector<CoreEntry*> all;
  for (auto& entry : entries_)
    if (entry->process != nullptr) all.push_back(entry.get());
  return all;
}

void Host::inject_faults() {
  if (plan_.fault_pause_s <= 0) return;
  uint64_t const pause_ns =
      world_.random.below(static_cast<uint64_t>(2 * plan_.fault_pause_s * static_cast<double>(s)));
  world_.after(pause_ns, [this] {
    if (!world_.faults_on) return;
    inject_one();
    inject_faults();
  });
}

void Host::inject_one() {
  uint64_t const duration_ns = world_.random.chance(0.2) ? world_.random.between(1 * s, 8 * s)
                                                         : world_.random.between(10 * ms, 1 * s);
  uint64_t const fault = world_.random.one_of(plan_.faults);
  if (inject_core_fault(fault, duration_ns)) return;
  if (!inject_server_fault(fault, duration_ns)) inject_loss(fault, duration_ns);
}

// Returns false if the fault is not one of a core.
bool Host::inject_core_fault(uint64_t fault, uint64_t duration_ns) {
  Random& random = world_.random;
  std::vector<CoreEntry*> const alive = running_cores();
  Process* const process = alive.empty() ? nullptr : random.one_of(alive)->process;
  switch (fault) {
    case 0:
    case 1:
      if (process == nullptr) return true;
      world_.fault("a core killed", process->machine.name());
      switch (random.below(3)) {
        case 0:
          process->machine.kill();
          return true;
        case 1:
          process->machine.kill_in_next_tick();
          return true;
        default:
          process->machine.kill_in_next_commit();
          return true;
      }
    case 2:
      if (!random.chance(0.2)) return true;
      world_.fault("all cores killed");
      for (CoreEntry* each : alive) each->process->machine.kill();
      return true;
    case 3:
      if (process == nullptr || !process->machine.may_be_stopped()) return true;
      world_.fault("a core stopped", process->machine.name());
      process->machine.stop_until(world_.now_ns() + std::min(duration_ns, 5 * s));
      return true;
    case 4:
      if (process == nullptr) return true;
      world_.fault("a core's wall clock jumps", process->machine.name());
      process->clock.off_by_ms += static_cast<int64_t>(random.below(20'000)) - 10'000;
      return true;
    case 17:
      if (process == nullptr || !process->machine.may_be_stopped()) return true;
      world_.fault("a core stopped in the middle of a tick", process->machine.name());
      // Often long enough for other processes to assume that its requests are over.
      process->machine.stop_in_next_tick(
          random.chance(0.7) ? duration_ns : random.between(30, 45) * s, random.chance(0.7));
      return true;
    default:
      return false;
  }
}

// Returns false if the fault is not one of a server that keeps its data.
bool Host::inject_server_fault(uint64_t fault, uint64_t duration_ns) {
  Random& random = world_.random;
  uint64_t const until_ns = world_.now_ns() + duration_ns;
  switch (fault) {
    case 5:
      world_.fault("a new bundle");
      swap_bundle();
      return true;
    case 6:
      world_.fault("Redis restarts and keeps its data");
      redis_.restart(duration_ns, random.chance(0.5) ? random.below(1 * s) : 0);
      return true;
    case 7:
    case 8:
      world_.fault("Redis stopped");
      redis_.stop_until(until_ns);
      return true;
    case 9:
      world_.fault("Redis replies late");
      redis_.be_slow_until(until_ns, random.between(1 * ms, 300 * ms));
      return true;
    case 10:
      world_.fault("Redis rejects writes");
      redis_.reject_until(until_ns, random.one_of(rejections));
      return true;
    case 11:
    case 12:
      redis_.swallow_a_reply();
      return true;
    case 13:
      redis_.send_garbage();
      return true;
    case 14:
      world_.fault("Redis loses its scripts");
      redis_.store().clear_scripts();
      return true;
    case 15:
      jump_redis_clock();
      return true;
    case 19:
      world_.fault("Redis forbids a command");
      redis_.forbid_until(until_ns, random.one_of(forbidden_commands),
                          random.one_of(forbidden_in_scripts));
      return true;
    case 20:
      world_.fault("Redis may evict, or is nearly full");
      if (random.chance(0.5))
        redis_.be_full_until(until_ns);
      else
        redis_.set_policy_until(until_ns, "allkeys-lru");
      return true;
    case 16:
      world_.fault("Kafka is unavailable");
      topic_.be_down_until(until_ns);
      return true;
    case 18:
      world_.fault("the producer's queue is full");
      topic_.reject_until(until_ns);
      return true;
    case 21:
      world_.fault("Redis rejects a command in the middle of a script");
      redis_.store().reject_in_script(random.chance(0.7) ? "held:" : "suppl", random.below(10),
                                      random.one_of(forbidden_in_scripts));
      return true;
    default:
      return false;
  }
}

// By seconds, as a correction, or by more, after a mistake.
void Host::jump_redis_clock() {
  Random& random = world_.random;
  world_.fault("Redis' wall clock jumps");
  int64_t const range_ms = random.chance(0.1) ? 7'200'000 : 2'000;
  redis_.jump_clock(static_cast<int64_t>(random.below(2 * static_cast<uint64_t>(range_ms))) -
                    range_ms);
}

// --- losses --------------------------------------------------------------------------------------

// While the policy permits it, Redis deletes keys of any kind.
void Host::evict_keys(uint64_t until_ns) {
  if (!world_.faults_on || world_.now_ns() >= until_ns) return;
  redis_.lose_a_key("");
  world_.after(world_.random.below(500 * ms), [this, until_ns] { evict_keys(until_ns); });
}

void Host::inject_loss(uint64_t fault, uint64_t duration_ns) {
  Random& random = world_.random;
  uint64_t const lag_ns = random.between(1 * ms, 2 * s);
  switch (fault) {
    case 22: {
      // Half of the time a restart from what was on disk, else a failover.
      if (!redis_.stop_copying()) return;
      bool const failover = random.chance(0.5);
      uint64_t const down_ns = failover ? random.below(100 * ms) : duration_ns;
      uint64_t const former_ns = failover ? random.below(5 * s) : 0;
      return world_.after(lag_ns, [this, down_ns, former_ns] {
        if (!world_.faults_on) return;
        world_.fault(former_ns > 0 ? "Redis fails over to a replica that lags"
                                   : "Redis loses its last writes");
        redis_.go_back(down_ns, world_.random.below(500 * ms), former_ns);
      });
    }
    case 23:
      if (!random.chance(0.2)) return;
      world_.fault("FLUSHALL");
      return redis_.store().lose_all();
    case 24: {
      uint64_t const until_ns = world_.now_ns() + random.between(1 * s, 20 * s);
      world_.fault("Redis evicts keys");
      redis_.set_policy_until(until_ns, "allkeys-lru");
      return evict_keys(until_ns);
    }
    case 25:
      return world_.fault("a held hash deleted", redis_.lose_a_key("held:"));
    default:
      if (plan_.kafka && random.chance(0.4)) return huntctl_.purge(random.one_of(plan_.hunts));
      // Sometimes until after the moment when no core may commit any more.
      return huntctl_.close(random.one_of(plan_.hunts),
                            random.chance(0.2) ? random.between(18, 30) * s : duration_ns);
  }
}

void Host::heal() {
  world_.trace("no more faults");
  world_.faults_on = false;
  redis_.heal();
  topic_.heal();
  for (CoreEntry* entry : running_cores()) entry->process->machine.cancel_faults();
}

// --- the run -------------------------------------------------------------------------------------

void Host::run() {
  for (auto& entry : entries_) start_core(*entry);
  for (auto& client : clients_) client->start();
  inject_faults();
  world_.run_until(world_.now_ns() + plan_.load_ns);
  heal();
  await_results();
  if (!world_.violated()) drain();
}

bool Host::all_have_results() {
  bool all = true;
  for (Wish* wish : audit_.wishes()) {
    if (!wish->repeatable(world_.now_ns()) || wish->status != 0 || wish->hunt_id == "broken")
      continue;
    all = false;
    // All its clients have given up; another one continues.
    if (wish->open_attempts == 0 && wish->attempts > 0)
      for (auto& client : clients_)
        if (client->idle() && client->honest()) {
          client->adopt(*wish);
          break;
        }
  }
  for (auto& client : clients_) all = all && client->idle();
  all = all && !huntctl_.busy();
  // A stopped core may still commit.
  for (CoreEntry* entry : running_cores()) all = all && !entry->process->machine.stopped();
  return all;
}

// Waits until every wish has its result and the sweeps have found what was left, then checks the
// invariants.
void Host::await_results() {
  for (auto& client : clients_) client->finish();
  uint64_t const deadline_ns = world_.now_ns() + 120 * s;
  while (!world_.violated() && !all_have_results()) {
    if (world_.now_ns() >= deadline_ns)
      return world_.violation("I6", "a wish has no result two minutes after the last fault");
    world_.run_until(world_.now_ns() + 100 * ms);
  }
  // From then on a unit is stale. A sweep comes every 5 s; after a change of a wall clock only
  // every sweep_all_every-th finds the supply.
  uint64_t const stale_ms = Supply::stale_after_ms(plan_.config.http.request_deadline_ms);
  uint64_t const sweep_ns = stale_ms * ms + (3 + Supply::sweep_all_every) * 5 * s;
  world_.run_until(world_.now_ns() + sweep_ns);
  if (world_.violated()) return;
  audit_.check_wishes();
  audit_.check_redis(redis_.store(), plan_.kafka);
  if (plan_.kafka) audit_.check_topic(redis_.store(), topic_);
  check_cores();
  check_hunt_figures();
}

// REQUIRES: every wish has its result.
void Host::check_cores() {
  for (auto& entry : entries_) {
    if (entry->process == nullptr || !entry->up) {
      world_.violation("I6", fmt::format("core {} is not up", entry->index));
      continue;
    }
    CoreLoad const holds = entry->process->core->load();
    if (holds.requests != 0 || holds.hunters != 0 || !holds.events_done)
      world_.violation(
          "I7", fmt::format("core {} holds {} requests, {} hunters, events: {}", entry->index,
                            holds.requests, holds.hunters, holds.events_done ? "none" : "some"));
    if (holds.workers > plan_.config.worker.warm)
      world_.violation("I7", fmt::format("core {} has {} workers", entry->index, holds.workers));
  }
  if (descriptors_.open() != 0) world_.violation("I7", "a connection is lost between cores");
  if (redis_.connections() != entries_.size())
    world_.violation("I7", fmt::format("{} connections to Redis", redis_.connections()));
}

// Whichever cores ended and started again: the figures per hunt are all outcomes that were counted.
// REQUIRES: every wish has its result.
void Host::check_hunt_figures() {
  for (const CoreSnapshot& core : take_snapshot(region_, SnapshotDepth::with_hunts).cores) {
    uint64_t outcomes = 0;
    for (const auto& row : counter_rows)
      if (hunt_outcome_of(row.which)) outcomes += core.value(row.which);
    uint64_t by_hunt = core.hunts.other.runs() + core.hunts.replaced.runs();
    for (const HuntFigures& hunt : core.hunts.hunts) by_hunt += hunt.runs();
    if (by_hunt != outcomes)
      world_.violation("figures", fmt::format("core {} counted {} outcomes, and {} by hunt",
                                              core.core, outcomes, by_hunt));
  }
}

void Host::drain() {
  stopping_ = true;
  std::vector<Process*> processes;
  for (auto& client : clients_) client->stop();
  for (auto& entry : entries_) {
    processes.push_back(entry->process);
    send(*entry, encode(ControlMessage::drain));
  }
  world_.run_until(world_.now_ns() + plan_.config.http.drain_deadline_ms * ms / 2);
  for (Process* process : processes) {
    CoreLoad const holds = process->core->load();
    if (!process->machine.done())
      world_.violation(
          "I7",
          fmt::format(
              "{} does not drain: {} connections, {} requests, {} workers, {} commands, events: {}",
              process->machine.name(), holds.connections, holds.requests, holds.workers,
              holds.redis_commands, holds.events_done ? "none" : "some"));
    if (holds.connections != 0 || holds.workers != 0)
      world_.violation(
          "I7", fmt::format("{} drained with {} connections, {} workers", process->machine.name(),
                            holds.connections, holds.workers));
    if (process->machine.coroutines() != coroutines_when_idle)
      world_.violation("I7",
                       fmt::format("{} has {} coroutines left, not {}", process->machine.name(),
                                   process->machine.coroutines(), coroutines_when_idle));
  }
}

}  // namespace huntd::server::sim
