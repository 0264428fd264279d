// SPDX-License-Identifier: Apache-2.0
// Who sends next on a link that is full.
#include "core/route/outgoing.h"

#include "fake_link.h"

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace huntd;
using namespace huntd::server;

namespace {

using Kind = Outgoing::Kind;
using Log = std::vector<std::string>;

// A link with room for `messages` messages of ten bytes.
struct World {
  explicit World(size_t messages) {
    link.bytes_max = messages * (10 + limits::peer_message_prefix_bytes);
  }
  // Sends `name`, padded to `bytes`, when it is its turn.
  Task<> send(Kind kind, std::string name, uint64_t deadline_at_ns = never_ns, size_t bytes = 10) {
    std::string message = name;
    message.resize(bytes, '.');
    bool const turn = co_await out.reserve(kind, bytes, deadline_at_ns);
    if (turn) out.send(message);
    log.push_back(name + (turn ? " sent" : " not sent"));
  }
  Log read() {
    Log names;
    for (const std::string& message : link.drain())
      names.push_back(message.substr(0, message.find('.')));
    out.grant();
    scheduler.run_ready();
    return names;
  }
  void tick(uint64_t now_ns) {
    scheduler.expire(now_ns);
    scheduler.run_ready();
  }

  Scheduler scheduler;
  FakeLink link;
  Outgoing out{link, scheduler};
  Log log;
};

}  // namespace

TEST_CASE("what finds no room waits, and goes in the order of arrival") {
  World world(2);
  for (const char* name : {"a", "b", "c", "d", "e"}) start(world.send(Kind::request, name));
  CHECK(world.log == Log{"a sent", "b sent"});
  CHECK(world.read() == Log{"a", "b"});
  CHECK(world.read() == Log{"c", "d"});
  CHECK(world.read() == Log{"e"});
  CHECK(world.out.waiting() == 0);
}

TEST_CASE("a message that would fit does not overtake one that waits") {
  World world(2);
  start(world.send(Kind::request, "a"));
  start(world.send(Kind::request, "large", never_ns, 20));
  start(world.send(Kind::connection, "small", never_ns, 5));
  CHECK(world.log == Log{"a sent"});
  CHECK(world.read() == Log{"a"});
  CHECK(world.read() == Log{"large"});
  CHECK(world.read() == Log{"small"});
}

TEST_CASE("responses go before requests and connections that wait") {
  World world(1);
  start(world.send(Kind::request, "a"));
  start(world.send(Kind::request, "b"));
  start(world.send(Kind::connection, "c"));
  start(world.send(Kind::response, "answer 1"));
  start(world.send(Kind::response, "answer 2"));
  CHECK(world.read() == Log{"a"});
  CHECK(world.read() == Log{"answer 1"});
  CHECK(world.read() == Log{"answer 2"});
  CHECK(world.read() == Log{"b"});
  CHECK(world.read() == Log{"c"});
}

TEST_CASE("a request that comes while a response waits does not overtake it") {
  World world(2);
  start(world.send(Kind::request, "a"));
  start(world.send(Kind::response, "large answer", never_ns, 20));
  start(world.send(Kind::request, "b"));
  CHECK(world.log == Log{"a sent"});
  CHECK(world.read() == Log{"a"});
  CHECK(world.read() == Log{"large answer"});
  CHECK(world.read() == Log{"b"});
}

TEST_CASE("what waits longer than its deadline is not sent, and those behind it may fit") {
  World world(2);
  start(world.send(Kind::request, "a"));
  start(world.send(Kind::request, "large", 100, 20));
  start(world.send(Kind::request, "b"));
  world.tick(99);
  CHECK(world.log == Log{"a sent"});
  world.tick(100);
  CHECK(world.log == Log{"a sent", "large not sent", "b sent"});
  CHECK(world.read() == Log{"a", "b"});
}

TEST_CASE("a turn that comes in the tick of the deadline is taken") {
  World world(1);
  start(world.send(Kind::request, "a"));
  start(world.send(Kind::request, "b", 100));
  world.link.drain();
  world.out.grant();
  world.tick(100);
  CHECK(world.log == Log{"a sent", "b sent"});
}

TEST_CASE("room that is reserved is not given away, and what is cancelled is") {
  World world(2);
  bool reserved = false;
  start([](World& its, bool& is_reserved) -> Task<> {
    is_reserved = co_await its.out.reserve(Kind::connection, 10, never_ns);
  }(world, reserved));
  CHECK(reserved);
  start(world.send(Kind::request, "a"));
  start(world.send(Kind::request, "b"));
  CHECK(world.log == Log{"a sent"});
  SUBCASE("sent later") {
    world.out.send("connection", 7);
    CHECK(world.link.descriptors == std::vector<int>{-1, 7});
    CHECK(world.read() == Log{"a", "connection"});
    CHECK(world.read() == Log{"b"});
  }
  SUBCASE("cancelled") {
    world.out.cancel(Kind::connection, 10);
    world.scheduler.run_ready();
    CHECK(world.log == Log{"a sent", "b sent"});
  }
}

TEST_CASE("requests in flight are bounded; responses and their ends are not") {
  World world(1'000'000);
  for (size_t i = 0; i < limits::peer_requests_in_flight_max; ++i)
    start(world.send(Kind::request, "r"));
  CHECK(world.log.size() == limits::peer_requests_in_flight_max);
  world.log.clear();
  start(world.send(Kind::request, "one more"));
  start(world.send(Kind::response, "answer"));
  CHECK(world.log == Log{"answer sent"});
  world.out.end_request();
  world.scheduler.run_ready();
  CHECK(world.log == Log{"answer sent", "one more sent"});
}

TEST_CASE("if the other core is down, what waits gets no turn") {
  World world(1);
  start(world.send(Kind::request, "a"));
  start(world.send(Kind::request, "b"));
  start(world.send(Kind::connection, "c"));
  start(world.send(Kind::response, "answer"));
  world.out.reject_waiting();
  world.scheduler.run_ready();
  CHECK(world.log == Log{"a sent", "answer not sent", "b not sent", "c not sent"});
  CHECK(world.read() == Log{"a"});
  start(world.send(Kind::request, "d"));
  CHECK(world.read() == Log{"d"});
}
