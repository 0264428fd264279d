// SPDX-License-Identifier: Apache-2.0
// Two cores on links whose room the test decides.
#include "core/route/peers.h"

#include "fake_link.h"

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace huntd;
using namespace huntd::server;

namespace {

using End = Forwarded::End;

HuntRequest request_of(std::string_view hunter_id, std::string_view body = "") {
  HuntRequest request;
  request.hunt_id = "gold";
  request.hunter_id = hunter_id;
  request.request_id = "0123456789abcdef0123456789abcdef";
  request.trace_context = "fedcba9876543210fedcba9876543210-0123456789abcdef-01";
  request.idempotency_key = "key";
  request.body = body;
  request.received_at_ns = 5;
  return request;
}

// One core: its only peer is core 1 - `self`.
struct TestCore final : PeerUser {
  TestCore(uint32_t self, Scheduler& scheduler)
      : peers(self, 1,
              self == 0 ? std::vector<MessageLink*>{nullptr, &link}
                        : std::vector<MessageLink*>{&link, nullptr},
              scheduler, *metrics, *this) {
    peers.set_up(1 - self, true, 1);
  }
  Task<Response> run_forwarded(HuntRequest request) override {
    ran.push_back(request);
    Response response;
    response.body = request.hunter_id + "'s " + answer;
    response.report = {7, {1, 2, 3, 4}};
    co_return response;
  }
  void take_over(int descriptor, const Peer& client, std::string_view bytes) override {
    taken.emplace_back(descriptor, bytes);
    taken_from.push_back(client);
  }

  std::unique_ptr<CoreMetrics> metrics = std::make_unique<CoreMetrics>();
  FakeLink link;
  PoolString answer = "response";
  std::vector<HuntRequest> ran;
  std::vector<std::pair<int, std::string>> taken;
  std::vector<Peer> taken_from;  // the clients of `taken`
  Peers peers;
};

struct World {
  // The other core reads what `from` sent.
  void read(TestCore& from, TestCore& to) {
    size_t const first = from.link.descriptors.size() - from.link.sent.size();
    std::vector<std::string> const messages = from.link.drain();
    for (size_t i = 0; i < messages.size(); ++i)
      to.link.user->on_message(messages[i], from.link.descriptors[first + i]);
    scheduler.run_ready();
  }
  Task<> forward(std::string_view hunter_id, std::string_view body = "", uint64_t send_by_ns = 100,
                 uint64_t deadline_at_ns = 1000) {
    HuntRequest const request = request_of(hunter_id, body);
    ended.push_back(co_await one.peers.forward(1, request, send_by_ns, deadline_at_ns));
  }
  Task<> reserve(size_t bytes, std::optional<bool>& reserved) {
    reserved = co_await one.peers.reserve_hand_over(1, bytes, 100);
  }
  void tick(uint64_t now_ns) {
    scheduler.expire(now_ns);
    scheduler.run_ready();
  }

  Scheduler scheduler;
  TestCore one{0, scheduler};
  TestCore two{1, scheduler};
  std::vector<Forwarded> ended;
};

}  // namespace

TEST_CASE("a forwarded request arrives whole, and its response comes back") {
  World world;
  start(world.forward("ann", "[1]"));
  world.read(world.one, world.two);
  REQUIRE(world.two.ran.size() == 1);
  const HuntRequest& ran = world.two.ran[0];
  CHECK(ran.kind == HuntRequest::Kind::run);
  CHECK(ran.hunt_id == "gold");
  CHECK(ran.hunter_id == "ann");
  CHECK(ran.request_id == "0123456789abcdef0123456789abcdef");
  CHECK(ran.trace_context == "fedcba9876543210fedcba9876543210-0123456789abcdef-01");
  CHECK(ran.idempotency_key == "key");
  CHECK(ran.body == "[1]");
  CHECK(ran.received_at_ns == 5);
  world.read(world.two, world.one);
  REQUIRE(world.ended.size() == 1);
  CHECK(world.ended[0].end == End::response);
  CHECK(world.ended[0].response.body == "ann's response");
  CHECK(world.ended[0].response.report.outcome == 7);
  CHECK(world.ended[0].response.report.stage_ns == std::array<uint64_t, 4>{1, 2, 3, 4});
  CHECK(world.one.metrics->value(Counter::requests_forwarded) == 1);
}

TEST_CASE("a request that finds no room waits for it") {
  World world;
  world.one.link.bytes_max = 0;
  start(world.forward("ann"));
  CHECK(world.one.link.sent.empty());
  world.one.link.bytes_max = limits::peer_queue_bytes_max;
  world.one.link.user->on_room();
  world.scheduler.run_ready();
  world.read(world.one, world.two);
  world.read(world.two, world.one);
  REQUIRE(world.ended.size() == 1);
  CHECK(world.ended[0].end == End::response);
}

TEST_CASE("a request without room until its latest moment was not sent, and says so") {
  World world;
  world.one.link.bytes_max = 0;
  start(world.forward("ann", "", 100));
  world.tick(99);
  CHECK(world.ended.empty());
  world.tick(100);
  REQUIRE(world.ended.size() == 1);
  CHECK(world.ended[0].end == End::not_sent);
  world.one.link.bytes_max = limits::peer_queue_bytes_max;
  world.one.link.user->on_room();
  world.scheduler.run_ready();
  CHECK(world.one.link.sent.empty());
  CHECK(world.one.metrics->value(Counter::requests_forwarded) == 0);
}

