// SPDX-License-Identifier: Apache-2.0
// Where RedisLink connects to, if there are several addresses or sentinels.
#include "core/ledger/connect_limits.h"
#include "fake_redis.h"

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>

using namespace huntd;
using namespace huntd::server;

namespace {

const std::string nil = "*-1\r\n";

std::string pair_of(const std::string& host, int port) {
  return "*2\r\n" + bulk(host) + bulk(std::to_string(port));
}

struct Redis {
  std::string role = "master";
  FakeServer server{[this](const Words& words) { return reply_of_redis(words, role); }};
};

// Replies `reply` to the question where the primary is.
struct Sentinel {
  std::string reply;
  std::string password;  // empty: no AUTH
  Words last;            // the question
  FakeServer server{[this](const Words& words) {
    if (words[0] != "AUTH") last = words;
    if (words[0] == "AUTH")
      return std::string(words.back() == password ? "+OK\r\n" : "-WRONGPASS wrong\r\n");
    return reply;
  }};
};

constexpr const char* password_file = "/sentinel";

// Servers at 127.0.0.1:1 and :2, and sentinels at :11, :12 and :13.
struct Hosts {
  Hosts() {
    for (int i = 0; i < 2; ++i) {
      redis.push_back(std::make_unique<Redis>());
      world.network.servers["127.0.0.1:" + std::to_string(1 + i)] = &redis.back()->server;
    }
    for (int i = 0; i < 3; ++i) {
      sentinels.push_back(std::make_unique<Sentinel>());
      sentinels.back()->reply = pair_of("127.0.0.1", 1);
      world.network.servers["127.0.0.1:" + std::to_string(11 + i)] = &sentinels.back()->server;
    }
  }
  void start_with_sentinels() {
    RedisLink::Options options;
    options.servers.primary = "game";
    for (uint16_t i = 0; i < 3; ++i)
      options.servers.sentinels.push_back({false, "127.0.0.1", static_cast<uint16_t>(11 + i)});
    if (!world.files.content.empty()) options.logins.sentinel = {"asker", password_file, "first"};
    world.start(std::move(options));
  }
  void start_with_addresses(std::vector<Address> addresses) {
    RedisLink::Options options;
    options.servers.addresses = std::move(addresses);
    world.start(std::move(options));
  }
  // The sentinels `first` to `last` name the second server.
  void name_second(size_t first, size_t last) {
    for (size_t i = first; i <= last; ++i) sentinels[i]->reply = pair_of("127.0.0.1", 2);
  }
  std::string connected_to() const { return world.metrics->redis_address.get(); }
  bool has(std::string_view words) { return world.reason().find(words) != std::string::npos; }

  LinkWorld& world = make_link_world();
  std::vector<std::unique_ptr<Redis>> redis;
  std::vector<std::unique_ptr<Sentinel>> sentinels;
  Sentinel silent;
};

// Never destroyed, as its link.
Hosts& make_hosts() {
  static auto& all = *new std::vector<Hosts*>;
  return *all.emplace_back(new Hosts);
}

}  // namespace

TEST_CASE("of several addresses the first is taken that is a primary") {
  Hosts& hosts = make_hosts();
  hosts.redis[0]->role = "slave";
  hosts.start_with_addresses(
      {{false, "127.0.0.1", 9}, {false, "127.0.0.1", 1}, {false, "127.0.0.1", 2}});
  CHECK(hosts.world.link->suitable());
  CHECK(hosts.connected_to() == "127.0.0.1:2");
  CHECK(hosts.world.network.tried ==
        std::vector<std::string>{"127.0.0.1:9", "127.0.0.1:1", "127.0.0.1:2"});
}

