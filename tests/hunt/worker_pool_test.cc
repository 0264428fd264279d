#include "hunt/worker_pool.h"

#include <doctest/doctest.h>
#include <signal.h>

#include <set>
#include <string>
#include <vector>

#include "stats/shared_region.h"

using namespace huntd;

namespace {

// A host whose workers do what the test says.
struct FakeHost final : WorkerHost {
  void set_user(WorkerUser& its_user) override { user = &its_user; }
  void start(uint32_t place, std::string_view hunter_id, std::string_view) override {
    started.push_back(place);
    alive.insert(place);
    hunters.emplace_back(hunter_id);
  }
  void start_spare(uint32_t place) override {
    spares.push_back(place);
    alive.insert(place);
  }
  void send(uint32_t place, std::string_view frame) override { sent.emplace_back(place, frame); }
  void kill(uint32_t place) override { killed.insert(place); }
  void dismiss(uint32_t place) override { dismissed.insert(place); }
  void retire(uint32_t place) override { retired.insert(place); }
  void use_bundle(int, Birth) override {}
  void exit(uint32_t place, int spawn_errno = 0, int status = 0) {
    alive.erase(place);
    user->on_worker_exit(place, spawn_errno, status);
  }
  WorkerUser* user = nullptr;
  std::vector<uint32_t> started, spares;
  std::vector<std::string> hunters;
  std::set<uint32_t> alive, killed, dismissed, retired;
  std::vector<std::pair<uint32_t, std::string>> sent;
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
  uint64_t patience_ns = 1'000'000'000;
  Slot<Signal>* commit = nullptr;  // what a hunt waits for after its run, if for anything
};

constexpr uint64_t ms = 1'000'000;
constexpr WorkerLimits two_at_a_time{.deadline_ms = 50, .max_live = 2, .queue_max = 2};
// A worker serves three hunts.
constexpr WorkerLimits batch{.deadline_ms = 50,
                             .max_live = 2,
                             .queue_max = 2,
                             .isolation = Isolation::batch,
                             .hunts_per_worker = 3,
                             .idle_ms = 1000};

const char* name_of(WorkerSaid::What what) {
  switch (what) {
    case WorkerSaid::What::frame:
      return "frame";
    case WorkerSaid::What::died:
      return "died";
    case WorkerSaid::What::deadline:
      return "deadline";
    case WorkerSaid::What::not_started:
      return "not started";
    case WorkerSaid::What::talks_too_much:
      return "talks too much";
  }
  return "";
}

// Runs one worker until its first word that is not "again"; says done() where it was a frame.
Task<> hunt(World& world, std::string name) {
  WorkerPool::Admission admission = co_await world.pool.admit();
  if (admission.refusal == WorkerPool::Refusal::queue_full)
    world.log.push_back(name + " queue full");
  if (admission.refusal == WorkerPool::Refusal::queue_deadline)
    world.log.push_back(name + " queue deadline");
  if (admission.refusal == WorkerPool::Refusal::queue_stands)
    world.log.push_back(name + " queue stands");
  if (!admission.run) co_return;
  WorkerPool::Run run = std::move(*admission.run);
  run.begin("hunt", name, "job");
  for (;;) {
    WorkerSaid const said = co_await run.next(world.patience_ns);
    if (said.what == WorkerSaid::What::frame && said.frame == "ask") {
      run.answer("answer");
      continue;
    }
    world.log.push_back(name + " " + name_of(said.what));
    if (said.what == WorkerSaid::What::frame) run.done();
    if (world.commit != nullptr) co_await world.commit->wait(1'000'000 * ms);
    co_return;
  }
}

void say_outcome(World& world, uint32_t place) {
  world.host.user->on_worker_frame(place, "outcome");
  world.scheduler.run_ready();
}

void tick(World& world, uint64_t now_ns) {
  world.scheduler.expire(now_ns);
  world.scheduler.run_ready();
}

}  // namespace

