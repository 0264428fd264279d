// SPDX-License-Identifier: Apache-2.0
#include "workers.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/limits.h"
#include "wire/value.h"

namespace huntd::server::sim {
namespace {

std::string_view view(wf_text text) { return {text.data, text.size}; }
wf_text text_of(std::string_view text) { return {text.data(), static_cast<uint32_t>(text.size())}; }

// The first number of the input: the client's {"n":NUMBER}.
uint64_t number_of(std::string_view input) {
  size_t const at = 1 + 4 + 4 + 1 + 1;  // an object of one, its key's length, "n", the tag
  double number = 0;
  if (input.size() < at + sizeof number || input[0] != VALUE_OBJECT) return 0;
  std::memcpy(&number, input.data() + at, sizeof number);
  return static_cast<uint64_t>(number);
}

std::string frame_of(wf_type type, const std::function<void(wf_writer&)>& fill) {
  std::string buffer(limits::worker_frame_bytes_max, '\0');
  wf_writer writer = wf_begin(buffer.data(), buffer.size(), type);
  fill(writer);
  buffer.resize(wf_end(&writer));
  return buffer;
}

enum class Manner {
  honest,
  dies,             // before its outcome
  dies_after,       // right after its outcome
  stalls,           // sends nothing until it is killed
  stays,            // does not exit after its outcome
  garbage,          // a packet that is not a frame
  malformed,        // a frame cut short
  ungranted_award,  // claims a unit that was not granted
  two_outcomes,
  floods,
  bad_result,  // not JSON
  bad_query,
  manners,
};

}  // namespace

// One process. Its actions are events; their results reach the core in its next tick.
class Workers::Worker : public std::enable_shared_from_this<Worker> {
 public:
  Worker(Workers& its_host, uint32_t its_slot, bool holds)
      : host(its_host), slot(its_slot), is_holder(holds) {}

  void receive(std::string frame) {
    if (!started) {
      waiting = std::move(frame);
      return;
    }
    after([this, frame = std::move(frame)] { take(frame); });
  }

  void take(const std::string& frame) {
    wf_reader reader;
    switch (wf_open(&reader, frame.data(), frame.size())) {
      case WF_JOB:
        return start_job(reader);
      case WF_REPLY_HELD: {
        uint32_t const count = wf_get_u32(&reader);
        for (uint32_t i = 0; i < count; ++i) {
          std::string const loot_id(view(wf_get_id(&reader)));
          uint64_t const held = wf_get_u64(&reader);
          if (loot_id.starts_with("crown")) ++crowns;
          if (loot_id == "iron") iron = held;
        }
        return proceed();
      }
      case WF_REPLY_STATE:
        pages = number_of(view(wf_get_text(&reader, limits::worker_frame_bytes_max)));
        return proceed();
      case WF_REPLY_LEFT:
        if (uint64_t const left = wf_get_u64(&reader); left > host.tickets_)
          host.machine_.world().violation("I3", fmt::format("{} tickets are left", left));
        return proceed();
      case WF_REPLY_SUPPLY:
        granted.push_back(wf_get_u8(&reader) == 1);
        return proceed();
      default:
        break;
    }
  }

  void start_job(wf_reader& reader) {
    wf_job job;
    CHECK(!is_holder || !std::exchange(has_task, true));
    CHECK(wf_read_job(&reader, &job) == 1);
    CHECK(!host.per_hunt_ || planned.hunt_id.empty() || planned.hunt_id == view(job.hunt_id));
    planned = {std::string(view(job.hunter_id)),
               std::string(view(job.hunt_id)),
               job.seed[0],
               number_of(view(job.input)),
               false,
               {},
               {},
               {},
               {}};
    more = (job.flags & WF_JOB_MORE) != 0;
    queried_held = false;
    crowns = 0;
    iron = 0;
    pages = 0;
    queried_state = false;
    looks_left = false;
    granted.clear();
    Random& random = host.machine_.world().random;
    manner =
        host.machine_.world().faults_on && random.chance(host.misbehave_)
            ? static_cast<Manner>(random.between(1, static_cast<uint64_t>(Manner::manners) - 1))
            : Manner::honest;
    if (manner != Manner::honest)
      host.machine_.world().fault(fmt::format("a worker of manner {}", static_cast<int>(manner)),
                                  planned.hunter_id);
    wanted_units = planned.hunt_id == "ticket" ? 1 + (random.chance(0.3) ? 1 : 0) : 0;
    looks_left = wanted_units > 0 && random.chance(0.3);
    coins = random.between(1, 3);
    looks = planned.hunt_id == "once" || (planned.hunt_id == "smith" && random.chance(0.7));
    proceed();
  }

