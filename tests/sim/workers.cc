#include "workers.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "base/limits.h"
#include "protocol/value.h"

namespace huntd::sim {
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
  dies,           // before its outcome
  dies_after,     // right behind its outcome
  stalls,         // says nothing, until it is killed
  stays,          // has said its outcome and does not end
  garbage,        // a packet that is no frame
  malformed,      // a frame cut short
  unasked_award,  // claims a unit that nobody granted
  two_outcomes,
  floods,
  bad_result,  // no JSON
  bad_question,
  manners,
};

}  // namespace

// One process. What it does next is an event; what comes of it reaches the core's next turn.
class Workers::Worker : public std::enable_shared_from_this<Worker> {
 public:
  Worker(Workers& its_host, uint32_t its_place) : host(its_host), place(its_place) {}

  void hear(std::string frame) {
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
        return begin(reader);
      case WF_ANSWER_HELD: {
        uint32_t const count = wf_get_u32(&reader);
        for (uint32_t i = 0; i < count; ++i) {
          std::string const loot_id(view(wf_get_id(&reader)));
          wf_get_u64(&reader);
          if (loot_id.starts_with("crown")) ++crowns;
        }
        return go_on();
      }
      case WF_ANSWER_SUPPLY:
        granted.push_back(wf_get_u8(&reader) == 1);
        return go_on();
      default:
        break;
    }
  }

  void begin(wf_reader& reader) {
    wf_job job;
    CHECK(wf_read_job(&reader, &job) == 1);
    said = {std::string(view(job.hunter_id)),
            std::string(view(job.hunt_id)),
            job.seed[0],
            number_of(view(job.input)),
            false,
            {},
            {}};
    more = (job.flags & WF_JOB_MORE) != 0;
    asked_held = false;
    crowns = 0;
    granted.clear();
    Random& random = host.machine_.world().random;
    manner =
        host.machine_.world().faults_on && random.chance(host.misbehave_)
            ? static_cast<Manner>(random.between(1, static_cast<uint64_t>(Manner::manners) - 1))
            : Manner::honest;
    if (manner != Manner::honest)
      host.machine_.world().fault(fmt::format("a worker of manner {}", static_cast<int>(manner)),
                                  said.hunter_id);
    wanted_units = said.hunt_id == "ticket" ? 1 + (random.chance(0.3) ? 1 : 0) : 0;
    coins = random.between(1, 3);
    go_on();
  }

  void go_on() {
    World& world = host.machine_.world();
    bool const half_way = world.random.chance(0.5);
    if (manner == Manner::stalls && half_way) return;
    if (manner == Manner::dies && half_way) return end(SIGSEGV);
    if (manner == Manner::garbage) return speak("what?");
    if (manner == Manner::floods) {
      for (int i = 0; i < 20; ++i) speak(frame_of(WF_ASK_HELD, [](wf_writer&) {}));
      return;
    }
    if (manner == Manner::bad_question)
      return speak(frame_of(WF_ASK_SUPPLY, [](wf_writer& w) { wf_put_u32(&w, 1'000'000); }));
    if (said.hunt_id == "once" && !std::exchange(asked_held, true))
      return speak(frame_of(WF_ASK_HELD, [](wf_writer&) {}));
    if (granted.size() < wanted_units)
      return speak(frame_of(WF_ASK_SUPPLY, [this](wf_writer& w) {
        wf_put_u32(&w, static_cast<uint32_t>(units_granted()));
        wf_put_text(&w, "ticket", 6);
        wf_put_u64(&w, host.tickets_);
      }));
    if (manner == Manner::stalls) return;
    if (manner == Manner::dies) return end(SIGABRT);
    speak_outcome();
  }

  size_t units_granted() const {
    size_t count = 0;
    for (bool unit : granted) count += unit ? 1 : 0;
    return count;
  }

  void speak_outcome() {
    wf_outcome outcome{};
    outcome.status = WF_OK;
    std::string result = "{\"well\":true}";
    std::string reason;
    if (said.hunt_id == "gift")
      for (uint64_t i = 0; i < coins; ++i) add("coin", false);
    if (said.hunt_id == "once") {
      // A script sees limits::held_loot_max different loots at most.
      if (crowns < 900) add(fmt::format("crown{}", crowns + 1), false);
      if (crowns > 0 && coins == 1) outcome.status = WF_REJECTED;
    }
    for (size_t i = 0; i < units_granted(); ++i) add("ticket", true);
    if (said.hunt_id == "ticket" && units_granted() == 0) add("coin", false);
    // It draws, and then gives nothing after all: the unit goes back.
    if (said.hunt_id == "ticket" && host.machine_.world().random.chance(0.5))
      outcome.status = WF_REJECTED;
    if (said.hunt_id == "no") outcome.status = WF_REJECTED;
    if (said.hunt_id == "broken") outcome.status = WF_SCRIPT_ERROR;
    if (outcome.status != WF_OK) {
      said.loot.clear();
      said.limited.clear();
      result.clear();
      reason = "because";
    }
    said.rejected = outcome.status == WF_REJECTED;
    bool sound = true;
    if (manner == Manner::unasked_award && outcome.status == WF_OK) {
      add("ticket", true);
      sound = false;
    }
    if (manner == Manner::bad_result) {
      result = "{";
      sound = outcome.status != WF_OK;
    }
    outcome.award_count = static_cast<uint32_t>(said.loot.size());
    for (size_t i = 0; i < said.loot.size(); ++i)
      outcome.awards[i] = {text_of(said.loot[i]),
                           static_cast<uint8_t>(said.limited[i] ? WF_AWARD_LIMITED : 0)};
    outcome.result = text_of(result);
    outcome.reason = text_of(reason);
    std::string frame(limits::worker_frame_bytes_max, '\0');
    frame.resize(wf_write_outcome(frame.data(), frame.size(), &outcome));
    if (manner == Manner::malformed) {
      frame.resize(frame.size() - 1);
      sound = false;
    }
    if (sound && (outcome.status == WF_OK || outcome.status == WF_REJECTED)) host.on_said_(said);
    speak(frame);
    // In a batch the next hunter's request would take the second one for its own: whoever breaks
    // out of a batch worker speaks for all that come after (docs/isolation.md).
    if (manner == Manner::two_outcomes && !more) speak(frame);
    if (manner == Manner::stays) return;
    if (manner == Manner::dies_after) return end(SIGSEGV);
    if (!more) end(0);
  }

  void add(std::string loot_id, bool is_limited) {
    said.loot.push_back(std::move(loot_id));
    said.limited.push_back(is_limited);
  }

  // In order: frames, and then the end.
  void speak(std::string frame) {
    after([this, frame = std::move(frame)] {
      if (dismissed) return;
      host.machine_.post([self = shared_from_this(), frame] {
        if (!self->gone && !self->dismissed) self->host.user_->on_worker_frame(self->place, frame);
      });
    });
  }

  void end(int status) {
    if (std::exchange(ending, true)) return;
    after([this, status] { host.leave(place, shared_from_this(), 0, status); });
  }

  void after(std::function<void()> what) {
    World& world = host.machine_.world();
    last_ns = std::max(last_ns + 1, world.now_ns() + world.random.between(10 * us, 400 * us));
    world.at(last_ns, [self = shared_from_this(), what = std::move(what)] {
      if (!self->killed) what();
    });
  }

  Workers& host;
  uint32_t place;
  bool started = false;
  bool spare = false;
  bool dismissed = false;
  bool kill_early = false;  // once it is there
  bool killed = false;
  bool ending = false;
  bool gone = false;
  std::string waiting;  // a spare's first job
  uint64_t last_ns = 0;
  // its job
  SaidOutcome said;
  Manner manner = Manner::honest;
  bool more = false;
  bool asked_held = false;
  size_t crowns = 0;
  size_t wanted_units = 0;
  uint64_t coins = 0;
  std::vector<bool> granted;
};

