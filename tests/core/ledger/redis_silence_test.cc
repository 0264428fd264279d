// SPDX-License-Identifier: Apache-2.0
// When RedisLink gives up a server that says nothing: a Redis that replies only if the test says
// so, in the time of a scheduler of its own.
#include "core/ledger/redis_link.h"

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>
#include <hiredis/hiredis.h>

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

struct NoNames final : Resolver {
  void resolve(const Address& name, ResolveUser& user) override {}
  void give_up() override {}
};

struct NoFiles final : SecretFiles {
  void read(const std::string& path, const char* key, SecretUser& user) override {}
  void give_up() override {}
};

std::string bulk(std::string_view text) {
  return "$" + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n";
}

// A primary on which each script and each check succeeds. Its replies wait in `unread`, as in a
// socket, until read_all().
struct FakeRedis final : Stream, Network {
  FakeRedis() : reader(redisReaderCreate()) {}
  ~FakeRedis() override { redisReaderFree(reader); }

  void set_user(StreamUser& of) override { user = &of; }
  void read() override {}
  void pause() override {}
  void send(std::string& bytes) override {
    redisReaderFeed(reader, bytes.data(), bytes.size());
    bytes.clear();
    void* parsed = nullptr;
    while (redisReaderGetReply(reader, &parsed) == REDIS_OK && parsed != nullptr) {
      auto* command = static_cast<redisReply*>(parsed);
      unread += reply_to(*command);
      freeReplyObject(command);
    }
  }
  bool sending() const override { return false; }
  void release() override {}
  void finish_sending() override {}
  void close() override { user = nullptr; }

  static std::string reply_to(const redisReply& command) {
    std::string_view const name = command.element[0]->str;
    if (name == "ECHO") return bulk(command.element[1]->str);
    if (name == "SCRIPT") return bulk(std::string(40, 'a'));
    if (name == "EVALSHA") return "*0\r\n";
    return bulk("# Server\r\nrun_id:1\r\nrole:master\r\nmaxmemory_policy:noeviction\r\n");
  }

  void connect(const Address& address, ConnectUser& by) override {
    ++connects;
    by.on_connected(StreamPtr(this));
  }
  void start_accepting(AcceptUser& by, bool with_addresses) override {}
  void stop_accepting() override {}
  StreamPtr adopt(int descriptor) override { return nullptr; }

  void read_all() {
    std::string const bytes = std::exchange(unread, "");
    if (user != nullptr && !bytes.empty()) user->on_bytes(bytes);
  }

  redisReader* reader;
  StreamUser* user = nullptr;
  std::string unread;
  int connects = 0;
};

constexpr uint64_t tick_ns = 250 * ns_per_ms;  // of an idle core

// Never destroyed: the link's coroutine does not end.
struct World {
  World() {
    scheduler.set_now(now_ns);
    start(link.run());
    for (int i = 0; i < 20 && !link.suitable(); ++i) tick(now_ns + ns_per_ms);
    REQUIRE(link.suitable());
  }
  // As a core's tick: what has arrived is read first.
  void tick(uint64_t at_ns) {
    now_ns = at_ns;
    scheduler.set_now(now_ns);
    if (server_replies) redis.read_all();
    step();
  }
  void step() {
    scheduler.expire(now_ns);
    scheduler.run_ready();
    link.flush(RedisLink::Leave::now);
  }
  static RedisLink::Options options() {
    RedisLink::Options options;
    options.servers.addresses = {{false, "127.0.0.1", 1}};
    return options;
  }
  Task<> send_echo() {
    PoolVector<std::string_view> words{"ECHO", "x"};
    RedisReply const reply = co_await link.command(std::move(words), never_ns);
    replies.push_back(reply.lost() ? "lost" : std::string(reply.text()));
  }

  uint64_t now_ns = 1000 * ns_per_s;
  bool server_replies = true;
  Scheduler scheduler;
  Time time;
  NoNames names;
  NoFiles files;
  FakeRedis redis;
  std::unique_ptr<CoreMetrics> metrics = std::make_unique<CoreMetrics>();
  RedisLink link{{redis, names, files, scheduler, time, *metrics}, options()};
  std::vector<std::string> replies;
};

World& make_world() {
  static auto& all = *new std::vector<World*>;
  return *all.emplace_back(new World);
}

}  // namespace

TEST_CASE("a server that says nothing while the core runs is given up after the silence") {
  World& world = make_world();
  world.server_replies = false;
  start(world.send_echo());
  world.step();
  uint64_t const sent_at_ns = world.now_ns;
  while (world.replies.empty()) world.tick(world.now_ns + tick_ns);
  CHECK(world.replies.front() == "lost");
  CHECK(world.now_ns - sent_at_ns >= limits::redis_silence_max_ns);
  CHECK(world.now_ns - sent_at_ns <= limits::redis_silence_max_ns + 2 * tick_ns);
  CHECK_FALSE(world.link.up());
}

TEST_CASE("a core that was stopped does not take its Redis for silent") {
  for (uint64_t stopped_s : {5, 6, 60, 3600}) {
    World& world = make_world();
    start(world.send_echo());
    world.step();
    // It is stopped in the middle of a tick: what has arrived meanwhile is read in the next one.
    world.now_ns += stopped_s * ns_per_s;
    world.scheduler.set_now(world.now_ns);
    world.step();
    CHECK(world.replies.empty());
    world.tick(world.now_ns + ns_per_ms);
    CHECK(world.replies == std::vector<std::string>{"x"});
    CHECK(world.link.suitable());
    CHECK(world.redis.connects == 1);
  }
}

TEST_CASE("several stops of a core do not add up to a silence") {
  World& world = make_world();
  world.server_replies = false;
  start(world.send_echo());
  world.step();
  for (int i = 0; i < 9; ++i) world.tick(world.now_ns + 60 * ns_per_s);
  CHECK(world.link.up());
  world.server_replies = true;
  world.tick(world.now_ns + tick_ns);
  CHECK(world.replies == std::vector<std::string>{"x"});
}