TEST_CASE("a name that is not resolved does not keep the next address from being tried") {
  Hosts& hosts = make_hosts();
  hosts.world.names.hosts["redis.test"] = {"127.0.0.1"};
  hosts.start_with_addresses({{false, "nowhere.test", 1}, {false, "redis.test", 9}});
  CHECK(hosts.world.reason() ==
        "cannot resolve nowhere.test: there is no such name; redis.test is 127.0.0.1:9: nothing "
        "listens there (connect: Connection refused)");
  hosts.world.names.hosts["nowhere.test"] = {"127.0.0.1"};
  hosts.world.pass(limits::redis_backoff_first_ms * ns_per_ms);
  CHECK(hosts.world.link->suitable());
}

TEST_CASE("the primary that a majority of the sentinels names is connected to") {
  Hosts& hosts = make_hosts();
  hosts.start_with_sentinels();
  CHECK(hosts.world.link->suitable());
  CHECK(hosts.connected_to() == "127.0.0.1:1");
  CHECK(hosts.sentinels[0]->last == Words{"SENTINEL", "get-master-addr-by-name", "game"});
  // Two of three are a majority.
  CHECK(hosts.sentinels[1]->server.connects == 1);
  CHECK(hosts.sentinels[2]->server.connects == 0);
  for (const auto& stream : hosts.world.network.streams)
    CHECK(stream->is_open() == (stream == hosts.world.network.streams.back()));
}

TEST_CASE("a name that a sentinel gives is looked up") {
  Hosts& hosts = make_hosts();
  hosts.world.names.hosts["redis-2.test"] = {"127.0.0.1"};
  for (const auto& sentinel : hosts.sentinels) sentinel->reply = pair_of("redis-2.test", 2);
  hosts.start_with_sentinels();
  CHECK(hosts.world.link->suitable());
  CHECK(hosts.connected_to() == "127.0.0.1:2");
}

TEST_CASE("a sentinel that does not reply, or does not know, is skipped") {
  Hosts& hosts = make_hosts();
  hosts.sentinels[0]->server.accepts = false;
  hosts.sentinels[1]->reply = nil;
  hosts.start_with_sentinels();
  CHECK_FALSE(hosts.world.link->up());
  hosts.world.pass(limits::server_call_wait_ns);
  CHECK(hosts.world.link->suitable());
  // The one that knew is asked first from now on.
  hosts.world.pass(ns_per_s);
  hosts.world.network.streams.back()->end();
  hosts.world.network.tried.clear();
  hosts.world.settle();
  CHECK(hosts.world.network.tried.at(0) == "127.0.0.1:13");
}

TEST_CASE("a sentinel that accepts and is silent is skipped") {
  Hosts& hosts = make_hosts();
  hosts.sentinels[0]->reply = "";
  hosts.start_with_sentinels();
  hosts.world.pass(limits::server_call_wait_ns);
  CHECK(hosts.world.link->suitable());
}

TEST_CASE("if no sentinel knows, the reason names each") {
  Hosts& hosts = make_hosts();
  hosts.sentinels[0]->reply = nil;
  hosts.sentinels[1]->reply = "-ERR unknown command 'SENTINEL'\r\n";
  hosts.world.network.servers.erase("127.0.0.1:13");
  hosts.start_with_sentinels();
  CHECK(hosts.world.reason() ==
        "sentinel 127.0.0.1:11: it knows no primary game (redis.sentinel_primary); sentinel "
        "127.0.0.1:12: this is not a sentinel (ERR unknown command 'SENTINEL'); sentinel "
        "127.0.0.1:13: nothing listens there (connect: Connection refused)");
  hosts.sentinels[0]->reply = pair_of("127.0.0.1", 1);
  hosts.world.pass(limits::redis_backoff_first_ms * ns_per_ms);
  CHECK(hosts.world.link->suitable());
}