Workers::Workers(Machine& machine, double misbehave, uint64_t tickets,
                 std::function<void(const SaidOutcome&)> on_said)
    : machine_(machine), misbehave_(misbehave), tickets_(tickets), on_said_(std::move(on_said)) {
  // Its workers end with it (PR_SET_PDEATHSIG).
  machine_.on_death([this] {
    for (auto& [place, worker] : workers_) worker->killed = worker->gone = true;
    workers_.clear();
  });
}

void Workers::start(uint32_t place, std::string_view, std::string_view job) {
  born(place, std::string(job));
}

void Workers::start_spare(uint32_t place) { born(place, ""); }

void Workers::born(uint32_t place, std::string first_frame) {
  CHECK(workers_.count(place) == 0);
  auto worker = std::make_shared<Worker>(*this, place);
  worker->waiting = std::move(first_frame);
  workers_[place] = worker;
  machine_.stage([this, place, worker] {
    World& world = machine_.world();
    if (world.faults_on && world.random.chance(0.01)) {
      world.fault("a worker that can't be born");
      return world.after(world.hop_ns(),
                         [this, place, worker] { leave(place, worker, EAGAIN, 0); });
    }
    uint64_t birth_ns = world.random.between(200 * us, 900 * us);
    if (world.faults_on && world.random.chance(0.01))
      birth_ns = world.random.between(1 * ms, 400 * ms);
    world.after(birth_ns, [this, place, worker, &world] {
      uint64_t const at_ns = world.now_ns();
      if (worker->gone || !machine_.alive()) return;
      // It runs before its core hears of it.
      worker->started = true;
      worker->last_ns = at_ns;
      machine_.post([this, place, worker, at_ns] {
        if (worker->gone) return;
        user_->on_worker_started(place, at_ns);
      });
      if (worker->kill_early) kill(place);
      if (!worker->waiting.empty()) worker->hear(std::exchange(worker->waiting, {}));
    });
  });
}

