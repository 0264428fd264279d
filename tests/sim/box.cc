#include "box.h"

#include <fcntl.h>
#include <signal.h>

#include <algorithm>

#include "base/hash.h"
#include "huntd/control.h"

namespace huntd::sim {
namespace {

// As huntd/children.cc.
constexpr uint64_t restart_first_ms = 100;
constexpr uint64_t restart_max_ms = 5000;
constexpr uint64_t settled_after_ms = 10'000;

constexpr uint64_t fault_kinds = 19;

// A core that is quiet has these coroutines: the link to Redis and the sweep, each with its root.
constexpr size_t coroutines_when_quiet = 4;

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
  Config& config = plan.config;
  config.http.idle_deadline_ms = 20'000;
  config.worker.max_live = static_cast<uint32_t>(random.between(1, 12));
  config.worker.queue_max = static_cast<uint32_t>(random.one_of<uint64_t>({0, 4, 100}));
  config.worker.hunts_in_flight_max = static_cast<uint32_t>(random.one_of<uint64_t>({2, 1024}));
  config.worker.isolation = random.one_of<std::string>({"process", "fork", "batch"});
  config.worker.hunts_per_worker = static_cast<uint32_t>(random.between(2, 20));
  config.worker.warm = static_cast<uint32_t>(random.below(3));
  config.worker.idle_ms = 500;
  config.redis.idempotency_ttl_s = 3600;
  config.redis.linger_us = static_cast<uint32_t>(random.one_of<uint64_t>({0, 500}));
  config.kafka.bootstrap = plan.kafka ? "simulated" : "";
  config.kafka.sweep_after_s = static_cast<uint32_t>(random.one_of<uint64_t>({3, 10}));
  return plan;
}

// What one core's process has.
struct Box::Life {
  Life(Box& box, Slot& slot)
      : machine(box.world_, slot.index, slot.epoch),
        clock(box.world_, box.world_.random.next()),
        network(machine, box.descriptors_, box.listener_, box.redis_,
                [&box](std::string_view bytes) { box.books_.core_answers(bytes); }),
        workers(machine, box.plan_.misbehave, box.plan_.tickets,
                [&box](const SaidOutcome& outcome) { box.books_.worker_said(outcome); }),
        producer(machine, box.topic_),
        to_core(box.world_, box.descriptors_),
        to_parent(box.world_, box.descriptors_),
        control(machine, box.descriptors_, to_parent, to_core, false) {
    to_parent.set_reader(&slot);
  }
  Machine machine;
  MachineClock clock;
  MachineNetwork network;
  Workers workers;
  Producer producer;
  Channel to_core;
  Channel to_parent;
  MachineLink control;
  std::vector<std::unique_ptr<MachineLink>> links;
  std::unique_ptr<Core> core;
};

Box::Box(World& world, Plan plan)
    : world_(world),
      plan_(std::move(plan)),
      redis_(world),
      topic_(world),
      listener_(world),
      books_(world, redis_.store(), plan_.tickets),
      region_(std::move(*SharedRegion::create(plan_.cores, "sim", 0))),
      bundle_(make_hunts(0)) {
  for (uint32_t i = 0; i < plan_.cores; ++i) {
    slots_.push_back(std::make_unique<Slot>());
    slots_.back()->box = this;
    slots_.back()->index = i;
    channels_.emplace_back();
    for (uint32_t j = 0; j < plan_.cores; ++j)
      channels_.back().push_back(std::make_unique<Channel>(world_, descriptors_));
  }
  std::vector<std::string> hunters;
  for (int i = 0; i < static_cast<int>(plan_.hunters); ++i)
    hunters.push_back(fmt::format("h{}", i));
  for (uint32_t i = 0; i < plan_.clients; ++i) {
    using Kind = Client::Kind;
    Kind const kind = i == 1 && plan_.fault_pause_s > 0 ? Kind::rude
                      : i % 3 == 2                      ? Kind::proxy
                                                        : Kind::player;
    clients_.push_back(std::make_unique<Client>(
        world_, books_, listener_, kind, fmt::format("client{}", i),
        kind == Kind::player ? std::vector<std::string>{hunters[i % hunters.size()]} : hunters,
        plan_.hunts));
  }
}

Box::~Box() = default;

// --- the parent ----------------------------------------------------------------------------------

void Box::start_core(Slot& slot) {
  ++slot.epoch;
  slot.started_at_ns = world_.now_ns();
  slot.quiet = false;
  auto* life = new Life(*this, slot);  // for ever: see Machine
  slot.life = life;
  CoreSettings settings;
  settings.index = slot.index;
  settings.epoch = slot.epoch;
  settings.config = plan_.config;
  settings.bundle_descriptor = fcntl(bundle_.descriptor(), F_DUPFD_CLOEXEC, 0);
  settings.stats = &region_.core(slot.index);
  std::vector<MessageLink*> links;
  for (const auto& other : slots_) {
    if (other->index == slot.index) {
      life->links.push_back(nullptr);
    } else {
      settings.peers.push_back({other->index, other->up, other->epoch});
      life->links.push_back(std::make_unique<MachineLink>(
          life->machine, descriptors_, *channels_[slot.index][other->index],
          *channels_[other->index][slot.index], true));
    }
    links.push_back(life->links.back().get());
  }
  Result<std::unique_ptr<Core>> core = open_core(
      std::move(settings),
      {life->clock, life->network, life->workers, plan_.kafka ? &life->producer : nullptr},
      {life->control, links}, life->machine.scheduler());
  CHECK(bool(core));
  life->core = std::move(*core);
  life->machine.on_death([this, life, &slot] {
    if (slot.life == life) on_core_end(slot);
  });
  tell_others({slot.index, false, slot.epoch});
  life->machine.run(*life->core);
}

void Box::on_core_end(Slot& slot) {
  world_.trace("{} has ended", slot.life->machine.name());
  slot.life->to_parent.set_reader(nullptr);
  slot.life = nullptr;
  slot.up = slot.quiet = false;
  // SIGCHLD, and the parent's turn.
  world_.after(world_.hop_ns(), [this, &slot] {
    tell_others({slot.index, false, slot.epoch});
    if (stopping_) return;
    bool const settled = world_.now_ns() - slot.started_at_ns >= settled_after_ms * ms;
    slot.backoff_ms =
        settled ? 0 : std::clamp(slot.backoff_ms * 2, restart_first_ms, restart_max_ms);
    world_.after(slot.backoff_ms * ms, [this, &slot] {
      if (slot.life == nullptr && !stopping_) start_core(slot);
    });
  });
}

void Box::tell_others(const PeerNews& news) {
  for (auto& other : slots_)
    if (other->index != news.core) tell(*other, write_peer_news(news));
}

void Box::tell(Slot& slot, std::string message, int descriptor) {
  if (slot.life != nullptr) slot.life->to_core.send({{std::move(message)}, descriptor});
}

void Box::hear(Slot& slot, const Packet& packet) {
  for (const std::string& message : packet.messages) {
    auto const kind = static_cast<ControlMessage>(message[0]);
    if (kind == ControlMessage::listening && !slot.up) {
      slot.up = true;
      tell_others({slot.index, true, slot.epoch});
    }
    if (kind == ControlMessage::quiet) slot.quiet = true;
  }
  bool const all = std::all_of(slots_.begin(), slots_.end(), [](const auto& other) {
    return other->quiet || other->life == nullptr;
  });
  if (!stopping_ || !all || std::exchange(told_end_, true)) return;
  for (auto& other : slots_) tell(*other, write_plain(ControlMessage::end));
}

void Box::swap_bundle() {
  bundle_ = make_hunts(static_cast<int>(world_.random.below(3)));
  for (auto& slot : slots_)
    tell(*slot, write_bundle_news(worker_limits(plan_.config)),
         slot->life == nullptr ? -1 : fcntl(bundle_.descriptor(), F_DUPFD_CLOEXEC, 0));
}

// --- faults --------------------------------------------------------------------------------------

std::vector<Box::Slot*> Box::living() {
  std::vector<Slot*> all;
  for (auto& slot : slots_)
    if (slot->life != nullptr) all.push_back(slot.get());
  return all;
}

void Box::inject_faults() {
  if (plan_.fault_pause_s <= 0) return;
  uint64_t const pause_ns =
      world_.random.below(static_cast<uint64_t>(2 * plan_.fault_pause_s * static_cast<double>(s)));
  world_.after(pause_ns, [this] {
    if (!world_.faults_on) return;
    inject_one();
    inject_faults();
  });
}

void Box::inject_one() {
  Random& random = world_.random;
  uint64_t const now_ns = world_.now_ns();
  std::vector<Slot*> const alive = living();
  Slot* const slot = alive.empty() ? nullptr : random.one_of(alive);
  uint64_t const a_while_ns =
      random.chance(0.2) ? random.between(1 * s, 8 * s) : random.between(10 * ms, 1 * s);
  switch (random.one_of(plan_.faults)) {
    case 0:
    case 1:
      if (slot == nullptr) return;
      world_.fault("a core killed", slot->life->machine.name());
      switch (random.below(3)) {
        case 0:
          return slot->life->machine.kill();
        case 1:
          return slot->life->machine.kill_in_next_turn();
        default:
          return slot->life->machine.kill_in_next_commit();
      }
    case 2:
      if (!random.chance(0.2)) return;
      world_.fault("all cores killed");
      for (Slot* each : alive) each->life->machine.kill();
      return;
    case 3:
      if (slot == nullptr || !slot->life->machine.may_be_stopped()) return;
      world_.fault("a core stopped", slot->life->machine.name());
      return slot->life->machine.stop_until(now_ns + std::min(a_while_ns, 5 * s));
    case 17:
      if (slot == nullptr || !slot->life->machine.may_be_stopped()) return;
      // Long enough for others to believe that its requests are over.
      world_.fault("a core stopped in the middle of a turn", slot->life->machine.name());
      return slot->life->machine.stop_in_next_turn(
          random.chance(0.7) ? a_while_ns : random.between(30, 45) * s, random.chance(0.7));
    case 4:
      if (slot == nullptr) return;
      world_.fault("a core's wall clock jumps", slot->life->machine.name());
      slot->life->clock.off_by_ms += static_cast<int64_t>(random.below(20'000)) - 10'000;
      return;
    case 5:
      world_.fault("a new bundle");
      return swap_bundle();
    case 6:
      world_.fault("Redis restarts, and loses nothing");
      return redis_.restart(a_while_ns, random.chance(0.5) ? random.below(1 * s) : 0);
    case 7:
    case 8:
      world_.fault("Redis stopped");
      return redis_.stop_until(now_ns + a_while_ns);
    case 9:
      world_.fault("Redis answers late");
      return redis_.be_slow_until(now_ns + a_while_ns, random.between(1 * ms, 300 * ms));
    case 10:
      world_.fault("Redis refuses writes");
      return redis_.refuse_until(
          now_ns + a_while_ns,
          random.one_of<std::string>(
              {"OOM command not allowed when used memory > 'maxmemory'.",
               "READONLY You can't write against a read only replica.",
               "NOREPLICAS Not enough good replicas to write.",
               "MISCONF Errors writing to the AOF file: No space left on device",
               "BUSY Redis is busy running a script."}));
    case 11:
    case 12:
      return redis_.swallow_a_reply();
    case 13:
      return redis_.send_garbage();
    case 14:
      world_.fault("Redis forgets its scripts");
      return redis_.store().forget_scripts();
    case 15:
      world_.fault("Redis' wall clock jumps");
      return redis_.jump_clock(static_cast<int64_t>(random.below(4'000)) - 2'000);
    case 16:
      world_.fault("Kafka is away");
      return topic_.be_down_until(now_ns + a_while_ns);
    default:
      world_.fault("the producer's queue is full");
      return topic_.refuse_until(now_ns + a_while_ns);
  }
}

void Box::heal() {
  world_.trace("no more faults");
  world_.faults_on = false;
  redis_.heal();
  topic_.heal();
  for (Slot* slot : living()) slot->life->machine.spare();
}

// --- the run -------------------------------------------------------------------------------------

void Box::run() {
  for (auto& slot : slots_) start_core(*slot);
  for (auto& client : clients_) client->begin();
  inject_faults();
  world_.run_until(world_.now_ns() + plan_.load_ns);
  heal();
  settle();
  if (!world_.violated()) drain();
}

bool Box::everything_answered() {
  bool all = true;
  for (Wish* wish : books_.wishes()) {
    if (wish->key.empty() || wish->status != 0 || wish->hunt_id == "broken") continue;
    all = false;
    // Whoever asked has given up; somebody else asks on.
    if (wish->open_attempts == 0 && wish->attempts > 0)
      for (auto& client : clients_)
        if (client->idle() && client->honest()) {
          client->adopt(*wish);
          break;
        }
  }
  for (auto& client : clients_) all = all && client->idle();
  // One that is stopped still has the last word.
  for (Slot* slot : living()) all = all && !slot->life->machine.stopped();
  return all;
}

// Every request gets its result, and then everything that waits for a sweep is swept.
void Box::settle() {
  for (auto& client : clients_) client->finish();
  uint64_t const deadline_ns = world_.now_ns() + 120 * s;
  while (!world_.violated() && !everything_answered()) {
    if (world_.now_ns() >= deadline_ns)
      return world_.violation("I6",
                              "two minutes after the last fault not every wish has its result");
    world_.run_until(world_.now_ns() + 100 * ms);
  }
  // Stale units are looked into after 30 s, and the sweep comes every 5 s.
  uint64_t const quiet_ns = Supply::stale_after_ms * ms + 15 * s;
  world_.run_until(world_.now_ns() + quiet_ns);
  if (world_.violated()) return;
  books_.check_redis(plan_.kafka);
  if (plan_.kafka) books_.check_topic(topic_);
  for (auto& slot : slots_) {
    if (slot->life == nullptr || !slot->up) {
      world_.violation("I6", fmt::format("core {} is not up", slot->index));
      continue;
    }
    CoreHolds const holds = slot->life->core->holds();
    if (holds.requests != 0 || holds.hunters != 0 || !holds.events_done)
      world_.violation(
          "I7", fmt::format("core {} holds {} requests, {} hunters, events: {}", slot->index,
                            holds.requests, holds.hunters, holds.events_done ? "none" : "some"));
    if (holds.workers > plan_.config.worker.warm)
      world_.violation("I7", fmt::format("core {} has {} workers", slot->index, holds.workers));
  }
  if (descriptors_.open() != 0) world_.violation("I7", "a connection is lost between cores");
  if (redis_.connections() != slots_.size())
    world_.violation("I7", fmt::format("{} connections to Redis", redis_.connections()));
}

void Box::drain() {
  stopping_ = true;
  std::vector<Life*> lives;
  for (auto& client : clients_) client->rest();
  for (auto& slot : slots_) {
    lives.push_back(slot->life);
    tell(*slot, write_plain(ControlMessage::drain));
  }
  world_.run_until(world_.now_ns() + plan_.config.http.drain_deadline_ms * ms / 2);
  for (Life* life : lives) {
    CoreHolds const holds = life->core->holds();
    if (!life->machine.done())
      world_.violation(
          "I7", fmt::format("{} does not drain: {} connections, {} requests, {} "
                            "workers, {} commands, events: {}",
                            life->machine.name(), holds.connections, holds.requests, holds.workers,
                            holds.redis_commands, holds.events_done ? "none" : "some"));
    if (holds.connections != 0 || holds.workers != 0)
      world_.violation("I7", fmt::format("{} drained with {} connections, {} workers",
                                         life->machine.name(), holds.connections, holds.workers));
    if (life->machine.coroutines() != coroutines_when_quiet)
      world_.violation("I7", fmt::format("{} has {} coroutines left, not {}", life->machine.name(),
                                         life->machine.coroutines(), coroutines_when_quiet));
  }
}

}  // namespace huntd::sim
