// SPDX-License-Identifier: Apache-2.0
#include "core/hunt/worker_pool.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "metrics/shared_region.h"
#include "metrics/start_failure.h"

using namespace huntd;
using namespace huntd::server;

namespace {

// A host whose workers do what the test decides.
struct FakeHost final : WorkerHost {
  void set_user(WorkerUser& its_user) override { user = &its_user; }
  void start(uint32_t slot, std::string_view hunter_id, std::string_view) override {
    started.push_back(slot);
    alive.insert(slot);
    hunters.emplace_back(hunter_id);
  }
  void start_idle(uint32_t slot) override {
    idle.push_back(slot);
    alive.insert(slot);
  }
  void start_holder(uint32_t slot, uint64_t memory_bytes) override {
    holders.emplace_back(slot, memory_bytes);
    alive.insert(slot);
  }
  void send(uint32_t slot, std::string_view frame) override { sent.emplace_back(slot, frame); }
  void kill(uint32_t slot) override { killed.insert(slot); }
  void detach(uint32_t slot) override { detached.insert(slot); }
  void stop(uint32_t slot) override { stopped.insert(slot); }
  void use_bundle(int, StartMethod) override {}
  void exit(uint32_t slot, int spawn_errno = 0, int status = 0) {
    alive.erase(slot);
    user->on_worker_exit(slot, spawn_errno, status);
  }
  WorkerUser* user = nullptr;
  std::vector<uint32_t> started, idle;
  std::vector<std::string> hunters;
  std::set<uint32_t> alive, killed, detached, stopped;
  std::vector<std::pair<uint32_t, std::string>> sent;
  std::vector<std::pair<uint32_t, uint64_t>> holders;
};

struct World {
  explicit World(WorkerLimits limits)
      : region(std::move(*SharedRegion::create(1, "test", 0))),
        pool(host, scheduler, region.core(0), limits) {}
  Scheduler scheduler;
  FakeHost host;
  SharedRegion region;
  WorkerPool pool;
  std::vector<std::string> log;
  uint64_t start_by_ns = never_ns;
  uint64_t caller_deadline_ns = 1'000'000'000;
  OneShot<Signal>* commit = nullptr;  // if set, a hunt waits for it after its run
};

constexpr uint64_t ms = 1'000'000;
constexpr WorkerLimits two_at_a_time{.deadline_ms = 50, .max_live = 2, .queue_max = 2};
// A worker runs three hunts.
constexpr WorkerLimits batch{.deadline_ms = 50,
                             .max_live = 2,
                             .queue_max = 2,
                             .isolation = Isolation::batch,
                             .hunts_per_worker = 3,
                             .idle_ms = 1000};

// A worker runs jobs of one hunt only.
constexpr WorkerLimits batch_per_hunt{.deadline_ms = 50,
                                      .max_live = 2,
                                      .queue_max = 2,
                                      .isolation = Isolation::batch,
                                      .hunts_per_worker = 100,
                                      .batch_per_hunt = true,
                                      .idle_ms = 1000};

// A holder runs three hunts.
constexpr WorkerLimits tasks{.deadline_ms = 50,
                             .memory_bytes = 1 << 20,
                             .max_live = 2,
                             .queue_max = 2,
                             .isolation = Isolation::task,
                             .hunts_per_worker = 3,
                             .idle_ms = 1000};

const char* name_of(WorkerEvent::Kind kind) {
  switch (kind) {
    case WorkerEvent::Kind::frame:
      return "frame";
    case WorkerEvent::Kind::died:
      return "died";
    case WorkerEvent::Kind::deadline:
      return "deadline";
    case WorkerEvent::Kind::late:
      return "late";
    case WorkerEvent::Kind::not_started:
      return "not started";
    case WorkerEvent::Kind::flooded:
      return "flooded";
  }
  return "";
}

// Runs one worker until its first event that is not the frame "query". Calls done() if that event
// is a frame.
Task<> hunt(World& world, std::string name, std::string hunt_id = "hunt") {
  WorkerPool::Admission admission = co_await world.pool.admit(hunt_id, world.start_by_ns);
  if (admission.rejection == WorkerPool::Rejection::queue_full)
    world.log.push_back(name + " queue full");
  if (admission.rejection == WorkerPool::Rejection::queue_deadline)
    world.log.push_back(name + " queue deadline");
  if (admission.rejection == WorkerPool::Rejection::standing_queue)
    world.log.push_back(name + " standing queue");
  if (admission.rejection == WorkerPool::Rejection::late) world.log.push_back(name + " too late");
  if (!admission.run) co_return;
  WorkerPool::Run run = std::move(*admission.run);
  run.start(hunt_id, name, "job");
  for (;;) {
    WorkerEvent const event = co_await run.next_event(world.caller_deadline_ns);
    if (event.kind == WorkerEvent::Kind::frame && event.frame == "query") {
      run.reply("reply");
      continue;
    }
    world.log.push_back(name + " " + name_of(event.kind));
    if (event.kind == WorkerEvent::Kind::frame) run.done();
    if (world.commit != nullptr) co_await world.commit->wait(1'000'000 * ms);
    co_return;
  }
}

Task<> admit(World& world, std::optional<WorkerPool::Admission>& admission) {
  admission.emplace(co_await world.pool.admit("hunt", never_ns));
}

void send_outcome(World& world, uint32_t slot) {
  world.host.user->on_worker_frame(slot, "outcome");
  world.scheduler.run_ready();
}

void end_all(World& world) {
  world.pool.drain();
  for (uint32_t slot : std::set<uint32_t>(world.host.alive)) world.host.exit(slot);
  world.scheduler.run_ready();
  CHECK(world.pool.live() == 0);
}

void tick(World& world, uint64_t now_ns) {
  world.scheduler.expire(now_ns);
  world.scheduler.run_ready();
}

}  // namespace