void Workers::send(uint32_t place, std::string_view frame) {
  auto found = workers_.find(place);
  if (found == workers_.end()) return;
  found->second->hear(std::string(frame));
}

void Workers::kill(uint32_t place) {
  auto found = workers_.find(place);
  if (found == workers_.end()) return;
  std::shared_ptr<Worker> const worker = found->second;
  if (!worker->started) {
    worker->kill_early = true;
    return;
  }
  World& world = machine_.world();
  // What it had sent before is read first, unless nobody reads any more.
  uint64_t const at_ns =
      std::max(worker->last_ns + 1, world.now_ns() + world.random.below(300 * us));
  world.at(at_ns, [this, place, worker] {
    worker->killed = true;
    leave(place, worker, 0, SIGKILL);
  });
}

void Workers::leave(uint32_t place, const std::shared_ptr<Worker>& worker, int spawn_errno,
                    int status) {
  machine_.post([this, place, worker, spawn_errno, status] {
    if (std::exchange(worker->gone, true)) return;
    workers_.erase(place);
    user_->on_worker_exit(place, spawn_errno, worker->dismissed ? 0 : status);
  });
}

void Workers::dismiss(uint32_t place) {
  auto found = workers_.find(place);
  if (found != workers_.end()) found->second->dismissed = true;
}

void Workers::retire(uint32_t place) {
  auto found = workers_.find(place);
  if (found == workers_.end()) return;
  found->second->dismissed = true;
  // One that waits for a job reads the end and goes; one that is not reported yet, once it is.
  World& world = machine_.world();
  world.after(world.random.between(20 * us, 2 * ms), [worker = found->second] {
    if (worker->manner != Manner::stays && worker->manner != Manner::stalls)
      worker->host.leave(worker->place, worker, 0, 0);
  });
}

void Workers::use_bundle(int bundle_descriptor, Birth) { ::close(bundle_descriptor); }

size_t Workers::alive() const { return workers_.size(); }

}  // namespace huntd::sim
