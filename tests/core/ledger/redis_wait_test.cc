// SPDX-License-Identifier: Apache-2.0
// redis.wait_replicas: which replies wait for replicas, and what a WAIT that was too short does.
#include "fake_redis.h"

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>

#include <deque>
#include <optional>

using namespace huntd;
using namespace huntd::server;
using Copies = RedisLink::Copies;

namespace {

// A primary: how many of its replicas receive its writes, and how many of them have what was written when it is asked.
struct Primary {
  int connected = 2;
  std::string acknowledged = ":2\r\n";
  std::vector<Words> commands;
  std::string get = bulk("stored");
  bool waits = false;       // no replica replies: a WAIT, and all behind it, has no reply yet
  std::string replies_due;  // then
  FakeServer server{[this](const Words& words) {
    commands.push_back(words);
    bool const is_wait = words[0] == "WAIT" && words[1] != "0";
    if (!waits || (!is_wait && replies_due.empty())) return reply_to(words);
    replies_due += reply_to(words);
    return std::string();
  }};

  std::string reply_to(const Words& words) const {
    if (words[0] == "WAIT") return words[1] == "0" ? std::string(":0\r\n") : acknowledged;
    if (words[0] == "GET") return get;
    if (words[0] != "INFO") return reply_of_redis(words);
    std::string info = "run_id:1\r\nrole:master\r\nmaxmemory_policy:noeviction\r\n";
    info += "connected_slaves:3\r\n";
    for (int i = 0; i < 3; ++i) {
      std::string const state = i < connected ? "online" : "wait_bgsave";
      info += "slave" + std::to_string(i) + ":ip=10.0.0.1,port=1,state=" + state + ",lag=0\r\n";
    }
    return bulk(info);
  }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const Words& each : commands) names.push_back(each[0]);
    return names;
  }
};

// As long as a LinkWorld, which is never destroyed.
template <class T>
T& lasting() {
  static auto& all = *new std::deque<T>;
  return all.emplace_back();
}

LinkWorld& make_world(Primary& primary, uint32_t replicas = 1) {
  LinkWorld& world = make_link_world();
  world.network.servers["127.0.0.1:1"] = &primary.server;
  RedisLink::Options options;
  options.servers.addresses = {{false, "127.0.0.1", 1}};
  options.wait_replicas = replicas;
  options.wait_ms = 50;
  world.start(std::move(options));
  primary.commands.clear();
  return world;
}

struct Reply {
  std::optional<RedisReply> reply;
  bool lost() const { return reply.has_value() && reply->lost(); }
  bool few() const { return reply.has_value() && reply->few_copies(); }
  std::string text() const { return reply ? std::string(reply->text()) : "none"; }
};

Task<> get(RedisLink& link, Reply& into, Copies copies) {
  PoolVector<std::string_view> words{"GET", "key"};
  into.reply = co_await link.command(std::move(words), never_ns, copies);
}

Reply& ask(LinkWorld& world, Copies copies) {
  Reply& reply = lasting<Reply>();
  start(get(*world.link, reply, copies));
  return reply;
}

}  // namespace

TEST_CASE("one WAIT stands behind the commands of a tick, if one of them asks for it") {
  Primary& primary = lasting<Primary>();
  LinkWorld& world = make_world(primary);
  Reply& first = ask(world, Copies::replicas);
  Reply& second = ask(world, Copies::primary);
  Reply& third = ask(world, Copies::replicas);
  world.settle();
  CHECK(primary.names() == std::vector<std::string>{"GET", "GET", "GET", "WAIT", "ECHO"});
  CHECK(primary.commands[3] == Words{"WAIT", "1", "50"});
  for (Reply* each : {&first, &second, &third}) CHECK(each->text() == "stored");

  primary.commands.clear();
  CHECK(ask(world, Copies::primary).text() == "none");
  world.settle();
  CHECK(primary.names() == std::vector<std::string>{"GET", "ECHO"});
}

TEST_CASE("without redis.wait_replicas nothing waits") {
  Primary& primary = lasting<Primary>();
  LinkWorld& world = make_world(primary, 0);
  Reply& reply = ask(world, Copies::replicas);
  world.settle();
  CHECK(reply.text() == "stored");
  CHECK(primary.names() == std::vector<std::string>{"GET", "ECHO"});
}