TEST_CASE("above max_live requests wait in the queue, and above queue_max they are rejected") {
  World world(two_at_a_time);
  for (const char* name : {"a", "b", "c", "d", "e"}) start(hunt(world, name));
  CHECK(world.host.started.size() == 2);
  CHECK(world.log == std::vector<std::string>{"e queue full"});
  CHECK(world.pool.live() == 2);
  send_outcome(world, world.host.started[0]);
  CHECK(world.log.back() == "a frame");
  CHECK(world.host.started.size() == 2);  // the process is not gone yet
  world.host.exit(world.host.started[0]);
  world.scheduler.run_ready();
  CHECK(world.host.hunters.back() == "c");
  for (int i = 0; i < 3; ++i) {
    uint32_t const slot = *world.host.alive.begin();
    world.host.user->on_worker_frame(slot, "outcome");
    world.host.exit(slot);
    world.scheduler.run_ready();
  }
  CHECK(world.pool.live() == 0);
  CHECK(world.host.killed.empty());
}

TEST_CASE("a request queued past the deadline is rejected") {
  World world(two_at_a_time);
  for (const char* name : {"a", "b", "c"}) start(hunt(world, name));
  tick(world, 99 * ms);
  CHECK(world.log.empty());
  tick(world, 100 * ms);
  CHECK(world.log == std::vector<std::string>{"c queue deadline"});
  for (uint32_t slot : std::set<uint32_t>(world.host.alive)) world.host.exit(slot);
  world.scheduler.run_ready();
  CHECK(world.host.started.size() == 2);
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a hunt is in flight until its commit is over, and the next one waits") {
  WorkerLimits limits = batch;
  limits.hunts_in_flight_max = 1;
  World world(limits);
  OneShot<Signal> commit(world.scheduler);
  world.commit = &commit;
  start(hunt(world, "a"));
  start(hunt(world, "b"));
  CHECK(world.host.sent.size() == 1);
  send_outcome(world, world.host.idle[0]);
  CHECK(world.log == std::vector<std::string>{"a frame"});
  CHECK(world.host.sent.size() == 1);  // its worker is free, its commit is not done
  commit.set({});
  world.scheduler.run_ready();
  CHECK(world.host.sent.size() == 2);
  send_outcome(world, world.host.idle[0]);
  commit.set({});
  world.scheduler.run_ready();
  world.pool.drain();
  world.host.exit(world.host.idle[0]);
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a burst waits until the queue deadline; a standing queue rejects requests") {
  WorkerLimits limits = two_at_a_time;
  limits.max_live = 1;
  limits.queue_max = 100;
  limits.queue_target_ms = 20;
  limits.queue_deadline_ms = 5000;
  limits.deadline_ms = 5000;
  World world(limits);
  world.caller_deadline_ns = never_ns;
  // A run ends every 50 ms, and more requests than that come at first: the queue never empties.
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g", "h"}) start(hunt(world, name));
  uint64_t now = 0;
  auto finish_one = [&world, &now] {
    tick(world, now += 50 * ms);
    uint32_t const slot = *world.host.alive.begin();
    world.host.user->on_worker_frame(slot, "outcome");
    world.host.exit(slot);
    world.scheduler.run_ready();
  };
  for (int i = 0; i < 4; ++i) finish_one();
  start(hunt(world, "burst"));
  CHECK(world.log.size() == 4);  // f has waited for 200 ms, and no request is rejected
  for (int i = 0; i < 3; ++i) finish_one();
  for (const char* name : {"i", "j", "k"}) start(hunt(world, name));
  for (int i = 0; i < 2; ++i) finish_one();
  tick(world, now += 50 * ms);
  CHECK(world.log.size() == 9);
  start(hunt(world, "late"));  // 500 ms after the queue was empty; "j" has waited for 150
  CHECK(world.log.back() == "late standing queue");
  while (!world.host.alive.empty()) finish_one();
  CHECK(world.log.back() == "k frame");
  // Rejections have emptied the queue; that alone does not make the next requests a burst.
  for (const char* name : {"l", "m", "n"}) start(hunt(world, name));
  finish_one();
  CHECK(world.log[world.log.size() - 3] == "n standing queue");  // none was served lately: one may
  CHECK(world.log[world.log.size() - 2] == "m queue deadline");  // wait, and the target is its
  CHECK(world.log.back() == "l frame");
  while (!world.host.alive.empty()) finish_one();
  for (int i = 0; i < 10; ++i) tick(world, now += 50 * ms);
  for (const char* name : {"o", "p", "q"}) start(hunt(world, name));
  finish_one();
  start(hunt(world, "after"));  // half a second later it is a burst again
  CHECK(world.log.back() == "o frame");
  while (!world.host.alive.empty()) finish_one();
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a worker at its deadline is killed, and its run ends when it is gone") {
  World world(two_at_a_time);
  start(hunt(world, "a"));
  world.host.user->on_worker_started(0 + world.host.started[0], 10 * ms);
  tick(world, 59 * ms);
  CHECK(world.host.killed.empty());
  tick(world, 60 * ms);
  CHECK(world.host.killed.size() == 1);
  CHECK(world.log.empty());
  world.host.exit(world.host.started[0], 0, SIGKILL);
  world.scheduler.run_ready();
  CHECK(world.log == std::vector<std::string>{"a deadline"});
  CHECK(world.pool.live() == 0);
}

TEST_CASE("the time in which the core was stopped is not part of a worker's deadline") {
  constexpr uint64_t counted_ns = 20 * ms;
  World world(two_at_a_time);
  world.caller_deadline_ns = never_ns;
  start(hunt(world, "a"));
  start(hunt(world, "b"));
  world.host.user->on_worker_started(world.host.started[0], 0);
  tick(world, 10 * ms);
  world.scheduler.set_now(5010 * ms, counted_ns);
  // Its start is reported only now.
  world.host.user->on_worker_started(world.host.started[1], 15 * ms);
  tick(world, 5010 * ms);
  CHECK(world.host.killed.empty());
  tick(world, 5029 * ms);
  CHECK(world.host.killed.empty());
  tick(world, 5030 * ms);  // 50 ms in which the core ran
  CHECK(world.host.killed.size() == 2);
  end_all(world);
  CHECK(world.log == std::vector<std::string>{"a deadline", "b deadline"});
}