  void proceed() {
    World& world = host.machine_.world();
    bool const half_way = world.random.chance(0.5);
    if (manner == Manner::stalls && half_way) return;
    if (manner == Manner::dies && half_way) return end(SIGSEGV);
    if (manner == Manner::garbage) return send_frame("what?");
    if (manner == Manner::floods) {
      for (int i = 0; i < 20; ++i) send_frame(frame_of(WF_ASK_HELD, [](wf_writer&) {}));
      return;
    }
    if (manner == Manner::bad_query)
      return send_frame(frame_of(WF_ASK_SUPPLY, [](wf_writer& w) { wf_put_u32(&w, 1'000'000); }));
    if (looks && !std::exchange(queried_held, true))
      return send_frame(frame_of(WF_ASK_HELD, [](wf_writer&) {}));
    if (planned.hunt_id == "diary" && !std::exchange(queried_state, true))
      return send_frame(frame_of(WF_ASK_STATE, [](wf_writer&) {}));
    // Before its draws or between them.
    if (looks_left && (half_way || granted.size() == wanted_units)) {
      looks_left = false;
      return send_frame(frame_of(WF_ASK_LEFT, [this](wf_writer& w) {
        wf_put_text(&w, "ticket", 6);
        wf_put_u64(&w, host.tickets_);
      }));
    }
    if (granted.size() < wanted_units)
      return send_frame(frame_of(WF_ASK_SUPPLY, [this](wf_writer& w) {
        wf_put_u32(&w, static_cast<uint32_t>(units_granted()));
        wf_put_text(&w, "ticket", 6);
        wf_put_u64(&w, host.tickets_);
      }));
    if (manner == Manner::stalls) return;
    if (manner == Manner::dies) return end(SIGABRT);
    send_outcome();
  }

  size_t units_granted() const {
    size_t count = 0;
    for (bool unit : granted) count += unit ? 1 : 0;
    return count;
  }

  void send_outcome() {
    wf_outcome outcome{};
    outcome.status = WF_OK;
    std::string result = "{\"well\":true}";
    std::string reason;
    if (planned.hunt_id == "gift")
      for (uint64_t i = 0; i < coins; ++i) add("coin", false);
    if (planned.hunt_id == "once") {
      // A script sees limits::held_loot_max different loots at most.
      if (crowns < 900) add(fmt::format("crown{}", crowns + 1), false);
      if (crowns > 0 && coins == 1) outcome.status = WF_REJECTED;
    }
    if (planned.hunt_id == "smith") forge();
    if (planned.hunt_id == "diary") {
      planned.state = fmt::format("{{\"n\":{}}}", pages + 1);
      if (coins > 1 && pages < 900) add(fmt::format("page{}", pages + 1), false);
    }
    for (size_t i = 0; i < units_granted(); ++i) add("ticket", true);
    if (planned.hunt_id == "ticket" && units_granted() == 0) add("coin", false);
    // It rejects after it has drawn a unit: the unit must be released.
    if (planned.hunt_id == "ticket" && host.machine_.world().random.chance(0.5))
      outcome.status = WF_REJECTED;
    if (planned.hunt_id == "no") outcome.status = WF_REJECTED;
    if (planned.hunt_id == "broken") outcome.status = WF_SCRIPT_ERROR;
    if (outcome.status != WF_OK) {
      planned.loot.clear();
      planned.limited.clear();
      planned.units.clear();
      result.clear();
      reason = "a reason";
    }
    planned.rejected = outcome.status == WF_REJECTED;
    bool valid = true;
    if (manner == Manner::ungranted_award && outcome.status == WF_OK) {
      add("ticket", true);
      valid = false;
    }
    if (manner == Manner::bad_result) {
      result = "{";
      valid = outcome.status != WF_OK;
    }
    outcome.award_count = static_cast<uint32_t>(planned.loot.size());
    for (size_t i = 0; i < planned.loot.size(); ++i)
      outcome.awards[i] = {text_of(planned.loot[i]),
                           static_cast<uint8_t>((planned.limited[i] ? WF_AWARD_LIMITED : 0) |
                                                (planned.units[i] < 0 ? WF_AWARD_TAKE : 0)),
                           static_cast<uint32_t>(std::abs(planned.units[i]))};
    outcome.result = text_of(result);
    outcome.reason = text_of(reason);
    if (!planned.state.empty()) outcome.state = text_of(planned.state);
    std::string frame(limits::worker_frame_bytes_max, '\0');
    frame.resize(wf_write_outcome(frame.data(), frame.size(), &outcome));
    if (manner == Manner::malformed) {
      frame.resize(frame.size() - 1);
      valid = false;
    }
    if (valid && (outcome.status == WF_OK || outcome.status == WF_REJECTED))
      host.on_outcome_(planned);
    send_frame(frame);
    // In batch mode the next hunter's run would take the second outcome for its own: a script that
    // breaks out of a batch worker controls all later runs (docs/isolation.md). A holder's WF_CLEAN
    // comes after both.
    if (manner == Manner::two_outcomes && !more) send_frame(frame);
    if (manner == Manner::stays) return;
    if (manner == Manner::dies_after) return end(SIGSEGV);
    if (!more) end(0);
  }