TEST_CASE("a request that was sent and has no response until the deadline is unknown") {
  World world;
  start(world.forward("ann", "", 100, 1000));
  world.tick(1000);
  REQUIRE(world.ended.size() == 1);
  CHECK(world.ended[0].end == End::unknown);
}

TEST_CASE("a response waits for room and is never dropped") {
  World world;
  world.two.answer = PoolString(20'000, 'x');
  world.two.link.bytes_max = 50'000;  // two responses
  for (int i = 0; i < 7; ++i) start(world.forward("ann"));
  world.read(world.one, world.two);
  CHECK(world.two.ran.size() == 7);
  CHECK(world.two.link.sent.size() == 2);
  for (size_t responses : {2, 4, 6, 7}) {
    world.read(world.two, world.one);
    CHECK(world.ended.size() == responses);
  }
  for (const Forwarded& forwarded : world.ended) CHECK(forwarded.end == End::response);
}

TEST_CASE("two cores whose links are full of requests still exchange responses") {
  World world;
  world.one.link.bytes_max = world.two.link.bytes_max = 50'000;
  std::string const body(16'000, '1');
  size_t ended_of_two = 0;
  for (int i = 0; i < 20; ++i) {
    start(world.forward("ann", body, never_ns, never_ns));
    start([](World& its, std::string_view its_body, size_t& ended) -> Task<> {
      HuntRequest const request = request_of("bob", its_body);
      Forwarded const forwarded = co_await its.two.peers.forward(0, request, never_ns, never_ns);
      if (forwarded.end == End::response) ++ended;
    }(world, body, ended_of_two));
  }
  CHECK(world.one.link.room() < 16'000);
  CHECK(world.two.link.room() < 16'000);
  for (int round = 0; round < 20; ++round) {
    world.read(world.one, world.two);
    world.read(world.two, world.one);
  }
  CHECK(world.ended.size() == 20);
  CHECK(ended_of_two == 20);
  for (const Forwarded& forwarded : world.ended) CHECK(forwarded.end == End::response);
}

TEST_CASE("a connection moves with its bytes when there is room") {
  World world;
  world.one.link.bytes_max = 170;
  std::optional<bool> first, second;
  start(world.reserve(100, first));
  start(world.reserve(100, second));
  CHECK(first == true);
  CHECK_FALSE(second);
  Peer const client{Peer::Kind::ip, *parse_ip("192.0.2.1")};
  world.one.peers.hand_over(1, 7, client, std::string(100, 'a'));
  world.read(world.one, world.two);
  CHECK(second == true);
  world.one.peers.hand_over(1, 8, {Peer::Kind::unix_socket}, std::string(100, 'b'));
  world.read(world.one, world.two);
  REQUIRE(world.two.taken.size() == 2);
  CHECK(world.two.taken[0] == std::pair(7, std::string(100, 'a')));
  CHECK(world.two.taken[1] == std::pair(8, std::string(100, 'b')));
  CHECK(world.two.taken_from == std::vector<Peer>{client, {Peer::Kind::unix_socket}});
}

TEST_CASE("a connection that can't move gives its room to the next") {
  World world;
  world.one.link.bytes_max = 170;
  std::optional<bool> first, second, third;
  start(world.reserve(100, first));
  start(world.reserve(100, second));
  world.one.peers.cancel_hand_over(1, 100);
  world.scheduler.run_ready();
  CHECK(second == true);
  start(world.reserve(100, third));
  world.tick(100);
  CHECK(third == false);  // its deadline
}

TEST_CASE("if a core goes down, what waits was not sent, and what was sent is unknown") {
  World world;
  world.one.link.bytes_max = 150;  // one request
  start(world.forward("ann", "", never_ns, never_ns));
  start(world.forward("bob", "", never_ns, never_ns));
  std::optional<bool> reserved;
  start(world.reserve(100, reserved));
  REQUIRE(world.one.link.sent.size() == 1);
  world.one.peers.set_up(1, false, 1);
  world.scheduler.run_ready();
  REQUIRE(world.ended.size() == 2);
  CHECK(world.ended[0].end == End::not_sent);
  CHECK(world.ended[1].end == End::unknown);
  CHECK(reserved == false);
}

TEST_CASE("a turn that comes in the tick in which the core goes down sends nothing") {
  World world;
  world.one.link.bytes_max = 0;
  start(world.forward("ann", "", never_ns, never_ns));
  world.one.link.bytes_max = limits::peer_queue_bytes_max;
  world.one.link.user->on_room();
  world.one.peers.set_up(1, false, 1);
  world.scheduler.run_ready();
  REQUIRE(world.ended.size() == 1);
  CHECK(world.ended[0].end == End::not_sent);
  CHECK(world.one.link.sent.empty());
}

TEST_CASE("a response that waits for a core that goes down is given up") {
  World world;
  world.two.link.bytes_max = 0;
  start(world.forward("ann", "", never_ns, never_ns));
  world.read(world.one, world.two);
  CHECK(world.two.ran.size() == 1);
  size_t const before = coroutines_alive();
  world.two.peers.set_up(0, false, 1);
  world.scheduler.run_ready();
  CHECK(coroutines_alive() < before);
  world.one.peers.set_up(1, false, 1);  // and its request is unknown
  world.scheduler.run_ready();
  CHECK(world.ended.size() == 1);
}

TEST_CASE("a request to an earlier incarnation is not run") {
  World world;
  world.one.peers.set_up(1, true, 2);
  start(world.forward("ann", "", 100, 1000));
  world.read(world.one, world.two);
  CHECK(world.two.ran.empty());
  world.tick(1000);
  CHECK(world.ended.size() == 1);
}