TEST_CASE("a run that the caller's deadline ends is late, unless the hunt's came first") {
  World world(two_at_a_time);
  world.caller_deadline_ns = 40 * ms;
  start(hunt(world, "a"));
  world.host.user->on_worker_started(world.host.started[0], 0);
  tick(world, 40 * ms);
  CHECK(world.log == std::vector<std::string>{"a late"});
  CHECK(world.host.killed.size() == 1);
  world.host.exit(world.host.started[0], 0, SIGKILL);
  world.caller_deadline_ns = 100 * ms;
  start(hunt(world, "b"));
  world.host.user->on_worker_started(world.host.started[1], 40 * ms);
  tick(world, 90 * ms);
  tick(world, 100 * ms);  // killed at 90 ms; its exit has not been reported yet
  CHECK(world.log.back() == "b deadline");
  world.host.exit(world.host.started[1], 0, SIGKILL);
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a request that could not have the whole of its deadline starts no worker") {
  World world(two_at_a_time);
  world.start_by_ns = 60 * ms;
  tick(world, 60 * ms);
  start(hunt(world, "a"));
  start(hunt(world, "b"));
  CHECK(world.host.started.size() == 2);
  tick(world, 61 * ms);
  start(hunt(world, "c"));
  CHECK(world.log == std::vector<std::string>{"c too late"});
  // Both limits of a wait: the earlier one counts.
  world.start_by_ns = 100 * ms;
  start(hunt(world, "d"));
  world.start_by_ns = 1000 * ms;
  start(hunt(world, "e"));
  tick(world, 99 * ms);
  CHECK(world.log.size() == 1);
  tick(world, 100 * ms);
  CHECK(world.log.back() == "d too late");
  tick(world, 161 * ms);
  CHECK(world.log.back() == "e queue deadline");
  CHECK(world.host.started.size() == 2);
  for (uint32_t slot : std::set<uint32_t>(world.host.alive)) world.host.exit(slot);
  world.scheduler.run_ready();
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a worker that does not exit after its outcome is killed at the deadline") {
  World world(two_at_a_time);
  start(hunt(world, "a"));
  uint32_t const slot = world.host.started[0];
  world.host.user->on_worker_started(slot, 0);
  send_outcome(world, slot);
  CHECK(world.log == std::vector<std::string>{"a frame"});
  CHECK(world.host.detached.count(slot) == 1);
  tick(world, 50 * ms);
  CHECK(world.host.killed.count(slot) == 1);
  world.host.exit(slot);
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a worker that dies and a worker that cannot be started are different events") {
  World world(two_at_a_time);
  start(hunt(world, "a"));
  start(hunt(world, "b"));
  world.host.exit(world.host.started[0], 0, SIGSEGV);
  world.host.exit(world.host.started[1], EAGAIN, 0);
  world.scheduler.run_ready();
  CHECK(world.log == std::vector<std::string>{"a died", "b not started"});
}

TEST_CASE("frames that came before the exit are delivered before the exit") {
  World world(two_at_a_time);
  start(hunt(world, "a"));
  uint32_t const slot = world.host.started[0];
  world.host.user->on_worker_frame(slot, "query");
  world.scheduler.run_ready();
  CHECK(world.host.sent == std::vector<std::pair<uint32_t, std::string>>{{slot, "reply"}});
  world.host.user->on_worker_frame(slot, "outcome");
  world.host.exit(slot);
  world.scheduler.run_ready();
  CHECK(world.log == std::vector<std::string>{"a frame"});
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a lower max_live after a reload holds from the next admission on") {
  World world(two_at_a_time);
  start(hunt(world, "a"));
  start(hunt(world, "b"));
  WorkerLimits one = two_at_a_time;
  one.max_live = 1;
  world.pool.use(one, -1);
  start(hunt(world, "c"));
  world.host.exit(world.host.started[0]);
  world.scheduler.run_ready();
  CHECK(world.host.started.size() == 2);
  world.host.exit(world.host.started[1]);
  world.scheduler.run_ready();
  CHECK(world.host.started.size() == 3);
  world.host.exit(world.host.started[2]);
  world.scheduler.run_ready();
}

TEST_CASE("a worker that does not wait for replies is killed, and few frames are kept") {
  World world(two_at_a_time);
  start(hunt(world, "a"));
  uint32_t const slot = world.host.started[0];
  for (int i = 0; i < 100; ++i) world.host.user->on_worker_frame(slot, "query");
  CHECK(world.host.killed.count(slot) == 1);
  world.scheduler.run_ready();
  CHECK(world.host.sent.size() <= 4);
  world.host.exit(slot, 0, SIGKILL);
  world.scheduler.run_ready();
  CHECK(world.log == std::vector<std::string>{"a flooded"});
}

TEST_CASE("in batch mode a worker runs hunts_per_worker hunts and then exits") {
  World world(batch);
  for (const char* name : {"a", "b", "c"}) {
    start(hunt(world, name));
    CHECK(world.host.sent.size() == static_cast<size_t>(name[0] - 'a') + 1);
    send_outcome(world, world.host.idle[0]);
  }
  CHECK(world.log == std::vector<std::string>{"a frame", "b frame", "c frame"});
  CHECK(world.host.idle.size() == 1);
  CHECK(world.host.started.empty());
  CHECK(world.host.detached == std::set<uint32_t>{world.host.idle[0]});
  CHECK(world.pool.live() == 1);
  world.host.exit(world.host.idle[0]);
  CHECK(world.pool.live() == 0);
}