TEST_CASE("a reply without an address is malformed") {
  Hosts& hosts = make_hosts();
  for (const auto& sentinel : hosts.sentinels) sentinel->reply = "*2\r\n$1\r\na\r\n$3\r\n99x\r\n";
  hosts.sentinels[1]->reply = ":7\r\n";
  hosts.sentinels[2]->reply = "HTTP/1.1 400\r\n";
  hosts.start_with_sentinels();
  CHECK(
      hosts.has("sentinel 127.0.0.1:11: malformed reply; sentinel 127.0.0.1:12: malformed reply;"));
  CHECK(hosts.has("sentinel 127.0.0.1:13: Protocol error"));
}

TEST_CASE("a primary that turns out to be a replica is asked for again") {
  Hosts& hosts = make_hosts();
  hosts.redis[0]->role = "slave";
  hosts.start_with_sentinels();
  CHECK(hosts.has("game: 127.0.0.1:1: the server is a replica"));
  hosts.name_second(1, 2);
  hosts.world.pass(limits::redis_backoff_first_ms * ns_per_ms);
  CHECK(hosts.world.link->suitable());
  CHECK(hosts.connected_to() == "127.0.0.1:2");
}

TEST_CASE("a stale sentinel that names a replica is outvoted") {
  Hosts& hosts = make_hosts();
  hosts.redis[0]->role = "slave";
  hosts.name_second(1, 2);
  hosts.start_with_sentinels();
  CHECK(hosts.world.link->suitable());
  CHECK(hosts.connected_to() == "127.0.0.1:2");
}

TEST_CASE("a stale sentinel that names a server that is down is outvoted") {
  Hosts& hosts = make_hosts();
  hosts.world.network.servers.erase("127.0.0.1:1");
  hosts.name_second(1, 2);
  hosts.start_with_sentinels();
  CHECK(hosts.world.link->suitable());
  CHECK(hosts.connected_to() == "127.0.0.1:2");
}

TEST_CASE("without a majority each server that was named is tried, and the reason has all") {
  Hosts& hosts = make_hosts();
  hosts.redis[0]->role = "slave";
  hosts.name_second(1, 1);
  hosts.sentinels[2]->reply = nil;
  hosts.start_with_sentinels();
  CHECK(hosts.world.link->suitable());
  CHECK(hosts.connected_to() == "127.0.0.1:2");
  // It stays: neither is named by two.
  uint64_t const connections = hosts.world.link->connections();
  for (int i = 0; i < 3; ++i) hosts.world.pass(limits::redis_check_ns);
  CHECK(hosts.world.link->connections() == connections);
  hosts.redis[1]->role = "slave";
  hosts.world.pass(limits::redis_check_ns);
  CHECK(hosts.has("127.0.0.1:1: the server is a replica"));
  CHECK(hosts.has("; 127.0.0.1:2: the server is a replica"));
  CHECK(hosts.has("; sentinel 127.0.0.1:13: it knows no primary game"));
}

TEST_CASE("a primary that is cut off with one sentinel is left") {
  Hosts& hosts = make_hosts();
  hosts.start_with_sentinels();
  hosts.name_second(1, 2);
  hosts.world.pass(limits::redis_check_ns);
  CHECK(hosts.world.link->connections() == 2);
  CHECK(hosts.connected_to() == "127.0.0.1:2");
  CHECK(hosts.world.link->suitable());
  hosts.world.pass(limits::redis_check_ns);
  CHECK(hosts.world.link->connections() == 2);
}

TEST_CASE("one sentinel of three does not move a connection") {
  Hosts& hosts = make_hosts();
  hosts.start_with_sentinels();
  hosts.name_second(0, 0);
  for (int i = 0; i < 3; ++i) hosts.world.pass(limits::redis_check_ns);
  CHECK(hosts.world.link->connections() == 1);
  CHECK(hosts.connected_to() == "127.0.0.1:1");
}