TEST_CASE("a reply knows that too few replicas have its data, also that of an error") {
  for (const char* acknowledged : {":1\r\n", "-ERR unknown command\r\n", "+OK\r\n"}) {
    Primary& primary = lasting<Primary>();
    LinkWorld& world = make_world(primary, 2);
    primary.acknowledged = acknowledged;
    Reply& waits = ask(world, Copies::replicas);
    Reply& does_not = ask(world, Copies::primary);
    world.settle();
    CHECK(waits.few());
    CHECK(waits.text() == "stored");
    CHECK_FALSE(does_not.few());
    CHECK(world.link->up());
    primary.get = "-OOM\r\n";
    Reply& error = ask(world, Copies::replicas);
    world.settle();
    CHECK(error.few());
    CHECK(error.text() == "OOM");
    primary.acknowledged = ":2\r\n";
    Reply& later = ask(world, Copies::replicas);
    world.settle();
    CHECK_FALSE(later.few());
  }
}

TEST_CASE("what comes during a WAIT shares the next one") {
  Primary& primary = lasting<Primary>();
  LinkWorld& world = make_world(primary);
  primary.waits = true;
  Reply& first = ask(world, Copies::replicas);
  world.settle();
  std::vector<Reply*> later;
  for (int tick = 0; tick < 5; ++tick) {
    later.push_back(&ask(world, Copies::replicas));
    world.pass(ns_per_ms);
  }
  CHECK(primary.names() == std::vector<std::string>{"GET", "WAIT", "ECHO"});
  CHECK(first.text() == "none");

  primary.waits = false;
  primary.commands.clear();
  world.network.streams.back()->receive(std::exchange(primary.replies_due, ""));
  world.settle();
  CHECK(first.text() == "stored");
  CHECK(primary.names() ==
        std::vector<std::string>{"GET", "GET", "GET", "GET", "GET", "WAIT", "ECHO"});
  for (Reply* each : later) CHECK(each->text() == "stored");
}

TEST_CASE("what waits for no replica goes on during a WAIT") {
  Primary& primary = lasting<Primary>();
  LinkWorld& world = make_world(primary);
  primary.waits = true;
  ask(world, Copies::replicas);
  world.settle();
  ask(world, Copies::primary);
  world.settle();
  CHECK(primary.names() == std::vector<std::string>{"GET", "WAIT", "ECHO", "GET", "ECHO"});
}

TEST_CASE("a primary with too few replicas is not suitable, and is again when they are back") {
  Primary& primary = lasting<Primary>();
  primary.connected = 0;
  LinkWorld& world = make_world(primary);
  CHECK(world.link->up());
  CHECK_FALSE(world.link->suitable());
  CHECK(world.reason() == "Redis has 0 of the 1 replicas in redis.wait_replicas");
  primary.connected = 1;
  world.pass(limits::redis_check_unsuitable_ns);
  CHECK(world.link->suitable());

  primary.connected = 0;
  primary.acknowledged = ":0\r\n";
  Reply& reply = ask(world, Copies::replicas);
  world.settle();
  CHECK(reply.few());
  world.pass(limits::redis_check_suspected_ns);
  CHECK_FALSE(world.link->suitable());
}

TEST_CASE("a connection that ends takes its WAIT with it") {
  Primary& primary = lasting<Primary>();
  LinkWorld& world = make_world(primary);
  world.pass(ns_per_s);  // the connection has settled, so it is replaced without a pause
  Reply& reply = ask(world, Copies::replicas);
  world.network.streams.back()->end();
  world.settle();
  CHECK(reply.lost());
  CHECK(world.link->suitable());
  for (const Words& each : primary.commands) CHECK(each != Words{"WAIT", "1", "50"});
  primary.commands.clear();
  Reply& later = ask(world, Copies::primary);
  world.settle();
  CHECK(later.text() == "stored");
  CHECK(primary.names() == std::vector<std::string>{"GET", "ECHO"});
}
