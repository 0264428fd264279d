// SPDX-License-Identifier: Apache-2.0
// As whom RedisLink logs in, and when it reads the password file again.
#include "core/ledger/connect_limits.h"
#include "fake_redis.h"

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>

using namespace huntd;
using namespace huntd::server;

namespace {

constexpr const char* file = "/password";

// A Redis with one user.
struct Redis {
  std::string user = "huntd";
  std::string password = "first";
  Words last;  // AUTH
  FakeServer server{[this](const Words& words) {
    if (words[0] != "AUTH") return reply_of_redis(words);
    last = words;
    bool const right = words == Words{"AUTH", user, password};
    return std::string(right ? "+OK\r\n" : "-WRONGPASS invalid username-password pair\r\n");
  }};
};

LinkWorld& make_world(Redis& redis) {
  LinkWorld& world = make_link_world();
  world.network.servers["127.0.0.1:1"] = &redis.server;
  world.files.content[file] = "first";
  RedisLink::Options options;
  options.servers.addresses = {{false, "127.0.0.1", 1}};
  options.logins.redis = {"huntd", file, "first"};
  world.start(std::move(options));
  return world;
}

void end_connection(LinkWorld& world) {
  world.network.streams.back()->end();
  world.settle();
}

}  // namespace

TEST_CASE("the user and the password are those of the login") {
  Redis& redis = *new Redis;
  LinkWorld& world = make_world(redis);
  CHECK(world.link->suitable());
  CHECK(redis.last == Words{"AUTH", "huntd", "first"});
  CHECK(world.files.reads == 0);
}

TEST_CASE("a rejected password is read again and tried at once") {
  Redis& redis = *new Redis;
  LinkWorld& world = make_world(redis);
  redis.password = "second";
  world.files.content[file] = "second";
  world.pass(ns_per_s);  // the connection has settled, so it is replaced without a pause
  end_connection(world);
  CHECK(world.link->suitable());
  CHECK(world.files.reads == 1);
  CHECK(redis.server.connects == 3);
}

TEST_CASE("a rejected password that the file still has is tried with the back-off only") {
  Redis& redis = *new Redis;
  LinkWorld& world = make_world(redis);
  redis.password = "second";
  world.pass(ns_per_s);
  end_connection(world);
  CHECK_FALSE(world.link->up());
  CHECK(redis.server.connects == 2);
  CHECK(world.reason().find("wrong password: see redis.password_file") != std::string::npos);
  world.files.content[file] = "second";
  world.pass(limits::redis_backoff_first_ms * ns_per_ms);
  CHECK(world.link->suitable());
}

TEST_CASE("a password file that cannot be read is a part of the reason") {
  Redis& redis = *new Redis;
  LinkWorld& world = make_world(redis);
  redis.password = "second";
  world.files.content.clear();
  world.pass(ns_per_s);
  end_connection(world);
  CHECK(world.reason().find("wrong password") != std::string::npos);
  CHECK(world.reason().find("; redis.password_file: /password: No such file") != std::string::npos);
}

TEST_CASE("a password file that hangs is given up") {
  Redis& redis = *new Redis;
  LinkWorld& world = make_world(redis);
  redis.password = "second";
  world.files.hangs = true;
  world.pass(ns_per_s);
  end_connection(world);
  CHECK(world.files.given_up == 0);
  world.pass(limits::secret_wait_ns);
  CHECK(world.files.given_up == 1);
  CHECK(world.reason().find("; /password is not read within 5 s") != std::string::npos);
}

TEST_CASE("another login holds from the next connection on") {
  Redis& redis = *new Redis;
  LinkWorld& world = make_world(redis);
  world.link->use({{"later", "/other", "another"}, {}});
  world.pass(ns_per_s);
  CHECK(redis.server.connects == 1);
  CHECK(world.link->suitable());
  redis.user = "later";
  redis.password = "another";
  end_connection(world);
  CHECK(world.link->suitable());
  CHECK(redis.last == Words{"AUTH", "later", "another"});
  CHECK(world.files.reads == 0);
}