TEST_CASE("the sentinels have a bound together") {
  Hosts& hosts = make_hosts();
  RedisLink::Options options;
  options.servers.primary = "game";
  for (uint16_t port = 20; port < 26; ++port) {
    hosts.world.network.servers["127.0.0.1:" + std::to_string(port)] = &hosts.silent.server;
    options.servers.sentinels.push_back({false, "127.0.0.1", port});
  }
  hosts.world.start(std::move(options));
  for (int i = 0; i < 3; ++i) hosts.world.pass(limits::server_call_wait_ns);
  CHECK(hosts.has("sentinel 127.0.0.1:22: timed out"));
  CHECK(hosts.has("; no time was left to ask the other sentinels"));
  CHECK(hosts.silent.server.connects == 3);
}

TEST_CASE("a connect does not wait for a silent sentinel that was asked before") {
  Hosts& hosts = make_hosts();
  hosts.start_with_sentinels();
  for (const auto& sentinel : hosts.sentinels) sentinel->reply = "";
  FakeStream& redis = *hosts.world.network.streams.back();
  hosts.world.pass(limits::redis_check_ns);
  CHECK(hosts.sentinels[0]->server.connects == 2);
  for (const auto& sentinel : hosts.sentinels) sentinel->reply = pair_of("127.0.0.1", 1);
  redis.end();
  hosts.world.settle();
  CHECK(hosts.world.link->suitable());
  CHECK(hosts.world.link->connections() == 2);
}

TEST_CASE("a connect does not wait for the name of a sentinel that was looked up before") {
  Hosts& hosts = make_hosts();
  hosts.world.names.hosts["sentinel.test"] = {"127.0.0.1"};
  RedisLink::Options options;
  options.servers = {{}, {{false, "sentinel.test", 11}}, "game"};
  hosts.world.start(std::move(options));
  REQUIRE(hosts.world.link->suitable());
  FakeStream& redis = *hosts.world.network.streams.back();
  hosts.world.names.hangs = true;
  hosts.world.pass(limits::redis_check_ns);
  hosts.world.names.hangs = false;
  redis.end();
  hosts.world.settle();
  CHECK(hosts.world.names.given_up == 1);
  CHECK(hosts.world.link->suitable());
  CHECK(hosts.world.link->connections() == 2);
}

TEST_CASE("a server that the sentinels have replaced is left") {
  Hosts& hosts = make_hosts();
  hosts.start_with_sentinels();
  hosts.world.pass(limits::redis_check_ns);
  CHECK(hosts.world.link->connections() == 1);
  hosts.name_second(0, 2);
  hosts.world.pass(limits::redis_check_ns);
  CHECK(hosts.world.link->connections() == 2);
  CHECK(hosts.connected_to() == "127.0.0.1:2");
  CHECK(hosts.world.link->suitable());
}

TEST_CASE("a connection stays if the sentinels are gone") {
  Hosts& hosts = make_hosts();
  hosts.start_with_sentinels();
  for (int port = 11; port <= 13; ++port)
    hosts.world.network.servers.erase("127.0.0.1:" + std::to_string(port));
  for (int i = 0; i < 5; ++i) hosts.world.pass(limits::redis_check_ns);
  CHECK(hosts.world.link->connections() == 1);
  CHECK(hosts.world.link->suitable());
}

TEST_CASE("a sentinel's password is sent, and read again if it is rejected") {
  Hosts& hosts = make_hosts();
  hosts.world.files.content[password_file] = "second";
  for (const auto& sentinel : hosts.sentinels) sentinel->password = "second";
  hosts.start_with_sentinels();
  CHECK(hosts.world.link->suitable());
  CHECK(hosts.world.files.reads == 1);
  CHECK(hosts.sentinels[0]->server.connects == 2);
}

TEST_CASE("a sentinel's password that is wrong is named by its own key") {
  Hosts& hosts = make_hosts();
  hosts.world.files.content[password_file] = "first";
  for (const auto& sentinel : hosts.sentinels) sentinel->password = "second";
  hosts.start_with_sentinels();
  CHECK(hosts.has("sentinel 127.0.0.1:11: wrong password: see redis.sentinel_password_file"));
}
