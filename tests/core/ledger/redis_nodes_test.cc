// SPDX-License-Identifier: Apache-2.0
// A Redis Cluster of two nodes, as a core sees it.
#include "core/ledger/redis_nodes.h"

#include "base/hash.h"
#include "core/ledger/connect_limits.h"
#include "core/ledger/ledger.h"
#include "fake_redis.h"
#include "wire/redis_keys.h"

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>

using namespace huntd;
using namespace huntd::server;

namespace {

constexpr const char* addresses[] = {"10.0.0.1:7001", "10.0.0.2:7002"};

// Two nodes, with half of the slots each. Never destroyed: the coroutines of the links do not end.
struct ClusterWorld {
  ClusterWorld() {
    for (int i = 0; i < 2; ++i) {
      servers[i].reply_to = [this, i](const Words& words) { return reply(i, words); };
      network.servers[addresses[i]] = &servers[i];
    }
    RedisLink::Options options;
    options.servers.cluster = true;
    options.servers.addresses = {{false, "10.0.0.2", 7002}};
    nodes = new RedisNodes({network, names, files, scheduler, clock, *metrics}, options);
    ledger = new Ledger(*nodes, scheduler, clock, 60);
    scheduler.set_now(now_ns);
    huntd::start(nodes->run());
    settle();
  }
  std::string reply(int node, const Words& words) {
    if (words[0] == "CLUSTER" && words[1] == "INFO")
      return bulk("cluster_state:ok\r\ncluster_current_epoch:" + std::to_string(epoch) + "\r\n");
    if (words[0] == "CLUSTER") {
      ++questions;
      return slots();
    }
    bool const is_test = words[0] == "EVALSHA" && words[2] == "0";
    if (words[0] == "ASKING" || words[0] == "GET" || (words[0] == "EVALSHA" && !is_test)) {
      asked[node].push_back(words[0]);
      if (!answers[node].empty()) {
        std::string const next = answers[node].front();
        answers[node].pop_front();
        return next;
      }
      return words[0] == "ASKING" ? "+OK\r\n" : bulk("node " + std::to_string(node));
    }
    if (words[0] == "INFO")
      return bulk("run_id:" + std::to_string(runs[node]) + "\r\nrole:master\r\n" +
                  "maxmemory_policy:noeviction\r\n");
    return reply_of_redis(words);
  }
  std::string slots() const {
    auto const range = [](int first, int last, int node) {
      return "*3\r\n:" + std::to_string(first) + "\r\n:" + std::to_string(last) + "\r\n*2\r\n" +
             bulk("10.0.0." + std::to_string(node + 1)) + ":" + std::to_string(7001 + node) +
             "\r\n";
    };
    if (border == 0) return "*1\r\n" + range(0, 16'383, 1);
    return "*2\r\n" + range(0, border - 1, 0) + range(border, 16'383, 1);
  }
  void settle() {
    for (int i = 0; i < 60; ++i) {
      scheduler.set_now(now_ns);
      for (size_t s = 0; s < network.streams.size(); ++s) network.streams[s]->deliver();
      scheduler.expire(now_ns);
      scheduler.run_ready();
      nodes->flush(RedisLink::Leave::now);
    }
  }
  void pass(uint64_t ns) {
    now_ns += ns;
    settle();
  }
  // The reply to a GET of the key, within a second.
  std::string get(std::string key) {
    std::string text = "nothing";
    huntd::start(get_into(std::move(key), text));
    settle();
    for (int i = 0; i < 100 && text == "nothing"; ++i) pass(limits::cluster_again_ns);
    return text;
  }
  Task<> refresh(HuntStates& states) { co_await states.refresh(now_ns + ns_per_s / 10); }
  Task<> stale_into(uint32_t bucket, std::optional<PoolVector<OutboxEntry>>& found) {
    found = co_await ledger->stale_events(bucket, 1000, now_ns + ns_per_s);
  }
  Task<> get_into(std::string key, std::string& text) {
    PoolVector<std::string_view> words{"GET", key};
    RedisReply const reply = co_await nodes->command(std::move(words), now_ns + ns_per_s);
    text = reply.lost() ? "lost" : std::string(reply.text());
  }

  uint64_t now_ns = 1000 * ns_per_s;
  Scheduler scheduler;
  FakeClock clock;
  FakeNames names;
  FakeFiles files;
  FakeNetwork network;
  FakeServer servers[2];
  std::unique_ptr<CoreMetrics> metrics = std::make_unique<CoreMetrics>();
  RedisNodes* nodes = nullptr;
  Ledger* ledger = nullptr;
  int border = 8192;
  int epoch = 1;
  int runs[2] = {0, 1};  // run_id by node
  int questions = 0;     // for the slots
  std::vector<std::string> asked[2];
  std::deque<std::string> answers[2];  // of the next commands; then the node's own
};

ClusterWorld& make_world() {
  static auto& all = *new std::vector<ClusterWorld*>;
  return *all.emplace_back(new ClusterWorld);
}

const std::string low = "bar";   // slot 5061
const std::string high = "foo";  // slot 12182

}  // namespace

TEST_CASE("one node of the config is enough to find all, and a key is asked for at its node") {
  ClusterWorld& world = make_world();
  CHECK(world.nodes->suitable());
  CHECK(world.get(low) == "node 0");
  CHECK(world.get(high) == "node 1");
  CHECK(world.metrics->value(Gauge::redis_nodes) == 2);
  CHECK(world.metrics->value(Gauge::redis_nodes_usable) == 2);
  CHECK(world.metrics->value(Counter::redis_redirects) == 0);
}

TEST_CASE("a command goes to the node that MOVED names, and so do those after it") {
  ClusterWorld& world = make_world();
  world.border = 1;
  world.answers[0] = {"-MOVED 5061 10.0.0.2:7002\r\n"};
  CHECK(world.get(low) == "node 1");
  CHECK(world.asked[0].size() == 1);
  CHECK(world.get(low) == "node 1");
  CHECK(world.asked[0].size() == 1);
  CHECK(world.metrics->value(Counter::redis_redirects) == 1);
}

TEST_CASE("a command that ASK sends to another node follows an ASKING, and only once") {
  ClusterWorld& world = make_world();
  world.answers[0] = {"-ASK 5061 10.0.0.2:7002\r\n"};
  CHECK(world.get(low) == "node 1");
  CHECK(world.asked[1] == std::vector<std::string>{"ASKING", "GET"});
  CHECK(world.get(low) == "node 0");
}

TEST_CASE("a command waits while its keys are at two nodes") {
  ClusterWorld& world = make_world();
  for (int i = 0; i < 8; ++i) world.answers[0].push_back("-TRYAGAIN Multiple keys\r\n");
  uint64_t const before_ns = world.now_ns;
  CHECK(world.get(low) == "node 0");
  CHECK(world.asked[0].size() == 9);
  CHECK(world.now_ns - before_ns >= 500 * ns_per_ms);  // 10 + 20 + 40 + 80 + 4 * 100
}

TEST_CASE("only an error that says that slots have moved asks for the slots") {
  ClusterWorld& world = make_world();
  world.pass(limits::cluster_map_gap_ns);
  auto const questions_after = [&](const char* error) {
    int const before = world.questions;
    world.answers[0] = {error};
    world.get(low);
    world.pass(limits::cluster_map_gap_ns);
    return world.questions - before;
  };
  CHECK(questions_after("-TRYAGAIN Multiple keys\r\n") == 0);
  CHECK(questions_after("-ASK 5061 10.0.0.2:7002\r\n") == 0);
  CHECK(questions_after("-OOM command not allowed\r\n") == 0);
  CHECK(questions_after("-MOVED 5061 10.0.0.1:7001\r\n") == 0);  // as is known
  CHECK(questions_after("-CLUSTERDOWN The cluster is down\r\n") == 1);
  CHECK(questions_after("-MOVED 5061 10.0.0.2:7002\r\n") == 1);
}

TEST_CASE("a link that is in its handshake gets no command of others") {
  ClusterWorld& world = make_world();
  world.servers[0].reply_to = [&world](const Words& words) {
    bool const late = words[0] != "GET" && words[0] != "CLUSTER";
    return late ? std::string() : world.reply(0, words);
  };
  for (auto& stream : world.network.streams)
    if (&stream->server() == &world.servers[0]) stream->end();
  for (int i = 0; i < 10; ++i) world.pass(ns_per_s / 10);
  CHECK_FALSE(world.nodes->of_key(low).up());
  CHECK(world.get(low) == "lost");
  CHECK(world.asked[0].empty());
}

TEST_CASE("a node gets no link that still hangs in the connect to another one") {
  ClusterWorld& world = make_world();
  FakeServer silent;
  silent.accepts = false;
  world.network.servers["10.0.0.9:7009"] = &silent;
  world.answers[0] = {"-MOVED 5061 10.0.0.9:7009\r\n"};
  world.get(low);
  // The cluster does not know it any more: its link is left during the connect.
  world.pass(limits::cluster_node_kept_ns);
  world.pass(limits::cluster_map_ns);
  world.network.servers["10.0.0.3:7003"] = &world.servers[0];
  world.answers[0] = {"-MOVED 5061 10.0.0.3:7003\r\n"};
  CHECK(world.get(low) == "node 0");
}

TEST_CASE("a node that gets its slots again is asked which history it has") {
  ClusterWorld& world = make_world();
  uint64_t const before = world.nodes->of_key(low).lineage();
  world.answers[1] = {"-ASK 12182 10.0.0.1:7001\r\n"};
  CHECK(world.get(high) == "node 0");  // so that its link is kept without slots
  auto const set_border = [&](int border) {
    world.border = border;
    world.answers[1] = {"-CLUSTERDOWN\r\n"};  // the slots are asked for
    world.get(high);
    world.pass(limits::cluster_map_gap_ns);
  };
  set_border(0);
  CHECK(world.get(low) == "node 1");
  world.runs[0] = 7;
  set_border(8192);
  world.pass(ns_per_s);
  CHECK(world.get(low) == "node 0");
  CHECK(world.nodes->of_key(low).lineage() != before);
}

TEST_CASE("nodes that name each other are not asked for ever") {
  ClusterWorld& world = make_world();
  for (int i = 0; i < 100; ++i) {
    world.answers[0].push_back("-MOVED 5061 10.0.0.2:7002\r\n");
    world.answers[1].push_back("-MOVED 5061 10.0.0.1:7001\r\n");
  }
  CHECK(world.get(low).starts_with("MOVED"));
  CHECK(world.asked[0].size() + world.asked[1].size() == limits::cluster_redirects_max + 1);
}

TEST_CASE("without a node only its keys are unavailable") {
  ClusterWorld& world = make_world();
  world.network.servers.erase(addresses[0]);
  world.network.streams[1]->end();
  for (auto& stream : world.network.streams) stream->deliver();
  world.pass(ns_per_s);
  bool const first_is_low = !world.nodes->of_key(low).up();
  if (!first_is_low) {
    // The streams are in the order of the connects, one of which was the question for the slots.
    for (auto& stream : world.network.streams)
      if (stream->is_open()) stream->end();
    world.pass(ns_per_s);
    world.pass(ns_per_s);
  }
  CHECK_FALSE(world.nodes->of_key(low).up());
  CHECK(world.nodes->of_key(high).up());
  CHECK(world.get(low) == "lost");
  CHECK(world.get(high) == "node 1");
  CHECK(world.metrics->value(Gauge::redis_up) == 1);
  CHECK(world.metrics->value(Gauge::redis_nodes_usable) == 1);
  CHECK(world.metrics->redis_reason.get().find("10.0.0.1:7001 (8192 slots): nothing listens") == 0);
  world.network.servers[addresses[0]] = &world.servers[0];
  world.pass(2 * ns_per_s);
  world.pass(2 * ns_per_s);
  CHECK(world.get(low) == "node 0");
  CHECK(world.metrics->redis_reason.get().empty());
}

TEST_CASE("without the node of `hunts` no node can be used once the copy is too old") {
  ClusterWorld& world = make_world();
  // Never destroyed, like the world that it is of, and reachable for LeakSanitizer.
  static HuntStates* const kept = new HuntStates(*world.nodes, world.scheduler);
  HuntStates& states = *kept;
  auto const refresh = [&] {
    huntd::start(world.refresh(states));
    world.settle();
    world.pass(ns_per_s);
  };
  int const node = cluster_slot_of(keys::hunts) < 8192 ? 0 : 1;
  world.network.servers.erase(addresses[node]);
  for (auto& stream : world.network.streams)
    if (&stream->server() == &world.servers[node]) stream->end();
  world.pass(ns_per_s);
  CHECK_FALSE(world.nodes->of_key(keys::hunts).up());
  CHECK(world.metrics->value(Gauge::redis_up) == 1);
  for (int i = 0; i < 20; ++i) world.pass(ns_per_s);
  refresh();
  std::string const words = "the node of `hunts`, " + std::string(addresses[node]) + ", is down";
  CHECK(states.reason() == words);
  CHECK(world.metrics->value(Gauge::redis_up) == 0);
  CHECK(world.metrics->redis_reason.get().starts_with(words + ": no hunt can be awarded"));
  world.network.servers[addresses[node]] = &world.servers[node];
  for (int i = 0; i < 5; ++i) world.pass(ns_per_s);
  CHECK(world.metrics->value(Gauge::redis_up) == 1);
  CHECK(world.metrics->redis_reason.get().empty());
}

TEST_CASE("a slot that moves to another node that is known changes no lineage") {
  ClusterWorld& world = make_world();
  uint64_t const lineage = world.nodes->lineage();
  uint64_t const changes = world.nodes->changes();
  world.border = 4096;
  world.pass(limits::cluster_map_gap_ns);
  world.pass(limits::cluster_map_ns);
  CHECK(world.get(low) == "node 1");
  CHECK(world.nodes->lineage() == lineage);
  CHECK(world.nodes->changes() != changes);
}

TEST_CASE("events of an outbox that is on its way to another node are not emitted again") {
  ClusterWorld& world = make_world();
  uint32_t bucket = 0;
  while (cluster_slot_of(keys::outbox(bucket)) >= 8192) ++bucket;
  std::string const slot = std::to_string(cluster_slot_of(keys::outbox(bucket)));
  std::string const stale = "*1\r\n*2\r\n" + bulk("5-0") + "*4\r\n" + bulk(keys::outbox_key_field) +
                            bulk("ann") + bulk(keys::outbox_value_field) + bulk("{}");
  std::optional<PoolVector<OutboxEntry>> found;
  auto const read = [&] {
    found.reset();
    huntd::start(world.stale_into(bucket, found));
    world.settle();
  };
  world.answers[0] = {stale};
  read();
  REQUIRE((found && found->size() == 1));
  CHECK((*found)[0].lineage == world.ledger->lineage_of(bucket));
  world.answers[0] = {"-ASK " + slot + " 10.0.0.2:7002\r\n"};
  world.answers[1] = {"+OK\r\n", stale};
  read();
  CHECK((found && found->empty()));
  world.answers[0] = {"-MOVED " + slot + " 10.0.0.2:7002\r\n"};
  world.answers[1] = {stale};
  read();
  REQUIRE((found && found->size() == 1));
  CHECK((*found)[0].lineage == hash64("1:"));
  CHECK(world.ledger->lineage_of(bucket) == hash64("1:"));
}

TEST_CASE("another node with slots is another lineage of all; one without is left") {
  ClusterWorld& world = make_world();
  uint64_t const before = world.nodes->lineage();
  world.border = 0;  // all at the second
  world.pass(limits::cluster_map_gap_ns);
  world.pass(limits::cluster_map_ns);
  CHECK(world.nodes->lineage() != before);
  CHECK(world.metrics->value(Gauge::redis_nodes) == 1);
  CHECK(world.get(low) == "node 1");
}

TEST_CASE("each slot has a hash tag for the self-test of its node") {
  std::vector<bool> found(cluster_slots);
  uint32_t left = cluster_slots;
  for (uint32_t i = 0; i < limits::cluster_probe_tags_max; ++i) {
    uint16_t const slot = cluster_slot_of(std::string(keys::probe_tag) + "-" + std::to_string(i));
    if (!found[slot]) --left;
    found[slot] = true;
  }
  CHECK(left == 0);
}
