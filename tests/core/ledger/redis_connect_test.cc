// SPDX-License-Identifier: Apache-2.0
// How RedisLink finds an address: a resolver and a network that do what the test says, in the time
// of a scheduler of its own. No connection succeeds.
#include "core/ledger/redis_link.h"

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/limits.h"

using namespace huntd;
using namespace huntd::server;

namespace {

struct Time final : Clock {
  uint64_t now_ns() override { return 0; }
  int64_t wall_ms() override { return 0; }
  uint64_t random() override { return 0; }
};

// Answers each look-up with the next of `answers`; none: it is silent.
struct Names final : Resolver {
  using Found = Result<std::vector<Address>>;
  void resolve(const Address& name, ResolveUser& user) override {
    ++asked;
    waits = true;
    if (answers.empty()) return;
    Found next = std::move(answers.front());
    answers.pop_front();
    waits = false;
    user.on_resolved(std::move(next));
  }
  void give_up() override {
    waits = false;
    ++given_up;
  }
  std::deque<Found> answers;
  int asked = 0;
  int given_up = 0;
  bool waits = false;
};

struct NoFiles final : SecretFiles {
  void read(const std::string& path, const char* key, SecretUser& user) override {}
  void give_up() override {}
};

// Nothing listens at any address.
struct Closed final : Network {
  void connect(const Address& address, ConnectUser& user) override {
    tried.push_back(address_text(address));
    user.on_connected(Error{"connect: Connection refused"});
  }
  void start_accepting(AcceptUser& user, bool with_addresses) override {}
  void stop_accepting() override {}
  StreamPtr adopt(int descriptor) override { return nullptr; }
  std::vector<std::string> tried;
};

// Never destroyed: the link's coroutine does not end.
struct World {
  explicit World(const Address& address) {
    RedisLink::Options options;
    options.servers.addresses = {address};
    link = new RedisLink({network, names, files, scheduler, time, *metrics}, options);
    start(link->run());
    run_to(0);
  }
  void run_to(uint64_t ns) {
    scheduler.expire(ns);
    scheduler.run_ready();
  }
  std::string shown() { return metrics->redis_reason.get(); }

  Scheduler scheduler;
  Time time;
  Names names;
  NoFiles files;
  Closed network;
  std::unique_ptr<CoreMetrics> metrics = std::make_unique<CoreMetrics>();
  RedisLink* link = nullptr;
};

// Reachable until the end, so LeakSanitizer does not report it.
World& make_world(const Address& address) {
  static auto& all = *new std::vector<World*>;
  return *all.emplace_back(new World(address));
}

constexpr uint64_t first_pause_ns = limits::redis_backoff_first_ms * ns_per_ms;

}  // namespace

TEST_CASE("a numeric address is tried without a look-up") {
  World& world = make_world({false, "127.0.0.1", 1});
  CHECK(world.names.asked == 0);
  CHECK(world.network.tried == std::vector<std::string>{"127.0.0.1:1"});
  CHECK(world.shown() == "127.0.0.1:1: nothing listens there (connect: Connection refused)");
  CHECK(world.link->reason() == world.shown());
  world.run_to(first_pause_ns);
  CHECK(world.network.tried.size() == 2);
  CHECK(world.names.asked == 0);
}

TEST_CASE("a name is looked up at each connect, and each address is tried and named") {
  World& world = make_world({false, "redis.test", 1});
  CHECK(world.names.asked == 1);
  CHECK(world.network.tried.empty());
  CHECK(world.shown() == "redis.test is being looked up");
  world.names.answers.emplace_back(Error{"cannot resolve redis.test: there is no such name"});
  world.names.answers.emplace_back(
      std::vector<Address>{{false, "10.0.0.1", 1}, {false, "fd00::1", 1}});
  // The first look-up is silent.
  world.run_to(limits::resolve_wait_ns);
  CHECK(world.names.given_up == 1);
  CHECK(world.shown() == "cannot resolve redis.test: no reply within 5 s");
  world.run_to(limits::resolve_wait_ns + first_pause_ns);
  CHECK(world.names.asked == 2);
  CHECK(world.shown() == "cannot resolve redis.test: there is no such name");
  CHECK(world.network.tried.empty());
  world.run_to(limits::resolve_wait_ns + 10 * first_pause_ns);
  CHECK(world.names.asked == 3);
  CHECK(world.network.tried == std::vector<std::string>{"10.0.0.1:1", "[fd00::1]:1"});
  std::string const why = ": nothing listens there (connect: Connection refused)";
  CHECK(world.shown() == "redis.test is 10.0.0.1:1" + why + "; [fd00::1]:1" + why);
  CHECK(world.names.given_up == 1);
}