TEST_CASE("at most max_live workers run; the queue holds the next; more is refused at once") {
  World world(two_at_a_time);
  for (const char* name : {"a", "b", "c", "d", "e"}) start(hunt(world, name));
  CHECK(world.host.started.size() == 2);
  CHECK(world.log == std::vector<std::string>{"e queue full"});
  CHECK(world.pool.live() == 2);
  say_outcome(world, world.host.started[0]);
  CHECK(world.log.back() == "a frame");
  CHECK(world.host.started.size() == 2);  // the outcome is in, the process is not gone yet
  world.host.exit(world.host.started[0]);
  world.scheduler.run_ready();
  CHECK(world.host.hunters.back() == "c");
  for (int i = 0; i < 3; ++i) {
    uint32_t const place = *world.host.alive.begin();
    world.host.user->on_worker_frame(place, "outcome");
    world.host.exit(place);
    world.scheduler.run_ready();
  }
  CHECK(world.pool.live() == 0);
  CHECK(world.host.killed.empty());
}

TEST_CASE("who waits in the queue past its deadline is refused") {
  World world(two_at_a_time);
  for (const char* name : {"a", "b", "c"}) start(hunt(world, name));
  tick(world, 99 * ms);
  CHECK(world.log.empty());
  tick(world, 100 * ms);
  CHECK(world.log == std::vector<std::string>{"c queue deadline"});
  for (uint32_t place : std::set<uint32_t>(world.host.alive)) world.host.exit(place);
  world.scheduler.run_ready();
  CHECK(world.host.started.size() == 2);
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a hunt whose commit is on its way counts among those in flight, and the next waits") {
  WorkerLimits limits = batch;
  limits.hunts_in_flight_max = 1;
  World world(limits);
  Slot<Signal> commit(world.scheduler);
  world.commit = &commit;
  start(hunt(world, "a"));
  start(hunt(world, "b"));
  CHECK(world.host.sent.size() == 1);
  say_outcome(world, world.host.spares[0]);
  CHECK(world.log == std::vector<std::string>{"a frame"});
  CHECK(world.host.sent.size() == 1);  // its worker is free, its commit is not done
  commit.set({});
  world.scheduler.run_ready();
  CHECK(world.host.sent.size() == 2);
  say_outcome(world, world.host.spares[0]);
  commit.set({});
  world.scheduler.run_ready();
  world.pool.drain();
  world.host.exit(world.host.spares[0]);
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a burst waits as long as the queue's deadline; a queue that stands refuses what comes") {
  WorkerLimits limits = two_at_a_time;
  limits.max_live = 1;
  limits.queue_max = 100;
  limits.queue_target_ms = 20;
  limits.queue_deadline_ms = 5000;
  limits.deadline_ms = 5000;
  World world(limits);
  world.patience_ns = never_ns;
  // One ends its run every 50 ms, and more than that come at first: the queue never empties.
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g", "h"}) start(hunt(world, name));
  uint64_t now = 0;
  auto finish_one = [&world, &now] {
    tick(world, now += 50 * ms);
    uint32_t const place = *world.host.alive.begin();
    world.host.user->on_worker_frame(place, "outcome");
    world.host.exit(place);
    world.scheduler.run_ready();
  };
  for (int i = 0; i < 4; ++i) finish_one();
  start(hunt(world, "burst"));
  CHECK(world.log.size() == 4);  // f has waited for 200 ms, and nobody is refused
  for (int i = 0; i < 3; ++i) finish_one();
  for (const char* name : {"i", "j", "k"}) start(hunt(world, name));
  for (int i = 0; i < 2; ++i) finish_one();
  tick(world, now += 50 * ms);
  CHECK(world.log.size() == 9);
  start(hunt(world, "late"));  // 500 ms after the queue was empty; "j" has waited for 150
  CHECK(world.log.back() == "late queue stands");
  while (!world.host.alive.empty()) finish_one();
  CHECK(world.log.back() == "k frame");
  // Refusing has emptied it; that alone does not make the next ones a burst.
  for (const char* name : {"l", "m", "n"}) start(hunt(world, name));
  finish_one();
  CHECK(world.log[world.log.size() - 3] == "n queue stands");  // nobody was served of late: one may
  CHECK(world.log[world.log.size() - 2] == "m queue deadline");  // wait, and the target is its
  CHECK(world.log.back() == "l frame");
  while (!world.host.alive.empty()) finish_one();
  for (int i = 0; i < 10; ++i) tick(world, now += 50 * ms);
  for (const char* name : {"o", "p", "q"}) start(hunt(world, name));
  finish_one();
  start(hunt(world, "after"));  // half a second later it is one again
  CHECK(world.log.back() == "o frame");
  while (!world.host.alive.empty()) finish_one();
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a worker past its deadline is killed, and its caller hears so once it is gone") {
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

TEST_CASE("a worker that has said its outcome and stays is killed at the same deadline") {
  World world(two_at_a_time);
  start(hunt(world, "a"));
  uint32_t const place = world.host.started[0];
  world.host.user->on_worker_started(place, 0);
  say_outcome(world, place);
  CHECK(world.log == std::vector<std::string>{"a frame"});
  CHECK(world.host.dismissed.count(place) == 1);
  tick(world, 50 * ms);
  CHECK(world.host.killed.count(place) == 1);
  world.host.exit(place);
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a worker that dies, or never comes, is told apart") {
  World world(two_at_a_time);
  start(hunt(world, "a"));
  start(hunt(world, "b"));
  world.host.exit(world.host.started[0], 0, SIGSEGV);
  world.host.exit(world.host.started[1], EAGAIN, 0);
  world.scheduler.run_ready();
  CHECK(world.log == std::vector<std::string>{"a died", "b not started"});
}

TEST_CASE("questions are answered and frames that came before the end are heard first") {
  World world(two_at_a_time);
  start(hunt(world, "a"));
  uint32_t const place = world.host.started[0];
  world.host.user->on_worker_frame(place, "ask");
  world.scheduler.run_ready();
  CHECK(world.host.sent == std::vector<std::pair<uint32_t, std::string>>{{place, "answer"}});
  world.host.user->on_worker_frame(place, "outcome");
  world.host.exit(place);
  world.scheduler.run_ready();
  CHECK(world.log == std::vector<std::string>{"a frame"});
  CHECK(world.pool.live() == 0);
}

TEST_CASE("fewer places after a reload hold from the next admission on") {
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

TEST_CASE("a worker that floods its core with frames is killed, and few of them are kept") {
  World world(two_at_a_time);
  start(hunt(world, "a"));
  uint32_t const place = world.host.started[0];
  for (int i = 0; i < 100; ++i) world.host.user->on_worker_frame(place, "ask");
  CHECK(world.host.killed.count(place) == 1);
  world.scheduler.run_ready();
  CHECK(world.host.sent.size() <= 4);
  world.host.exit(place, 0, SIGKILL);
  world.scheduler.run_ready();
  CHECK(world.log == std::vector<std::string>{"a talks too much"});
}

TEST_CASE("in a batch one worker serves hunt after hunt, and ends after the last that it may") {
  World world(batch);
  for (const char* name : {"a", "b", "c"}) {
    start(hunt(world, name));
    CHECK(world.host.sent.size() == static_cast<size_t>(name[0] - 'a') + 1);
    say_outcome(world, world.host.spares[0]);
  }
  CHECK(world.log == std::vector<std::string>{"a frame", "b frame", "c frame"});
  CHECK(world.host.spares.size() == 1);
  CHECK(world.host.started.empty());
  CHECK(world.host.dismissed == std::set<uint32_t>{world.host.spares[0]});
  CHECK(world.pool.live() == 1);
  world.host.exit(world.host.spares[0]);
  CHECK(world.pool.live() == 0);
}

TEST_CASE("in a batch each hunt has a deadline of its own, and the next gets another worker") {
  World world(batch);
  start(hunt(world, "a"));
  uint32_t const first = world.host.spares[0];
  world.host.user->on_worker_started(first, 0);
  tick(world, 40 * ms);
  say_outcome(world, first);
  tick(world, 60 * ms);
  CHECK(world.host.killed.empty());  // it waits: no hunt, no deadline
  start(hunt(world, "b"));
  tick(world, 109 * ms);
  CHECK(world.host.killed.empty());
  tick(world, 110 * ms);
  CHECK(world.host.killed == std::set<uint32_t>{first});
  world.host.exit(first, 0, SIGKILL);
  world.scheduler.run_ready();
  CHECK(world.log.back() == "b deadline");
  start(hunt(world, "c"));
  CHECK(world.host.spares.size() == 2);
  world.host.exit(world.host.spares[1]);
  world.scheduler.run_ready();
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a worker that nobody asks goes after idle_ms, and the pool falls to zero") {
  World world(batch);
  start(hunt(world, "a"));
  uint32_t const place = world.host.spares[0];
  say_outcome(world, place);
  tick(world, 999 * ms);
  CHECK(world.host.retired.empty());
  tick(world, 1000 * ms);
  CHECK(world.host.retired == std::set<uint32_t>{place});
  world.host.exit(place);
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a swap retires workers that wait at once, and those that run after their hunt") {
  World world(batch);
  start(hunt(world, "a"));
  start(hunt(world, "b"));
  uint32_t const waits = world.host.spares[0];
  uint32_t const runs = world.host.spares[1];
  say_outcome(world, waits);
  world.pool.use(batch, -1);
  CHECK(world.host.retired == std::set<uint32_t>{waits});
  say_outcome(world, runs);
  CHECK(world.host.retired == std::set<uint32_t>{waits, runs});
  world.host.exit(waits);
  world.host.exit(runs);
  CHECK(world.pool.live() == 0);
}

TEST_CASE("warm spares are there before the first hunt, take the jobs, and are replaced") {
  WorkerLimits limits = two_at_a_time;
  limits.warm = 1;
  World world(limits);
  world.pool.use(limits, -1);
  CHECK(world.host.spares.size() == 1);
  uint32_t const spare = world.host.spares[0];
  start(hunt(world, "a"));
  CHECK(world.host.started.empty());
  CHECK(world.host.sent == std::vector<std::pair<uint32_t, std::string>>{{spare, "job"}});
  CHECK(world.host.spares.size() == 2);
  say_outcome(world, spare);
  CHECK(world.log == std::vector<std::string>{"a frame"});
  CHECK(world.host.dismissed.count(spare) == 1);  // a process a hunt, spare or not
  world.host.exit(spare);
  tick(world, 60'000 * ms);
  CHECK(world.host.retired.empty());  // warm ones stay however long nobody asks
  world.pool.drain();
  CHECK(world.host.retired.size() == 1);
  world.host.exit(*world.host.retired.begin());
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a spare that speaks without a job is killed and given no job") {
  World world(batch);
  start(hunt(world, "a"));
  uint32_t const place = world.host.spares[0];
  say_outcome(world, place);
  world.host.user->on_worker_frame(place, "outcome");
  CHECK(world.host.killed == std::set<uint32_t>{place});
  start(hunt(world, "b"));
  CHECK(world.host.spares.size() == 2);
  world.host.exit(place);
  world.host.exit(world.host.spares[1]);
  world.scheduler.run_ready();
  CHECK(world.pool.live() == 0);
}

TEST_CASE("a spare that died is not asked; the run that held it gets another") {
  WorkerLimits limits = batch;
  limits.warm = 1;
  World world(limits);
  world.pool.use(limits, -1);
  world.host.exit(world.host.spares[0]);
  CHECK(world.host.spares.size() == 2);  // replaced
  start(hunt(world, "a"));
  CHECK(world.host.sent.back().first == world.host.spares[1]);
  world.host.exit(world.host.spares[1]);
  world.scheduler.run_ready();
  CHECK(world.log == std::vector<std::string>{"a died"});
  world.pool.drain();
  for (uint32_t place : std::set<uint32_t>(world.host.alive)) world.host.exit(place);
  CHECK(world.pool.live() == 0);
}

TEST_CASE(
    "a worker that never comes is waited for until the caller's deadline, and its place stays "
    "taken") {
  World world(two_at_a_time);
  start(hunt(world, "a"));
  tick(world, 999 * ms);
  CHECK(world.log.empty());
  tick(world, 1000 * ms);
  CHECK(world.log == std::vector<std::string>{"a deadline"});
  CHECK(world.host.killed.size() == 1);
  CHECK(world.pool.live() == 1);
  world.host.exit(world.host.started[0]);
  CHECK(world.pool.live() == 0);
}