  void add(std::string loot_id, bool is_limited, int32_t units = 1) {
    planned.loot.push_back(std::move(loot_id));
    planned.limited.push_back(is_limited);
    planned.units.push_back(units);
  }

  void forge() {
    if (looks ? iron < 3 : coins == 1) return add("iron", false, static_cast<int32_t>(1 + coins));
    // In two takes, and with a gift of iron that must not pay for them.
    add("iron", false, -2);
    add("sword", false);
    if (coins == 2) add("iron", false, 2);
    add("iron", false, -1);
  }

  // In order, and before the exit.
  void send_frame(std::string frame) {
    after([this, frame = std::move(frame)] {
      if (detached) return;
      host.machine_.post([self = shared_from_this(), frame] {
        if (!self->gone && !self->detached) self->host.user_->on_worker_frame(self->slot, frame);
      });
    });
  }

  // Of a holder, the task ends.
  void end(int status) {
    if (is_holder) return become_clean(status);
    if (std::exchange(ending, true)) return;
    after([this, status] { host.report_exit(slot, shared_from_this(), 0, status); });
  }

  void become_clean(int status) {
    after([this, status] {
      has_task = false;
      if (detached) return;
      host.machine_.post([self = shared_from_this(), status] {
        if (!self->gone && !self->detached) self->host.user_->on_worker_clean(self->slot, status);
      });
    });
  }

  void after(std::function<void()> what) {
    World& world = host.machine_.world();
    last_ns = std::max(last_ns + 1, world.now_ns() + world.random.between(10 * us, 400 * us));
    world.at(last_ns, [self = shared_from_this(), what = std::move(what)] {
      if (!self->killed) what();
    });
  }

