// SPDX-License-Identifier: Apache-2.0
// Three cores on one ring, each with an inbox to which the others send.
#include "linux/peer_mesh.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "message_reader.h"

using namespace huntd;
using namespace huntd::server;

namespace {

constexpr uint32_t cores = 3;

// Never destroyed, like a core's: operations in the kernel point into it.
struct Host {
  Host() {
    REQUIRE(bool(ring.open()));
    for (auto& pair : pairs)
      REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) == 0);
  }
  // Makes the links of one core, as the parent does for a child: the outboxes are the same sockets.
  void start(uint32_t core) {
    PeerDescriptors own{pairs[core][0], {}};
    for (uint32_t other = 0; other < cores; ++other)
      own.outboxes.push_back(other == core ? -1 : dup(pairs[other][1]));
    meshes[core] = std::make_unique<PeerMesh>(ring, core, own);
    std::vector<MessageLink*> const links = meshes[core]->links();
    for (uint32_t other = 0; other < cores; ++other)
      if (links[other] != nullptr) links[other]->set_user(readers[core][other]);
  }
  MessageLink& link(uint32_t from, uint32_t to) { return *meshes[from]->links()[to]; }
  void tick() {
    for (auto& mesh : meshes)
      if (mesh) mesh->flush();
    ring.submit_and_wait(1'000'000);
    ring.reap();
  }

  Ring ring;
  std::array<std::array<int, 2>, cores> pairs{};
  std::array<std::array<Reader, cores>, cores> readers;  // by core, and by who sent
  std::array<std::unique_ptr<PeerMesh>, cores> meshes;
};

Host& make_host() {
  static std::vector<std::unique_ptr<Host>> all;
  return *all.emplace_back(std::make_unique<Host>());
}

}  // namespace

TEST_CASE("each core gets what each other core sent, and knows which") {
  Host& host = make_host();
  for (uint32_t core = 0; core < cores; ++core) host.start(core);
  for (uint32_t from = 0; from < cores; ++from) {
    CHECK(host.meshes[from]->links()[from] == nullptr);
    for (uint32_t to = 0; to < cores; ++to)
      if (from != to)
        for (int i = 0; i < 3; ++i)
          CHECK(host.link(from, to).send(std::to_string(100 * from + 10 * to + i), -1));
  }
  for (int i = 0; i < 50; ++i) host.tick();
  for (uint32_t from = 0; from < cores; ++from)
    for (uint32_t to = 0; to < cores; ++to) {
      std::vector<std::string> expected;
      for (int i = 0; i < 3 && from != to; ++i)
        expected.push_back(std::to_string(100 * from + 10 * to + i));
      CHECK(host.readers[to][from].messages == expected);
    }
}

TEST_CASE("an inbox that is not read holds up nothing else, and loses nothing") {
  Host& host = make_host();
  host.start(0);
  host.start(1);
  // Two cores fill the inbox of core 2, which is not read yet.
  std::string const message(1000, 'x');
  std::array<size_t, 2> sent{};
  for (int i = 0; i < 50; ++i) {
    for (uint32_t from = 0; from < 2; ++from)
      while (host.link(from, 2).send(message, -1)) ++sent[from];
    host.tick();
  }
  CHECK(host.link(0, 2).room() < message.size() + limits::peer_message_prefix_bytes);
  CHECK(host.link(0, 1).send("passes", -1));
  for (int i = 0; i < 20 && host.readers[1][0].messages.empty(); ++i) host.tick();
  CHECK(host.readers[1][0].messages == std::vector<std::string>{"passes"});

  host.start(2);
  for (int i = 0; i < 500 && host.readers[2][1].messages.size() < sent[1]; ++i) host.tick();
  for (uint32_t from = 0; from < 2; ++from) {
    CHECK(host.readers[2][from].messages.size() == sent[from]);
    CHECK(host.link(from, 2).room() == limits::peer_queue_bytes_max);
  }
}

TEST_CASE("a descriptor arrives with its message") {
  Host& host = make_host();
  host.start(0);
  host.start(1);
  int pipe_ends[2];
  REQUIRE(pipe2(pipe_ends, O_CLOEXEC) == 0);
  CHECK(host.link(0, 1).send("with", pipe_ends[1]));
  for (int i = 0; i < 50 && host.readers[1][0].messages.empty(); ++i) host.tick();
  REQUIRE(host.readers[1][0].descriptors.size() == 1);
  CHECK(write(host.readers[1][0].descriptors[0].second, "x", 1) == 1);
  char byte = 0;
  CHECK(read(pipe_ends[0], &byte, 1) == 1);
  close(host.readers[1][0].descriptors[0].second);
  close(pipe_ends[0]);
}
