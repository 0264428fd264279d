// SPDX-License-Identifier: Apache-2.0
// Two ends of a message link on one ring. The other end reads only once the test opens it.
#include "linux/message_link.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "message_reader.h"

using namespace huntd;
using namespace huntd::server;

namespace {

// Never destroyed, like a core's: operations in the kernel point into it.
struct World {
  World() {
    REQUIRE(bool(ring.open()));
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    int const bytes = 4 * limits::peer_packet_bytes_max;  // as huntd/children.cc
    for (int end : ends) setsockopt(end, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    writer = std::make_unique<UringMessageLink>(ring, ends[0]);
    writer->set_user(at_writer);
  }
  void open_reader() {
    reader = std::make_unique<UringMessageLink>(ring, ends[1]);
    reader->set_user(at_reader);
  }
  void tick() {
    writer->flush();
    ring.submit_and_wait(1'000'000);
    ring.reap();
  }
  // Sends numbered messages of about 1,000 bytes until the link takes no more.
  void fill() {
    for (;;) {
      std::string message = std::to_string(sent) + " ";
      message.resize(1000, 'x');
      bool const fits = message.size() + limits::peer_message_prefix_bytes <= writer->room();
      bool const taken = writer->send(message, -1);
      REQUIRE(taken == fits);
      if (!taken) return;
      ++sent;
    }
  }

  Ring ring;
  int ends[2] = {-1, -1};
  Reader at_writer, at_reader;
  std::unique_ptr<UringMessageLink> writer, reader;
  size_t sent = 0;
};

World& make_world() {
  static std::vector<std::unique_ptr<World>> all;
  return *all.emplace_back(std::make_unique<World>());
}

}  // namespace

TEST_CASE("a link takes as much as it has room for, and no message is lost") {
  World& world = make_world();
  world.fill();
  CHECK(world.sent == limits::peer_queue_bytes_max / 1004);
  // The socket's buffer takes some. Then nothing is read.
  for (int i = 0; i < 50; ++i) {
    world.tick();
    world.fill();
  }
  size_t const full_at = world.sent;
  world.tick();
  world.fill();
  CHECK(world.sent == full_at);
  CHECK(world.writer->room() < 1004);
  CHECK(world.at_writer.rooms > 0);
  int const rooms = world.at_writer.rooms;

  world.open_reader();
  for (int i = 0; i < 200 && world.at_reader.messages.size() < full_at; ++i) world.tick();
  CHECK(world.at_writer.rooms > rooms);
  CHECK(world.writer->room() == limits::peer_queue_bytes_max);
  REQUIRE(world.at_reader.messages.size() == full_at);
  for (size_t i = 0; i < full_at; ++i)
    CHECK(world.at_reader.messages[i].starts_with(std::to_string(i) + " "));
}

TEST_CASE("a descriptor arrives with its message, between others") {
  World& world = make_world();
  int pipe_ends[2];
  REQUIRE(pipe2(pipe_ends, O_CLOEXEC) == 0);
  CHECK(world.writer->send("before", -1));
  CHECK(world.writer->send("with", pipe_ends[1]));
  CHECK(world.writer->send("after", -1));
  world.open_reader();
  for (int i = 0; i < 50 && world.at_reader.messages.size() < 3; ++i) world.tick();
  CHECK(world.at_reader.messages == std::vector<std::string>{"before", "with", "after"});
  REQUIRE(world.at_reader.descriptors.size() == 1);
  CHECK(world.at_reader.descriptors[0].first == 1);
  CHECK(write(world.at_reader.descriptors[0].second, "x", 1) == 1);
  close(world.at_reader.descriptors[0].second);
  char byte = 0;
  CHECK(read(pipe_ends[0], &byte, 1) == 1);
  CHECK(read(pipe_ends[0], &byte, 1) == 0);  // the sender has closed its own
  close(pipe_ends[0]);
}

TEST_CASE("the messages of ticks in which a packet waits leave as one") {
  World& world = make_world();
  // Nothing is read: once the socket is full, one packet is on its way, and the rest is one batch.
  for (int i = 0; i < 100; ++i) {
    world.fill();
    world.tick();
  }
  size_t const first = world.sent;
  world.writer->take_packets_sent();
  world.open_reader();
  for (int i = 0; i < 300 && world.at_reader.messages.size() < first; ++i) world.tick();
  CHECK(world.at_reader.messages.size() == first);
  // A queue of a megabyte in packets as large as they may be.
  CHECK(world.writer->take_packets_sent() <=
        limits::peer_queue_bytes_max / limits::peer_packet_bytes_max + 2);

  // With an empty queue each tick has its packet.
  for (int i = 0; i < 3; ++i) {
    CHECK(world.writer->send("now", -1));
    world.tick();
  }
  CHECK(world.writer->take_packets_sent() == 3);
}