  Workers& host;
  uint32_t slot;
  bool const is_holder;
  bool has_task = false;  // a holder's: a job's task has not ended
  bool started = false;
  bool detached = false;
  bool kill_early = false;  // killed before it was started
  bool killed = false;
  bool ending = false;
  bool gone = false;
  std::string waiting;  // the first job of an idle worker
  uint64_t last_ns = 0;
  // The current job.
  WorkerOutcome planned;
  Manner manner = Manner::honest;
  bool more = false;
  bool queried_held = false;
  size_t crowns = 0;
  uint64_t iron = 0;
  uint64_t pages = 0;  // of its state
  bool queried_state = false;
  bool looks_left = false;  // at the supply, not yet
  bool looks = false;       // it asks for hunt.held()
  size_t wanted_units = 0;
  uint64_t coins = 0;
  std::vector<bool> granted;
};

Workers::Workers(Machine& machine, double misbehave, uint64_t tickets, bool per_hunt,
                 std::function<void(const WorkerOutcome&)> on_outcome)
    : machine_(machine),
      misbehave_(misbehave),
      tickets_(tickets),
      per_hunt_(per_hunt),
      on_outcome_(std::move(on_outcome)) {
  // Its workers end with it (PR_SET_PDEATHSIG).
  machine_.on_death([this] {
    for (auto& [slot, worker] : workers_) worker->killed = worker->gone = true;
    workers_.clear();
  });
}

void Workers::start(uint32_t slot, std::string_view, std::string_view job) {
  spawn(slot, std::string(job), false);
}

void Workers::start_idle(uint32_t slot) { spawn(slot, "", false); }

void Workers::start_holder(uint32_t slot, uint64_t) { spawn(slot, "", true); }

void Workers::spawn(uint32_t slot, std::string first_frame, bool is_holder) {
  CHECK(workers_.count(slot) == 0);
  auto worker = std::make_shared<Worker>(*this, slot, is_holder);
  worker->waiting = std::move(first_frame);
  workers_[slot] = worker;
  machine_.stage([this, slot, worker] {
    World& world = machine_.world();
    if (world.faults_on && world.random.chance(0.01)) {
      world.fault("a worker that cannot be started");
      return world.after(world.hop_ns(),
                         [this, slot, worker] { report_exit(slot, worker, EAGAIN, 0); });
    }
    uint64_t start_ns = world.random.between(200 * us, 900 * us);
    if (world.faults_on && world.random.chance(0.01))
      start_ns = world.random.between(1 * ms, 400 * ms);
    world.after(start_ns, [this, slot, worker, &world] {
      uint64_t const at_ns = world.now_ns();
      if (worker->gone || !machine_.alive()) return;
      // It runs before its core receives the report.
      worker->started = true;
      worker->last_ns = at_ns;
      machine_.post([this, slot, worker, at_ns] {
        if (worker->gone) return;
        user_->on_worker_started(slot, at_ns);
      });
      if (worker->kill_early) kill(slot);
      if (!worker->waiting.empty()) worker->receive(std::exchange(worker->waiting, {}));
    });
  });
}

void Workers::send(uint32_t slot, std::string_view frame) {
  auto found = workers_.find(slot);
  if (found == workers_.end()) return;
  found->second->receive(std::string(frame));
}

void Workers::kill(uint32_t slot) {
  auto found = workers_.find(slot);
  if (found == workers_.end()) return;
  std::shared_ptr<Worker> const worker = found->second;
  if (!worker->started) {
    worker->kill_early = true;
    return;
  }
  World& world = machine_.world();
  // Frames that it sent before are read first, unless the worker was detached.
  uint64_t const at_ns =
      std::max(worker->last_ns + 1, world.now_ns() + world.random.below(300 * us));
  world.at(at_ns, [this, slot, worker] {
    worker->killed = true;
    report_exit(slot, worker, 0, SIGKILL);
  });
}

void Workers::report_exit(uint32_t slot, const std::shared_ptr<Worker>& worker, int spawn_errno,
                          int status) {
  machine_.post([this, slot, worker, spawn_errno, status] {
    if (std::exchange(worker->gone, true)) return;
    workers_.erase(slot);
    user_->on_worker_exit(slot, spawn_errno, worker->detached ? 0 : status);
  });
}

void Workers::detach(uint32_t slot) {
  auto found = workers_.find(slot);
  if (found != workers_.end()) found->second->detached = true;
}

void Workers::stop(uint32_t slot) {
  auto found = workers_.find(slot);
  if (found == workers_.end()) return;
  found->second->detached = true;
  // A worker that waits for a job reads the end of its socket and exits.
  World& world = machine_.world();
  world.after(world.random.between(20 * us, 2 * ms), [worker = found->second] {
    if (worker->manner != Manner::stays && worker->manner != Manner::stalls)
      worker->host.report_exit(worker->slot, worker, 0, 0);
  });
}

void Workers::use_bundle(int bundle_descriptor, StartMethod) { ::close(bundle_descriptor); }

size_t Workers::alive() const { return workers_.size(); }

}  // namespace huntd::server::sim