TEST_CASE("with batch_per_hunt a hunt gets the worker that has run it, or a new one") {
  World world(batch_per_hunt);
  start(hunt(world, "a", "gold"));
  uint32_t const gold = world.host.idle.back();
  send_outcome(world, gold);
  start(hunt(world, "b", "pair"));
  uint32_t const pair = world.host.idle.back();
  CHECK(pair != gold);
  send_outcome(world, pair);
  for (const char* name : {"c", "d"}) {
    start(hunt(world, name, "gold"));
    CHECK(world.host.sent.back().first == gold);
    send_outcome(world, gold);
  }
  CHECK(world.host.idle.size() == 2);
  CHECK(world.host.stopped.empty());
  end_all(world);
}

TEST_CASE("with batch_per_hunt and no room the oldest worker of another hunt is replaced") {
  World world(batch_per_hunt);
  start(hunt(world, "a", "gold"));
  uint32_t const gold = world.host.idle.back();
  send_outcome(world, gold);
  start(hunt(world, "b", "pair"));
  uint32_t const pair = world.host.idle.back();
  send_outcome(world, pair);
  start(hunt(world, "c", "slow"));
  CHECK(world.host.stopped == std::set<uint32_t>{gold});
  uint32_t const slow = world.host.idle.back();
  CHECK(slow != gold);
  CHECK(world.host.sent.back().first == slow);
  world.host.exit(gold);
  send_outcome(world, slow);
  CHECK(world.pool.live() == 2);
  CHECK(world.log == std::vector<std::string>{"a frame", "b frame", "c frame"});
  end_all(world);
}

TEST_CASE("with batch_per_hunt a request in the queue takes over a place, not a worker") {
  World world(batch_per_hunt);
  for (const char* name : {"a", "b"}) start(hunt(world, name, "gold"));
  start(hunt(world, "c", "pair"));  // waits
  uint32_t const first = world.host.idle[0];
  CHECK(world.host.idle.size() == 2);
  send_outcome(world, first);
  CHECK(world.host.stopped == std::set<uint32_t>{first});
  CHECK(world.host.idle.size() == 3);
  CHECK(world.host.sent.back().first == world.host.idle.back());
  CHECK(world.host.idle.back() != first);
  world.host.exit(first);
  for (size_t at : {1, 2}) send_outcome(world, world.host.idle[at]);
  CHECK(world.log == std::vector<std::string>{"a frame", "b frame", "c frame"});
  end_all(world);
}

TEST_CASE("with batch_per_hunt a burst of another hunt replaces one worker after the other") {
  World world(batch_per_hunt);
  for (const char* name : {"a", "b"}) start(hunt(world, name, "gold"));
  for (uint32_t slot : std::vector<uint32_t>(world.host.idle)) send_outcome(world, slot);
  for (const char* name : {"c", "d"}) start(hunt(world, name, "pair"));
  CHECK(world.host.stopped.size() == 1);
  CHECK(world.pool.live() == 3);
  world.host.exit(*world.host.stopped.begin());
  world.scheduler.run_ready();
  CHECK(world.host.stopped.size() == 2);
  CHECK(world.pool.live() == 3);
  CHECK(world.host.idle.size() == 4);
  end_all(world);
}

TEST_CASE("with batch_per_hunt used workers are not warm ones") {
  WorkerLimits limits = batch_per_hunt;
  limits.max_live = 3;
  limits.warm = 1;
  World world(limits);
  world.pool.use(limits, -1);
  uint32_t const warm = world.host.idle.back();
  world.host.user->on_worker_started(warm, 0);
  start(hunt(world, "a", "gold"));
  send_outcome(world, warm);
  REQUIRE(world.host.idle.size() == 2);  // another one is warm
  world.host.user->on_worker_started(world.host.idle[1], 0);
  tick(world, 1000 * ms);
  CHECK(world.host.stopped == std::set<uint32_t>{warm});
  end_all(world);
}

TEST_CASE("a worker in place of one that would have had its last job may get more") {
  World world(batch);
  start(hunt(world, "a"));
  uint32_t const first = world.host.idle[0];
  send_outcome(world, first);
  start(hunt(world, "b"));
  send_outcome(world, first);
  std::optional<WorkerPool::Admission> admission;
  start(admit(world, admission));
  REQUIRE(admission->run);
  CHECK_FALSE(admission->run->more_may_follow());
  world.pool.use(batch, -1);
  CHECK(admission->run->more_may_follow());
  admission->run->start("hunt", "c", "job");
  CHECK(world.host.idle.back() != first);
  admission.reset();
  end_all(world);
}

TEST_CASE("with batch_per_hunt a warm worker takes the first job of any hunt") {
  WorkerLimits limits = batch_per_hunt;
  limits.warm = 1;
  World world(limits);
  world.pool.use(limits, -1);
  uint32_t const warm = world.host.idle.back();
  world.host.user->on_worker_started(warm, 0);
  start(hunt(world, "a", "pair"));
  CHECK(world.host.sent.back().first == warm);
  send_outcome(world, warm);
  end_all(world);
}

