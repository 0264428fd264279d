// SPDX-License-Identifier: Apache-2.0
#include "wire/cluster_map.h"

#include <doctest/doctest.h>

#include <vector>

#include "wire/redis_keys.h"

using namespace huntd;

namespace {

// A reply of a test: a text, a number or a list.
struct FakeReply {
  std::string words;
  int64_t value = 0;
  std::vector<FakeReply> elements;

  std::string_view text() const { return words; }
  int64_t number() const { return value; }
  size_t size() const { return elements.size(); }
  FakeReply operator[](size_t i) const { return i < elements.size() ? elements[i] : FakeReply(); }
};

FakeReply number(int64_t value) { return {"", value, {}}; }
FakeReply node(std::string host, int64_t port) {
  return {"", 0, {{std::move(host), 0, {}}, number(port), {"id", 0, {}}}};
}
FakeReply range(int64_t first, int64_t last, std::vector<FakeReply> nodes) {
  FakeReply reply{"", 0, {number(first), number(last)}};
  for (FakeReply& each : nodes) reply.elements.push_back(std::move(each));
  return reply;
}
bool is_read(const FakeReply& reply) {
  ClusterMap map;
  return static_cast<bool>(read_cluster_slots(reply, "10.0.0.9", map));
}

}  // namespace

TEST_CASE("the slot of a key is the CRC16 of its hash tag") {
  CHECK(cluster_slot_of("123456789") == 0x31C3 % cluster_slots);  // the check value of the CRC
  CHECK(cluster_slot_of("") == 0);
  CHECK(cluster_slot_of("foo") == 12'182);
  CHECK(cluster_slot_of("{user1000}.following") == cluster_slot_of("user1000"));
  CHECK(cluster_slot_of("{user1000}.following") == cluster_slot_of("{user1000}.followers"));
  CHECK(cluster_slot_of("foo{}{bar}") != cluster_slot_of("bar"));
  CHECK(cluster_slot_of("foo{{bar}}zap") == cluster_slot_of("{bar"));
  CHECK(cluster_slot_of("foo{bar}{zap}") == cluster_slot_of("bar"));
  CHECK(cluster_slot_of("foo{bar") != cluster_slot_of("bar"));
}

TEST_CASE("all keys of a commit are in one slot") {
  uint16_t const slot = cluster_slot_of(keys::outbox(91));
  CHECK(cluster_slot_of(keys::held("h0", "gold")) == slot);
  CHECK(cluster_slot_of(keys::done("h0", "gold", "a{b}")) == slot);
}

TEST_CASE("the slots of all nodes are read") {
  ClusterMap map;
  FakeReply const reply{
      "",
      0,
      {range(0, 8191, {node("10.0.0.1", 7001), node("10.0.0.2", 7002)}),
       range(8192, 16'382, {node("", 7003)}), range(16'383, 16'383, {node("10.0.0.1", 7001)})}};
  REQUIRE(read_cluster_slots(reply, "10.0.0.9", map));
  CHECK(map.primaries() == std::vector<ClusterNode>{{"10.0.0.1", 7001}, {"10.0.0.9", 7003}});
  CHECK(map.nodes() ==
        std::vector<ClusterNode>{{"10.0.0.1", 7001}, {"10.0.0.9", 7003}, {"10.0.0.2", 7002}});
}

TEST_CASE("a node without the host name that is preferred is at the address that follows") {
  FakeReply unnamed = node("?", 7001);
  unnamed.elements.push_back(
      {"", 0, {{"shard-id", 0, {}}, {"x", 0, {}}, {"ip", 0, {}}, {"10.0.0.4", 0, {}}}});
  ClusterMap map;
  REQUIRE(read_cluster_slots(FakeReply{"", 0, {range(0, 16'383, {unnamed})}}, "10.0.0.9", map));
  CHECK(map.primaries() == std::vector<ClusterNode>{{"10.0.0.4", 7001}});
  unnamed.elements.pop_back();
  Result<void> const read =
      read_cluster_slots(FakeReply{"", 0, {range(0, 16'383, {unnamed})}}, "10.0.0.9", map);
  REQUIRE_FALSE(read);
  CHECK(read.error().message.find("set cluster-announce-hostname") != std::string::npos);
}

TEST_CASE("the order in which a node lists the slots changes nothing") {
  FakeReply const low = range(0, 8191, {node("h", 1)});
  FakeReply const high = range(8192, 16'383, {node("h", 2)});
  ClusterMap map;
  REQUIRE(read_cluster_slots(FakeReply{"", 0, {high, low}}, "", map));
  CHECK(map.primaries() == std::vector<ClusterNode>{{"h", 1}, {"h", 2}});
}

TEST_CASE("a malformed list of slots is not taken") {
  CHECK(is_read({"", 0, {range(0, 16'383, {node("h", 1)})}}));
  CHECK_FALSE(is_read({"", 0, {range(0, 16'384, {node("h", 1)})}}));
  CHECK_FALSE(is_read({"", 0, {range(5, 4, {node("h", 1)})}}));
  CHECK_FALSE(is_read({"", 0, {range(-1, 4, {node("h", 1)})}}));
  CHECK_FALSE(is_read({"", 0, {range(0, 4, {})}}));
  CHECK_FALSE(is_read({"", 0, {range(0, 4, {node("h", 0)})}}));
  CHECK_FALSE(is_read({"", 0, {range(0, 4, {node("h", 65'536)})}}));
}

TEST_CASE("a node says whether it serves and how new its knowledge is") {
  ClusterMap map;
  CHECK(read_cluster_info("cluster_state:ok\r\ncluster_current_epoch:7\r\n", map));
  CHECK((map.ok && map.epoch == 7));
  CHECK(read_cluster_info("cluster_current_epoch:8\r\ncluster_state:fail\r\n", map));
  CHECK((!map.ok && map.epoch == 8));
  CHECK_FALSE(read_cluster_info("cluster_state:ok\r\n", map));
}

TEST_CASE("errors that name another node are distinguished") {
  auto const moved = read_cluster_redirect("MOVED 3999 127.0.0.1:6381");
  REQUIRE(moved);
  CHECK((moved->kind == ClusterRedirect::Kind::moved &&
         moved->node == ClusterNode{"127.0.0.1", 6381}));
  auto const asked = read_cluster_redirect("ASK 3999 2001:db8::1:6381");
  REQUIRE(asked);
  CHECK((asked->kind == ClusterRedirect::Kind::ask &&
         asked->node == ClusterNode{"2001:db8::1", 6381}));
  CHECK(read_cluster_redirect("MOVED 1 :6381")->node == ClusterNode{"", 6381});
  CHECK_FALSE(read_cluster_redirect("MOVED 1 :6381")->unknown);
  CHECK(read_cluster_redirect("MOVED 1 ?:6381")->unknown);
  CHECK(read_cluster_redirect("TRYAGAIN Multiple keys request")->kind ==
        ClusterRedirect::Kind::again);
  for (const char* other : {"MOVED", "MOVED 1", "MOVED 1 host", "MOVED 1 host:0", "ASK 1 host:x",
                            "CLUSTERDOWN The cluster is down", "ASKING 1 h:1", ""})
    CHECK_FALSE(read_cluster_redirect(other));
}
