// SPDX-License-Identifier: Apache-2.0
#include "huntd/deploy_port.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

using namespace huntd;
using namespace huntd::server;

namespace {

constexpr uid_t another_user = 65534;

std::optional<DeployPort::Served> serve_none(const DeployPort::Call&) {
  return DeployPort::Served{{DeployReply::Kind::rejected, "", "served"}};
}

UniqueFd connect_to(uint64_t pid, uint64_t start_ticks) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  DeployAddress const at = deploy_address(pid, start_ticks);
  REQUIRE(connect(socket.get(), reinterpret_cast<const sockaddr*>(&at.address), at.size) == 0);
  return socket;
}

// Waits for it unless `flags` has MSG_DONTWAIT.
std::string reply_at(const UniqueFd& socket, int flags) {
  char packet[deploy_packet_bytes_max];
  ssize_t const size = recv(socket.get(), packet, sizeof packet, flags);
  return {packet, size < 0 ? 0 : static_cast<size_t>(size)};
}

// The service of a process that sees no process of the test.
[[noreturn]] void serve_until_killed(uint64_t pid, int ready) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  DeployPort port;
  if (!port.open(pid, 2) || write(ready, "x", 1) != 1) _exit(EXIT_FAILURE);
  for (uint64_t now_ns = 1;; ++now_ns) {
    std::vector<pollfd> waits;
    port.add_to(waits);
    poll(waits.data(), waits.size(), -1);
    port.step(now_ns, serve_none);
  }
}

}  // namespace

TEST_CASE("a call takes a bounded number of connections, also of those that are rejected") {
  if (geteuid() != 0) return;  // only root can be another user
  auto const pid = static_cast<uint64_t>(getpid());
  DeployPort port;
  REQUIRE(port.open(pid, 1));
  REQUIRE(seteuid(another_user) == 0);
  std::vector<UniqueFd> callers;
  for (int i = 0; i < 12; ++i) callers.push_back(connect_to(pid, 1));
  REQUIRE(seteuid(0) == 0);
  auto const rejected = [&callers] {
    return std::count_if(callers.begin(), callers.end(), [](const UniqueFd& caller) {
      return reply_at(caller, MSG_DONTWAIT).find("as root or as huntd's user") != std::string::npos;
    });
  };
  port.step(1, serve_none);
  CHECK(rejected() == 8);
  port.step(2, serve_none);
  CHECK(rejected() == 4);
}

TEST_CASE("a process that this pid namespace cannot see is rejected") {
  if (geteuid() != 0) return;  // only root can make a namespace
  int ready[2];
  REQUIRE(pipe2(ready, O_CLOEXEC) == 0);
  auto const pid = static_cast<uint64_t>(getpid());
  auto const child =
      static_cast<pid_t>(syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, nullptr, nullptr, nullptr, 0));
  if (child == 0) serve_until_killed(pid, ready[1]);
  close(ready[1]);
  REQUIRE(child > 0);
  char byte = 0;
  REQUIRE(read(ready[0], &byte, 1) == 1);
  close(ready[0]);
  UniqueFd const caller = connect_to(pid, 2);
  std::string const look = encode_deploy(DeployRequest{});
  send(caller.get(), look.data(), look.size(), MSG_NOSIGNAL);
  CHECK(reply_at(caller, 0).find("in huntd's container") != std::string::npos);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}