TEST_CASE("in batch mode each hunt has its own deadline") {
  World world(batch);
  start(hunt(world, "a"));
  uint32_t const first = world.host.idle[0];
  world.host.user->on_worker_started(first, 0);
  tick(world, 40 * ms);
  send_outcome(world, first);
  tick(world, 60 * ms);
  CHECK(world.host.killed.empty());  // idle: no hunt, no deadline
  start(hunt(world, "b"));
  tick(world, 109 * ms);
  CHECK(world.host.killed.empty());
  tick(world, 110 * ms);
  CHECK(world.host.killed == std::set<uint32_t>{first});
  world.host.exit(first, 0, SIGKILL);
  world.scheduler.run_ready();
  CHECK(world.log.back() == "b deadline");
  start(hunt(world, "c"));
  CHECK(world.host.idle.size() == 2);
  world.host.exit(world.host.idle[1]);
  world.scheduler.run_ready();
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a worker that is idle for idle_ms is stopped") {
  World world(batch);
  start(hunt(world, "a"));
  uint32_t const slot = world.host.idle[0];
  send_outcome(world, slot);
  tick(world, 999 * ms);
  CHECK(world.host.stopped.empty());
  tick(world, 1000 * ms);
  CHECK(world.host.stopped == std::set<uint32_t>{slot});
  world.host.exit(slot);
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a new bundle stops idle workers at once and running ones after their hunt") {
  World world(batch);
  start(hunt(world, "a"));
  start(hunt(world, "b"));
  uint32_t const waiting = world.host.idle[0];
  uint32_t const running = world.host.idle[1];
  send_outcome(world, waiting);
  world.pool.use(batch, -1);
  CHECK(world.host.stopped == std::set<uint32_t>{waiting});
  send_outcome(world, running);
  CHECK(world.host.stopped == std::set<uint32_t>{waiting, running});
  world.host.exit(waiting);
  world.host.exit(running);
  CHECK(world.pool.live() == 0);
}

// --- tasks ---------------------------------------------------------------------------------------

namespace {

void become_clean(World& world, uint32_t slot, int wait_status = 0) {
  world.host.user->on_worker_clean(slot, wait_status);
  world.scheduler.run_ready();
}

}  // namespace

TEST_CASE("a holder gets the next job only after it is clean") {
  World world(tasks);
  start(hunt(world, "a"));
  REQUIRE(world.host.holders.size() == 1);
  CHECK(world.host.holders[0].second == 1 << 20);
  uint32_t const first = world.host.holders[0].first;
  send_outcome(world, first);
  CHECK(world.log == std::vector<std::string>{"a frame"});
  start(hunt(world, "b"));
  CHECK(world.host.holders.size() == 2);  // the first one may still have a's task
  become_clean(world, first);
  send_outcome(world, world.host.holders[1].first);
  start(hunt(world, "c"));
  CHECK(world.host.holders.size() == 2);
  CHECK(world.host.sent.back().first == first);
  end_all(world);
}

TEST_CASE("a holder that is clean before its outcome was read is used again") {
  World world(tasks);
  start(hunt(world, "a"));
  uint32_t const slot = world.host.holders[0].first;
  world.host.user->on_worker_frame(slot, "outcome");
  become_clean(world, slot);
  CHECK(world.log == std::vector<std::string>{"a frame"});
  start(hunt(world, "b"));
  CHECK(world.host.holders.size() == 1);
  CHECK(world.host.sent.back().first == slot);
  end_all(world);
}

TEST_CASE("a holder is stopped after hunts_per_worker hunts, when it is clean") {
  World world(tasks);
  uint32_t slot = 0;
  for (const char* name : {"a", "b", "c"}) {
    start(hunt(world, name));
    slot = world.host.holders[0].first;
    send_outcome(world, slot);
    CHECK(world.host.stopped.empty());
    become_clean(world, slot);
  }
  CHECK(world.host.stopped == std::set<uint32_t>{slot});
  world.host.exit(slot);
  CHECK(world.pool.live() == 0);
  end_all(world);
}

TEST_CASE("a task that ends without an outcome ends its run, and its holder is killed") {
  World world(tasks);
  start(hunt(world, "a"));
  uint32_t const slot = world.host.holders[0].first;
  become_clean(world, slot, SIGSEGV);
  CHECK(world.log == std::vector<std::string>{"a died"});
  CHECK(world.host.killed == std::set<uint32_t>{slot});
  end_all(world);
}

TEST_CASE("a task that fails after its outcome, or sends two, is its holder's last") {
  World world(tasks);
  start(hunt(world, "a"));
  uint32_t const first = world.host.holders[0].first;
  send_outcome(world, first);
  become_clean(world, first, SIGSEGV);
  CHECK(world.host.stopped == std::set<uint32_t>{first});
  world.host.exit(first);
  start(hunt(world, "b"));
  uint32_t const second = world.host.holders[1].first;
  send_outcome(world, second);
  world.host.user->on_worker_frame(second, "outcome");
  CHECK(world.host.killed == std::set<uint32_t>{second});
  become_clean(world, second);
  start(hunt(world, "c"));
  CHECK(world.host.holders.size() == 3);
  end_all(world);
}

TEST_CASE("a task that does not end after its outcome is killed at the hunt's deadline") {
  World world(tasks);
  start(hunt(world, "a"));
  uint32_t const slot = world.host.holders[0].first;
  world.host.user->on_worker_started(slot, 0);
  send_outcome(world, slot);
  tick(world, 49 * ms);
  CHECK(world.host.killed.empty());
  tick(world, 50 * ms);
  CHECK(world.host.killed == std::set<uint32_t>{slot});
  world.host.exit(slot, 0, SIGKILL);
  CHECK(world.pool.live() == 0);
  end_all(world);
}

TEST_CASE("a waiting task that the kernel ends takes its holder with it") {
  World world(tasks);
  start(hunt(world, "a"));
  uint32_t const slot = world.host.holders[0].first;
  send_outcome(world, slot);
  become_clean(world, slot);
  become_clean(world, slot, SIGKILL);
  CHECK(world.host.killed == std::set<uint32_t>{slot});
  start(hunt(world, "b"));
  CHECK(world.host.holders.size() == 2);
  end_all(world);
}

TEST_CASE("a new bundle stops a holder that becomes clean after it") {
  World world(tasks);
  start(hunt(world, "a"));
  uint32_t const slot = world.host.holders[0].first;
  send_outcome(world, slot);
  world.pool.use(tasks, -1);
  CHECK(world.host.stopped.empty());
  become_clean(world, slot);
  CHECK(world.host.stopped == std::set<uint32_t>{slot});
  end_all(world);
}

TEST_CASE("warm workers exist before the first hunt, take jobs, and are replaced") {
  WorkerLimits limits = two_at_a_time;
  limits.warm = 1;
  World world(limits);
  world.pool.use(limits, -1);
  CHECK(world.host.idle.size() == 1);
  uint32_t const warm = world.host.idle[0];
  start(hunt(world, "a"));
  CHECK(world.host.started.empty());
  CHECK(world.host.sent == std::vector<std::pair<uint32_t, std::string>>{{warm, "job"}});
  CHECK(world.host.idle.size() == 2);
  send_outcome(world, warm);
  CHECK(world.log == std::vector<std::string>{"a frame"});
  CHECK(world.host.detached.count(warm) == 1);  // one process per hunt, also if it was idle before
  world.host.exit(warm);
  tick(world, 60'000 * ms);
  CHECK(world.host.stopped.empty());  // warm workers are not stopped
  world.pool.drain();
  CHECK(world.host.stopped.size() == 1);
  world.host.exit(*world.host.stopped.begin());
  CHECK(world.pool.live() == 0);
}

TEST_CASE("an idle worker that sends a frame is killed and gets no job") {
  World world(batch);
  start(hunt(world, "a"));
  uint32_t const slot = world.host.idle[0];
  send_outcome(world, slot);
  world.host.user->on_worker_frame(slot, "outcome");
  CHECK(world.host.killed == std::set<uint32_t>{slot});
  start(hunt(world, "b"));
  CHECK(world.host.idle.size() == 2);
  world.host.exit(slot);
  world.host.exit(world.host.idle[1]);
  world.scheduler.run_ready();
  CHECK(world.pool.live() == 0);
}

TEST_CASE("an idle worker that died gets no job and is replaced") {
  WorkerLimits limits = batch;
  limits.warm = 1;
  World world(limits);
  world.pool.use(limits, -1);
  world.host.exit(world.host.idle[0]);
  CHECK(world.host.idle.size() == 1);
  tick(world, 10 * ms);                // the pause after a start that failed
  CHECK(world.host.idle.size() == 2);  // replaced
  start(hunt(world, "a"));
  CHECK(world.host.sent.back().first == world.host.idle[1]);
  world.host.exit(world.host.idle[1]);
  world.scheduler.run_ready();
  CHECK(world.log == std::vector<std::string>{"a died"});
  world.pool.drain();
  for (uint32_t slot : std::set<uint32_t>(world.host.alive)) world.host.exit(slot);
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a start that takes too long ends the run; the slot stays in use until the exit") {
  World world(two_at_a_time);
  start(hunt(world, "a"));
  tick(world, 999 * ms);
  CHECK(world.log.empty());
  tick(world, 1000 * ms);
  CHECK(world.log == std::vector<std::string>{"a late"});
  CHECK(world.host.killed.size() == 1);
  CHECK(world.pool.live() == 1);
  world.host.exit(world.host.started[0]);
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a worker killed for flooding is not reused, even if its last frame is an outcome") {
  World world(batch);
  start(hunt(world, "a"));
  uint32_t const slot = world.host.idle[0];
  for (int i = 0; i < 3; ++i) world.host.user->on_worker_frame(slot, "query");
  world.host.user->on_worker_frame(slot, "outcome");
  world.host.user->on_worker_frame(slot, "query");
  CHECK(world.host.killed == std::set<uint32_t>{slot});
  world.scheduler.run_ready();
  CHECK(world.log == std::vector<std::string>{"a frame"});
  start(hunt(world, "b"));
  CHECK(world.host.idle.size() == 2);
  for (uint32_t each : std::set<uint32_t>(world.host.alive)) world.host.exit(each);
  world.scheduler.run_ready();
  CHECK(world.pool.live() == 0);
}

TEST_CASE("an admitted run whose idle worker died starts another one") {
  World world(batch);
  start(hunt(world, "a"));
  send_outcome(world, world.host.idle[0]);
  std::optional<WorkerPool::Admission> admission;
  start(admit(world, admission));
  REQUIRE(admission->run);
  world.host.exit(world.host.idle[0]);
  CHECK(world.pool.live() == 1);
  admission->run->start("hunt", "b", "job");
  CHECK(world.host.idle == std::vector<uint32_t>{0, 0});
  world.host.exit(0);
  admission.reset();
  CHECK(world.pool.live() == 0);
}

TEST_CASE("an admitted run whose idle worker sent a frame gets another worker") {
  World world(batch);
  start(hunt(world, "a"));
  uint32_t const first = world.host.idle[0];
  send_outcome(world, first);
  std::optional<WorkerPool::Admission> admission;
  start(admit(world, admission));
  REQUIRE(admission->run);
  world.host.user->on_worker_frame(first, "outcome");
  CHECK(world.host.killed == std::set<uint32_t>{first});
  admission->run->start("hunt", "b", "job");
  CHECK(world.host.stopped == std::set<uint32_t>{first});
  REQUIRE(world.host.idle.size() == 2);
  CHECK(world.host.idle[1] != first);
  CHECK(world.pool.live() == 2);
  world.host.exit(first);
  world.host.exit(world.host.idle[1]);
  admission.reset();
  CHECK(world.pool.live() == 0);
}

TEST_CASE("an admitted run that is dropped without a job leaves no worker") {
  World world(batch);
  start(hunt(world, "a"));
  uint32_t const slot = world.host.idle[0];
  send_outcome(world, slot);
  std::optional<WorkerPool::Admission> admission;
  start(admit(world, admission));
  admission.reset();
  CHECK(world.host.killed == std::set<uint32_t>{slot});
  world.host.exit(slot, 0, SIGKILL);
  CHECK(world.pool.live() == 0);
  start(admit(world, admission));
  CHECK(world.pool.live() == 1);  // the slot, without a process
  admission.reset();
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a warm worker that cannot be started is not started again in the same call") {
  struct FailingHost final : WorkerHost {
    void set_user(WorkerUser& its_user) override { user = &its_user; }
    void start(uint32_t, std::string_view, std::string_view) override {}
    void start_idle(uint32_t slot) override {
      ++starts;
      user->on_worker_exit(slot, EAGAIN, 0);
    }
    void start_holder(uint32_t, uint64_t) override {}
    void send(uint32_t, std::string_view) override {}
    void kill(uint32_t) override {}
    void detach(uint32_t) override {}
    void stop(uint32_t) override {}
    void use_bundle(int, StartMethod) override {}
    WorkerUser* user = nullptr;
    int starts = 0;
  } host;
  Scheduler scheduler;
  SharedRegion region = std::move(*SharedRegion::create(1, "test", 0));
  WorkerLimits limits = two_at_a_time;
  limits.warm = 2;
  WorkerPool pool(host, scheduler, region.core(0), limits);
  pool.use(limits, -1);
  CHECK(host.starts == 1);
  CHECK(pool.live() == 0);
}

// --- starts that fail ----------------------------------------------------------------------------

namespace {

constexpr WorkerLimits four_warm{
    .deadline_ms = 50, .max_live = 8, .queue_max = 8, .warm = 4, .idle_ms = 1000};
constexpr WorkerLimits none_warm{
    .deadline_ms = 50, .max_live = 8, .queue_max = 8, .warm = 0, .idle_ms = 1000};

uint64_t start_failure(World& world) {
  return world.region.core(0).value(Gauge::worker_start_failure);
}

// Reports each worker that was started since as up.
void report_started(World& world, std::set<uint32_t>& up) {
  for (uint32_t slot : std::set<uint32_t>(world.host.alive))
    if (up.insert(slot).second) world.host.user->on_worker_started(slot, 0);
}

// Returns how many idle workers were started within ten seconds if each start ends as `end` does.
template <class End>
size_t starts_in_ten_seconds(World& world, End end) {
  for (uint64_t now = 0; now <= 10'000 * ms; now += ms) {
    tick(world, now);
    for (uint32_t slot : std::set<uint32_t>(world.host.alive)) end(slot);
  }
  size_t const starts = world.host.idle.size();
  end_all(world);
  return starts;
}

}  // namespace

TEST_CASE("starts that the kernel rejects are repeated with pauses that grow") {
  for (int error : {EAGAIN, EMFILE, ENOMEM}) {
    World world(four_warm);
    world.pool.use(four_warm, -1);
    size_t const starts =
        starts_in_ten_seconds(world, [&](uint32_t slot) { world.host.exit(slot, error); });
    CHECK(starts > 10);
    CHECK(starts < 30);
    CHECK(start_failure(world) == static_cast<uint64_t>(error));
  }
}

TEST_CASE("warm workers that exit at once are started again with pauses that grow") {
  World world(four_warm);
  world.pool.use(four_warm, -1);
  size_t const starts = starts_in_ten_seconds(world, [&](uint32_t slot) {
    world.host.user->on_worker_started(slot, 0);
    world.host.exit(slot, 0, 9 << 8);
  });
  CHECK(starts < 30);
  CHECK(start_failure(world) == 65'536 + (9 << 8));
}

TEST_CASE("a worker that stays up after a pause ends the back-off, without a request") {
  World world(none_warm);
  world.pool.use(none_warm, -1);
  start(hunt(world, "a"));
  world.host.exit(world.host.started[0], EAGAIN);
  uint64_t now = 0;
  for (; now <= 3'000 * ms; now += ms) {
    tick(world, now);
    for (uint32_t slot : std::set<uint32_t>(world.host.alive)) world.host.exit(slot, EAGAIN);
  }
  CHECK(start_failure(world) == EAGAIN);
  std::set<uint32_t> up;
  for (; now <= 6'000 * ms; now += ms) {
    tick(world, now);
    report_started(world, up);
  }
  CHECK(start_failure(world) == 0);
  end_all(world);
}

TEST_CASE("a start for a hunt that succeeds ends the back-off too") {
  World world(four_warm);
  world.pool.use(four_warm, -1);
  for (uint32_t slot : std::set<uint32_t>(world.host.alive)) world.host.exit(slot, EAGAIN);
  tick(world, 10 * ms);
  REQUIRE(world.host.idle.size() == 5);
  uint32_t const slot = world.host.idle.back();
  world.host.user->on_worker_started(slot, 11 * ms);
  start(hunt(world, "a"));  // takes the worker before the pause is over
  CHECK(world.host.idle.size() == 5);
  send_outcome(world, slot);
  CHECK(world.log == std::vector<std::string>{"a frame"});
  CHECK(world.host.idle.size() == 9);
  end_all(world);
}

TEST_CASE("after one failed start the next hunt tries again") {
  World world(none_warm);
  world.pool.use(none_warm, -1);
  start(hunt(world, "a"));
  world.host.exit(world.host.started[0], EAGAIN);
  world.scheduler.run_ready();
  start(hunt(world, "b"));
  CHECK(world.host.started.size() == 2);
  send_outcome(world, world.host.started[1]);
  CHECK(world.log == std::vector<std::string>{"a not started", "b frame"});
  end_all(world);
}

TEST_CASE("a hunt that comes in the pause after the second failure is rejected at once") {
  World world(none_warm);
  world.pool.use(none_warm, -1);
  start(hunt(world, "a"));
  world.host.exit(world.host.started[0], EAGAIN);
  tick(world, 10 * ms);
  REQUIRE(world.host.idle.size() == 1);
  world.host.exit(world.host.idle[0], EAGAIN);
  start(hunt(world, "b"));
  world.scheduler.run_ready();
  CHECK(world.host.started.size() == 1);
  CHECK(world.log == std::vector<std::string>{"a not started", "b not started"});
  CHECK(world.pool.live() == 0);
  tick(world, 30 * ms);
  start(hunt(world, "c"));  // the pause is over
  CHECK(world.host.sent.back().second == "job");
  end_all(world);
}

TEST_CASE("a worker that its script ended does not count as a failed start") {
  World world(two_at_a_time);
  for (int i = 0; i < 20; ++i) {
    start(hunt(world, "a"));
    world.host.user->on_worker_started(world.host.started.back(), 0);
    world.host.exit(world.host.started.back(), 0, SIGSEGV);
    world.scheduler.run_ready();
  }
  CHECK(world.host.started.size() == 20);
  CHECK(start_failure(world) == 0);
}

TEST_CASE("idle workers that are killed are all replaced after a pause") {
  World world(four_warm);
  world.pool.use(four_warm, -1);
  std::set<uint32_t> up;
  report_started(world, up);
  for (uint32_t slot : {world.host.idle[0], world.host.idle[1]}) {
    world.host.exit(slot, 0, SIGKILL);
    up.erase(slot);
  }
  CHECK(world.pool.live() == 2);
  for (uint64_t now = 0; now <= 100 * ms; now += ms) {
    tick(world, now);
    report_started(world, up);
  }
  CHECK(world.pool.live() == 4);
  end_all(world);
}

// --- worker slots --------------------------------------------------------------------------------

TEST_CASE("a worker slot makes exactly the documented transitions") {
  using State = WorkerSlot::State;
  std::set<std::pair<State, State>> const legal = {
      {State::empty, State::claimed},   {State::empty, State::idle},
      {State::idle, State::claimed},    {State::idle, State::exiting},
      {State::idle, State::empty},      {State::claimed, State::running},
      {State::claimed, State::exiting}, {State::claimed, State::empty},
      {State::running, State::idle},    {State::running, State::exiting},
      {State::running, State::exited},  {State::exited, State::empty},
      {State::exiting, State::empty},
  };
  State const all[] = {State::empty,   State::idle,   State::claimed,
                       State::running, State::exited, State::exiting};
  for (State from : all)
    for (State to : all) CHECK(WorkerSlot::may_become(from, to) == (legal.count({from, to}) > 0));
}

TEST_CASE("a worker slot has a process exactly in the states that need one") {
  using State = WorkerSlot::State;
  using Process = WorkerSlot::Process;
  for (Process process : {Process::starting, Process::up}) {
    CHECK_FALSE(WorkerSlot::may_have(State::empty, process));
    CHECK_FALSE(WorkerSlot::may_have(State::exited, process));
  }
  for (State state : {State::idle, State::running, State::exiting})
    CHECK_FALSE(WorkerSlot::may_have(state, Process::none));
  for (Process process : {Process::none, Process::starting, Process::up})
    CHECK(WorkerSlot::may_have(State::claimed, process));
}

TEST_CASE("an illegal transition ends the process") {
  pid_t const pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    signal(SIGABRT, SIG_DFL);  // not the test framework's handler
    close(STDERR_FILENO);
    World world(two_at_a_time);
    start(hunt(world, "a"));
    world.host.exit(world.host.started[0]);
    world.scheduler.run_ready();
    world.host.exit(world.host.started[0]);  // a second exit of the same process
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
}

// --- a launcher that does not answer -------------------------------------------------------------

TEST_CASE("while the launcher does not answer, hunts without a worker are rejected at once") {
  World world(none_warm);
  world.host.user->on_launcher(false);
  CHECK(start_failure(world) == start_failure_silent);
  start(hunt(world, "a"));
  world.scheduler.run_ready();
  CHECK(world.log == std::vector<std::string>{"a not started"});
  CHECK(world.host.started.empty());
  CHECK(world.pool.live() == 0);

  world.host.user->on_launcher(true);
  CHECK(start_failure(world) == 0);
  start(hunt(world, "b"));
  CHECK(world.host.started.size() == 1);
  end_all(world);
}

TEST_CASE("an idle worker takes a job although the launcher does not answer") {
  World world(four_warm);
  world.pool.use(four_warm, -1);
  std::set<uint32_t> up;
  report_started(world, up);
  REQUIRE(up.size() == 4);
  world.host.user->on_launcher(false);
  start(hunt(world, "a"));
  CHECK(world.host.sent.size() == 1);
  size_t const idle = world.host.idle.size();
  send_outcome(world, world.host.sent[0].first);
  CHECK(world.log == std::vector<std::string>{"a frame"});
  world.host.exit(world.host.sent[0].first);
  CHECK(world.host.idle.size() == idle);  // no other is started
  world.host.user->on_launcher(true);
  CHECK(world.host.idle.size() == idle + 1);
  end_all(world);
}

TEST_CASE("starts that fail are still known once the launcher replies again") {
  World world(none_warm);
  world.pool.use(none_warm, -1);
  uint64_t now = 0;
  for (; start_failure(world) == 0 && now < 10'000 * ms; now += ms) {
    tick(world, now);
    if (world.host.alive.empty()) start(hunt(world, "a"));
    for (uint32_t slot : std::set<uint32_t>(world.host.alive)) world.host.exit(slot, EAGAIN);
    world.scheduler.run_ready();
  }
  REQUIRE(start_failure(world) == EAGAIN);
  world.host.user->on_launcher(false);
  CHECK(start_failure(world) == start_failure_silent);
  size_t const idle = world.host.idle.size();
  for (uint64_t end = now + 5'000 * ms; now < end; now += ms) tick(world, now);
  CHECK(world.host.idle.size() == idle);
  world.host.user->on_launcher(true);
  CHECK(start_failure(world) == EAGAIN);
  end_all(world);
}
